-- Who sees commitments, and what follows a change of one.

call rls_by_area('commitment', 'account_id', 'interactions');
call log_changes('commitment', 'commitment', 'account_id', 'events');
call track_external_ids('commitment', 'commitment', 'account_id');
create or replace trigger rescore_follow_insert after insert on commitment
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger rescore_follow_update after update on commitment
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger commitment_due before insert or update on commitment for each row
    execute function commitment_due();
create or replace trigger settled_insert after insert on commitment
    referencing new table as new_rows for each statement execute function commitment_follow();
create or replace trigger settled_update after update on commitment
    referencing old table as old_rows new table as new_rows for each statement execute function commitment_follow();
