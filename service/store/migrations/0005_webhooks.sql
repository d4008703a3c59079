-- Webhooks: endpoints, their secrets, and what was sent to them.
-- The log of events is never copied: each endpoint has a cursor over event_position. A delivery gets one row when it is claimed and one row for each attempt that ended,
-- both append-only; only what went wrong has a row that changes (webhook_retry). All writing is done by the functions below.

create table webhook_endpoint (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    url text not null, description text,
    event_types text[] not null default '{}',  -- none or '*': all; 'account.*': all that begin so
    account_ids text[] not null default '{}',  -- none: all
    state text not null default 'enabled' check (state in ('enabled', 'disabled')), disabled_reason text,
    ordering text not null default 'parallel' check (ordering in ('parallel', 'account')),
    payload text not null default 'thin' check (payload in ('thin')),
    owner_user_id uuid constraint webhook_endpoint_owner_user_id_fkey references app_user,
    owner_scope text not null default 'acl' -- who made it saw all accounts, or those of acl
);
create index webhook_endpoint_updated_at_idx on webhook_endpoint (updated_at, id);

-- A secret's bytes are sealed by the program; the database never sees them. Several are live while one is being replaced.
create table webhook_secret (
    id uuid primary key, endpoint_id uuid not null constraint webhook_secret_endpoint_id_fkey references webhook_endpoint,
    sealed bytea not null, created_at timestamptz not null default now(), expires_at timestamptz
);
create index webhook_secret_endpoint_id_idx on webhook_secret (endpoint_id);
revoke select, update on webhook_secret from kamd_app;
grant select (id, endpoint_id, created_at, expires_at), update (expires_at) on webhook_secret to kamd_app;
revoke insert, update on webhook_secret from kamd_worker;
grant delete on webhook_secret to kamd_worker;

-- Processes that run the loops. One row each, renewed every second: what its owner claimed is free again when it has run out.
create table worker (
    token uuid primary key, name text not null, started_at timestamptz not null default now(), until timestamptz not null
) with (fillfactor = 50);
revoke insert, update on worker from kamd_app;
grant delete on worker to kamd_worker;

-- How far each endpoint is. No index on what changes, so that updates stay in their page.
create table webhook_endpoint_state (
    endpoint_id uuid primary key constraint webhook_endpoint_state_endpoint_id_fkey references webhook_endpoint,
    number bigint generated always as identity, -- its short name, part of the ids of its deliveries
    since pg_snapshot not null default pg_current_snapshot(), -- events that were committed before it was made are not for it
    position bigint not null,           -- events up to here were claimed, or are not for it
    settled bigint not null,            -- up to here each claimed one has a result, or a row in webhook_retry
    owner uuid, claimed_at timestamptz, -- the worker that is sending
    failures int not null default 0,    -- in a row
    opened int not null default 0,      -- how often the breaker opened since the last success
    failing_since timestamptz,
    next_at timestamptz                 -- the breaker: nothing is sent before
) with (fillfactor = 50);
revoke insert, update on webhook_endpoint_state from kamd_app, kamd_worker;

create table webhook_delivery (
    id uuid primary key, endpoint_id uuid not null, position bigint not null,
    event_id uuid not null, event_type text not null, account_id uuid, created_at timestamptz not null default now()
);
create index webhook_delivery_endpoint_id_idx on webhook_delivery (endpoint_id, id);
create index webhook_delivery_created_at_idx on webhook_delivery using brin (created_at);
call protect('webhook_delivery', 'account_id');
create policy everybody on webhook_delivery for select to kamd_app using (account_id is null);
revoke insert, update on webhook_delivery from kamd_app, kamd_worker;
grant delete on webhook_delivery to kamd_worker;

create table webhook_attempt (
    delivery_id uuid not null, n int not null, account_id uuid, started_at timestamptz not null, duration_ms int not null,
    status int, error text, address text, response_excerpt text,
    primary key (delivery_id, n)
);
create index webhook_attempt_started_at_idx on webhook_attempt using brin (started_at);
call protect('webhook_attempt', 'account_id');
create policy everybody on webhook_attempt for select to kamd_app using (account_id is null);
revoke insert, update on webhook_attempt from kamd_app, kamd_worker;
grant delete on webhook_attempt to kamd_worker;

-- The exceptions. waiting: due at next_at; sending: claimed; parked: behind another one of its account; exhausted: the dead letter.
create table webhook_retry (
    delivery_id uuid primary key, endpoint_id uuid not null, position bigint not null, account_id uuid,
    attempts int not null,         -- counted when it is claimed, so that one that kills its worker is counted, too
    base int not null default 0,   -- of these, before somebody asked for another round
    lane boolean not null,         -- its account's later events wait for it
    state text not null check (state in ('waiting', 'sending', 'parked', 'exhausted')),
    next_at timestamptz
) with (fillfactor = 70);
create index webhook_retry_due_idx on webhook_retry (endpoint_id, next_at) where state = 'waiting';
create index webhook_retry_lane_idx on webhook_retry (endpoint_id, account_id, position) where lane and state <> 'exhausted';
create index webhook_retry_state_idx on webhook_retry (state, delivery_id);
call protect('webhook_retry', 'account_id');
create policy everybody on webhook_retry for select to kamd_app using (account_id is null);
revoke insert, update on webhook_retry from kamd_app, kamd_worker;
grant delete on webhook_retry to kamd_worker;

-- The id of a delivery says which event and which endpoint (a UUID of version 8: RFC 9562 section 5.8), so it is known before anything is written,
-- and ids sort as positions do.
create function webhook_delivery_id(at_position bigint, number bigint) returns uuid immutable strict parallel safe language sql as $$
    select (left(h, 12) || '8' || right(h, 3) || '8' || lpad(to_hex(number), 15, '0'))::uuid from (select lpad(to_hex(at_position), 15, '0') as h) x
$$;
create function webhook_delivery_position(id uuid) returns bigint immutable strict parallel safe language sql as $$
    select ('x' || lpad(left(h, 12) || substr(h, 14, 3), 16, '0'))::bit(64)::bigint from (select replace(id::text, '-', '') as h) x
$$;
create function webhook_delivery_number(id uuid) returns bigint immutable strict parallel safe language sql as $$
    select ('x' || lpad(right(id::text, 12), 16, '0'))::bit(64)::bigint
$$;

-- What an endpoint wants, in a form that is quick to compare: patterns of types, accounts, and, unless its maker saw all, the accounts that its owner sees now.
create view webhook_interest with (security_invoker = true) as
select e.id as endpoint_id, e.event_types as types, cardinality(e.event_types) = 0 or '*' = any (e.event_types) as every_type,
       array(select replace(left(t, -1), '_', '\_') || '%' from unnest(e.event_types) t where right(t, 2) = '.*') as prefixes,
       e.account_ids::uuid[] as accounts,
       case when e.owner_scope <> 'all' then array(select a.account_id from acl a where a.user_id = e.owner_user_id
                                                      and a.visible_from <= now() and a.visible_until > now()) end as visible
  from webhook_endpoint e;
-- Is the event for the endpoint? A ping is for the one that it names. What an endpoint is sent never exceeds what its owner may see.
-- One expression, so that the planner puts it in the place of the call: called as a function it takes 200 us.
create function webhook_concerns(i webhook_interest, type text, record_id uuid, account_id uuid) returns boolean immutable language sql as $$
    select case when type = 'webhook.ping' then record_id = i.endpoint_id
                else (i.every_type or type = any (i.types) or type like any (i.prefixes))
                     and (cardinality(i.accounts) = 0 or account_id = any (i.accounts))
                     and (i.visible is null or account_id is null or account_id = any (i.visible)) end
$$;

create function webhook_endpoint_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_when = 'BEFORE' and tg_op = 'UPDATE' then
        if new.state = 'enabled' then
            new.disabled_reason := null;
        end if;
        return new;
    elsif tg_when = 'BEFORE' then
        new.owner_user_id := context('user_id')::uuid;
        new.owner_scope := coalesce(context('scope'), 'acl');
        return new;
    elsif tg_op = 'INSERT' then
        insert into webhook_endpoint_state (endpoint_id, position, settled) select new.id, s.position, s.position from sequencer s;
    elsif (new.state = 'enabled' and old.state <> 'enabled') or new.url <> old.url then
        update webhook_endpoint_state set failures = 0, opened = 0, failing_since = null, next_at = null where endpoint_id = new.id;
    end if;
    return null;
end $$;
create trigger webhook_endpoint_before before insert or update on webhook_endpoint for each row execute function webhook_endpoint_follow();
create trigger webhook_endpoint_follow after insert or update on webhook_endpoint for each row execute function webhook_endpoint_follow();
call log_changes('webhook_endpoint', 'webhook_endpoint', '', 'quiet');

create function worker_renew(me uuid, its_name text, seconds int) returns void language sql security definer set search_path = public, pg_temp as $$
    insert into worker as w (token, name, until) values (me, its_name, now() + make_interval(secs => seconds))
    on conflict (token) do update set until = excluded.until;
    update operation set leased_until = now() + make_interval(secs => seconds) where lease_token = me and status = 'running';
$$;
revoke execute on function worker_renew(uuid, text, int) from kamd_app;

-- Keeps the lanes of ordered endpoints: while the head of one waits for its next attempt, what is behind it is parked; once the head is delivered or given up, they are due.
create function webhook_lanes(endpoints uuid[], accounts uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update webhook_retry r set state = 'parked', next_at = null
     where r.endpoint_id = any (endpoints) and r.account_id = any (accounts) and r.lane and r.state = 'waiting'
       and exists (select 1 from webhook_retry h where h.endpoint_id = r.endpoint_id and h.account_id = r.account_id and h.position < r.position
                      and h.lane and h.state = 'waiting' and h.next_at > now());
    update webhook_retry r set state = 'waiting', next_at = now()
     where r.endpoint_id = any (endpoints) and r.account_id = any (accounts) and r.lane and r.state = 'parked'
       and not exists (select 1 from webhook_retry h where h.endpoint_id = r.endpoint_id and h.account_id = r.account_id and h.position < r.position
                          and h.lane and h.state = 'waiting' and h.next_at > now());
end $$;
revoke execute on function webhook_lanes(uuid[], uuid[]) from kamd_app;

-- What a lost worker had claimed, beside what is known to be under way, is due at once. The attempt counts: nobody knows whether it arrived.
create function webhook_recover(endpoints uuid[], known uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    accounts uuid[];
begin
    insert into webhook_retry (delivery_id, endpoint_id, position, account_id, attempts, lane, state)
    select d.id, d.endpoint_id, d.position, d.account_id, 1, e.ordering = 'account' and d.account_id is not null, 'sending'
      from webhook_endpoint_state s
      join webhook_endpoint e on e.id = s.endpoint_id
      join webhook_delivery d on d.endpoint_id = s.endpoint_id and d.id >= webhook_delivery_id(s.settled + 1, 0)
     where s.endpoint_id = any (endpoints) and d.id <> all (known) and not exists (select 1 from webhook_attempt a where a.delivery_id = d.id)
    on conflict (delivery_id) do nothing;
    insert into webhook_attempt (delivery_id, n, account_id, started_at, duration_ms, error)
    select r.delivery_id, r.attempts, r.account_id, now(), 0, 'worker_lost' from webhook_retry r
     where r.endpoint_id = any (endpoints) and r.state = 'sending' and r.delivery_id <> all (known)
    on conflict do nothing;
    with due as (
        update webhook_retry set state = 'waiting', next_at = now()
         where endpoint_id = any (endpoints) and state = 'sending' and delivery_id <> all (known) returning account_id
    )
    select array_agg(distinct account_id) into accounts from due;
    perform webhook_lanes(endpoints, accounts);
end $$;
revoke execute on function webhook_recover(uuid[], uuid[]) from kamd_app;
-- After a claim whose outcome its worker never heard of.
create function webhook_doubt(me uuid, known uuid[]) returns void language sql security definer set search_path = public, pg_temp as $$
    select webhook_recover(array(select s.endpoint_id from webhook_endpoint_state s where s.owner = me for update), known);
$$;
revoke execute on function webhook_doubt(uuid, uuid[]) from kamd_app;

-- Claims work for worker `me`: at most `most` endpoints that nobody alive is sending to (or that are its own and not `busy`), least recently served first, and `batch`
-- deliveries of each: what is due again, then new events. An endpoint that is failing gets little; one whose breaker is half open gets one.
-- The endpoints claimed from have claimed_at = now().
create function webhook_claim(me uuid, busy uuid[], batch int, most int)
returns table (delivery_id uuid, endpoint_id uuid, at_position bigint, n int, base int, lane boolean, account_id uuid,
               event_id uuid, event_type text, event_at timestamptz, sequence bigint, traceparent text, data jsonb, previous jsonb)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    head bigint;
    ids uuid[];
    lost uuid[];
    again webhook_retry[];
begin
    select s.position into head from sequencer s;
    select array_agg(c.endpoint_id), array_agg(c.endpoint_id) filter (where c.owner <> me) into ids, lost
      from (select s.endpoint_id, s.owner
              from webhook_endpoint_state s join webhook_endpoint e on e.id = s.endpoint_id
             where e.state = 'enabled' and e.deleted_at is null and s.endpoint_id <> all (busy)
               and (s.next_at is null or s.next_at <= now())
               and (s.owner is null or s.owner = me or not exists (select 1 from worker w where w.token = s.owner and w.until > now()))
               and (s.position < head or s.owner <> me
                    or exists (select 1 from webhook_retry r where r.endpoint_id = s.endpoint_id and r.state = 'waiting' and r.next_at <= now()))
             order by s.claimed_at nulls first limit most for update of s skip locked) c;
    if ids is null then
        return;
    end if;
    if lost is not null then
        perform webhook_recover(lost, '{}');
    end if;
    with due as (
        select d.delivery_id from webhook_endpoint_state s cross join lateral (
            select r.delivery_id from webhook_retry r
             where r.endpoint_id = s.endpoint_id and r.state = 'waiting' and r.next_at <= now() order by r.position
             limit case when s.failures >= 5 then 1 when s.failures > 0 then least(4, batch) else batch end) d
         where s.endpoint_id = any (ids)
    ), taken as (
        update webhook_retry r set state = 'sending', attempts = r.attempts + 1, next_at = null from due where r.delivery_id = due.delivery_id returning r
    )
    select coalesce(array_agg(t.r), '{}') into again from taken t;
    return query
    with room as materialized (
        select s.endpoint_id, s.number, s.since, s.position, i, e.ordering = 'account' as ordered, least(head, s.position + 2000) as until,
               case when s.failures >= 5 then 1 when s.failures > 0 then least(4, batch) else batch end
                   - (select count(*) from unnest(again) a where a.endpoint_id = s.endpoint_id) as free
          from webhook_endpoint_state s join webhook_endpoint e on e.id = s.endpoint_id join webhook_interest i on i.endpoint_id = s.endpoint_id
         where s.endpoint_id = any (ids)
    ), fresh as materialized (
        select r.endpoint_id, webhook_delivery_id(f.at_position, r.number) as delivery_id, f.*, r.ordered and f.account_id is not null as lane
          from room r cross join lateral (
              -- The limits keep the planner to the way of the index: from the cursor on, until there is enough.
              select p.position as at_position, ev.id as event_id, ev.type as event_type, ev.at as event_at, ev.sequence, ev.traceparent, ev.data, ev.previous, ev.account_id
                from (select w.position, w.at, w.seq from event_position w where w.position > r.position and w.position <= r.until order by w.position limit 2000) p
                cross join lateral (select * from event x where x.at = p.at and x.seq = p.seq limit 1) ev
               where webhook_concerns(r.i, ev.type, ev.record_id, ev.account_id) and not pg_visible_in_snapshot(ev.xid, r.since)
               order by p.position limit greatest(r.free, 0)) f
    ), behind as materialized (
        select f.delivery_id from fresh f
         where f.lane and exists (select 1 from webhook_retry h where h.endpoint_id = f.endpoint_id and h.account_id = f.account_id
                                     and h.lane and h.state in ('waiting', 'parked'))
    ), made as (
        insert into webhook_delivery (id, endpoint_id, position, event_id, event_type, account_id)
        select f.delivery_id, f.endpoint_id, f.at_position, f.event_id, f.event_type, f.account_id from fresh f
    ), parked as (
        insert into webhook_retry (delivery_id, endpoint_id, position, account_id, attempts, lane, state)
        select f.delivery_id, f.endpoint_id, f.at_position, f.account_id, 0, true, 'parked' from fresh f join behind b on b.delivery_id = f.delivery_id
    ), counted as (
        select r.endpoint_id, r.free, r.until, (select count(*) from fresh f where f.endpoint_id = r.endpoint_id) as found,
               (select max(f.at_position) from fresh f where f.endpoint_id = r.endpoint_id) as last
          from room r
    ), moved as (
        update webhook_endpoint_state s
           set position = case when c.free <= 0 then s.position when c.found >= c.free then c.last else c.until end,
               settled = case when s.owner = me then s.settled else s.position end, claimed_at = now(),
               owner = case when s.owner = me or c.found > 0 or exists (select 1 from unnest(again) a where a.endpoint_id = s.endpoint_id) then me end
          from counted c where s.endpoint_id = c.endpoint_id
    )
    select f.delivery_id, f.endpoint_id, f.at_position, 1, 0, f.lane, f.account_id, f.event_id, f.event_type, f.event_at, f.sequence, f.traceparent, f.data, f.previous
      from fresh f where f.delivery_id not in (select b.delivery_id from behind b)
    union all
    select a.delivery_id, a.endpoint_id, a.position, a.attempts, a.base, a.lane, a.account_id, d.event_id, d.event_type, ev.at, ev.sequence, ev.traceparent, ev.data, ev.previous
      from unnest(again) a join webhook_delivery d on d.id = a.delivery_id
      left join event_position p on p.position = a.position
      left join lateral (select * from event x where x.at = p.at and x.seq = p.seq limit 1) ev on true
    order by 3;
end $$;
revoke execute on function webhook_claim(uuid, uuid[], int, int) from kamd_app;

create type webhook_result as (
    delivery_id uuid, endpoint_id uuid, account_id uuid, at_position bigint, lane boolean, n int, base int,
    outcome text,          -- delivered, failed, exhausted, or returned: claimed, but not sent
    pause_ms bigint,       -- until the next attempt
    ago_us bigint, duration_ms int, status int, error text, address text, response_excerpt text);
create type webhook_endpoint_result as (
    endpoint_id uuid, settled bigint, failures int, opened int, pause_ms bigint, release boolean, gone text);

-- Writes what came out, for the endpoints that `me` still owns; returns those that it must let go: taken over by another, disabled, or deleted.
create function webhook_settle(me uuid, results webhook_result[], endpoints webhook_endpoint_result[]) returns setof uuid
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    mine uuid[];
begin
    select array_agg(s.endpoint_id) into mine from
        (select s.endpoint_id from webhook_endpoint_state s
          where s.owner = me and s.endpoint_id in (select e.endpoint_id from unnest(endpoints) e) order by s.endpoint_id for update) s;
    insert into webhook_attempt (delivery_id, n, account_id, started_at, duration_ms, status, error, address, response_excerpt)
    select r.delivery_id, r.n, r.account_id, now() - make_interval(secs => r.ago_us / 1e6), r.duration_ms, r.status, r.error, r.address, r.response_excerpt
      from unnest(results) r where r.endpoint_id = any (mine) and r.outcome <> 'returned'
    on conflict do nothing;
    delete from webhook_retry t using unnest(results) r where r.endpoint_id = any (mine) and r.outcome = 'delivered' and t.delivery_id = r.delivery_id;
    insert into webhook_retry as t (delivery_id, endpoint_id, position, account_id, attempts, base, lane, state, next_at)
    select r.delivery_id, r.endpoint_id, r.at_position, r.account_id, case when r.outcome = 'returned' then r.n - 1 else r.n end, r.base, r.lane,
           case when r.outcome = 'exhausted' then 'exhausted' else 'waiting' end,
           case when r.outcome = 'exhausted' then null else now() + make_interval(secs => r.pause_ms / 1e3) end
      from unnest(results) r where r.endpoint_id = any (mine) and r.outcome <> 'delivered'
    on conflict (delivery_id) do update set attempts = excluded.attempts, state = excluded.state, next_at = excluded.next_at;
    perform webhook_lanes(array_agg(distinct r.endpoint_id), array_agg(distinct r.account_id))
       from unnest(results) r where r.endpoint_id = any (mine) and r.lane
     having count(*) > 0;
    update webhook_endpoint_state s
       set settled = greatest(s.settled, coalesce(e.settled, s.position)), failures = e.failures, opened = e.opened,
           failing_since = case when e.failures > 0 then coalesce(s.failing_since, now()) end,
           next_at = case when e.pause_ms is not null then now() + make_interval(secs => e.pause_ms / 1e3) when e.failures = 0 then null else s.next_at end,
           owner = case when e.release then null else s.owner end
      from unnest(endpoints) e where s.endpoint_id = e.endpoint_id and s.endpoint_id = any (mine);
    update webhook_endpoint w
       set state = 'disabled', version = w.version + 1, updated_at = now(),
           disabled_reason = coalesce(e.gone, 'Every attempt has failed for five days.')
      from unnest(endpoints) e join webhook_endpoint_state s on s.endpoint_id = e.endpoint_id
     where w.id = e.endpoint_id and w.id = any (mine) and w.state = 'enabled'
       and (e.gone is not null or (e.failures > 0 and s.failing_since < now() - interval '5 days'));
    return query
    select e.endpoint_id from unnest(endpoints) e join webhook_endpoint w on w.id = e.endpoint_id
     where not e.release and (mine is null or e.endpoint_id <> all (mine) or w.state <> 'enabled' or w.deleted_at is not null);
end $$;
revoke execute on function webhook_settle(uuid, webhook_result[], webhook_endpoint_result[]) from kamd_app;

-- A worker that ends gives back what it holds.
create function worker_leave(me uuid) returns void language sql security definer set search_path = public, pg_temp as $$
    update worker set until = '-infinity' where token = me;
$$;
revoke execute on function worker_leave(uuid) from kamd_app;

create function webhook_ping(endpoint uuid) returns uuid language plpgsql security definer set search_path = public, pg_temp as $$
declare
    e webhook_endpoint;
    name text := 'webhook.ping:' || gen_random_uuid();
begin
    select * into e from webhook_endpoint w where w.id = endpoint and w.deleted_at is null for key share;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such webhook endpoint.';
    elsif e.state <> 'enabled' then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The webhook endpoint is disabled. Enable it first.';
    end if;
    perform emit(array [row ('webhook.ping', null, 'webhook_endpoint', e.id, e.version, name,
                             jsonb_build_object('webhook_endpoint_id', e.id, 'version', e.version), '{}')::event_in]);
    return uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001', name);
end $$;

-- Sends one delivery again, whatever came of it; a new round of attempts begins.
create function webhook_delivery_again(delivery uuid) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    d webhook_delivery;
    e webhook_endpoint;
    r webhook_retry;
    last int;
begin
    select * into d from webhook_delivery t where t.id = delivery;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such delivery, or it has not been tried yet.';
    end if;
    perform 1 from webhook_endpoint_state s where s.endpoint_id = d.endpoint_id for update;
    select * into e from webhook_endpoint w where w.id = d.endpoint_id;
    if e.deleted_at is not null or e.state <> 'enabled' then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The webhook endpoint is disabled or deleted.';
    end if;
    select * into r from webhook_retry t where t.delivery_id = delivery for update;
    select max(a.n) into last from webhook_attempt a where a.delivery_id = delivery;
    if r.state = 'sending' or (r.delivery_id is null and last is null) then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'An attempt is under way.';
    end if;
    insert into webhook_retry as t (delivery_id, endpoint_id, position, account_id, attempts, base, lane, state, next_at)
    values (d.id, d.endpoint_id, d.position, d.account_id, coalesce(last, 0), coalesce(last, 0), false, 'waiting', now())
    on conflict (delivery_id) do update
        set state = 'waiting', next_at = now(), base = excluded.base,
            lane = t.lane and t.state <> 'exhausted'; -- its place in the order has passed
    update webhook_endpoint_state set next_at = null where endpoint_id = d.endpoint_id; -- somebody believes that it works now
end $$;

-- Deliveries, newest first. `before`: the last id of the page before. Events that an endpoint has not got to yet are pending, too.
create function webhook_deliveries(endpoint uuid, wanted text, before uuid, most int)
returns table (id uuid, event_id uuid, event_type text, state text, attempt_count int, next_attempt_at timestamptz,
               endpoint_id uuid, account_id uuid, created_at timestamptz, last_status int)
stable language plpgsql set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    top uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    ids uuid[] := '{}';
begin
    if wanted in ('failed', 'exhausted') then
        ids := array(select r.delivery_id from webhook_retry r
                      where r.delivery_id < top and (endpoint is null or r.endpoint_id = endpoint)
                        and case when wanted = 'exhausted' then r.state = 'exhausted' else r.state <> 'exhausted' and r.attempts > 0 end
                      order by r.delivery_id desc limit most);
    elsif wanted = 'pending' then
        ids := array(select x.id from (
                        select r.delivery_id as id from webhook_retry r
                         where r.delivery_id < top and (endpoint is null or r.endpoint_id = endpoint) and r.state <> 'exhausted' and r.attempts = 0
                        union all
                        select d.id from webhook_endpoint_state s join webhook_delivery d on d.endpoint_id = s.endpoint_id and d.id >= webhook_delivery_id(s.settled + 1, 0)
                         where d.id < top and (endpoint is null or s.endpoint_id = endpoint)
                           and not exists (select 1 from webhook_attempt a where a.delivery_id = d.id) and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)) x
                      order by x.id desc limit most);
    elsif endpoint is null then
        ids := array(select d.id from webhook_delivery d
                      where d.id < top and (wanted is null or (exists (select 1 from webhook_attempt a where a.delivery_id = d.id) and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)))
                      order by d.id desc limit most);
    else
        ids := array(select d.id from webhook_delivery d
                      where d.endpoint_id = endpoint and d.id < top
                        and (wanted is null or (exists (select 1 from webhook_attempt a where a.delivery_id = d.id) and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)))
                      order by d.id desc limit most);
    end if;
    return query
    select * from (
        select d.id, d.event_id, d.event_type,
               case when r.state = 'exhausted' then 'exhausted' when coalesce(r.attempts, 0) > 0 then 'failed' when r.delivery_id is not null or a.n is null then 'pending' else 'delivered' end as state,
               coalesce(r.attempts, a.n, 1) as attempt_count, r.next_at as next_attempt_at, d.endpoint_id, d.account_id, d.created_at, a.status as last_status
          from webhook_delivery d left join webhook_retry r on r.delivery_id = d.id
          left join lateral (select t.n, t.status from webhook_attempt t where t.delivery_id = d.id order by t.n desc limit 1) a on true
         where d.id = any (ids)
        union all
        select v.* from webhook_endpoint_state s join webhook_endpoint e on e.id = s.endpoint_id and e.deleted_at is null
          join webhook_interest i on i.endpoint_id = s.endpoint_id cross join lateral (
            select webhook_delivery_id(p.position, s.number), ev.id, ev.type, 'pending', 0, s.next_at, s.endpoint_id, ev.account_id, ev.at, null::int
              from (select w.position, w.at, w.seq from event_position w
                     where w.position > s.position and w.position <= webhook_delivery_position(top) and webhook_delivery_id(w.position, s.number) < top
                     order by w.position desc limit 20000) p
              cross join lateral (select * from event x where x.at = p.at and x.seq = p.seq limit 1) ev
             where webhook_concerns(i, ev.type, ev.record_id, ev.account_id) and not pg_visible_in_snapshot(ev.xid, s.since)
             order by p.position desc limit most) v
         where (endpoint is null or s.endpoint_id = endpoint) and (wanted is null or wanted = 'pending')) every
    order by 1 desc limit most;
end $$;
