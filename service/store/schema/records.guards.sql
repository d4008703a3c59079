-- Who sees accounts and what is recorded of them, and what follows a change of one.

call rls_by_area('account', 'id', 'profile');
call log_changes('account', 'account', 'id', 'events');
call track_external_ids('account', 'account', 'id');
create or replace trigger account_tree before insert or update on account for each row execute function account_tree();
create or replace trigger standalone_insert before insert on account for each row
    when (new.standalone is not null) execute function standalone_decided();
create or replace trigger standalone_update before update of standalone on account for each row
    when (new.standalone is distinct from old.standalone) execute function standalone_decided();
create or replace trigger account_follow_insert after insert on account
    referencing new table as new_rows for each statement execute function account_follow();
create or replace trigger account_follow_update after update on account
    referencing old table as old_rows new table as new_rows for each statement execute function account_follow();
create or replace trigger account_delete after update of deleted_at on account for each row
    execute function account_delete();
create or replace trigger note_cache_invalidation after update on account
    referencing new table as new_rows for each statement execute function note_cache_invalidation('account');
create or replace trigger cadence_follow after update on account
    referencing old table as old_rows new table as new_rows for each statement execute function cadence_follow();
create or replace trigger account_manager after update of manager_id on account for each row
    execute function account_manager();
create or replace trigger manager_told after update on account
    referencing old table as old_rows new table as new_rows for each statement execute function manager_told();

call rls_by_area('contact', 'account_id', 'contacts');
call log_changes('contact', 'contact', 'account_id', 'events');
call track_external_ids('contact', 'contact', 'account_id');
create or replace trigger rescore_follow_insert after insert on contact for each row
    when (new.decision_role = 'decision_maker') execute function rescore_follow_row();
create or replace trigger rescore_follow_update after update of decision_role, deleted_at on contact for each row
    when ((new.decision_role, new.deleted_at) is distinct from (old.decision_role, old.deleted_at))
    execute function rescore_follow_row();
create or replace trigger note_cache_invalidation after update on contact
    referencing new table as new_rows for each statement execute function note_cache_invalidation('contact');
create or replace trigger cadence_follow after update on contact
    referencing old table as old_rows new table as new_rows for each statement execute function cadence_follow();
create or replace trigger superiors_check after update on contact
    referencing old table as old_rows new table as new_rows for each statement
    execute function superiors_check('reports_to_id');
create or replace trigger contact_influences before update on contact for each row
    when (new.influences is distinct from old.influences) execute function contact_influences();
create or replace trigger erasure_is_final before update on contact for each row
    when (old.erased_at is not null and new.deleted_at is null) execute function erasure_is_final();
create or replace trigger erasure_bars_id_insert before insert on contact for each row
    when (new.external_ids <> '{}') execute function erasure_bars_id();
create or replace trigger erasure_bars_id_update before update on contact for each row
    when (new.external_ids is distinct from old.external_ids) execute function erasure_bars_id();

call rls_by_area('interaction', 'account_id', 'interactions');
call log_changes('interaction', 'interaction', 'account_id', 'events');
call track_external_ids('interaction', 'interaction', 'account_id');
call enforce_references('interaction', 'need_ids', 'need');
create or replace trigger interaction_contacts_insert after insert on interaction
    referencing new table as new_rows for each statement execute function interaction_contacts();
create or replace trigger interaction_contacts_update after update on interaction
    referencing old table as old_rows new table as new_rows for each statement execute function interaction_contacts();
create or replace trigger cadence_follow after update on interaction
    referencing old table as old_rows new table as new_rows for each statement execute function cadence_follow();
create or replace trigger cadence_follow_insert after insert on interaction
    referencing new table as new_rows for each statement execute function cadence_follow();
create or replace trigger rescore_follow_insert after insert on interaction
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger rescore_follow_update after update on interaction
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger need_ids_lower before insert or update on interaction for each row
    when (new.need_ids <> '{}') execute function need_ids_lower();
create or replace trigger interaction_fill before insert or update on interaction for each row
    when (new.direction is null) execute function interaction_fill();
create or replace trigger time_has_come before insert or update of occurred_at on interaction for each row
    when (new.occurred_at > now()) execute function time_has_come('occurred_at');

call rls_by_area('problem', 'account_id', 'problems');
call log_changes('problem', 'problem', 'account_id', 'events');
call track_external_ids('problem', 'problem', 'account_id');
create or replace trigger time_has_come before insert or update on problem for each row
    when (greatest(new.opened_at, new.handled_at, new.resolved_at) > now())
    execute function time_has_come('opened_at', 'handled_at', 'resolved_at');
create or replace trigger rescore_follow_insert after insert on problem
    referencing new table as new_rows for each statement execute function rescore_follow();
create or replace trigger rescore_follow_update after update on problem
    referencing new table as new_rows for each statement execute function rescore_follow();

call rls_by_area('team_member', 'account_id', 'profile');
call log_changes('team_member', 'team_member', 'account_id', 'events');
call track_external_ids('team_member', 'team_member', 'account_id');
create or replace trigger team_allocation_insert after insert on team_member
    referencing new table as new_rows for each statement execute function team_allocation();
create or replace trigger team_allocation_update after update on team_member
    referencing new table as new_rows for each statement execute function team_allocation();
create or replace trigger team_one_manager_insert after insert on team_member
    referencing new table as new_rows for each statement execute function team_one_manager();
create or replace trigger team_one_manager_update after update on team_member
    referencing old table as old_rows new table as new_rows for each statement execute function team_one_manager();
create or replace trigger team_follow_insert after insert on team_member
    referencing new table as new_rows for each statement execute function team_follow();
create or replace trigger team_follow_update after update on team_member
    referencing new table as new_rows for each statement execute function team_follow();

call rls_by_row_area('external_id', 'resource_area(resource)');
create policy everybody on external_id for select to kamd_app using (account_id is null);

call log_changes('custom_field', 'custom_field', '', 'quiet');

call rls_by_area('allied_organisation', 'account_id', 'profile');
call log_changes('allied_organisation', 'link', 'account_id', 'events');
call track_external_ids('allied_organisation', 'link', 'account_id');
