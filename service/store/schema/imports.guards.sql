-- An import is its maker's, with its file, errors and records.

call rls_by_owner('import', 'is_callers(actor, reach)');
create or replace trigger import_records_follow after delete on import
    referencing old table as old_rows for each statement execute function import_records_follow();
create or replace trigger import_ended after update of status on import for each row
    when (new.status in ('succeeded', 'failed')) execute function import_ended();

call rls_by_owner('import_part', 'import_id in (select i.id from import i)');

call rls_by_owner('import_error', 'import_id in (select i.id from import i)');

call rls_by_owner('import_record', 'import_id in (select i.id from import i)');
