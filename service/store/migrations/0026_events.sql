-- Events are withheld from endpoints whose owner lacks the area that they lie in, at the time of each attempt; what was never tried can be replayed; a change of an account's
-- manager is told.

-- What an endpoint's owner may read: what the role of its maker read, and where that saw only some accounts, what the owner sees of each now.
alter table webhook_endpoint add column owner_areas bigint not null default (1::bigint << 18) - 1;
alter table webhook_endpoint add column owner_sees_all boolean generated always as (owner_scope = 'all' and owner_areas = (1::bigint << 18) - 1) stored;
create function webhook_owner_areas(scope text, owner uuid, ceiling bigint, account uuid) returns bigint stable language sql as $$
    select case when scope = 'all' then ceiling
                else ceiling & coalesce((select x.areas from access_now x where x.user_id = owner and x.account_id = account), 0) end
$$;

-- withheld: the endpoint's owner lacked the area when it was to be sent.
alter table webhook_retry drop constraint webhook_retry_state_check,
    add constraint webhook_retry_state_check check (state in ('waiting', 'sending', 'parked', 'exhausted', 'withheld'));
drop index webhook_retry_lane_idx;
create index webhook_retry_lane_idx on webhook_retry (endpoint_id, account_id, position) where lane and state not in ('exhausted', 'withheld');

-- As in 0018, and it says what the owner read.
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
        -- Only the API has callers with a role; everybody else is the operator.
        new.owner_areas := case when session_user = 'kamd_app' or current_setting('kamd.areas', true) <> '' then caller_reads() else (1::bigint << 18) - 1 end;
        return new;
    elsif tg_op = 'INSERT' then
        insert into webhook_endpoint_state (endpoint_id, position, settled) select new.id, s.position, s.position from sequencer s;
    elsif (new.state = 'enabled' and old.state <> 'enabled') or new.url <> old.url then
        update webhook_endpoint_state set failures = 0, opened = 0, failing_since = null, warned_at = null, next_at = null where endpoint_id = new.id;
    end if;
    return null;
end $$;

-- As in 0018, and what the owner may not read is withheld: it becomes a delivery that is not sent.
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
    held webhook_retry[];
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
    ), judged as materialized (
        -- What was for its owner when it happened may no longer be. (An event that is gone cannot be asked; its attempt fails.)
        select due.delivery_id, r.account_id is null or e.owner_sees_all
               or coalesce(webhook_owner_areas(e.owner_scope, e.owner_user_id, e.owner_areas, r.account_id) >> ev.area & 1 = 1, ev.area is null) as fine
          from due join webhook_retry r on r.delivery_id = due.delivery_id join webhook_endpoint e on e.id = r.endpoint_id
          left join event_position p on p.position = r.position and not e.owner_sees_all
          left join lateral (select x.area from event x where x.at = p.at and x.seq = p.seq limit 1) ev on true
    ), taken as (
        update webhook_retry r
           set state = case when j.fine then 'sending' else 'withheld' end, lane = r.lane and j.fine,
               attempts = r.attempts + case when j.fine then 1 else 0 end, next_at = null
          from judged j where r.delivery_id = j.delivery_id returning r
    )
    select coalesce(array_agg(t.r) filter (where (t.r).state = 'sending'), '{}'), array_agg(t.r) filter (where (t.r).state = 'withheld') into again, held from taken t;
    if held is not null then -- what was parked behind them need not wait
        perform webhook_lanes(array(select distinct h.endpoint_id from unnest(held) h), array(select distinct h.account_id from unnest(held) h));
    end if;
    return query
    with room as materialized (
        select s.endpoint_id, s.number, s.since, s.position, i, e.ordering = 'account' as ordered, e.owner_sees_all, e.owner_scope, e.owner_user_id, e.owner_areas, least(head, s.position + 2000) as until,
               case when s.failures >= 5 then 1 when s.failures > 0 then least(4, batch) else batch end
                   - (select count(*) from unnest(again) a where a.endpoint_id = s.endpoint_id) as free
          from webhook_endpoint_state s join webhook_endpoint e on e.id = s.endpoint_id join webhook_interest i on i.endpoint_id = s.endpoint_id
         where s.endpoint_id = any (ids)
    ), fresh as materialized (
        select r.endpoint_id, webhook_delivery_id(f.at_position, r.number) as delivery_id, f.*, r.ordered and f.account_id is not null as lane,
               f.account_id is not null and not r.owner_sees_all
                   and webhook_owner_areas(r.owner_scope, r.owner_user_id, r.owner_areas, f.account_id) >> f.area & 1 = 0 as withheld
          from room r cross join lateral (
              -- The limits keep the planner to the way of the index: from the cursor on, until there is enough.
              select p.position as at_position, ev.id as event_id, ev.type as event_type, ev.at as event_at, ev.sequence, ev.traceparent, ev.data, ev.previous, ev.account_id, ev.area
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
         where f.lane and not f.withheld and exists (select 1 from webhook_retry h where h.endpoint_id = f.endpoint_id and h.account_id = f.account_id
                                     and h.lane and h.state in ('waiting', 'parked'))
    ), made as (
        insert into webhook_delivery (id, endpoint_id, position, event_id, event_type, account_id)
        select f.delivery_id, f.endpoint_id, f.at_position, f.event_id, f.event_type, f.account_id from fresh f
    ), parked as (
        insert into webhook_retry (delivery_id, endpoint_id, position, account_id, attempts, lane, state)
        select f.delivery_id, f.endpoint_id, f.at_position, f.account_id, 0, not f.withheld, case when f.withheld then 'withheld' else 'parked' end
          from fresh f where f.withheld or f.delivery_id in (select b.delivery_id from behind b)
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
      from fresh f where not f.withheld and f.delivery_id not in (select b.delivery_id from behind b)
    union all
    select a.delivery_id, a.endpoint_id, a.position, a.attempts, a.base, a.lane, a.account_id, d.event_id, d.event_type, ev.at, ev.sequence, ev.traceparent, ev.data, ev.previous
      from unnest(again) a join webhook_delivery d on d.id = a.delivery_id
      left join event_position p on p.position = a.position
      left join lateral (select * from event x where x.at = p.at and x.seq = p.seq limit 1) ev on true
    order by 3;
end $$;

-- As in 0018, with the state 'withheld'.
create or replace function webhook_deliveries(endpoint uuid, wanted text, before uuid, most int)
returns table (id uuid, event_id uuid, event_type text, state text, attempt_count int, next_attempt_at timestamptz,
               endpoint_id uuid, account_id uuid, created_at timestamptz, last_status int)
stable language plpgsql set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    top uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    ids uuid[] := '{}';
begin
    if wanted in ('failed', 'exhausted', 'withheld') then
        ids := array(select r.delivery_id from webhook_retry r
                      where r.delivery_id < top and (endpoint is null or r.endpoint_id = endpoint)
                        and case when wanted = 'failed' then r.state not in ('exhausted', 'withheld') and r.attempts > 0 else r.state = wanted end
                      order by r.delivery_id desc limit most);
    elsif wanted = 'pending' then
        ids := array(select x.id from (
                        select r.delivery_id as id from webhook_retry r
                         where r.delivery_id < top and (endpoint is null or r.endpoint_id = endpoint) and r.state not in ('exhausted', 'withheld') and r.attempts = 0
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
               case when r.state in ('exhausted', 'withheld') then r.state when coalesce(r.attempts, 0) > 0 then 'failed' when r.delivery_id is not null or a.n is null then 'pending' else 'delivered' end as state,
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
create or replace function webhook_replay_wanted(request jsonb, after uuid, most int) returns setof uuid stable language sql as $$
    select d.id from webhook_delivery d
     where d.endpoint_id = (request ->> 'webhook_endpoint_id')::uuid and (after is null or d.id > after)
       and (request ->> 'delivery_id' is null or d.id = (request ->> 'delivery_id')::uuid)
       and (request ->> 'since' is null or d.created_at >= (request ->> 'since')::timestamptz)
       and (request ->> 'until' is null or d.created_at < (request ->> 'until')::timestamptz)
       -- What is made after the request is not meant.
       and d.created_at <= (request ->> 'requested_at')::timestamptz
       and (not (request -> 'only_failed')::boolean
            or exists (select 1 from webhook_retry r where r.delivery_id = d.id and (r.state in ('exhausted', 'withheld') or r.attempts > 0)))
     order by d.id limit most
$$;
create or replace function webhook_replay(operation_id uuid, me uuid, most int) returns boolean language plpgsql security definer set search_path = public, pg_temp as $$
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
    -- Also what was never tried, as it was parked, given back or withheld; but what is being sent at this moment is not sent a second time.
    select d.id, d.endpoint_id, d.position, d.account_id, coalesce(a.n, 0), coalesce(a.n, 0), false, 'waiting', now()
      from webhook_delivery d cross join lateral (select max(x.n) as n from webhook_attempt x where x.delivery_id = d.id) a
     where d.id = any (ids) and (a.n is not null or exists (select 1 from webhook_retry r where r.delivery_id = d.id))
    on conflict (delivery_id) do update set state = 'waiting', next_at = now(), base = excluded.base, lane = t.lane and t.state not in ('exhausted', 'withheld')
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
create or replace function webhook_stats(endpoint uuid, hours int) returns jsonb stable language sql as $$
    with made as materialized (
        select d.id, d.created_at from webhook_delivery d
         where d.endpoint_id = endpoint and d.created_at > now() - make_interval(hours => hours) order by d.id desc limit 50000
    ), judged as (
        select m.id, m.created_at, case when r.state in ('exhausted', 'withheld') then r.state when coalesce(r.attempts, 0) > 0 then 'failed'
                                        when r.delivery_id is not null or not exists (select 1 from webhook_attempt a where a.delivery_id = m.id) then 'pending'
                                        else 'delivered' end as state
          from made m left join webhook_retry r on r.delivery_id = m.id
    ), tried as materialized (
        select a.started_at, a.duration_ms, a.error is null and a.status between 200 and 299 as ok, coalesce(a.error, 'http_' || a.status) as error
          from made m join webhook_attempt a on a.delivery_id = m.id
    )
    select jsonb_build_object(
               'webhook_endpoint_id', e.id, 'state', e.state, 'hours', hours,
               'deliveries', j.n, 'delivered', j.delivered, 'pending', j.pending, 'failed', j.failed, 'exhausted', j.exhausted, 'withheld', j.withheld,
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
                        count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'exhausted') as exhausted, count(*) filter (where state = 'withheld') as withheld,
                        min(created_at) filter (where state in ('pending', 'failed')) as oldest from judged) j
     cross join (select count(*) as n, count(*) filter (where ok) as ok, max(started_at) as last, max(started_at) filter (where ok) as last_ok,
                        percentile_disc(0.5) within group (order by duration_ms) as p50, percentile_disc(0.95) within group (order by duration_ms) as p95,
                        percentile_disc(0.99) within group (order by duration_ms) as p99 from tried) t
     where e.id = endpoint and e.deleted_at is null
$$;
-- As in 0005.
create or replace function webhook_delivery_again(delivery uuid) returns void language plpgsql security definer set search_path = public, pg_temp as $$
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
            lane = t.lane and t.state not in ('exhausted', 'withheld'); -- its place in the order has passed
    update webhook_endpoint_state set next_at = null where endpoint_id = d.endpoint_id; -- somebody believes that it works now
end $$;

-- As in 0018, by what the owner reads now.
create or replace function webhook_records(deliveries uuid[])
returns table (delivery_id uuid, resource text, record_id uuid, areas bigint) stable language sql security definer set search_path = public, pg_temp as $$
    select d.id, ev.resource, ev.record_id,
           case when ev.account_id is null then -1 else webhook_owner_areas(e.owner_scope, e.owner_user_id, e.owner_areas, ev.account_id) end
      from webhook_delivery d join webhook_endpoint e on e.id = d.endpoint_id and e.payload = 'full'
      join event_position p on p.position = d.position
      join event ev on ev.at = p.at and ev.seq = p.seq
     where d.id = any (deliveries)
$$;

-- An account's manager is another one: told beside account.updated, with who it was.
create function manager_told() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
begin
    select array_agg(row ('account.manager_changed', n.id, 'account', n.id, n.version, null,
               jsonb_build_object('account_id', n.id, 'account_number', n.account_number, 'name', n.name, 'version', n.version, 'manager_id', n.manager_id, 'manager_id_before', o.manager_id),
               jsonb_build_object('version', o.version, 'manager_id', o.manager_id))::event_in order by n.id)
      into evs from old_rows o join new_rows n on n.id = o.id where n.manager_id is distinct from o.manager_id;
    perform emit(evs);
    return null;
end $$;
create trigger manager_told after update on account referencing old table as old_rows new table as new_rows for each statement execute function manager_told();
