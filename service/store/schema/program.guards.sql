-- Who sees the status of accounts and what was decided about it, and what follows a change of the program.

create or replace trigger log_setting after insert or update or delete on program for each row
    execute function log_setting('program', 'one', 'last_full_evaluation_at');

create or replace trigger log_setting after insert or update or delete on program_settings for each row
    execute function log_setting('program_settings', 'one', '');

create or replace trigger log_setting after insert or update or delete on program_rate for each row
    execute function log_setting('rate', 'currency_code', '');

create or replace trigger log_setting after insert or update or delete on criteria for each row
    execute function log_setting('criteria', 'version', '');

call protect_area('standing', 'account_id', 'profile');
create or replace trigger touched after update on standing
    referencing new table as new_rows for each statement execute function touched('standing');
create or replace trigger nominations_accepted after update of key_status on standing for each row
    when (new.key_status = 'key' and old.key_status not in ('key', 'at_risk')) execute function nominations_accepted();
create or replace trigger cadence_mark after update of key_status on standing for each row
    when (new.key_status is distinct from old.key_status) execute function standing_cadence_mark();

call protect_area('key_status_history', 'account_id', 'profile');
create or replace trigger log_setting after insert or update or delete on key_status_history for each row
    execute function log_setting('key_status', 'id',
                                 'at,actor,score,score_before,score_rank,contributions,contributions_before');

call protect_area('nomination', 'account_id', 'profile');
call log_changes('nomination', 'nomination', 'account_id', 'events');
create or replace trigger nomination_made before insert on nomination for each row execute function nomination_made();

call protect_area('evaluation_result', 'account_id', 'economics');
create policy own on evaluation_result as restrictive for select to kamd_app
    using (operation_id = any (array(select o.id from operation o)));

call protect_own('operation', 'is_callers(actor, reach)');
