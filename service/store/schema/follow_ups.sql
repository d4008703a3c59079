-- Follow-ups: their series, the events that tell of due and overdue ones, and the stay-in-touch follow-ups that kamd
-- makes from the cadence of each key account.

-- The follow-up as the first occurrence of a series, or of the rest of one that goes on by another rule.
create or replace function follow_up_begin_series(f follow_up) returns follow_up stable language plpgsql as $$
declare
    wall timestamp := coalesce(f.due_on::timestamp, f.due_at at time zone coalesce(f.time_zone, 'UTC'));
begin
    if f.due_at < now() - interval '36525 days' then
        raise exception using
            errcode = 'KD422', message = 'too_early',
            column = case when f.due_on is null then 'due_at' else 'due_on' end,
            detail = 'A series may begin at most a hundred years ago.';
    end if;
    f.series_id := coalesce(f.series_id, f.id);
    f.series_first_on := wall::date;
    f.series_time := case when f.due_on is null then wall::time end;
    f.series_first_no := f.occurrence_no;
    f.slot_on := wall::date;
    return f;
end $$;

-- Works out, before a follow-up is written, what follows from its columns. A write says the date or the instant: a date
-- falls due when that day begins in its time zone, and an instant beside it must be that one. A series goes by the wall
-- clock: in another time zone an open occurrence keeps its time there, as those after it do. A new due time is a new
-- revision, which makes another event. `completed_at` and `completed_by` stand only while the follow-up is done.
create or replace function follow_up_due() returns trigger language plpgsql as $$
declare
    zone text := coalesce(new.time_zone, 'UTC');
    zone_before text := case tg_op when 'UPDATE' then coalesce(old.time_zone, 'UTC') else zone end;
    day_begins timestamptz;
begin
    if new.due_on is not null
       and (tg_op = 'INSERT'
            or (new.due_at, new.due_on, new.time_zone) is distinct from (old.due_at, old.due_on, old.time_zone)) then
        day_begins := local_instant(new.due_on::timestamp, zone);
        if new.due_at <> day_begins then
            raise exception using
                errcode = 'KD422', message = 'contradiction', column = 'due_at',
                detail = format('due_on begins at %s. Give one of due_on and due_at, or two that agree.',
                                utc_text(day_begins));
        end if;
        new.due_at := day_begins;
    elsif zone <> zone_before and new.due_on is null and new.due_at = old.due_at and new.status = 'open'
          and old.recurrence is not null then
        new.due_at := local_instant(old.due_at at time zone zone_before, zone);
    end if;
    if tg_op = 'UPDATE' and new.due_at is distinct from old.due_at then
        new.revision := old.revision + 1;
    end if;
    if new.status = 'done' and (tg_op = 'INSERT' or old.status <> 'done') then
        if new.completed_at > now() + interval '5 minutes' then
            raise exception using errcode = 'KD422', message = 'in_future', column = 'completed_at',
                                  detail = 'It cannot have been done in the future.';
        end if;
        new.completed_at := coalesce(new.completed_at, now());
        new.completed_by := session_setting('actor');
    elsif new.status <> 'done' then
        new.completed_at := null;
        new.completed_by := null;
        new.completion_note := null;
    end if;
    return new;
end $$;

-- Keeps the series that a follow-up belongs to, before the follow-up is written and after follow_up_due(): a new
-- recurrence begins one. `continued` makes follow_up_continue() insert the next occurrence: it is set here when
-- somebody is done with this one, and by follow_ups_fire() when this one is due.
create or replace function follow_up_series() returns trigger language plpgsql as $$
declare
    changed text;
begin
    if new.kind = 'stay_in_touch' and new.recurrence is not null then
        raise exception using errcode = 'KD422', message = 'not_here', column = 'recurrence',
                              detail = 'The account''s cadence says how often to stay in touch.';
    end if;
    changed := case when tg_op = 'INSERT' then null
                    when new.recurrence is distinct from old.recurrence then 'recurrence'
                    when old.recurrence is not null and new.time_zone is distinct from old.time_zone
                    then 'time_zone' end;
    if changed is not null and old.continued and new.status = 'open' then
        raise exception using
            errcode = 'KD409', message = 'conflict', column = changed,
            detail = format('The next occurrence has been made already; change the %s there.',
                            replace(changed, '_', ' ')),
            hint = (select jsonb_build_object('next_id', f.id)::text from follow_up f
                     where f.series_id = old.series_id and f.occurrence_no > old.occurrence_no
                     order by f.occurrence_no limit 1);
    end if;
    if new.recurrence is not null
       and (tg_op = 'INSERT' and new.slot_on is null
            or tg_op = 'UPDATE' and new.recurrence is distinct from old.recurrence) then
        new := follow_up_begin_series(new);
    end if;
    -- Done or cancelled, mostly before it fell due. The lock of the row lets this happen once, and the next occurrence
    -- is inserted in the same transaction.
    if tg_op = 'UPDATE' and new.recurrence is not null and new.deleted_at is null and new.status <> 'open'
       and old.status = 'open' then
        new.continued := true;
    end if;
    return new;
end $$;

-- The instant of an occurrence on a day, by the wall clock of the follow-up's time zone.
create or replace function follow_up_instant(f follow_up, day date) returns timestamptz stable language sql as
$$ select local_instant(day + coalesce(f.series_time, time '00:00'), coalesce(f.time_zone, 'UTC')) $$;

-- The instant that an UNTIL with a time says; null: there is none, or it is a date, which recurrence_days() heeds.
create or replace function follow_up_until(f follow_up) returns timestamptz stable language sql as $$
    select case when u.until like '%Z'
                then to_timestamp(left(u.until, 15), 'YYYYMMDD"T"HH24MISS')::timestamp at time zone 'UTC'
                else local_instant(to_timestamp(u.until, 'YYYYMMDD"T"HH24MISS')::timestamp,
                                   coalesce(f.time_zone, 'UTC')) end
      from substring(upper(f.recurrence) from 'UNTIL=(\d+T\d+Z?)') u(until)
$$;

-- How many occurrences COUNT leaves after this one; null: it leaves all. It counts from the occurrence with which the
-- rule came in.
create or replace function follow_up_remaining(f follow_up) returns int stable language sql as $$
    select greatest(c.n::int - (f.occurrence_no - f.series_first_no + 1), 0)
      from substring(upper(f.recurrence) from 'COUNT=(\d+)') c(n)
     where c.n is not null
$$;

-- The day of the occurrence after this one, by the wall clock of the follow-up's time zone; null: the series ends.
create or replace function follow_up_next_on(f follow_up) returns date stable language plpgsql as $$
declare
    next_on date;
begin
    if follow_up_remaining(f) = 0 then
        return null;
    end if;
    next_on := recurrence_next(f.recurrence, f.series_first_on, f.slot_on);
    return case when follow_up_instant(f, next_on) > follow_up_until(f) then null else next_on end;
end $$;

-- Of the occurrences after this one, those whose time has come: how many, and the day of the latest.
create or replace function follow_up_passed(f follow_up, out n int, out latest_on date) stable language plpgsql as $$
begin
    select count(*), max(p.day) into n, latest_on
      from (select d as day
              from recurrence_days(f.recurrence, f.series_first_on, f.slot_on,
                                   (now() at time zone coalesce(f.time_zone, 'UTC'))::date) d
             limit follow_up_remaining(f)) p
     where follow_up_instant(f, p.day) <= least(now(), follow_up_until(f));
end $$;

-- Moves each of these follow-ups, of which nobody was told yet, to the latest occurrence of its series whose time has
-- come, and counts those that it passes. So a series that begins in the past, or that nobody looked after for a while,
-- opens one occurrence, and not one for each day.
create or replace function follow_ups_pass(ids uuid[]) returns void
language sql security definer set search_path = public, pg_temp as $$
    update follow_up f
       set occurrence_no = f.occurrence_no + p.n, missed_occurrences = f.missed_occurrences + p.n,
           slot_on = p.latest_on, due_on = case when f.series_time is null then p.latest_on end,
           due_at = follow_up_instant(f, p.latest_on), version = f.version + 1, updated_at = now()
      from follow_up s cross join lateral follow_up_passed(s) p
     where f.id = any (ids) and s.id = f.id and p.n > 0
$$;
revoke execute on function follow_ups_pass(uuid[]) from kamd_app;

-- Returns the time to which a follow-up is snoozed, and refuses one that has passed: a follow-up is put off, not
-- brought forward.
create or replace function snooze_time(at timestamptz) returns timestamptz stable language plpgsql as $$
begin
    if at <= now() then
        raise exception using errcode = 'KD422', message = 'in_past', column = 'until',
                              detail = 'The new due time must be in the future.';
    end if;
    return at;
end $$;

-- Inserts the occurrence after each one that was just marked `continued`, at the wall clock time of the rule and
-- otherwise as this occurrence, and tells which follow-ups were completed. The mark and the new row are written
-- together or not at all, whoever set the mark and whoever dies; the unique key on (series_id, occurrence_no) is the
-- second lock. enable_nestloop is off for the join of the states before and after, which a connection plans once, and
-- mostly for one row: nested loops would compare each with each. The insert, and what it fires, has nested loops again.
create or replace function follow_up_continue() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    going follow_up[];
    evs event_in[];
begin
    select array_agg(row (n.*)::follow_up order by n.id) filter (where n.continued and not o.continued),
           array_agg(
               row ('follow_up.completed', n.account_id, 'follow_up', n.id, n.version, null,
                    jsonb_strip_nulls(jsonb_build_object(
                        'account_id', n.account_id, 'follow_up_id', n.id, 'version', n.version, 'title', n.title,
                        'assignee_id', n.assignee_id, 'series_id', n.series_id, 'occurrence_no', n.occurrence_no,
                        'completed_by', n.completed_by,
                        'completed_at', to_char(n.completed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))),
                    jsonb_build_object('status', o.status))::event_in
               order by n.id) filter (where n.status = 'done' and o.status <> 'done')
      into going, evs
      from new_rows n join old_rows o on o.id = n.id
     where (n.continued and not o.continued) or (n.status = 'done' and o.status <> 'done');
    if going is not null then
        perform set_config('enable_nestloop', 'on', true);
        insert into follow_up
               (id, account_id, review_id, plan_id, contact_id, need_id, project_id, title, description, assignee_id,
                priority, time_zone, due_at, due_on, recurrence, series_id, occurrence_no, series_first_on,
                series_time, series_first_no, slot_on)
        select uuid_v7(), n.account_id, n.review_id, n.plan_id, n.contact_id, n.need_id, n.project_id, n.title,
               n.description, user_successor(n.assignee_id, n.account_id), n.priority, n.time_zone,
               local_instant(s.next_on + coalesce(n.series_time, time '00:00'), coalesce(n.time_zone, 'UTC')),
               case when n.series_time is null then s.next_on end, n.recurrence, n.series_id, n.occurrence_no + 1,
               n.series_first_on, n.series_time, n.series_first_no, s.next_on
          from unnest(going) n
          cross join lateral (select follow_up_next_on(row (n.*)::follow_up) as next_on) s
         where s.next_on is not null
         order by n.id
        on conflict (series_id, occurrence_no) where series_id is not null do nothing;
    end if;
    perform event_write(evs);
    return null;
end $$;

-- Keeps follow_up_timer, one narrow row per follow-up, so that telling of many due follow-ups changes none of their own
-- rows. A new revision sets `level` back to 0: nothing was told of this due time yet. A connection plans each statement
-- once (force_generic_plan). The states before and after are joined without nested loops, which would compare each with
-- each; then the timers are found by their index, without a scan of the table. The header names every setting that
-- set_config() changes, also those that are on anyway, since only these are restored at the function's end.
create or replace function due_timer() returns trigger
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = off set enable_hashjoin = on
set enable_mergejoin = on set enable_seqscan = on as $$
declare
    moved follow_up_timer[];
begin
    if tg_op = 'INSERT' then
        insert into follow_up_timer (follow_up_id, account_id, due_at, level, active)
        select n.id, n.account_id, n.due_at, 0, n.status = 'open' and n.deleted_at is null from new_rows n;
        return null;
    end if;
    select array_agg(row (n.id, n.account_id, n.due_at, case when n.revision <> o.revision then 0 end,
                          n.status = 'open' and n.deleted_at is null)::follow_up_timer)
      into moved
      from new_rows n join old_rows o on o.id = n.id
     where (n.revision, n.status = 'open', n.deleted_at is null)
           is distinct from (o.revision, o.status = 'open', o.deleted_at is null);
    if moved is not null then
        perform set_config('enable_nestloop', 'on', true), set_config('enable_hashjoin', 'off', true),
                set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true);
        update follow_up_timer t
           set due_at = m.due_at, level = coalesce(m.level, t.level), active = m.active
          from unnest(moved) m
         where t.follow_up_id = m.follow_up_id;
    end if;
    return null;
end $$;

-- Tells of at most `most` follow-ups that are due, and continues their series; returns how many. One statement claims
-- them, one transaction writes their events and the occurrences that come next: exactly one event per occurrence and
-- revision, and one next occurrence, however many workers run this and whoever dies. Of a series, the latest occurrence
-- that is due is told. PostgreSQL's clock alone decides;
-- now() is also the time of the event, so that none is early by its own account. A row that somebody is changing at
-- this moment is skipped, and has its turn later.
create or replace function follow_ups_fire(most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    due uuid[];
    series uuid[];
    evs event_in[];
begin
    select array_agg(d.id), array_agg(d.id) filter (where d.goes_on) into due, series
      from (select f.id, f.recurrence is not null and not f.continued as goes_on
              from follow_up_timer t join follow_up f on f.id = t.follow_up_id
             where t.level = 0 and t.active and t.due_at <= now()
               -- stay_in_touch_refresh() may have to move those of queued accounts first
               and (f.kind <> 'stay_in_touch'
                    or not exists (select 1 from stay_in_touch_queue m where m.account_id = f.account_id))
             order by t.due_at
             limit most
               for no key update skip locked) d;
    if due is null then
        return 0;
    end if;
    if series is not null then
        perform follow_ups_pass(series);
    end if;
    with told as (
        update follow_up_timer t set level = 1 where t.follow_up_id = any (due) returning t.follow_up_id
    )
    select array_agg(
               row ('follow_up.due', f.account_id, 'follow_up', f.id, f.version,
                    'follow_up.due:' || f.id || ':' || f.revision,
                    jsonb_strip_nulls(jsonb_build_object(
                        'account_id', f.account_id, 'follow_up_id', f.id, 'version', f.version, 'title', f.title,
                        'assignee_id', f.assignee_id, 'contact_id', f.contact_id, 'plan_id', f.plan_id,
                        'review_id', f.review_id, 'series_id', f.series_id, 'occurrence_no', f.occurrence_no,
                        'revision', f.revision, 'priority', f.priority, 'kind', f.kind, 'channel', f.channel,
                        'missed_occurrences', nullif(f.missed_occurrences, 0),
                        'due_on', f.due_on, 'time_zone', f.time_zone,
                        'due_at', to_char(f.due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))),
                    '{}')::event_in
               order by f.due_at, f.id)
      into evs
      from told t join follow_up f on f.id = t.follow_up_id;
    if series is not null then
        update follow_up set continued = true where id = any (series);
    end if;
    perform event_write(evs);
    return cardinality(evs);
end $$;
revoke execute on function follow_ups_fire(int) from kamd_app;

-- Tells of at most `most` follow-ups that are overdue and still open, and returns how many: for each revision one event
-- to the account's manager, when the due time passed overdue_manager_days ago, and one to its sponsor, after
-- overdue_sponsor_days. user_to_tell() says who stands in for somebody who has left. `level` in follow_up_timer says
-- whom the last event went to: 2 the manager, 3 the sponsor.
create or replace function follow_ups_escalate(most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program_settings;
    evs event_in[];
begin
    select * into p from program_settings;
    with late as materialized (
        select t.follow_up_id
          from follow_up_timer t join follow_up f on f.id = t.follow_up_id
         where t.active and t.level < 3
           and (t.level = 1 and t.due_at <= now() - make_interval(days => p.overdue_manager_days)
                or t.level = 2 and t.due_at <= now() - make_interval(days => p.overdue_sponsor_days))
         order by t.due_at
         limit most
           for no key update skip locked
    ), told as (
        update follow_up_timer t set level = t.level + 1
          from late l
         where t.follow_up_id = l.follow_up_id
        returning t.follow_up_id, t.level
    )
    select array_agg(
               row ('follow_up.overdue', f.account_id, 'follow_up', f.id, f.version,
                    'follow_up.overdue:' || f.id || ':' || f.revision || ':' || t.level - 1,
                    jsonb_strip_nulls(jsonb_build_object(
                        'account_id', f.account_id, 'follow_up_id', f.id, 'version', f.version, 'title', f.title,
                        'assignee_id', f.assignee_id, 'series_id', f.series_id, 'occurrence_no', f.occurrence_no,
                        'revision', f.revision, 'priority', f.priority, 'due_on', f.due_on, 'time_zone', f.time_zone,
                        'due_at', to_char(f.due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                        'level', case t.level when 2 then 'manager' else 'sponsor' end,
                        'escalated_to_id',
                        user_to_tell(a, case t.level when 2 then 'manager' else 'sponsor' end))),
                    '{}')::event_in
               order by f.due_at, f.id)
      into evs
      from told t join follow_up f on f.id = t.follow_up_id join account a on a.id = f.account_id;
    perform event_write(evs);
    return coalesce(cardinality(evs), 0);
end $$;
revoke execute on function follow_ups_escalate(int) from kamd_app;

-- Queues those of the accounts that have, or should have, stay-in-touch follow-ups: stay_in_touch_process() looks at
-- them next. The update locks a row that is there already, so that no worker takes it before this transaction commits
-- and misses what it wrote; rows are locked in the order of accounts. A connection plans the statement once
-- (force_generic_plan); without sequential scans that plan finds a few accounts by index, and reads no whole table.
create or replace function stay_in_touch_enqueue(ids uuid[]) returns void
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
    insert into stay_in_touch_queue as m (account_id)
    select distinct a.id from account a
     where a.id = any (ids)
       and (a.cadence <> '[]'
            and exists (select 1 from account_status s where s.account_id = a.id and s.key_status in ('key', 'at_risk'))
            or exists (select 1 from follow_up f
                        where f.account_id = a.id and f.kind = 'stay_in_touch' and f.status = 'open'
                          and f.deleted_at is null))
     order by 1
    on conflict (account_id) do update set since = m.since;
end $$;
revoke execute on function stay_in_touch_enqueue(uuid[]) from kamd_app;

-- Queues accounts whose stay-in-touch follow-ups may have to move, after a write to an account, a contact, a follow-up
-- or an interaction. Triggers fire in the order of their names: this one comes before those that lock the account's
-- events (log_insert, log_update), as the worker locks the queue first. enable_nestloop is off for the join of the
-- states before and after, which a connection plans once, and mostly for one row: nested loops would compare each with
-- each.
create or replace function cadence_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    ids uuid[];
begin
    if tg_op = 'INSERT' then
        select array_agg(distinct n.account_id) into ids from new_rows n;
    elsif tg_table_name = 'account' then
        select array_agg(n.id) into ids
          from new_rows n join old_rows o on o.id = n.id
         where (n.cadence, n.contact_preference, n.manager_id, n.delegate_id, n.delegate_until, n.deleted_at)
               is distinct from
               (o.cadence, o.contact_preference, o.manager_id, o.delegate_id, o.delegate_until, o.deleted_at);
    elsif tg_table_name = 'account_status' then
        select array_agg(n.account_id) into ids
          from new_rows n join old_rows o on o.account_id = n.account_id
         where n.key_status <> o.key_status;
    elsif tg_table_name = 'contact' then
        select array_agg(distinct n.account_id) into ids
          from new_rows n join old_rows o on o.id = n.id
         where n.contact_preference is distinct from o.contact_preference;
    elsif tg_table_name = 'follow_up' then
        select array_agg(distinct n.account_id) into ids
          from new_rows n join old_rows o on o.id = n.id
         where n.kind = 'stay_in_touch'
           and (n.status, n.deleted_at, n.contact_id) is distinct from (o.status, o.deleted_at, o.contact_id);
    else
        select array_agg(distinct n.account_id) into ids from new_rows n;
    end if;
    if ids is not null then
        perform stay_in_touch_enqueue(ids);
    end if;
    return null;
end $$;

-- Queues an account whose key status changed. The trigger is one for each row, with a condition: an evaluation writes
-- every status, and only the few accounts that come onto the list or leave it concern the promises to stay in touch.
create or replace function cadence_follow_status() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform stay_in_touch_enqueue(array [new.account_id]);
    return null;
end $$;

-- The first day, from `day` on, on which somebody wishes to hear from us (001-11): the customer's `preference` says how
-- often in a month, how many days apart, and not before when. Null: never, or `day` is null. Interactions that count
-- are those that are a contact, with `contact` or, where it is null, with anybody at the account. Days and months are
-- those of UTC.
create or replace function contact_day(day date, preference jsonb, account uuid, contact uuid) returns date
stable language plpgsql as $$
declare
    most int := (preference ->> 'max_per_month')::int;
    last_on date;
begin
    if preference is null or day is null or most = 0 then
        return case when most = 0 then null else day end;
    end if;
    select max((i.occurred_at at time zone 'UTC')::date) into last_on
      from interaction i
     where i.account_id = account and i.deleted_at is null and i.is_contact and i.occurred_at <= now()
       and (contact is null or i.contact_ids ? contact::text);
    day := greatest(day, (preference ->> 'do_not_contact_until')::date,
                    last_on + (preference ->> 'min_days_between')::int);
    while most <= (select count(*) from interaction i
                    where i.account_id = account and i.deleted_at is null and i.is_contact
                      and (contact is null or i.contact_ids ? contact::text)
                      and i.occurred_at >= date_trunc('month', day)::timestamp at time zone 'UTC'
                      and i.occurred_at < (date_trunc('month', day) + interval '1 month')::timestamp
                                          at time zone 'UTC') loop
        day := (date_trunc('month', day) + interval '1 month')::date;
    end loop;
    return day;
end $$;

-- What the cadences of these accounts ask for, as far as they are key now: a row for each account and channel, with who
-- is to stay in touch (the manager, or who covers) and when somebody last did, by a contact that counts. A channel that
-- the customer does not wish is left out.
create or replace function stay_in_touch_wanted(ids uuid[])
returns table (account_id uuid, channel text, months int, note text, contact_preference jsonb, key_since timestamptz,
               assignee_id uuid, interaction_at timestamptz)
stable language sql as $$
    select a.id, c.channel, c.months, c.note, a.contact_preference, s.key_since,
           coalesce(case when coalesce(a.delegate_until, 'infinity') > now() then user_here(a.delegate_id) end,
                    user_here(a.manager_id)),
           (select max(i.occurred_at) from interaction i
             where i.account_id = a.id and i.channel = c.channel and i.deleted_at is null and i.is_contact
               and i.occurred_at <= now())
      from account a join account_status s on s.account_id = a.id
      cross join lateral (
          select e ->> 'channel' as channel,
                 min(case e ->> 'every' when 'monthly' then 1
                                        when 'quarterly' then 3
                                        when 'semiannual' then 6
                                        else 12 end) as months,
                 max(e ->> 'note') as note
            from jsonb_array_elements(a.cadence) e
           group by 1) c
     where a.id = any (ids) and a.deleted_at is null and s.key_status in ('key', 'at_risk')
       and (coalesce(a.contact_preference -> 'channels', '[]') in ('[]', 'null')
            or a.contact_preference -> 'channels' ? c.channel)
$$;

-- The day of the last stay-in-touch follow-up of an account and channel that was done, or cancelled by hand; null:
-- none. It is PL/pgSQL because that keeps its plan for the connection.
create or replace function stay_in_touch_ended_on(account uuid, by_channel text) returns date
stable language plpgsql as $$
begin
    return (select max(case f.status when 'done' then (f.completed_at at time zone 'UTC')::date
                                     when 'cancelled' then (f.due_at at time zone 'UTC')::date end)
              from follow_up f
             where f.account_id = account and f.kind = 'stay_in_touch' and f.channel = by_channel
               and f.deleted_at is null);
end $$;

-- Keeps one open follow-up per key account and channel of its cadence, and deletes the open ones that no cadence asks
-- for. It is due one interval after the last contact in that channel, or after the last occurrence that was
-- done or cancelled by hand, on the first day that the customer's wishes allow. `planned` holds the day and the
-- assignee as kamd last worked them out: when the result is another one, the follow-up moves; what a person changed
-- stays while the result is the same.
create or replace function stay_in_touch_refresh(ids uuid[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    w record;
    was follow_up;
    due date;
    plan jsonb;
    moved boolean;
begin
    update follow_up f set deleted_at = now(), version = version + 1, updated_at = now()
     where f.account_id = any (ids) and f.kind = 'stay_in_touch' and f.status = 'open' and f.deleted_at is null
       and not exists (select 1 from account a join account_status s on s.account_id = a.id
                        where a.id = f.account_id and a.deleted_at is null and s.key_status in ('key', 'at_risk')
                          and a.cadence @> jsonb_build_array(jsonb_build_object('channel', f.channel))
                          and (coalesce(a.contact_preference -> 'channels', '[]') in ('[]', 'null')
                               or a.contact_preference -> 'channels' ? f.channel));
    for w in select * from stay_in_touch_wanted(ids) x order by x.account_id, x.channel loop
        select * into was from follow_up f
         where f.account_id = w.account_id and f.kind = 'stay_in_touch' and f.channel = w.channel
         order by (f.status = 'open' and f.deleted_at is null) desc, f.occurrence_no desc
         limit 1
           for update;
        due := coalesce(greatest((w.interaction_at at time zone 'UTC')::date,
                                 stay_in_touch_ended_on(w.account_id, w.channel)),
                        (coalesce(w.key_since, now()) at time zone 'UTC')::date);
        due := (due + make_interval(months => w.months))::date; -- 31 January + 1 month = the last of February
        due := contact_day(due, nullif(w.contact_preference, 'null'), w.account_id, null);
        if was.contact_id is not null then
            due := contact_day(
                due, (select nullif(c.contact_preference, 'null') from contact c where c.id = was.contact_id),
                w.account_id, was.contact_id);
        end if;
        plan := jsonb_build_object('due_on', due, 'assignee_id', w.assignee_id);
        if was.id is not null and was.status = 'open' and was.deleted_at is null then
            moved := due is distinct from (was.planned ->> 'due_on')::date;
            update follow_up f
               set due_on = case when moved then due else f.due_on end,
                   due_at = case when moved and due is not null then null else f.due_at end,
                   time_zone = case when moved then 'UTC' else f.time_zone end,
                   assignee_id = case when w.assignee_id is distinct from (was.planned ->> 'assignee_id')::uuid
                                      then w.assignee_id else f.assignee_id end,
                   planned = plan, version = f.version + 1, updated_at = now(),
                   deleted_at = case when due is null then now() end
             where f.id = was.id and f.planned is distinct from plan;
        elsif due is not null then
            insert into follow_up
                   (id, account_id, kind, channel, title, description, assignee_id, due_on, time_zone, series_id,
                    occurrence_no, planned, contact_id)
            values (uuid_v7(), w.account_id, 'stay_in_touch', w.channel,
                    'Stay in touch: ' || replace(w.channel, '_', ' '), w.note, w.assignee_id, due, 'UTC',
                    coalesce(was.series_id, uuid_v7()), coalesce(was.occurrence_no, 0) + 1, plan, was.contact_id);
        end if;
    end loop;
end $$;
revoke execute on function stay_in_touch_refresh(uuid[]) from kamd_app;

-- Takes at most `most` accounts from the queue and refreshes their stay-in-touch follow-ups; returns how many accounts
-- these were. Every ten minutes it queues all key accounts first: cover ends, and the time of an interaction comes,
-- without anybody writing.
create or replace function stay_in_touch_process(most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    ids uuid[];
begin
    update stay_in_touch_sweep set at = now() where at < now() - interval '10 minutes';
    if found then
        perform stay_in_touch_enqueue(array_agg(s.account_id))
           from account_status s
          where s.key_status in ('key', 'at_risk');
    end if;
    with taken as (
        select m.account_id from stay_in_touch_queue m order by m.account_id limit most for update skip locked
    ), gone as (
        delete from stay_in_touch_queue m using taken t where m.account_id = t.account_id returning m.account_id
    )
    select array_agg(account_id order by account_id) into ids from gone;
    if ids is not null then
        perform stay_in_touch_refresh(ids);
    end if;
    return coalesce(cardinality(ids), 0);
end $$;
revoke execute on function stay_in_touch_process(int) from kamd_app;
