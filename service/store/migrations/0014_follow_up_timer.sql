-- What falls due is kept beside the follow-ups, in narrow rows: telling of 100,000 follow-ups in the same second then changes none of their own rows, indexes and history.

-- One row per follow-up. `level` says what was told of this due time: 0 nothing, 1 that it is due, 2 that it is overdue to the manager, 3 to the sponsor.
create table follow_up_timer (
    follow_up_id uuid primary key references follow_up, account_id uuid not null,
    due_at timestamptz not null, level int not null, active boolean not null -- the follow-up is open, and there
) with (fillfactor = 80);
call protect('follow_up_timer', 'account_id');
revoke insert, update on follow_up_timer from kamd_app, kamd_worker;
insert into follow_up_timer
select id, account_id, due_at, case when fired_revision < revision then 0 else overdue_level + 1 end, status = 'open' and deleted_at is null from follow_up;
create index follow_up_timer_idx on follow_up_timer (level, due_at) where active and level < 3;

create function due_timer() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        insert into follow_up_timer (follow_up_id, account_id, due_at, level, active)
        select n.id, n.account_id, n.due_at, 0, n.status = 'open' and n.deleted_at is null from new_rows n;
    else
        update follow_up_timer t
           set due_at = n.due_at, level = case when n.revision <> o.revision then 0 else t.level end, active = n.status = 'open' and n.deleted_at is null
          from new_rows n join old_rows o on o.id = n.id
         where t.follow_up_id = n.id and (n.revision, n.status = 'open', n.deleted_at is null) is distinct from (o.revision, o.status = 'open', o.deleted_at is null);
    end if;
    return null;
end $$;
create trigger due_timer_insert after insert on follow_up referencing new table as new_rows for each statement execute function due_timer();
create trigger due_timer_update after update on follow_up referencing old table as old_rows new table as new_rows for each statement execute function due_timer();

drop index follow_up_unfired_idx;
drop index follow_up_overdue_idx;
alter table follow_up drop column fired_revision, drop column overdue_level;

-- A date falls due when that day begins in its time zone. A new due time is a new revision. A worker sets `continued` itself when it tells that an occurrence is due.
create or replace function follow_up_due() returns trigger language plpgsql as $$
declare
    starts boolean := new.recurrence is not null and (tg_op = 'INSERT' and new.slot_on is null or tg_op = 'UPDATE' and new.recurrence is distinct from old.recurrence);
    wall timestamp;
begin
    if new.due_on is not null and (tg_op = 'INSERT' or (new.due_on, new.time_zone) is distinct from (old.due_on, old.time_zone)) then
        new.due_at := local_instant(new.due_on::timestamp, coalesce(new.time_zone, 'UTC'));
    end if;
    if tg_op = 'UPDATE' and new.due_at is distinct from old.due_at then
        new.revision := old.revision + 1;
        if new.due_on is not distinct from old.due_on then
            new.due_on := null; -- the instant was set; the date no longer says when
        end if;
    end if;
    if new.status = 'done' and (tg_op = 'INSERT' or old.status <> 'done') then
        if new.completed_at > now() + interval '5 minutes' then
            raise exception using errcode = 'KD422', message = 'in_future', column = 'completed_at', detail = 'It cannot have been done in the future.';
        end if;
        new.completed_at := coalesce(new.completed_at, now());
        new.completed_by := context('actor');
    elsif new.status <> 'done' then
        new.completed_at := null;
        new.completed_by := null;
        new.completion_note := null;
    end if;
    if new.kind = 'stay_in_touch' and new.recurrence is not null then
        raise exception using errcode = 'KD422', message = 'not_here', column = 'recurrence', detail = 'The account''s cadence says how often to stay in touch.';
    end if;
    if tg_op = 'UPDATE' and new.recurrence is distinct from old.recurrence and old.continued and new.status = 'open' then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'recurrence',
            detail = 'The next occurrence has been made already; change the recurrence there.',
            hint = (select jsonb_build_object('next_id', f.id)::text from follow_up f where f.series_id = old.series_id and f.occurrence_no = old.occurrence_no + 1);
    end if;
    if starts then -- a series begins here, or goes on from here by another rule
        if new.due_at < now() - interval '366 days' then
            raise exception using errcode = 'KD422', message = 'too_early', column = case when new.due_on is null then 'due_at' else 'due_on' end,
                detail = 'A series may begin at most 366 days ago: every occurrence since would fall due at once.';
        end if;
        wall := coalesce(new.due_on::timestamp, new.due_at at time zone coalesce(new.time_zone, 'UTC'));
        new.series_id := coalesce(new.series_id, new.id);
        new.series_first_on := wall::date;
        new.series_time := case when new.due_on is null then wall::time end;
        new.series_first_no := new.occurrence_no;
        new.slot_on := wall::date;
    end if;
    -- Done or cancelled before it fell due. The row's lock makes it once; the next row is inserted in the same transaction.
    if tg_op = 'UPDATE' and new.recurrence is not null and new.deleted_at is null and new.status <> 'open' and old.status = 'open' then
        new.continued := true;
    end if;
    return new;
end $$;

-- Due follow-ups: one statement claims them, one transaction tells of them and makes what follows in their series: exactly one event per occurrence and revision, and one next
-- occurrence, whoever runs it and dies. PostgreSQL's clock alone decides; now() is also the event's own time, so that none is early by its own account. What somebody
-- is changing at this moment has its turn later. Returns how many.
create or replace function follow_ups_fire(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
    series uuid[];
begin
    with due as materialized (
        select t.follow_up_id from follow_up_timer t join follow_up f on f.id = t.follow_up_id
         where t.level = 0 and t.active and t.due_at <= now()
           and (f.kind <> 'stay_in_touch' or not exists (select 1 from stay_in_touch_mark m where m.account_id = f.account_id)) -- may have to move first
         order by t.due_at limit most for no key update skip locked
    ), told as (
        update follow_up_timer t set level = 1 from due d where t.follow_up_id = d.follow_up_id returning t.follow_up_id
    )
    select array_agg(row ('follow_up.due', f.account_id, 'follow_up', f.id, f.version, 'follow_up.due:' || f.id || ':' || f.revision,
               jsonb_strip_nulls(jsonb_build_object('account_id', f.account_id, 'follow_up_id', f.id, 'version', f.version, 'title', f.title, 'assignee_id', f.assignee_id,
                   'contact_id', f.contact_id, 'plan_id', f.plan_id, 'review_id', f.review_id, 'series_id', f.series_id, 'occurrence_no', f.occurrence_no, 'revision', f.revision,
                   'priority', f.priority, 'kind', f.kind, 'channel', f.channel, 'due_on', f.due_on, 'time_zone', f.time_zone,
                   'due_at', to_char(f.due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))), '{}')::event_in order by f.due_at, f.id),
           array_agg(f.id) filter (where f.recurrence is not null and not f.continued)
      into evs, series from told t join follow_up f on f.id = t.follow_up_id;
    if evs is null then
        return 0;
    end if;
    if series is not null then
        update follow_up set continued = true where id = any (series);
    end if;
    perform emit(evs);
    return cardinality(evs);
end $$;

-- Open ones whose due time passed so many days ago: one event to the manager, later one to the sponsor, for each revision.
create function follow_ups_escalate(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program_settings;
    evs event_in[];
begin
    select * into p from program_settings;
    with late as materialized (
        select t.follow_up_id from follow_up_timer t join follow_up f on f.id = t.follow_up_id
         where t.active and t.level < 3
           and (t.level = 1 and t.due_at <= now() - make_interval(days => p.overdue_manager_days) or t.level = 2 and t.due_at <= now() - make_interval(days => p.overdue_sponsor_days))
         order by t.due_at limit most for no key update skip locked
    ), told as (
        update follow_up_timer t set level = t.level + 1 from late l where t.follow_up_id = l.follow_up_id returning t.follow_up_id, t.level
    )
    select array_agg(row ('follow_up.overdue', f.account_id, 'follow_up', f.id, f.version, 'follow_up.overdue:' || f.id || ':' || f.revision || ':' || t.level - 1,
               jsonb_strip_nulls(jsonb_build_object('account_id', f.account_id, 'follow_up_id', f.id, 'version', f.version, 'title', f.title, 'assignee_id', f.assignee_id,
                   'series_id', f.series_id, 'occurrence_no', f.occurrence_no, 'revision', f.revision, 'priority', f.priority, 'due_on', f.due_on, 'time_zone', f.time_zone,
                   'due_at', to_char(f.due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                   'level', case t.level when 2 then 'manager' else 'sponsor' end,
                   'escalated_to_id', case t.level when 2 then a.manager_id else a.sponsor_id end)), '{}')::event_in order by f.due_at, f.id)
      into evs from told t join follow_up f on f.id = t.follow_up_id join account a on a.id = f.account_id;
    perform emit(evs);
    return coalesce(cardinality(evs), 0);
end $$;
revoke execute on function follow_ups_escalate(int) from kamd_app;

-- As in 0010, on columns rather than documents of whole rows.
create or replace function cadence_mark() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    ids uuid[];
begin
    if tg_op = 'INSERT' then
        select array_agg(distinct n.account_id) into ids from new_rows n;
    elsif tg_table_name = 'account' then
        select array_agg(n.id) into ids from new_rows n join old_rows o on o.id = n.id
         where (n.cadence, n.contact_preference, n.manager_id, n.delegate_id, n.delegate_until, n.deleted_at)
               is distinct from (o.cadence, o.contact_preference, o.manager_id, o.delegate_id, o.delegate_until, o.deleted_at);
    elsif tg_table_name = 'standing' then
        select array_agg(n.account_id) into ids from new_rows n join old_rows o on o.account_id = n.account_id where n.key_status <> o.key_status;
    elsif tg_table_name = 'contact' then
        select array_agg(distinct n.account_id) into ids from new_rows n join old_rows o on o.id = n.id where n.contact_preference is distinct from o.contact_preference;
    elsif tg_table_name = 'follow_up' then
        select array_agg(distinct n.account_id) into ids from new_rows n join old_rows o on o.id = n.id
         where n.kind = 'stay_in_touch' and (n.status, n.deleted_at, n.contact_id) is distinct from (o.status, o.deleted_at, o.contact_id);
    else
        select array_agg(distinct n.account_id) into ids from new_rows n;
    end if;
    if ids is not null then
        perform stay_in_touch_mark(ids);
    end if;
    return null;
end $$;
