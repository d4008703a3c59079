-- Who sees which rows of the two logs.

call rls_by_row_area('history', 'area');
create policy everybody on history for select to kamd_app using (account_id is null);
-- Settings are for callers who see all accounts.
create policy settings on history as restrictive for select to kamd_app using (
    resource not in ('api_key', 'program', 'program_settings', 'rate', 'criteria', 'plan_template', 'webhook_key',
                     'webhook_secret')
    or (select current_setting('kamd.scope', true)) = 'all');
create policy own on history as restrictive for select to kamd_app
    using (resource <> 'webhook_endpoint' or record_id = any (array(select e.id from webhook_endpoint e)));
create or replace trigger audit_append_changes after insert on history
    referencing new table as new_rows for each statement execute function audit_append_changes();

call rls_by_row_area('event', 'area');
create policy everybody on event for select to kamd_app using (account_id is null);
-- Events of a webhook endpoint are for callers who see the endpoint.
create policy own on event as restrictive for select to kamd_app
    using (resource <> 'webhook_endpoint' or record_id = any (array(select e.id from webhook_endpoint e)));

call rls_by_area('account_sequence', 'account_id', 'profile');
