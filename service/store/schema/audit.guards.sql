-- Who sees the audit, and that nobody changes a row of it.

call rls_by_row_area('audit', 'area');
create or replace trigger audit_frozen before update or delete or truncate on audit
    for each statement execute function audit_frozen();

call rls_by_account('audit_read_head', 'account_id');

create or replace trigger audit_frozen before update or delete or truncate on audit_anchor
    for each statement execute function audit_frozen();

call rls_by_account('audit_leaf', 'account_id');
create or replace trigger audit_frozen before update or delete or truncate on audit_leaf
    for each statement execute function audit_frozen();

call rls_by_account('audit_anchored', 'account_id');
