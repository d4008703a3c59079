-- Who cannot leave, and what is given to nobody who has left: every column that names somebody who is to do something.

create or replace trigger user_leaves after update on app_user for each row
    when ((old.active and not new.active) or (old.deleted_at is null and new.deleted_at is not null))
    execute function user_leaves();

call give_to_somebody_here('account', 'manager_id', 'true');
call give_to_somebody_here('account', 'sponsor_id', 'true');
call give_to_somebody_here('account', 'delegate_id', 'coalesce(%1$s.delegate_until, ''infinity'') > now()');
call give_to_somebody_here('contact', 'mirror_user_id', 'true');
call give_to_somebody_here('follow_up', 'assignee_id', '%1$s.status = ''open''');
call give_to_somebody_here('commitment', 'made_by_id', '%1$s.status = ''open''');
call give_to_somebody_here('project', 'owner_id', '%1$s.status in (''planned'', ''active'')');
call give_to_somebody_here('need', 'owner_id', '%1$s.status <> ''resolved''');
call give_to_somebody_here('solution', 'owner_id', '%1$s.status in (''proposed'', ''agreed'')');

create or replace trigger plan_given_insert after insert on plan for each row
    when (new.objectives <> '[]' and new.deleted_at is null and new.status in ('draft', 'active'))
    execute function plan_given_to_somebody_here();
create or replace trigger plan_given_update after update on plan for each row
    when (new.objectives is distinct from old.objectives and new.deleted_at is null
          and new.status in ('draft', 'active'))
    execute function plan_given_to_somebody_here();
create or replace trigger plan_back before update on plan for each row
    when (old.deleted_at is not null and new.deleted_at is null and new.status in ('draft', 'active'))
    execute function plan_comes_back_without_leavers();

create or replace trigger fallback_given after update on program_settings for each row
    when (new.fallback_alert_user_id is not null
          and new.fallback_alert_user_id is distinct from old.fallback_alert_user_id)
    execute function given_to_somebody_here('fallback_alert_user_id');
