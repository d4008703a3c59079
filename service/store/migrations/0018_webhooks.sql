-- Webhooks: what an endpoint may choose beside types and accounts, keys for signatures that anybody can verify, and warnings before one is disabled.

alter table webhook_endpoint
    add column account_tiers text[] not null default '{}',        -- none: all
    add column account_key_statuses text[] not null default '{}', -- none: all
    add column changed_fields text[] not null default '{}',       -- none: all; of events that name what changed
    add column headers jsonb not null default '[]',
    drop constraint webhook_endpoint_payload_check,
    add constraint webhook_endpoint_payload_check check (payload in ('thin', 'full'));

create or replace view webhook_interest with (security_invoker = true) as
select e.id as endpoint_id, e.event_types as types, cardinality(e.event_types) = 0 or '*' = any (e.event_types) as every_type,
       array(select replace(left(t, -1), '_', '\_') || '%' from unnest(e.event_types) t where right(t, 2) = '.*') as prefixes,
       e.account_ids::uuid[] as accounts,
       case when e.owner_scope <> 'all' then array(select a.account_id from acl a where a.user_id = e.owner_user_id
                                                      and a.visible_from <= now() and a.visible_until > now()) end as visible,
       e.changed_fields, e.account_tiers as tiers, e.account_key_statuses as statuses,
       cardinality(e.account_tiers) + cardinality(e.account_key_statuses) > 0 as by_standing
  from webhook_endpoint e;
-- As webhook_concerns(), and by what changed; one expression, too. Whether the account stands as it should is asked where this is called: a sub-select
-- would keep the planner from putting the expression there.
create function webhook_wants(i webhook_interest, type text, record_id uuid, account_id uuid, data jsonb) returns boolean immutable language sql as $$
    select case when type = 'webhook.ping' then record_id = i.endpoint_id
                else (i.every_type or type = any (i.types) or type like any (i.prefixes))
                     and (cardinality(i.accounts) = 0 or account_id = any (i.accounts))
                     and (i.visible is null or account_id is null or account_id = any (i.visible))
                     and (cardinality(i.changed_fields) = 0 or not data ? 'changed_fields' or data -> 'changed_fields' ?| i.changed_fields) end
$$;

-- Claims work for worker `me`: at most `most` endpoints that nobody alive is sending to (or that are its own and not `busy`), least recently served first, and `batch`
-- deliveries of each: what is due again, then new events. An endpoint that is failing gets little; one whose breaker is half open gets one.
-- The endpoints claimed from have claimed_at = now().
create or replace function webhook_claim(me uuid, busy uuid[], batch int, most int)
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
               where webhook_wants(r.i, ev.type, ev.record_id, ev.account_id, ev.data) and not pg_visible_in_snapshot(ev.xid, r.since)
               and (not (r.i).by_standing or ev.type = 'webhook.ping'
                    or exists (select 1 from standing st where st.account_id = ev.account_id
                                  and (cardinality((r.i).tiers) = 0 or st.tier = any ((r.i).tiers))
                                  and (cardinality((r.i).statuses) = 0 or st.key_status = any ((r.i).statuses))))
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

-- Deliveries, newest first. `before`: the last id of the page before. Events that an endpoint has not got to yet are pending, too.
create or replace function webhook_deliveries(endpoint uuid, wanted text, before uuid, most int)
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
             where webhook_wants(i, ev.type, ev.record_id, ev.account_id, ev.data) and not pg_visible_in_snapshot(ev.xid, s.since)
               and (not (i).by_standing or ev.type = 'webhook.ping'
                    or exists (select 1 from standing st where st.account_id = ev.account_id
                                  and (cardinality((i).tiers) = 0 or st.tier = any ((i).tiers))
                                  and (cardinality((i).statuses) = 0 or st.key_status = any ((i).statuses))))
             order by p.position desc limit most) v
         where (endpoint is null or s.endpoint_id = endpoint) and (wanted is null or wanted = 'pending')) every
    order by 1 desc limit most;
end $$;
drop function webhook_concerns(webhook_interest, text, uuid, uuid);

-- The records that the deliveries just claimed for endpoints with payload 'full' tell of, and the areas of them that the endpoint's owner has (a bit mask; 0: none).
create function webhook_records(deliveries uuid[])
returns table (delivery_id uuid, resource text, record_id uuid, areas bigint) stable language sql security definer set search_path = public, pg_temp as $$
    select d.id, ev.resource, ev.record_id,
           case when e.owner_scope = 'all' or ev.account_id is null then -1
                else coalesce((select bit_or(a.areas) from acl a where a.user_id = e.owner_user_id and a.account_id = ev.account_id
                                  and a.visible_from <= now() and a.visible_until > now()), 0) end
      from webhook_delivery d join webhook_endpoint e on e.id = d.endpoint_id and e.payload = 'full'
      join event_position p on p.position = d.position
      join event ev on ev.at = p.at and ev.seq = p.seq
     where d.id = any (deliveries)
$$;
revoke execute on function webhook_records(uuid[]) from kamd_app;

-- The keys of signatures v1a, by number: the bytes follow from the master key, so there is nothing to keep secret here. Several are live while one is being replaced.
create table webhook_key (
    number int primary key check (number > 0), created_at timestamptz not null default now(), expires_at timestamptz
);
insert into webhook_key (number) values (1);

create function webhook_key_rotate(grace_seconds int) returns setof webhook_key language plpgsql as $$
begin
    lock table webhook_key in share row exclusive mode;
    if (select count(*) from webhook_key k where k.expires_at is null or k.expires_at > now()) >= 10 then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'There are 10 live keys. Wait until one expires.';
    end if;
    update webhook_key k set expires_at = now() + make_interval(secs => grace_seconds)
     where k.expires_at is null or k.expires_at > now() + make_interval(secs => grace_seconds);
    return query insert into webhook_key (number) select max(k.number) + 1 from webhook_key k returning *;
end $$;

-- Ten secrets of an endpoint are live at most: so many signatures fit into a message.
create function webhook_secret_bound() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform 1 from webhook_endpoint e where e.id = new.endpoint_id for no key update;
    if (select count(*) from webhook_secret s where s.endpoint_id = new.endpoint_id and (s.expires_at is null or s.expires_at > now())) >= 10 then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'There are 10 live secrets. Wait until one expires, or rotate with a shorter grace.';
    end if;
    return new;
end $$;
create trigger webhook_secret_bound before insert on webhook_secret for each row execute function webhook_secret_bound();

-- An endpoint of which every attempt fails: its owner is warned at half of the time, and told when it is disabled.
alter table webhook_endpoint_state add column warned_at timestamptz;
create function webhook_tell(event_type text, e webhook_endpoint, failing_since timestamptz) returns event_in stable language sql as $$
    select row (event_type, null, 'webhook_endpoint', e.id, e.version, event_type || ':' || e.id || ':' || coalesce(extract(epoch from failing_since), 0) || ':' || e.version,
                jsonb_build_object('webhook_endpoint_id', e.id, 'version', e.version, 'reason', e.disabled_reason,
                                   'failing_since', utc_text(failing_since), 'disable_at', utc_text(failing_since + interval '5 days')), '{}')::event_in
$$;
-- Writes what came out, for the endpoints that `me` still owns; returns those that it must let go: taken over by another, disabled, or deleted.
create or replace function webhook_settle(me uuid, results webhook_result[], endpoints webhook_endpoint_result[]) returns setof uuid
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    mine uuid[];
    news event_in[];
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
           warned_at = case when e.failures > 0 then s.warned_at end,
           next_at = case when e.pause_ms is not null then now() + make_interval(secs => e.pause_ms / 1e3) when e.failures = 0 then null else s.next_at end,
           owner = case when e.release then null else s.owner end
      from unnest(endpoints) e where s.endpoint_id = e.endpoint_id and s.endpoint_id = any (mine);
    with closed as (
        update webhook_endpoint w
           set state = 'disabled', version = w.version + 1, updated_at = now(),
               disabled_reason = coalesce(e.gone, 'Every attempt has failed for five days.')
          from unnest(endpoints) e join webhook_endpoint_state s on s.endpoint_id = e.endpoint_id
         where w.id = e.endpoint_id and w.id = any (mine) and w.state = 'enabled'
           and (e.gone is not null or (e.failures > 0 and s.failing_since < now() - interval '5 days'))
        returning w, s.failing_since
    ), warned as (
        update webhook_endpoint_state s set warned_at = now()
          from unnest(endpoints) e join webhook_endpoint w on w.id = e.endpoint_id
         where s.endpoint_id = e.endpoint_id and s.endpoint_id = any (mine) and e.failures > 0 and e.gone is null and s.warned_at is null
           and s.failing_since < now() - interval '2.5 days' and s.failing_since >= now() - interval '5 days' and w.state = 'enabled'
        returning w, s.failing_since
    ), told as (
        select webhook_tell('webhook.disabled', c.w, c.failing_since) as t from closed c
        union all select webhook_tell('webhook.failing', x.w, x.failing_since) from warned x
    )
    select array_agg(t) into news from told;
    perform emit(news);
    return query
    select e.endpoint_id from unnest(endpoints) e join webhook_endpoint w on w.id = e.endpoint_id
     where not e.release and (mine is null or e.endpoint_id <> all (mine) or w.state <> 'enabled' or w.deleted_at is not null);
end $$;

create or replace function webhook_endpoint_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
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
        update webhook_endpoint_state set failures = 0, opened = 0, failing_since = null, warned_at = null, next_at = null where endpoint_id = new.id;
    end if;
    return null;
end $$;

-- Sending again what was sent: one delivery, or those made in a span of time, or of these only the ones that have not arrived. Goes in parts, each of one transaction
-- that is the operation's only while its worker has the lease; how far it is stands in the operation's result, so that another one can go on from there.
create function webhook_replay_wanted(request jsonb, after uuid, most int) returns setof uuid stable language sql as $$
    select d.id from webhook_delivery d
     where d.endpoint_id = (request ->> 'webhook_endpoint_id')::uuid and (after is null or d.id > after)
       and (request ->> 'delivery_id' is null or d.id = (request ->> 'delivery_id')::uuid)
       and (request ->> 'since' is null or d.created_at >= (request ->> 'since')::timestamptz)
       and (request ->> 'until' is null or d.created_at < (request ->> 'until')::timestamptz)
       -- What is made after the request is not meant.
       and d.created_at <= (request ->> 'requested_at')::timestamptz
       and (not (request -> 'only_failed')::boolean
            or exists (select 1 from webhook_retry r where r.delivery_id = d.id and (r.state = 'exhausted' or r.attempts > 0)))
     order by d.id limit most
$$;
create function webhook_replay(operation_id uuid, me uuid, most int) returns boolean language plpgsql security definer set search_path = public, pg_temp as $$
declare
    o operation;
    endpoint uuid;
    before jsonb;
    ids uuid[];
    total bigint;
    sent int;
begin
    select * into o from operation t where t.id = operation_id and t.lease_token = me and t.status = 'running' for update;
    if not found then
        return false;
    end if;
    endpoint := (o.request ->> 'webhook_endpoint_id')::uuid;
    before := coalesce(o.result, '{"deliveries": 0, "replayed": 0}');
    perform 1 from webhook_endpoint_state s where s.endpoint_id = endpoint for update;
    if not exists (select 1 from webhook_endpoint e where e.id = endpoint and e.state = 'enabled' and e.deleted_at is null) then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The webhook endpoint is disabled or deleted.';
    end if;
    if o.result is null then
        select count(*) into total from webhook_replay_wanted(o.request, null, null);
    else
        total := (before ->> 'total')::bigint;
    end if;
    select array_agg(w) into ids from webhook_replay_wanted(o.request, (before ->> 'last_delivery_id')::uuid, most) w;
    insert into webhook_retry as t (delivery_id, endpoint_id, position, account_id, attempts, base, lane, state, next_at)
    select d.id, d.endpoint_id, d.position, d.account_id, a.n, a.n, false, 'waiting', now()
      from webhook_delivery d cross join lateral (select max(x.n) as n from webhook_attempt x where x.delivery_id = d.id) a
     where d.id = any (ids) and a.n is not null
    on conflict (delivery_id) do update set state = 'waiting', next_at = now(), base = excluded.base, lane = t.lane and t.state <> 'exhausted'
     where t.state <> 'sending';
    get diagnostics sent = row_count;
    update webhook_endpoint_state set next_at = null where endpoint_id = endpoint;
    update operation t
       set updated_at = now(), progress_total = total, progress_done = (before ->> 'deliveries')::bigint + coalesce(cardinality(ids), 0),
           result = jsonb_build_object('total', total, 'deliveries', (before ->> 'deliveries')::bigint + coalesce(cardinality(ids), 0),
                                       'replayed', (before ->> 'replayed')::bigint + sent, 'last_delivery_id', coalesce(ids[cardinality(ids)]::text, before ->> 'last_delivery_id')),
           status = case when coalesce(cardinality(ids), 0) < most then 'succeeded' else 'running' end,
           leased_until = case when coalesce(cardinality(ids), 0) < most then null else t.leased_until end
     where t.id = operation_id;
    return coalesce(cardinality(ids), 0) >= most;
end $$;
revoke execute on function webhook_replay(uuid, uuid, int) from kamd_app;

-- How it goes at one endpoint: of the newest 50,000 deliveries of so many hours.
create function webhook_stats(endpoint uuid, hours int) returns jsonb stable language sql as $$
    with made as materialized (
        select d.id, d.created_at from webhook_delivery d
         where d.endpoint_id = endpoint and d.created_at > now() - make_interval(hours => hours) order by d.id desc limit 50000
    ), judged as (
        select m.id, m.created_at, case when r.state = 'exhausted' then 'exhausted' when coalesce(r.attempts, 0) > 0 then 'failed'
                                        when r.delivery_id is not null or not exists (select 1 from webhook_attempt a where a.delivery_id = m.id) then 'pending'
                                        else 'delivered' end as state
          from made m left join webhook_retry r on r.delivery_id = m.id
    ), tried as materialized (
        select a.started_at, a.duration_ms, a.error is null and a.status between 200 and 299 as ok, coalesce(a.error, 'http_' || a.status) as error
          from made m join webhook_attempt a on a.delivery_id = m.id
    )
    select jsonb_build_object(
               'webhook_endpoint_id', e.id, 'state', e.state, 'hours', hours,
               'deliveries', j.n, 'delivered', j.delivered, 'pending', j.pending, 'failed', j.failed, 'exhausted', j.exhausted,
               'oldest_undelivered_at', utc_text(j.oldest),
               'attempts', t.n, 'attempts_failed', t.n - t.ok, 'success_share', round(t.ok::numeric / nullif(t.n, 0), 6),
               'duration_ms_p50', t.p50, 'duration_ms_p95', t.p95, 'duration_ms_p99', t.p99,
               'last_attempt_at', utc_text(t.last), 'last_success_at', utc_text(t.last_ok),
               'errors', coalesce((select jsonb_agg(jsonb_build_object('error', x.error, 'attempts', x.n) order by x.n desc, x.error)
                                     from (select y.error, count(*) as n from tried y where not y.ok group by y.error order by 2 desc limit 20) x), '[]'),
               'consecutive_failures', s.failures, 'failing_since', utc_text(s.failing_since),
               'disable_at', utc_text(s.failing_since + interval '5 days'),
               'breaker', case when s.failures < 5 and s.next_at is null then 'closed' when s.next_at > now() then 'open' when s.failures >= 5 then 'half_open' else 'closed' end,
               'breaker_until', utc_text(case when s.next_at > now() then s.next_at end),
               'events_behind', q.position - s.position)
      from webhook_endpoint e join webhook_endpoint_state s on s.endpoint_id = e.id cross join sequencer q
     cross join (select count(*) as n, count(*) filter (where state = 'delivered') as delivered, count(*) filter (where state = 'pending') as pending,
                        count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'exhausted') as exhausted,
                        min(created_at) filter (where state in ('pending', 'failed')) as oldest from judged) j
     cross join (select count(*) as n, count(*) filter (where ok) as ok, max(started_at) as last, max(started_at) filter (where ok) as last_ok,
                        percentile_disc(0.5) within group (order by duration_ms) as p50, percentile_disc(0.95) within group (order by duration_ms) as p95,
                        percentile_disc(0.99) within group (order by duration_ms) as p99 from tried) t
     where e.id = endpoint and e.deleted_at is null
$$;
