-- Who sees orders, their sums and wallets, and what follows a change of one.

call rls_by_area('sales_order', 'account_id', 'sales');
call log_changes('sales_order', 'order', 'account_id', 'quiet');
call track_external_ids('sales_order', 'order', 'account_id');
create or replace trigger order_sums_insert after insert on sales_order
    referencing new table as new_rows for each statement execute function order_sums();
create or replace trigger order_sums_update after update on sales_order
    referencing old table as old_rows new table as new_rows for each statement execute function order_sums();
create or replace trigger external_ids_insert after insert on sales_order
    referencing new table as new_rows for each statement execute function order_external_ids();

call rls_by_area('day_sales', 'account_id', 'sales');

call rls_by_area('wallet', 'account_id', 'economics');
call log_changes('wallet', 'wallet', 'account_id', 'events');
call track_external_ids('wallet', 'wallet', 'account_id');
create or replace trigger wallet_follow_insert after insert on wallet
    referencing new table as new_rows for each statement execute function wallet_follow();
create or replace trigger wallet_follow_update after update on wallet
    referencing new table as new_rows for each statement execute function wallet_follow();
