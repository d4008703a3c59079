-- An endpoint is its maker's, with its secrets, headers and deliveries.

call rls_by_owner('webhook_endpoint', 'is_callers(actor, reach)');
call log_changes('webhook_endpoint', 'webhook_endpoint', '', 'quiet');
create or replace trigger webhook_endpoint_before before insert or update on webhook_endpoint for each row
    execute function webhook_endpoint_follow();
create or replace trigger webhook_endpoint_follow after insert or update on webhook_endpoint for each row
    execute function webhook_endpoint_follow();

call rls_by_owner('webhook_endpoint_state', 'endpoint_id in (select e.id from webhook_endpoint e)');

call rls_by_owner('webhook_secret', 'endpoint_id in (select e.id from webhook_endpoint e)');
create or replace trigger webhook_secret_bound before insert on webhook_secret for each row
    execute function webhook_secret_bound();
create or replace trigger log_setting after insert or update or delete on webhook_secret for each row
    execute function log_setting('webhook_secret', 'id', 'sealed');

call rls_by_owner('webhook_header', 'endpoint_id in (select e.id from webhook_endpoint e)');

create or replace trigger log_setting after insert or update or delete on webhook_key for each row
    execute function log_setting('webhook_key', 'number', 'sealed');

call rls_by_account('webhook_delivery', 'account_id');
create policy everybody on webhook_delivery for select to kamd_app using (account_id is null);
-- A delivery is for callers who see both its account and its endpoint.
create policy own on webhook_delivery as restrictive to kamd_app
    using (endpoint_id = any (array(select e.id from webhook_endpoint e)));

call rls_by_account('webhook_attempt', 'account_id');
create policy everybody on webhook_attempt for select to kamd_app using (account_id is null);
create policy own on webhook_attempt as restrictive to kamd_app
    using (webhook_delivery_number(delivery_id) = any (array(select s.number from webhook_endpoint_state s)));

call rls_by_account('webhook_retry', 'account_id');
create policy everybody on webhook_retry for select to kamd_app using (account_id is null);
create policy own on webhook_retry as restrictive to kamd_app
    using (endpoint_id = any (array(select e.id from webhook_endpoint e)));
