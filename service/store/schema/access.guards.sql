-- Who sees the rows of access itself, and what follows when a person, a role or a key changes.

call rls_by_owner('account_access', '(select current_setting(''kamd.scope'', true)) = ''all'''
    ' or user_id = (select nullif(current_setting(''kamd.user_id'', true), '''')::uuid)');

create or replace trigger team_role_insert after insert on team_role
    referencing new table as changed for each statement execute function team_role_follow();
create or replace trigger team_role_update after update on team_role
    referencing new table as changed for each statement execute function team_role_follow();
create or replace trigger team_role_delete after delete on team_role
    referencing old table as changed for each statement execute function team_role_gone();

call log_changes('app_user', 'user', '', 'events');
call track_external_ids('app_user', 'user', '');
create or replace trigger superiors_check after update on app_user
    referencing old table as old_rows new table as new_rows for each statement
    execute function superiors_check('manager_id');
create or replace trigger revoked after update on app_user for each row
    when ((old.active and not new.active) or (old.deleted_at is null and new.deleted_at is not null)
          or old.subject is distinct from new.subject)
    execute function note_revocation();

create or replace trigger revoked after update on api_key for each row
    when ((old.revoked_at is null and new.revoked_at is not null)
          or (old.secret_no <> new.secret_no and (new.previous_hash is null or old.previous_until > now())))
    execute function note_revocation();
create or replace trigger log_setting after insert or update or delete on api_key for each row
    execute function log_setting('api_key', 'id', 'hash,last_used_at');
