-- Who sees reviews and ratings, and what follows a change of one.

call rls_by_area('review', 'account_id', 'reviews');
call log_changes('review', 'review', 'account_id', 'events');
call track_external_ids('review', 'review', 'account_id');
create or replace trigger rescore_follow_insert after insert on review
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger rescore_follow_update after update on review
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger review_keep before insert or update on review for each row execute function review_keep();
create or replace trigger review_tell after update on review
    referencing old table as old_rows new table as new_rows for each statement execute function review_tell();

call rls_by_area('review_told', 'account_id', 'reviews');

call rls_by_area('expectation_rating', 'account_id', 'reviews');
call log_changes('expectation_rating', 'expectation', 'account_id', 'quiet');
create or replace trigger rescore_follow_insert after insert on expectation_rating
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger rescore_follow_update after update on expectation_rating
    referencing new table as new_rows for each statement execute function rescore_follow();
