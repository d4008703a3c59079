-- The two logs that every change writes in its own transaction: event (30 days, feeds webhooks, streams and change feeds) and history (permanent).
-- Both are filled by statement-level triggers, so that no way of writing, single or bulk, API or worker, can forget them.

create table history (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    account_id uuid,
    resource text not null,
    record_id uuid not null,
    version bigint not null,
    op text not null check (op in ('created', 'updated', 'deleted', 'restored', 'merged')),
    actor text,
    origin text,
    request_id text,
    changes jsonb not null -- {field: [before, after]}
);
create index history_record_idx on history (record_id, id desc);
create index history_account_idx on history (account_id, id desc);
call protect('history', 'account_id');
create policy everybody on history for select to kamd_app using (account_id is null);
revoke insert, update on history from kamd_app, kamd_worker;

create table event (
    seq bigint generated always as identity,
    at timestamptz not null default now(),
    xid xid8 not null default pg_current_xact_id(),
    id uuid not null,
    type text not null,
    account_id uuid,
    resource text not null,
    record_id uuid not null,
    version bigint not null,
    sequence bigint not null, -- counts the events of one account without gaps
    actor text,
    origin text,
    request_id text,
    traceparent text,
    data jsonb not null,
    previous jsonb not null default '{}',
    primary key (at, seq)
) partition by range (at);
create index event_xid_idx on event (xid);
create index event_seq_idx on event (seq);
call protect('event', 'account_id');
create policy everybody on event for select to kamd_app using (account_id is null);
revoke insert, update on event from kamd_app, kamd_worker;
create table event_rest partition of event default;

-- Days are made ahead by the housekeeping; the default partition is the net below it.
create function event_partitions(days_ahead int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    d date;
    made int := 0;
begin
    for d in select generate_series(current_date, current_date + days_ahead, interval '1 day')::date loop
        if to_regclass(format('event_%s', to_char(d, 'YYYYMMDD'))) is null
           and not exists (select 1 from only event_rest where at >= d and at < d + 1) then
            execute format('create table event_%s partition of event for values from (%L) to (%L)',
                           to_char(d, 'YYYYMMDD'), d::timestamp at time zone 'UTC', (d + 1)::timestamp at time zone 'UTC');
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;
create function event_partitions_drop(keep_days int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
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

select event_partitions(7);

-- One row per account: the lock that orders an account's events, and their count.
create table account_sequence (
    account_id uuid primary key,
    last bigint not null
) with (fillfactor = 50);
call protect('account_sequence', 'account_id');
revoke insert, update on account_sequence from kamd_app, kamd_worker;

create type event_in as (type text, account_id uuid, resource text, record_id uuid, version bigint, dedupe text, data jsonb, previous jsonb);

-- Writes events. The account's sequence row is locked from here to the end of the transaction, and `seq` is drawn after it: so for one account, the order
-- of seq is the order of commits, also when other transactions stay open.
create function emit(evs event_in[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if evs is null or cardinality(evs) = 0 then
        return;
    end if;
    if cardinality(evs) > 1 then -- one order of locking for everybody
        perform 1 from account_sequence s
         where s.account_id in (select e.account_id from unnest(evs) e) order by s.account_id for update;
    end if;
    with numbered as (
        select u.*, row_number() over (partition by u.account_id order by u.ord) as nth
          from unnest(evs) with ordinality u(type, account_id, resource, record_id, version, dedupe, data, previous, ord)
    ), counted as (
        select account_id, count(*) as n from numbered where account_id is not null group by account_id order by account_id
    ), bumped as (
        insert into account_sequence as s (account_id, last) select account_id, n from counted
        on conflict (account_id) do update set last = s.last + excluded.last
        returning s.account_id, s.last
    )
    insert into event (id, type, account_id, resource, record_id, version, sequence, actor, origin, request_id, traceparent, data, previous)
    select uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001',
               coalesce(n.dedupe, n.type || ':' || n.record_id || ':' || n.version || ':' || coalesce(b.last - c.n + n.nth, 0))),
           n.type, n.account_id, n.resource, n.record_id, n.version, coalesce(b.last - c.n + n.nth, 0),
           context('actor'), context('origin'), context('request_id'), context('traceparent'), n.data, coalesce(n.previous, '{}')
      from numbered n left join bumped b on b.account_id = n.account_id left join counted c on c.account_id = n.account_id
     order by n.ord;
end $$;
revoke execute on function emit(event_in[]) from kamd_app;

-- Committed events get a position: dense, in an order that holds per account. One transaction at a time does it (the row below is its lock); it takes what
-- became visible since the snapshot of the one before, so a transaction that stays open delays only its own events. (The way of Skype's PgQ.)
create table event_position (
    position bigint primary key,
    at timestamptz not null, -- the event's, finds its partition
    seq bigint not null
);
revoke insert, update on event_position from kamd_app, kamd_worker;
create table sequencer (
    one boolean primary key default true check (one),
    snapshot pg_snapshot not null,
    position bigint not null,
    ticked_at timestamptz not null
) with (fillfactor = 50);
insert into sequencer values (true, pg_current_snapshot(), 0, now());
revoke insert, update on sequencer from kamd_app, kamd_worker;

-- Returns how many events got a position; -1 when somebody else is at it.
create function sequence_events() returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    before sequencer;
    present pg_snapshot;
    n int;
begin
    select * into before from sequencer for update skip locked;
    if not found then
        return -1;
    end if;
    present := pg_current_snapshot();
    if present::text = before.snapshot::text then
        return 0;
    end if;
    -- Not older than a day and the longest transaction: lets the planner skip old partitions.
    insert into event_position (position, at, seq)
    select before.position + row_number() over (order by e.seq), e.at, e.seq from event e
     where e.xid >= pg_snapshot_xmin(before.snapshot) and e.xid < pg_snapshot_xmax(present)
       and pg_visible_in_snapshot(e.xid, present) and not pg_visible_in_snapshot(e.xid, before.snapshot)
       and e.at > before.ticked_at - interval '1 day';
    get diagnostics n = row_count;
    update sequencer set snapshot = present, position = before.position + n, ticked_at = now();
    return n;
end $$;
revoke execute on function sequence_events() from kamd_app;

-- Change triggers. Arguments: resource name; the column that holds the account ('' = none); 'events' or 'quiet' (history of updates only).
create function log_insert() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    evs event_in[];
begin
    insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes)
    select nullif(r.j ->> account_column, '')::uuid, resource, (r.j ->> 'id')::uuid, (r.j ->> 'version')::bigint, 'created',
           context('actor'), context('origin'), context('request_id'), '{}'
      from (select to_jsonb(n) as j from new_rows n) r;
    select array_agg(row (resource || '.created', nullif(r.j ->> account_column, '')::uuid, resource, (r.j ->> 'id')::uuid, (r.j ->> 'version')::bigint, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', r.j -> account_column, resource || '_id', r.j -> 'id', 'version', r.j -> 'version')), '{}')::event_in)
      into evs from (select to_jsonb(n) as j from new_rows n) r;
    perform emit(evs);
    return null;
end $$;

create function changed_fields(before jsonb, after jsonb) returns jsonb immutable parallel safe language sql as $$
    select coalesce(jsonb_object_agg(a.key, jsonb_build_array(before -> a.key, a.value)), '{}')
      from jsonb_each(after) a
     where a.value is distinct from before -> a.key
       and a.key not in ('version', 'updated_at', 'fired_revision', 'derived_version')
$$;

create function log_update() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    quiet boolean := tg_argv[2] = 'quiet';
    evs event_in[];
begin
    with changed as materialized (
        select to_jsonb(n) as j, changed_fields(to_jsonb(o), to_jsonb(n)) as c,
               case when o.deleted_at is null and n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null and n.deleted_at is null then 'restored'
                    else 'updated' end as op, o.version as version_before
          from old_rows o join new_rows n on n.id = o.id
    ), logged as (
        insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes)
        select nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, op,
               context('actor'), context('origin'), context('request_id'), c
          from changed where c <> '{}'
    )
    select array_agg(row (resource || '.' || op, nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', j -> account_column, resource || '_id', j -> 'id', 'version', j -> 'version'))
                   || jsonb_build_object('changed_fields', (select coalesce(jsonb_agg(k order by k), '[]') from jsonb_object_keys(c) k)),
               jsonb_build_object('version', version_before))::event_in)
      into evs from changed where c <> '{}';
    if not quiet then
        perform emit(evs);
    end if;
    return null;
end $$;

create procedure log_changes(tab regclass, resource text, account_column text, mode text) language plpgsql as $$
begin
    if mode <> 'quiet' then
        execute format('create trigger log_insert after insert on %s referencing new table as new_rows for each statement'
                       ' execute function log_insert(%L, %L, %L)', tab, resource, account_column, mode);
    end if;
    execute format('create trigger log_update after update on %s referencing old table as old_rows new table as new_rows for each statement'
                   ' execute function log_update(%L, %L, %L)', tab, resource, account_column, mode);
end $$;
