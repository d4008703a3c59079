-- Who sees follow-ups and their timers, and what follows a change of one.

call rls_by_area('follow_up', 'account_id', 'reviews');
call log_changes('follow_up', 'follow_up', 'account_id', 'events');
call track_external_ids('follow_up', 'follow_up', 'account_id');
create or replace trigger follow_up_due before insert or update on follow_up for each row
    execute function follow_up_due();
create or replace trigger follow_up_series before insert or update on follow_up for each row
    execute function follow_up_series();
create or replace trigger cadence_follow after update on follow_up
    referencing old table as old_rows new table as new_rows for each statement execute function cadence_follow();
create or replace trigger due_timer_insert after insert on follow_up
    referencing new table as new_rows for each statement execute function due_timer();
create or replace trigger due_timer_update after update on follow_up
    referencing old table as old_rows new table as new_rows for each statement execute function due_timer();
create or replace trigger next_occurrence after update on follow_up
    referencing old table as old_rows new table as new_rows for each statement execute function follow_up_continue();

call rls_by_area('follow_up_timer', 'account_id', 'reviews');

call rls_by_area('stay_in_touch_queue', 'account_id', 'interactions');
