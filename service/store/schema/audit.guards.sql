-- Who sees the audit, and that nobody changes a row of it.

call protect_areas('audit', 'area');
create or replace trigger audit_frozen before update or delete or truncate on audit
    for each statement execute function audit_frozen();

call protect('audit_read_head', 'account_id');

create or replace trigger audit_frozen before update or delete or truncate on audit_anchor
    for each statement execute function audit_frozen();

call protect('audit_leaf', 'account_id');
create or replace trigger audit_frozen before update or delete or truncate on audit_leaf
    for each statement execute function audit_frozen();

call protect('audit_anchored', 'account_id');
