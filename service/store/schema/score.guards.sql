-- Who sees what scores are made of, and what queues an account to be scored.

call rls_by_area('rescore_queue', 'account_id', 'profile');

call rls_by_area('account_metric', 'account_id', 'economics');
call log_changes('account_metric', 'metric', 'account_id', 'quiet');
create or replace trigger rescore_follow_insert after insert on account_metric
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger rescore_follow_update after update on account_metric
    referencing new table as new_rows for each statement execute function rescore_follow();

call rls_by_area('account_health', 'account_id', 'economics');

call rls_by_area('fit_check', 'account_id', 'plan');
call log_changes('fit_check', 'fit_check', 'account_id', 'quiet');
