-- Who sees what scores are made of, and what marks an account for scoring.

call protect_area('rescore', 'account_id', 'profile');

call protect_area('account_metric', 'account_id', 'economics');
call log_changes('account_metric', 'metric', 'account_id', 'quiet');
create or replace trigger changes_mark_insert after insert on account_metric
    referencing new table as new_rows for each statement execute function changes_mark();
create or replace trigger changes_mark_update after update on account_metric
    referencing new table as new_rows for each statement execute function changes_mark();

call protect_area('account_health', 'account_id', 'economics');

call protect_area('fit_check', 'account_id', 'plan');
call log_changes('fit_check', 'fit_check', 'account_id', 'quiet');
