-- Before and after: the last triggers that joined the two states by nested loops, as 0035 says.
-- min-binary: 29

-- As in 0011 and 0017, in two steps: what else is joined, or fires further triggers, is planned as ever.
create or replace function plan_section_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    plans uuid[];
begin
    select array_agg(distinct n.plan_id) into plans from new_rows n join old_rows o on o.id = n.id
     where (n.state, n.content, n.contributors) is distinct from (o.state, o.content, o.contributors);
    if plans is not null then
        perform set_config('enable_nestloop', 'on', true);
        update plan p set changed_since_version = true, derived_version = p.derived_version + 1
         where p.version_no > 0 and not p.changed_since_version and p.id = any (array(select unnest(plans)));
    end if;
    return null;
end $$;
create or replace function follow_up_continue() returns trigger language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    going follow_up[];
    evs event_in[];
begin
    select array_agg(row (n.*)::follow_up order by n.id) filter (where n.continued and not o.continued),
           array_agg(row ('follow_up.completed', n.account_id, 'follow_up', n.id, n.version, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', n.account_id, 'follow_up_id', n.id, 'version', n.version, 'title', n.title, 'assignee_id', n.assignee_id,
                   'series_id', n.series_id, 'occurrence_no', n.occurrence_no, 'completed_by', n.completed_by,
                   'completed_at', to_char(n.completed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))),
               jsonb_build_object('status', o.status))::event_in order by n.id) filter (where n.status = 'done' and o.status <> 'done')
      into going, evs from new_rows n join old_rows o on o.id = n.id
     where (n.continued and not o.continued) or (n.status = 'done' and o.status <> 'done');
    if going is not null then
        perform set_config('enable_nestloop', 'on', true);
        insert into follow_up (id, account_id, review_id, plan_id, contact_id, need_id, project_id, title, description, assignee_id, priority, time_zone, due_at, due_on, recurrence,
                               series_id, occurrence_no, series_first_on, series_time, series_first_no, slot_on)
        select uuid_v7(), n.account_id, n.review_id, n.plan_id, n.contact_id, n.need_id, n.project_id, n.title, n.description, n.assignee_id, n.priority, n.time_zone,
               local_instant(s.next_on + coalesce(n.series_time, time '00:00'), coalesce(n.time_zone, 'UTC')), case when n.series_time is null then s.next_on end, n.recurrence,
               n.series_id, n.occurrence_no + 1, n.series_first_on, n.series_time, n.series_first_no, s.next_on
          from unnest(going) n cross join lateral (select follow_up_next_on(row (n.*)::follow_up) as next_on) s
         where s.next_on is not null
         order by n.id
        on conflict (series_id, occurrence_no) where series_id is not null do nothing;
    end if;
    perform emit(evs);
    return null;
end $$;
alter function commitment_follow() set enable_nestloop = off;
alter function commitment_settle(commitment[]) set enable_nestloop = on;
