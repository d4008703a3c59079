-- Who sees the status of accounts and what was decided about it, and what follows a change of the program.

create or replace trigger log_setting after insert or update or delete on program for each row
    execute function log_setting('program', 'one', 'last_full_evaluation_at');

create or replace trigger program_counts_follow after update of counts on program for each row
    when (new.counts <> old.counts) execute function program_counts_follow();

create or replace trigger log_setting after insert or update or delete on program_settings for each row
    execute function log_setting('program_settings', 'one', '');

create or replace trigger log_setting after insert or update or delete on program_rate for each row
    execute function log_setting('rate', 'currency_code', '');

create or replace trigger log_setting after insert or update or delete on criteria for each row
    execute function log_setting('criteria', 'version', '');

call rls_by_area('account_status', 'account_id', 'profile');
create or replace trigger note_cache_invalidation after update on account_status
    referencing new table as new_rows for each statement execute function note_cache_invalidation('account_status');
create or replace trigger nominations_accepted after update of key_status on account_status for each row
    when (new.key_status = 'key' and old.key_status not in ('key', 'at_risk')) execute function nominations_accepted();
create or replace trigger cadence_follow after update of key_status on account_status for each row
    when (new.key_status is distinct from old.key_status) execute function cadence_follow_status();

call rls_by_area('key_status_history', 'account_id', 'profile');
create or replace trigger log_setting after insert or update or delete on key_status_history for each row
    execute function log_setting('key_status', 'id',
                                 'at,actor,score,score_before,score_rank,contributions,contributions_before');

call rls_by_area('nomination', 'account_id', 'profile');
call log_changes('nomination', 'nomination', 'account_id', 'events');
create or replace trigger nomination_made before insert on nomination for each row execute function nomination_made();

call rls_by_area('evaluation_result', 'account_id', 'economics');
create policy own on evaluation_result as restrictive for select to kamd_app
    using (operation_id = any (array(select o.id from operation o)));

call rls_by_owner('operation', 'is_callers(actor, reach)');
