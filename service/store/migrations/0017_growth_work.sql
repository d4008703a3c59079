-- What is done about needs and projects: follow-ups and the plan's actions name them (000-35, 004-29).

alter table need add unique (id, account_id);
alter table project add unique (id, account_id);
alter table follow_up
    add column need_id uuid, add column project_id uuid,
    add constraint follow_up_need_id_fkey foreign key (need_id, account_id) references need (id, account_id),
    add constraint follow_up_project_id_fkey foreign key (project_id, account_id) references project (id, account_id);
create index follow_up_need_id_idx on follow_up (need_id) where need_id is not null;
create index follow_up_project_id_idx on follow_up (project_id) where project_id is not null;

-- Makes the next occurrence of those that were just continued: at the rule's wall clock time, with what this one says otherwise. Whether the API or a worker continued
-- them, and whoever dies, the mark and the row are written together or not at all; the unique key on (series_id, occurrence_no) is the second lock.
create function follow_up_continue() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into follow_up (id, account_id, review_id, plan_id, contact_id, need_id, project_id, title, description, assignee_id, priority, time_zone, due_at, due_on, recurrence,
                           series_id, occurrence_no, series_first_on, series_time, series_first_no, slot_on)
    select uuid_v7(), n.account_id, n.review_id, n.plan_id, n.contact_id, n.need_id, n.project_id, n.title, n.description, n.assignee_id, n.priority, n.time_zone,
           local_instant(s.next_on + coalesce(n.series_time, time '00:00'), coalesce(n.time_zone, 'UTC')), case when n.series_time is null then s.next_on end, n.recurrence,
           n.series_id, n.occurrence_no + 1, n.series_first_on, n.series_time, n.series_first_no, s.next_on
      from new_rows n join old_rows o on o.id = n.id cross join lateral (select follow_up_next_on(row (n.*)::follow_up) as next_on) s
     where n.continued and not o.continued and s.next_on is not null
     order by n.id
    on conflict (series_id, occurrence_no) where series_id is not null do nothing;
    perform emit(array_agg(row ('follow_up.completed', n.account_id, 'follow_up', n.id, n.version, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', n.account_id, 'follow_up_id', n.id, 'version', n.version, 'title', n.title, 'assignee_id', n.assignee_id,
                   'series_id', n.series_id, 'occurrence_no', n.occurrence_no, 'completed_by', n.completed_by,
                   'completed_at', to_char(n.completed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))),
               jsonb_build_object('status', o.status))::event_in order by n.id))
       from new_rows n join old_rows o on o.id = n.id where n.status = 'done' and o.status <> 'done';
    return null;
end $$;
create trigger next_occurrence after update on follow_up referencing old table as old_rows new table as new_rows for each statement execute function follow_up_continue();

-- Actions name needs of the plan's own account. Those that were there before may stay when the need went away.
create function plan_needs() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    stranger text;
begin
    select lower(a ->> 'need_id') into stranger from jsonb_array_elements(new.objectives) o cross join jsonb_array_elements(coalesce(nullif(o -> 'actions', 'null'), '[]')) a
     where a ->> 'need_id' is not null and not exists (select 1 from need n where n.id = (a ->> 'need_id')::uuid and n.account_id = new.account_id and n.deleted_at is null)
       and (tg_op = 'INSERT' or position(lower(a ->> 'need_id') in lower(old.objectives::text)) = 0) limit 1;
    if found then
        raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'objectives', detail = format('The account has no need %s.', stranger);
    end if;
    return new;
end $$;
create trigger plan_needs_insert before insert on plan for each row when (new.objectives <> '[]') execute function plan_needs();
create trigger plan_needs_update before update on plan for each row when (new.objectives is distinct from old.objectives) execute function plan_needs();
