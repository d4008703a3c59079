-- The log: history of records, events about them, and the positions in which everybody reads the events. Triggers on
-- the tables of records write both; a worker gives the positions.

-- Drops the days of events that are older than keep_days days, with their positions. Returns how many days were
-- dropped.
create or replace function event_partitions_drop(keep_days int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    old regclass;
    dropped int := 0;
begin
    for old in select c.oid from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = 'event'::regclass and c.relname ~ '^event_\d{8}$'
                  and to_date(right(c.relname, 8), 'YYYYMMDD') < current_date - keep_days loop
        execute format('drop table %s', old);
        dropped := dropped + 1;
    end loop;
    delete from event_position p where p.at < current_date - keep_days;
    return dropped;
end $$;
revoke execute on function event_partitions_drop(int) from kamd_app;

-- Writes events. An account's sequence row is locked from here to the end of the transaction, and `seq` is drawn after
-- it: so the events of one account are committed in the order of their seq, also when other transactions stay open. One
-- event has a short way of its own. For many, the joins are hashed: nested loops took time by the square of the number
-- of events. An event's id contains the time of the transaction, because a change before a restore, which is gone now,
-- may have had the same version. An event with a `dedupe` of its own, as a follow-up's due time, is the same event
-- before and after a restore, and keeps its id. The plans are made once for a connection.
create or replace function event_write(evs event_in[]) returns void
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = off as $$
declare
    one event_in;
    nth bigint := 0;
begin
    if evs is null or cardinality(evs) = 0 then
        return;
    end if;
    if cardinality(evs) = 1 then
        one := evs[1];
        if one.account_id is not null then
            insert into account_sequence as s (account_id, last) values (one.account_id, 1)
            on conflict (account_id) do update set last = s.last + 1 returning s.last into nth;
        end if;
        insert into event (id, type, account_id, resource, record_id, version, sequence, actor, origin, request_id,
                           traceparent, data, previous, area)
        values (uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001',
                    coalesce(one.dedupe, one.type || ':' || one.record_id || ':' || one.version || ':' || nth || ':'
                                             || extract(epoch from now()))),
                one.type, one.account_id, one.resource, one.record_id, one.version, nth,
                session_setting('actor'), session_setting('origin'), session_setting('request_id'),
                session_setting('traceparent'), one.data, coalesce(one.previous, '{}'),
                event_area(one.type, one.resource));
        return;
    end if;
    -- One order of locking for everybody.
    perform 1 from account_sequence s
     where s.account_id = any (array(select e.account_id from unnest(evs) e)) order by s.account_id for update;
    with numbered as (
        select u.*, row_number() over (partition by u.account_id order by u.ord) as nth
          from unnest(evs) with ordinality
               u(type, account_id, resource, record_id, version, dedupe, data, previous, ord)
    ), counted as (
        select account_id, count(*) as n from numbered where account_id is not null
         group by account_id order by account_id
    ), bumped as (
        insert into account_sequence as s (account_id, last) select account_id, n from counted
        on conflict (account_id) do update set last = s.last + excluded.last
        returning s.account_id, s.last
    )
    insert into event (id, type, account_id, resource, record_id, version, sequence, actor, origin, request_id,
                       traceparent, data, previous, area)
    select uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001',
               coalesce(n.dedupe, n.type || ':' || n.record_id || ':' || n.version || ':'
                                      || coalesce(b.last - c.n + n.nth, 0) || ':' || extract(epoch from now()))),
           n.type, n.account_id, n.resource, n.record_id, n.version, coalesce(b.last - c.n + n.nth, 0),
           session_setting('actor'), session_setting('origin'), session_setting('request_id'),
           session_setting('traceparent'), n.data, coalesce(n.previous, '{}'), event_area(n.type, n.resource)
      from numbered n left join bumped b on b.account_id = n.account_id
      left join counted c on c.account_id = n.account_id
     order by n.ord;
end $$;
revoke execute on function event_write(event_in[]) from kamd_app;

-- Gives positions to the events that were committed since the last time. Returns how many events got one; -1 when
-- somebody else is at it. Before that, it checks that the database is still the same one, and otherwise leaves the work
-- to sequence_anew(): transaction ids never go back in one database, so an older one tells of another database where
-- the server gives no identity.
create or replace function sequence_events() returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    before sequencer;
    here text := database_identity();
    present pg_snapshot;
    n int;
begin
    select * into before from sequencer for update skip locked;
    if not found then
        return -1;
    end if;
    present := pg_current_snapshot();
    if here <> before.database or pg_snapshot_xmax(present) < pg_snapshot_xmax(before.snapshot) then
        return sequence_anew(before, here);
    end if;
    if present::text = before.snapshot::text then
        return 0;
    end if;
    -- Not older than a day and the longest transaction: lets the planner skip old partitions.
    insert into event_position (position, at, seq)
    select before.position + row_number() over (order by e.seq), e.at, e.seq from event e
     where e.xid >= pg_snapshot_xmin(before.snapshot) and e.xid < pg_snapshot_xmax(present)
       and pg_visible_in_snapshot(e.xid, present) and not pg_visible_in_snapshot(e.xid, before.snapshot)
       and e.seq > before.first_seq and e.at > before.ticked_at - interval '1 day';
    get diagnostics n = row_count;
    update sequencer set snapshot = present, position = before.position + n, ticked_at = now();
    return n;
end $$;
revoke execute on function sequence_events() from kamd_app;

-- Begins anew after the database was found to be another one. Events that were committed without a position get one
-- now, whichever database they were written in: `seq` goes on in a restored database, and transaction ids of the
-- database before are compared only with each other. The new positions begin 1,000,000,000 after the last one, so that
-- no position is given twice. Returns how many events got a position.
create or replace function sequence_anew(before sequencer, here text) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    start bigint := before.position + case when before.position > 0 then 1000000000 else 0 end;
    oldest timestamptz := before.ticked_at - interval '1 day';
    last_seq bigint;
    n int;
begin
    lock table event in share mode; -- who is writing events ends first: nothing is in between
    -- No event in the log lies behind this: more than so many were never being written at a time.
    last_seq := coalesce((select max(l.seq) from (select p.seq from event_position p
                                                   order by p.position desc limit 100000) l), 0);
    insert into event_position (position, at, seq)
    select start + row_number() over (order by m.seq), m.at, m.seq
      from (select e.at, e.seq from event e where e.seq > last_seq and e.at > oldest
             union
            select e.at, e.seq from event e
             where e.xid >= pg_snapshot_xmin(before.snapshot) and not pg_visible_in_snapshot(e.xid, before.snapshot)
               and e.seq > before.first_seq and e.at > oldest) m
     where not exists (select from (select p.at, p.seq from event_position p order by p.position desc limit 100000) l
                        where l.at = m.at and l.seq = m.seq);
    get diagnostics n = row_count;
    if before.position > 0 then -- else nobody was told of anything
        insert into database_change (was, became, from_position, to_position)
        values (before.database, here, before.position, start);
    end if;
    update sequencer set snapshot = pg_current_snapshot(), position = start + n, ticked_at = now(), database = here,
           first_seq = greatest(first_seq, (select max(e.seq) from event e));
    return n;
end $$;
revoke execute on function sequence_anew(sequencer, text) from kamd_app, kamd_worker;

-- How many positions after this one were left out when the database became another one, and so never given.
create or replace function log_gaps(after bigint) returns bigint stable language sql as $$
    select coalesce(sum(c.to_position - c.from_position), 0)::bigint
      from database_change c where c.from_position >= after
$$;

-- The same place in the log; in place of one in a gap of positions, the end of that gap.
create or replace function log_place(after bigint) returns bigint stable language sql as $$
    select coalesce((select max(c.to_position) from database_change c
                      where after >= c.from_position and after < c.to_position), after)
$$;

-- Change trigger for new records: writes their history and their event RESOURCE.created. Arguments: the resource's
-- name; the column that holds the account ('' = none); 'events' or 'quiet' (a quiet table has history of updates only,
-- and not this trigger). Each row becomes JSON once (`made` is materialized), not once for each of the columns here.
create or replace function log_insert() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    evs event_in[];
begin
    with made as materialized (
        select to_jsonb(n) as j from new_rows n
    ), logged as (
        insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes, area)
        select nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint,
               'created', session_setting('actor'), session_setting('origin'), session_setting('request_id'), '{}',
               resource_area(resource, j ->> 'section')
          from made
    )
    select array_agg(row (resource || '.created', nullif(j ->> account_column, '')::uuid, resource,
                          (j ->> 'id')::uuid, (j ->> 'version')::bigint, null,
                          jsonb_strip_nulls(jsonb_build_object(
                              'account_id', j -> account_column, resource || '_id', j -> 'id',
                              'version', j -> 'version')),
                          '{}')::event_in)
      into evs from made;
    perform event_write(evs);
    return null;
end $$;

-- The fields that differ, as {field: [before, after]}. Left out are the fields that kamd keeps for itself: neither
-- history nor events tell of them.
create or replace function changed_fields(before jsonb, after jsonb) returns jsonb
immutable parallel safe language plpgsql as $$
begin
    return (select coalesce(jsonb_object_agg(a.key, jsonb_build_array(before -> a.key, a.value)), '{}')
              from jsonb_each(after) a
             where a.value is distinct from before -> a.key
               and a.key not in ('version', 'updated_at', 'fired_revision', 'derived_version', 'continued',
                                 'overdue_level', 'planned', 'told_due_on', 'series_first_on', 'series_time',
                                 'series_first_no', 'slot_on'));
end $$;

-- Change trigger for updates, which are also how records are deleted, restored and merged: writes history, and the
-- event unless the third argument is 'quiet'. The first two arguments are those of log_insert(). A record that is
-- deleted with merged_into set was merged. Each row becomes JSON once (`changed` is materialized). Nested loops are off
-- because the plan is made once for a connection, and mostly for one row: the rows before and after would then be
-- joined by nested loops also when there are thousands.
create or replace function log_update() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    quiet boolean := tg_argv[2] = 'quiet';
    evs event_in[];
begin
    with changed as materialized (
        select r.j, changed_fields(r.before, r.j) as c,
               case when r.was is null and r.deleted_at is not null
                    then case when r.j ->> 'merged_into' is null then 'deleted' else 'merged' end
                    when r.was is not null and r.deleted_at is null then 'restored'
                    else 'updated' end as op,
               r.version_before
          from (select to_jsonb(o) as before, to_jsonb(n) as j, o.deleted_at as was, n.deleted_at,
                       o.version as version_before
                  from old_rows o join new_rows n on n.id = o.id offset 0) r
    ), logged as (
        insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes, area)
        select nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, op,
               session_setting('actor'), session_setting('origin'), session_setting('request_id'), c,
               resource_area(resource, j ->> 'section')
          from changed where c <> '{}'
    )
    select array_agg(row (resource || '.' || op, nullif(j ->> account_column, '')::uuid, resource,
                          (j ->> 'id')::uuid, (j ->> 'version')::bigint, null,
                          jsonb_strip_nulls(jsonb_build_object(
                              'account_id', j -> account_column, resource || '_id', j -> 'id',
                              'version', j -> 'version', 'merged_into', j -> 'merged_into'))
                          || jsonb_build_object(
                              'changed_fields',
                              (select coalesce(jsonb_agg(k order by k), '[]') from jsonb_object_keys(c) k)),
                          jsonb_build_object('version', version_before))::event_in)
      into evs from changed where c <> '{}';
    if not quiet then
        perform event_write(evs);
    end if;
    return null;
end $$;

-- Change trigger for settings and keys, which are not resources: writes history only. Arguments: the name to give in
-- place of a resource, the column of the row's key, and columns to leave out, separated by commas. A key that is no
-- UUID becomes one, always the same.
create or replace function log_setting() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    left_out text[] := string_to_array(tg_argv[2], ',') || array['id', 'account_id', 'created_at'];
    before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) else '{}' end;
    after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) else '{}' end;
    rec jsonb := before || after;
    key text := rec ->> tg_argv[1];
    changes jsonb := case tg_op
        when 'DELETE' then (select coalesce(jsonb_object_agg(b.key, jsonb_build_array(b.value, null)), '{}')
                              from jsonb_each(before - left_out) b)
        else changed_fields(before - left_out, after - left_out) end;
begin
    if changes <> '{}' then
        insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes)
        values ((rec ->> 'account_id')::uuid, tg_argv[0],
                case when key ~ '^[0-9a-f]{8}-[0-9a-f]{4}-' then key::uuid
                     else uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001', tg_argv[0] || ':' || key) end,
                coalesce((rec ->> 'version')::bigint, 0),
                case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'updated' else 'deleted' end,
                session_setting('actor'), session_setting('origin'), session_setting('request_id'), changes);
    end if;
    return null;
end $$;

-- The number of the area that a record lies in. Sections of a plan are areas themselves. A resource that is not named
-- here lies in the area 'profile'.
create or replace function resource_area(resource text, section text default null) returns smallint
immutable parallel safe language sql as $$
    select area_number(case resource
        when 'plan_section' then coalesce(section, 'plan')
        when 'contact' then 'contacts'
        when 'order' then 'sales'
        when 'wallet' then 'economics' when 'investment' then 'economics' when 'metric' then 'economics'
        when 'interaction' then 'interactions' when 'need' then 'interactions' when 'solution' then 'interactions'
        when 'commitment' then 'interactions'
        when 'problem' then 'problems'
        when 'review' then 'reviews' when 'follow_up' then 'reviews' when 'expectation' then 'reviews'
        when 'plan' then 'plan' when 'project' then 'plan' when 'fit_check' then 'plan'
        when 'divestment' then 'divestment'
        else 'profile' end)::smallint
$$;

-- The number of the area that an event lies in: mostly that of its record. Events of key status and tier lie in
-- economics, because they carry their explanation: contributions of revenue and margin.
create or replace function event_area(type text, resource text) returns smallint
immutable parallel safe language sql as $$
    select case when type like 'account.key\_status.%' or type = 'account.tier_changed'
                then area_number('economics')::smallint
                when type like 'account.divestment.%' then area_number('divestment')::smallint
                when type = 'attention_gap.opened' then area_number('sales')::smallint
                when type = 'cadence.missed' then area_number('interactions')::smallint
                else resource_area(resource) end
$$;

-- What an event says happened to its record, in the words of the change feed, which is read from the event log; null
-- for an event that is no change of a record.
create or replace function change_op(type text, resource text) returns text immutable parallel safe language sql as $$
    select case when type like 'account.key\_status.%' or type = 'account.tier_changed' then 'updated'
                when left(type, length(resource) + 1) = resource || '.'
                then case substr(type, length(resource) + 2)
                     when 'created' then 'created'
                     when 'updated' then 'updated'
                     when 'deleted' then 'deleted'
                     when 'restored' then 'undeleted'
                     when 'merged' then 'merged' end end
$$;

-- The position after which the events of a time begin, or a little before; null when the log is empty. It is found by
-- halving, since positions are dense and times grow with them, except for transactions that were open for long. Where
-- positions leap, the first one from the middle on counts.
create or replace function change_position(since timestamptz) returns bigint stable language plpgsql as $$
declare
    low bigint := (select min(position) from event_position);
    high bigint := (select max(position) + 1 from event_position);
    middle bigint;
    found_at record;
begin
    while low < high loop
        middle := (low + high) / 2;
        select p.position, p.at into found_at from event_position p
         where p.position >= middle order by p.position limit 1;
        if found_at.at < since - interval '1 minute' then
            low := found_at.position + 1;
        else
            high := middle;
        end if;
    end loop;
    return low - 1;
end $$;
