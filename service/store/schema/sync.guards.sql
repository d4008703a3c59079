-- Who sees conflicts of synchronisation.

call rls_by_row_area('sync_conflict', 'resource_area(resource)');
create policy everybody on sync_conflict to kamd_app using (account_id is null) with check (account_id is null);
