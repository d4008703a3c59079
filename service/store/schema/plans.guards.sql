-- Who sees plans, their sections and versions, and what follows a change of one.

create or replace trigger log_setting after insert or update or delete on plan_template for each row
    execute function log_setting('plan_template', 'version', 'sections');

call rls_by_area('plan', 'account_id', 'plan');
call log_changes('plan', 'plan', 'account_id', 'events');
call track_external_ids('plan', 'plan', 'account_id');
create or replace trigger plan_sections after insert on plan
    referencing new table as new_rows for each statement execute function plan_sections();
create or replace trigger note_cache_invalidation after update on plan
    referencing new table as new_rows for each statement execute function note_cache_invalidation('plan');
create or replace trigger plan_keep before update on plan for each row execute function plan_keep();
create or replace trigger plan_copy before insert on plan for each row
    when (new.copy_from is not null) execute function plan_copy();
create or replace trigger plan_needs_insert before insert on plan for each row
    when (new.objectives <> '[]') execute function plan_needs();
create or replace trigger plan_needs_update before update on plan for each row
    when (new.objectives is distinct from old.objectives) execute function plan_needs();

call rls_by_row_area('plan_section', 'resource_area(''plan_section'', section)');
call log_changes('plan_section', 'plan_section', 'account_id', 'quiet');
create or replace trigger plan_section_keep before insert or update on plan_section for each row
    execute function plan_section_keep();
create or replace trigger plan_section_follow after update on plan_section
    referencing old table as old_rows new table as new_rows for each statement execute function plan_section_follow();
create or replace trigger section_follow after update on plan_section
    referencing old table as old_rows new table as new_rows for each statement execute function section_follow();

call rls_by_area('plan_version', 'account_id', 'plan');
create or replace trigger plan_version_tell after insert on plan_version
    referencing new table as new_rows for each statement execute function plan_version_tell();

call rls_by_area('plan_acknowledgement', 'account_id', 'plan');

call rls_by_area('plan_stale', 'account_id', 'plan');

call rls_by_area('project', 'account_id', 'plan');
call log_changes('project', 'project', 'account_id', 'events');
call track_external_ids('project', 'project', 'account_id');
