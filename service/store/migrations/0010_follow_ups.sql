-- Follow-ups in full: series, escalation, stay-in-touch, the agenda's feed; and commitments.

-- Ids of rows that functions make: version 7, as those of the API.
create or replace function uuid_v7() returns uuid volatile parallel safe language sql as $$
    select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
               placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- A wall clock's time as an instant, as RFC 5545 (3.3.5) reads it: in the hour that is left out in spring with the offset of before, so it moves forward; of the two
-- in autumn the first. (AT TIME ZONE alone takes the second.)
create function local_instant(wall timestamp, zone text) returns timestamptz stable strict parallel safe language sql as $$
    select case when b.before at time zone zone = wall then least(b.before, wall at time zone zone) else wall at time zone zone end
      from (select (wall - ((d.day_before at time zone zone) - (d.day_before at time zone 'UTC'))) at time zone 'UTC' as before
              from (select (wall at time zone zone) - interval '1 day' as day_before) d) b
$$;

-- ---- recurrence ----

-- The first day after `after` that belongs to a rule (RFC 5545, 3.3.10) whose first day is `first_on`. check_recurrence() has let through: FREQ, INTERVAL, BYDAY,
-- BYMONTHDAY, BYMONTH, COUNT, UNTIL, WKST. A day belongs to it when its day, week, month or year is an INTERVAL-th one counted from the first day's, and every BY part
-- holds; what FREQ needs and no BY part says comes from the first day. So looking at one day after the other is all there is to it, and days that a month does not
-- have are left out by themselves. Null: none before UNTIL, or in a hundred years. COUNT is the caller's.
create function recurrence_next(rule text, first_on date, after date) returns date stable strict parallel safe language plpgsql as $$
declare
    part jsonb := (select jsonb_object_agg(split_part(p, '=', 1), replace(split_part(p, '=', 2), '+', '')) from unnest(string_to_array(upper(rule), ';')) p);
    freq text := part ->> 'FREQ';
    every int := coalesce((part ->> 'INTERVAL')::int, 1);
    months int[] := string_to_array(part ->> 'BYMONTH', ',')::int[];
    days int[] := string_to_array(part ->> 'BYMONTHDAY', ',')::int[];
    weekdays text[] := string_to_array(part ->> 'BYDAY', ',');
    names constant text[] := array ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'];
    last_on date := least(to_date(left(part ->> 'UNTIL', 8), 'YYYYMMDD') + 1, after + 36525); -- a timed UNTIL is the caller's, too
    week_start date := first_on - (extract(isodow from first_on)::int + 7 - array_position(names, coalesce(part ->> 'WKST', 'MO'))) % 7;
    from_on date := after;
    reach int := 62;
    found_on date;
begin
    if length(part ->> 'UNTIL') = 8 then
        last_on := last_on - 1;
    end if;
    if weekdays is null and days is null and freq <> 'DAILY' then
        if freq = 'WEEKLY' then
            weekdays := array [names[extract(isodow from first_on)]];
        else
            days := array [extract(day from first_on)];
            if freq = 'YEARLY' and months is null then
                months := array [extract(month from first_on)];
            end if;
        end if;
    end if;
    while from_on < last_on loop
        select c.d into found_on
          from (select from_on + n as d from generate_series(1, least(reach, last_on - from_on)) n) c
          cross join lateral (select date_trunc('month', c.d)::date as month_on, date_trunc('year', c.d)::date as year_on) p
          cross join lateral (select case when freq = 'YEARLY' and months is null then p.year_on else p.month_on end as begins_on,
                                     case when freq = 'YEARLY' and months is null then p.year_on + interval '1 year' else p.month_on + interval '1 month' end::date as ends_on) o
         where case freq when 'DAILY' then c.d - first_on when 'WEEKLY' then (c.d - week_start) / 7
                         when 'MONTHLY' then (extract(year from c.d) - extract(year from first_on)) * 12 + extract(month from c.d) - extract(month from first_on)
                         else extract(year from c.d) - extract(year from first_on) end::int % every = 0
           and (months is null or extract(month from c.d) = any (months))
           and (days is null or extract(day from c.d) = any (days) or c.d - (p.month_on + interval '1 month')::date = any (days))
           and (weekdays is null or weekdays && array [names[extract(isodow from c.d)],
                   (c.d - o.begins_on) / 7 + 1 || names[extract(isodow from c.d)], -((o.ends_on - c.d - 1) / 7 + 1) || names[extract(isodow from c.d)]])
         order by c.d limit 1;
        if found then
            return found_on;
        end if;
        from_on := from_on + reach;
        reach := reach * 8;
    end loop;
    return null;
end $$;

-- ---- series ----

-- One row per occurrence. The series is the rule with the day and time that it counts from; `slot_on` is the occurrence's own day by the rule, also after it was moved.
alter table follow_up
    add column kind text not null default 'task' check (kind in ('task', 'stay_in_touch')),
    add column channel text, -- of stay_in_touch
    add column recurrence text, add column completion_note text,
    add column series_first_on date, add column series_time time, -- null: whole days
    add column series_first_no int not null default 1, -- the occurrence from which COUNT counts
    add column slot_on date,
    add column continued boolean not null default false, -- the next occurrence has been made
    add column overdue_level int not null default 0, -- whom this revision was escalated to: nobody, the manager, the sponsor
    add column planned jsonb; -- of stay_in_touch: day and assignee as kamd last worked them out
create unique index follow_up_series_key on follow_up (series_id, occurrence_no) where series_id is not null;
create index follow_up_overdue_idx on follow_up (overdue_level, due_at) where status = 'open' and overdue_level < 2 and deleted_at is null;
create unique index follow_up_stay_in_touch_key on follow_up (account_id, channel) where kind = 'stay_in_touch' and status = 'open' and deleted_at is null;

-- What kamd notes for itself is no change that history or events tell of.
create or replace function changed_fields(before jsonb, after jsonb) returns jsonb immutable parallel safe language sql as $$
    select coalesce(jsonb_object_agg(a.key, jsonb_build_array(before -> a.key, a.value)), '{}')
      from jsonb_each(after) a
     where a.value is distinct from before -> a.key
       and a.key not in ('version', 'updated_at', 'fired_revision', 'derived_version', 'continued', 'overdue_level', 'planned', 'told_due_on', 'series_first_on', 'series_time',
                         'series_first_no', 'slot_on')
$$;

-- The day of the occurrence after this one; null: the series ends.
create function follow_up_next_on(f follow_up) returns date stable language plpgsql as $$
declare
    count_to int := substring(upper(f.recurrence) from 'COUNT=(\d+)')::int;
    until text := substring(upper(f.recurrence) from 'UNTIL=(\d+T\d+Z?)');
    next_on date;
    until_at timestamptz;
begin
    if f.occurrence_no - f.series_first_no + 1 >= count_to then
        return null;
    end if;
    next_on := recurrence_next(f.recurrence, f.series_first_on, f.slot_on);
    if until is not null then
        until_at := case when until like '%Z' then to_timestamp(left(until, 15), 'YYYYMMDD"T"HH24MISS')::timestamp at time zone 'UTC'
                         else local_instant(to_timestamp(until, 'YYYYMMDD"T"HH24MISS')::timestamp, coalesce(f.time_zone, 'UTC')) end;
        if local_instant(next_on + coalesce(f.series_time, time '00:00'), coalesce(f.time_zone, 'UTC')) > until_at then
            return null;
        end if;
    end if;
    return next_on;
end $$;

-- A follow-up is put off, not brought forward.
create function snooze_time(at timestamptz) returns timestamptz stable language plpgsql as $$
begin
    if at <= now() then
        raise exception using errcode = 'KD422', message = 'in_past', column = 'until', detail = 'The new due time must be in the future.';
    end if;
    return at;
end $$;

-- ---- stay in touch ----

-- Accounts whose stay-in-touch follow-ups may have to move: what they follow from was written. A worker empties it; what is marked does not fall due before it was looked at.
create table stay_in_touch_mark (account_id uuid primary key, since timestamptz not null default now());
call protect('stay_in_touch_mark', 'account_id');
revoke insert, update on stay_in_touch_mark from kamd_app, kamd_worker;
create table stay_in_touch_sweep (one boolean primary key default true check (one), at timestamptz not null default '-infinity');
insert into stay_in_touch_sweep default values;
revoke insert, update on stay_in_touch_sweep from kamd_app, kamd_worker;

create function stay_in_touch_mark(ids uuid[]) returns void language sql security definer set search_path = public, pg_temp as $$
    insert into stay_in_touch_mark as m (account_id)
    select distinct a.id from account a where a.id = any (ids)
       and (a.cadence <> '[]' and exists (select 1 from standing s where s.account_id = a.id and s.key_status in ('key', 'at_risk'))
            or exists (select 1 from follow_up f where f.account_id = a.id and f.kind = 'stay_in_touch' and f.status = 'open' and f.deleted_at is null))
     order by 1
    on conflict (account_id) do update set since = m.since
$$;
revoke execute on function stay_in_touch_mark(uuid[]) from kamd_app;

-- Named so that they run before the triggers that lock the account's events, as the worker does: one order of locking.
create function cadence_mark() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        perform stay_in_touch_mark(array_agg(distinct account_id)) from new_rows;
    elsif tg_table_name = 'account' then
        perform stay_in_touch_mark(array_agg(n.id)) from (select to_jsonb(r) as j, (to_jsonb(r) ->> 'id')::uuid as id from new_rows r) n
           join (select to_jsonb(r) as j from old_rows r) o on o.j -> 'id' = n.j -> 'id'
          where exists (select 1 from unnest(array ['cadence', 'contact_preference', 'manager_id', 'delegate_id', 'delegate_until', 'deleted_at']) k where n.j -> k is distinct from o.j -> k);
    else
        perform stay_in_touch_mark(array_agg(distinct (n.j ->> 'account_id')::uuid)) from (select to_jsonb(r) as j from new_rows r) n
           join (select to_jsonb(r) as j from old_rows r) o on coalesce(o.j -> 'id', o.j -> 'account_id') = coalesce(n.j -> 'id', n.j -> 'account_id')
          where case tg_table_name
                    when 'contact' then n.j -> 'contact_preference' is distinct from o.j -> 'contact_preference'
                    when 'follow_up' then n.j ->> 'kind' = 'stay_in_touch' and exists (select 1 from unnest(array ['status', 'deleted_at', 'contact_id']) k where n.j -> k is distinct from o.j -> k)
                    else true end;
    end if;
    return null;
end $$;
-- An evaluation writes every standing; only the few that come onto the list or leave it concern the promises to stay in touch.
create function standing_cadence_mark() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform stay_in_touch_mark(array [new.account_id]);
    return null;
end $$;
create trigger cadence_mark after update of key_status on standing for each row when (new.key_status is distinct from old.key_status) execute function standing_cadence_mark();
create trigger cadence_mark after update on account referencing old table as old_rows new table as new_rows for each statement execute function cadence_mark();
create trigger cadence_mark after update on contact referencing old table as old_rows new table as new_rows for each statement execute function cadence_mark();
create trigger cadence_mark after update on follow_up referencing old table as old_rows new table as new_rows for each statement execute function cadence_mark();
create trigger cadence_mark after update on interaction referencing old table as old_rows new table as new_rows for each statement execute function cadence_mark();
create trigger cadence_mark_insert after insert on interaction referencing new table as new_rows for each statement execute function cadence_mark();

-- The first day, from `day` on, on which somebody wishes to hear from us (requirement 001-11); null: never. Of one contact, or of anybody at the account.
create function contact_day(day date, preference jsonb, account uuid, contact uuid) returns date stable language plpgsql as $$
declare
    most int := (preference ->> 'max_per_month')::int;
    last_on date;
begin
    if preference is null or day is null or most = 0 then
        return case when most = 0 then null else day end;
    end if;
    select max((i.occurred_at at time zone 'UTC')::date) into last_on from interaction i
     where i.account_id = account and i.deleted_at is null and not i.order_taking and i.occurred_at <= now() and (contact is null or i.contact_ids ? contact::text);
    day := greatest(day, (preference ->> 'do_not_contact_until')::date, last_on + (preference ->> 'min_days_between')::int);
    while most <= (select count(*) from interaction i
                    where i.account_id = account and i.deleted_at is null and not i.order_taking and (contact is null or i.contact_ids ? contact::text)
                      and i.occurred_at >= date_trunc('month', day)::timestamp at time zone 'UTC'
                      and i.occurred_at < (date_trunc('month', day) + interval '1 month')::timestamp at time zone 'UTC') loop
        day := (date_trunc('month', day) + interval '1 month')::date;
    end loop;
    return day;
end $$;

-- One open occurrence per key account and channel of its cadence, due one interval after the last real interaction in that channel (order taking is none, 003-01), or after
-- the last that was done or skipped by hand; on the first day that the customer's wishes allow; for the manager, or who covers. It moves when that moves, not when a person moved it.
create function stay_in_touch_refresh(ids uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    w record;
    was follow_up;
    due date;
    who uuid;
    plan jsonb;
begin
    update follow_up f set deleted_at = now(), version = version + 1, updated_at = now()
     where f.account_id = any (ids) and f.kind = 'stay_in_touch' and f.status = 'open' and f.deleted_at is null
       and not exists (select 1 from account a join standing s on s.account_id = a.id
                        where a.id = f.account_id and a.deleted_at is null and s.key_status in ('key', 'at_risk')
                          and a.cadence @> jsonb_build_array(jsonb_build_object('channel', f.channel))
                          and (coalesce(a.contact_preference -> 'channels', '[]') in ('[]', 'null') or a.contact_preference -> 'channels' ? f.channel));
    for w in
        select a.id as account_id, c.channel, c.months, c.note, a.contact_preference, s.key_since,
               case when a.delegate_id is not null and coalesce(a.delegate_until, 'infinity') > now() then a.delegate_id else a.manager_id end as assignee_id,
               (select max(i.occurred_at) from interaction i where i.account_id = a.id and i.channel = c.channel and i.deleted_at is null and not i.order_taking
                   and i.occurred_at <= now()) as interaction_at
          from account a join standing s on s.account_id = a.id
          cross join lateral (select e ->> 'channel' as channel, min(case e ->> 'every' when 'monthly' then 1 when 'quarterly' then 3 when 'semiannual' then 6 else 12 end) as months,
                                     max(e ->> 'note') as note from jsonb_array_elements(a.cadence) e group by 1) c
         where a.id = any (ids) and a.deleted_at is null and s.key_status in ('key', 'at_risk')
           and (coalesce(a.contact_preference -> 'channels', '[]') in ('[]', 'null') or a.contact_preference -> 'channels' ? c.channel)
         order by a.id, c.channel
    loop
        select * into was from follow_up f where f.account_id = w.account_id and f.kind = 'stay_in_touch' and f.channel = w.channel
         order by (f.status = 'open' and f.deleted_at is null) desc, f.occurrence_no desc limit 1 for update;
        select greatest((w.interaction_at at time zone 'UTC')::date,
                        max(case f.status when 'done' then (f.completed_at at time zone 'UTC')::date when 'cancelled' then (f.due_at at time zone 'UTC')::date end))
          into due from follow_up f where f.account_id = w.account_id and f.kind = 'stay_in_touch' and f.channel = w.channel and f.deleted_at is null;
        due := (coalesce(due, (coalesce(w.key_since, now()) at time zone 'UTC')::date) + make_interval(months => w.months))::date; -- 31 January + 1 month = the last of February
        due := contact_day(due, nullif(w.contact_preference, 'null'), w.account_id, null);
        if was.contact_id is not null then
            due := contact_day(due, (select nullif(c.contact_preference, 'null') from contact c where c.id = was.contact_id), w.account_id, was.contact_id);
        end if;
        plan := jsonb_build_object('due_on', due, 'assignee_id', w.assignee_id);
        if was.id is not null and was.status = 'open' and was.deleted_at is null then
            update follow_up f
               set due_on = case when due is distinct from (was.planned ->> 'due_on')::date then due else f.due_on end,
                   time_zone = case when due is distinct from (was.planned ->> 'due_on')::date then 'UTC' else f.time_zone end,
                   assignee_id = case when w.assignee_id is distinct from (was.planned ->> 'assignee_id')::uuid then w.assignee_id else f.assignee_id end,
                   planned = plan, version = f.version + 1, updated_at = now(),
                   deleted_at = case when due is null then now() end
             where f.id = was.id and f.planned is distinct from plan;
        elsif due is not null then
            insert into follow_up (id, account_id, kind, channel, title, description, assignee_id, due_on, time_zone, series_id, occurrence_no, planned, contact_id)
            values (uuid_v7(), w.account_id, 'stay_in_touch', w.channel, 'Stay in touch: ' || replace(w.channel, '_', ' '), w.note, w.assignee_id, due, 'UTC',
                    coalesce(was.series_id, uuid_v7()), coalesce(was.occurrence_no, 0) + 1, plan, was.contact_id);
        end if;
    end loop;
end $$;
revoke execute on function stay_in_touch_refresh(uuid[]) from kamd_app;

-- What is marked; and all key accounts now and then, since cover ends and interactions come to pass without anybody writing. Returns how many accounts it looked at.
create function stay_in_touch_marked(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    ids uuid[];
begin
    update stay_in_touch_sweep set at = now() where at < now() - interval '10 minutes';
    if found then
        perform stay_in_touch_mark(array_agg(s.account_id)) from standing s where s.key_status in ('key', 'at_risk');
    end if;
    with taken as (
        select m.account_id from stay_in_touch_mark m order by m.account_id limit most for update skip locked
    ), gone as (
        delete from stay_in_touch_mark m using taken t where m.account_id = t.account_id returning m.account_id
    )
    select array_agg(account_id order by account_id) into ids from gone;
    if ids is not null then
        perform stay_in_touch_refresh(ids);
    end if;
    return coalesce(cardinality(ids), 0);
end $$;
revoke execute on function stay_in_touch_marked(int) from kamd_app;

-- ---- commitments (requirement 000-15) ----

create table commitment (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint commitment_account_id_fkey references account,
    text text not null, made_to_contact_id uuid, made_by_id uuid constraint commitment_made_by_id_fkey references app_user,
    due_on date not null, time_zone text not null default 'UTC', status text not null default 'open', new_due_on date, note text,
    renegotiated_from_id uuid constraint commitment_renegotiated_from_id_fkey references commitment,
    settled_at timestamptz,
    due_at timestamptz not null, -- when due_on begins
    told_due_on date, -- the day whose event was written
    constraint commitment_made_to_contact_id_fkey foreign key (made_to_contact_id, account_id) references contact (id, account_id)
);
create index commitment_account_id_idx on commitment (account_id, due_on, id);
create index commitment_updated_at_idx on commitment (updated_at, id);
create index commitment_made_by_id_idx on commitment (made_by_id, due_at) where status = 'open' and deleted_at is null;
create index commitment_open_idx on commitment (due_at) where status = 'open' and deleted_at is null;
call protect('commitment', 'account_id');

create function commitment_due() returns trigger language plpgsql as $$
begin
    new.due_at := local_instant(new.due_on::timestamp, new.time_zone);
    if tg_op = 'UPDATE' and old.status = 'renegotiated' and (new.status, new.new_due_on, new.due_on) is distinct from (old.status, old.new_due_on, old.due_on) then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'status', detail = 'It was renegotiated; the promise that took its place can be changed.',
            hint = (select jsonb_build_object('successor_id', c.id)::text from commitment c where c.renegotiated_from_id = new.id);
    end if;
    if new.status = 'open' then
        new.settled_at := null;
    elsif tg_op = 'INSERT' or old.status <> new.status then
        new.settled_at := now();
    end if;
    return new;
end $$;
create trigger commitment_due before insert or update on commitment for each row execute function commitment_due();
call log_changes('commitment', 'commitment', 'account_id', 'events');
call follow_external_ids('commitment', 'commitment', 'account_id');

create function commitment_event(type text, c commitment, dedupe text) returns event_in immutable language sql as $$
    select row (type, c.account_id, 'commitment', c.id, c.version, dedupe,
               jsonb_strip_nulls(jsonb_build_object('account_id', c.account_id, 'commitment_id', c.id, 'version', c.version, 'text', c.text, 'due_on', c.due_on, 'time_zone', c.time_zone,
                   'made_by_id', c.made_by_id, 'made_to_contact_id', c.made_to_contact_id, 'status', c.status)), '{}')::event_in
$$;

-- A renegotiated promise has a successor with the new day; a broken one is told of.
create function commitment_settle(after commitment[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if after is null then
        return; -- an insert of no rows would come back here
    end if;
    insert into commitment (id, account_id, text, made_to_contact_id, made_by_id, due_on, time_zone, renegotiated_from_id)
    select uuid_v7(), c.account_id, c.text, c.made_to_contact_id, c.made_by_id, c.new_due_on, c.time_zone, c.id from unnest(after) c where c.status = 'renegotiated' order by c.id;
    perform emit(array_agg(commitment_event('commitment.broken', c, 'commitment.broken:' || c.id || ':' || c.version) order by c.id)) from unnest(after) c where c.status = 'broken';
end $$;
revoke execute on function commitment_settle(commitment[]) from kamd_app;
create function commitment_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        perform commitment_settle(array_agg(row (n.*)::commitment)) from new_rows n where n.status in ('renegotiated', 'broken');
    else
        perform commitment_settle(array_agg(row (n.*)::commitment)) from new_rows n join old_rows o on o.id = n.id where n.status in ('renegotiated', 'broken') and o.status <> n.status;
    end if;
    return null;
end $$;
create trigger settled_insert after insert on commitment referencing new table as new_rows for each statement execute function commitment_follow();
create trigger settled_update after update on commitment referencing old table as old_rows new table as new_rows for each statement execute function commitment_follow();

-- On its day one event; still open when the day and the grace are over, it is broken (a person may still say that it was kept). Returns how many it touched.
create function commitments_fire(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    grace int := (select commitment_grace_days from program_settings);
    evs event_in[];
    lapsed int;
begin
    with due as materialized (
        select c.id from commitment c where c.status = 'open' and c.deleted_at is null and c.due_at <= clock_timestamp() and c.told_due_on is distinct from c.due_on
         order by c.due_at limit most for update skip locked
    ), told as (
        update commitment c set told_due_on = c.due_on from due d where c.id = d.id returning c.*
    )
    select array_agg(commitment_event('commitment.due', row (t.*)::commitment, 'commitment.due:' || t.id || ':' || t.due_on) order by t.due_at, t.id) into evs from told t;
    perform emit(evs);
    with late as materialized (
        select c.id from commitment c where c.status = 'open' and c.deleted_at is null and c.due_at <= clock_timestamp() - make_interval(days => grace) and c.told_due_on = c.due_on
           and local_instant((c.due_on + 1 + grace)::timestamp, c.time_zone) <= clock_timestamp()
         order by c.due_at limit most for update skip locked
    )
    update commitment c set status = 'broken', version = c.version + 1, updated_at = now() from late l where c.id = l.id;
    get diagnostics lapsed = row_count;
    return coalesce(cardinality(evs), 0) + lapsed;
end $$;
revoke execute on function commitments_fire(int) from kamd_app;

-- ---- the agenda's feed ----

-- A secret that opens one person's calendar feed and nothing else; only its hash is kept.
create table agenda_token (
    user_id uuid primary key constraint agenda_token_user_id_fkey references app_user,
    hash bytea not null constraint agenda_token_hash_key unique, created_at timestamptz not null default now()
);
grant delete on agenda_token to kamd_app;
