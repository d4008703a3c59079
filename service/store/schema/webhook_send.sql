-- Sending webhooks: how workers claim deliveries, write what came of them, keep the order within an account, and take
-- over from a worker that was lost.

-- Says that the worker `me` lives for so many seconds more, and holds its operations for as long. What it has claimed
-- is free for others when that time has run out.
create or replace function worker_renew(me uuid, its_name text, seconds int) returns void
language sql security definer set search_path = public, pg_temp as $$
    insert into worker as w (token, name, until) values (me, its_name, now() + make_interval(secs => seconds))
    on conflict (token) do update set until = excluded.until;
    update operation set leased_until = now() + make_interval(secs => seconds)
     where lease_token = me and status = 'running';
$$;
revoke execute on function worker_renew(uuid, text, int) from kamd_app;

-- A worker that ends gives back what it holds.
create or replace function worker_leave(me uuid) returns void
language sql security definer set search_path = public, pg_temp as $$
    update worker set until = '-infinity' where token = me;
$$;
revoke execute on function worker_leave(uuid) from kamd_app;

-- Keeps the lanes of ordered endpoints, each of one endpoint and account: while the head of a lane waits for its next
-- attempt, what is behind it is parked; once the head is delivered or given up, they are due. One head of each lane is
-- found first: row by row, the planner looked through all that wait, since it cannot know how many have just become so,
-- and what a lost worker left behind could then take longer than a claim may.
create or replace function webhook_lanes(endpoints uuid[], accounts uuid[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    with heads as materialized (
        select h.endpoint_id, h.account_id, min(h.position) as position
          from webhook_retry h
         where h.endpoint_id = any (endpoints) and h.account_id = any (accounts)
           and h.lane and h.state = 'waiting' and h.next_at > now()
         group by h.endpoint_id, h.account_id
    )
    update webhook_retry r set state = 'parked', next_at = null
      from heads h
     where r.endpoint_id = h.endpoint_id and r.account_id = h.account_id
       and r.lane and r.state = 'waiting' and r.position > h.position;
    with heads as materialized (
        select h.endpoint_id, h.account_id, min(h.position) as position
          from webhook_retry h
         where h.endpoint_id = any (endpoints) and h.account_id = any (accounts)
           and h.lane and h.state = 'waiting' and h.next_at > now()
         group by h.endpoint_id, h.account_id
    ), free as materialized (
        select r.delivery_id
          from webhook_retry r
          left join heads h on h.endpoint_id = r.endpoint_id and h.account_id = r.account_id
         where r.endpoint_id = any (endpoints) and r.account_id = any (accounts) and r.lane and r.state = 'parked'
           and (h.position is null or h.position >= r.position)
    )
    update webhook_retry r set state = 'waiting', next_at = now() from free f where r.delivery_id = f.delivery_id;
end $$;
revoke execute on function webhook_lanes(uuid[], uuid[]) from kamd_app;

-- Deliveries that a lost worker had claimed are due at once, beside the `known` ones, which are under way. The attempt
-- counts, as 'worker_lost': nobody knows whether it arrived.
create or replace function webhook_recover(endpoints uuid[], known uuid[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    accounts uuid[];
begin
    insert into webhook_retry (delivery_id, endpoint_id, position, account_id, attempts, lane, state)
    select d.id, d.endpoint_id, d.position, d.account_id, 1, e.ordering = 'account' and d.account_id is not null,
           'sending'
      from webhook_endpoint_state s
      join webhook_endpoint e on e.id = s.endpoint_id
      join webhook_delivery d on d.endpoint_id = s.endpoint_id and d.id >= webhook_delivery_id(s.settled + 1, 0)
     where s.endpoint_id = any (endpoints) and d.id <> all (known)
       and not exists (select 1 from webhook_attempt a where a.delivery_id = d.id)
    on conflict (delivery_id) do nothing;
    insert into webhook_attempt (delivery_id, n, account_id, started_at, duration_ms, error)
    select r.delivery_id, r.attempts, r.account_id, now(), 0, 'worker_lost'
      from webhook_retry r
     where r.endpoint_id = any (endpoints) and r.state = 'sending' and r.delivery_id <> all (known)
    on conflict do nothing;
    with due as (
        update webhook_retry set state = 'waiting', next_at = now()
         where endpoint_id = any (endpoints) and state = 'sending' and delivery_id <> all (known)
        returning account_id
    )
    select array_agg(distinct account_id) into accounts from due;
    perform webhook_lanes(endpoints, accounts);
end $$;
revoke execute on function webhook_recover(uuid[], uuid[]) from kamd_app;

-- For a worker that never heard of the outcome of its claim: what it may have claimed, beside the deliveries that it
-- knows of, is due at once.
create or replace function webhook_doubt(me uuid, known uuid[]) returns void
language sql security definer set search_path = public, pg_temp as $$
    select webhook_recover(
        array(select s.endpoint_id from webhook_endpoint_state s where s.owner = me for update), known);
$$;
revoke execute on function webhook_doubt(uuid, uuid[]) from kamd_app;

-- Claims for worker `me` at most `most` endpoints that nobody alive is sending to, or that are its own and not `busy`,
-- least recently served first, and makes due what the worker of a lost endpoint had claimed. `head` is the end of the
-- log. Null: there are no such endpoints.
create or replace function webhook_claim_endpoints(me uuid, busy uuid[], most int, head bigint) returns uuid[]
language plpgsql as $$
declare
    ids uuid[];
    lost uuid[]; -- endpoints whose worker does not live any more
begin
    select array_agg(c.endpoint_id), array_agg(c.endpoint_id) filter (where c.owner <> me) into ids, lost
      from (select s.endpoint_id, s.owner
              from webhook_endpoint_state s
              join webhook_endpoint e on e.id = s.endpoint_id
             where e.state = 'enabled' and e.deleted_at is null and s.endpoint_id <> all (busy)
               and (s.next_at is null or s.next_at <= now())
               and (s.owner is null or s.owner = me
                    or not exists (select 1 from worker w where w.token = s.owner and w.until > now()))
               and (s.position < head or s.owner <> me
                    or exists (select 1 from webhook_retry r
                                where r.endpoint_id = s.endpoint_id and r.state = 'waiting' and r.next_at <= now()))
             order by s.claimed_at nulls first limit most for update of s skip locked) c;
    if lost is not null then
        perform webhook_recover(lost, '{}');
    end if;
    return ids;
end $$;
revoke execute on function webhook_claim_endpoints(uuid, uuid[], int, bigint) from kamd_app;

-- How many deliveries of an endpoint are claimed at a time, by its failures in a row: `batch`; little where it is
-- failing, one where its breaker is half open.
create or replace function webhook_room(failures int, batch int) returns int
immutable parallel safe language sql as
$$ select case when failures >= 5 then 1 when failures > 0 then least(4, batch) else batch end $$;

-- Claims what is due again of these endpoints. What the owner read when it happened, but does not read now, is withheld
-- instead, and so is not among what is returned. (An event that is gone cannot be asked; its attempt fails.)
create or replace function webhook_claim_again(ids uuid[], batch int) returns webhook_retry[]
language plpgsql as $$
declare
    again webhook_retry[];
    held webhook_retry[];
begin
    with due as (
        select d.delivery_id
          from webhook_endpoint_state s
         cross join lateral (
             select r.delivery_id from webhook_retry r
              where r.endpoint_id = s.endpoint_id and r.state = 'waiting' and r.next_at <= now()
              order by r.position
              limit webhook_room(s.failures, batch)) d
         where s.endpoint_id = any (ids)
    ), judged as materialized (
        select due.delivery_id, r.account_id is null or e.owner_sees_all
               or coalesce(webhook_owner_areas(e.owner_scope, e.owner_user_id, e.owner_areas, r.account_id)
                               >> ev.area & 1 = 1, ev.area is null) as fine
          from due
          join webhook_retry r on r.delivery_id = due.delivery_id
          join webhook_endpoint e on e.id = r.endpoint_id
          left join event_position p on p.position = r.position and not e.owner_sees_all
          left join lateral (select x.area from event x where x.at = p.at and x.seq = p.seq limit 1) ev on true
    ), taken as (
        update webhook_retry r
           set state = case when j.fine then 'sending' else 'withheld' end, lane = r.lane and j.fine,
               attempts = r.attempts + case when j.fine then 1 else 0 end, next_at = null
          from judged j
         where r.delivery_id = j.delivery_id
        returning r
    )
    select coalesce(array_agg(t.r) filter (where (t.r).state = 'sending'), '{}'),
           array_agg(t.r) filter (where (t.r).state = 'withheld')
      into again, held from taken t;
    if held is not null then -- deliveries that were parked behind those withheld need not wait
        perform webhook_lanes(array(select distinct h.endpoint_id from unnest(held) h),
                              array(select distinct h.account_id from unnest(held) h));
    end if;
    return again;
end $$;
revoke execute on function webhook_claim_again(uuid[], int) from kamd_app;

-- The endpoints that new events are claimed for: how far each goes in the log this time, and how many deliveries it has
-- room for beside those that are claimed `again`. One query without settings or rights of its own, so that the planner
-- puts it in the place of the call; so are webhook_events_next() and webhook_event_for().
create or replace function webhook_claim_rooms(ids uuid[], batch int, again webhook_retry[], head bigint)
returns table (s webhook_endpoint_state, e webhook_endpoint, i webhook_interest, until bigint, free bigint)
stable language sql as $$
    select s, e, i,
           coalesce((select w.position from event_position w where w.position > s.position
                      order by w.position offset 1999 limit 1), head),
           webhook_room(s.failures, batch) - (select count(*) from unnest(again) a where a.endpoint_id = s.endpoint_id)
      from webhook_endpoint_state s
      join webhook_endpoint e on e.id = s.endpoint_id
      join webhook_interest i on i.endpoint_id = s.endpoint_id
     where s.endpoint_id = any (ids)
$$;

-- The next events for an endpoint, from its place in the log on and up to `until`, `most` at most. The limits have the
-- planner go along the index: from the place on, until there is enough.
create or replace function webhook_events_next(
    s webhook_endpoint_state, i webhook_interest, until bigint, most bigint)
returns table (at_position bigint, event_id uuid, event_type text, event_at timestamptz, sequence bigint,
               traceparent text, data jsonb, previous jsonb, account_id uuid, area smallint)
stable language sql as $$
    select p.position, ev.id, ev.type, ev.at, ev.sequence, ev.traceparent, ev.data, ev.previous, ev.account_id, ev.area
      from (select w.position, w.at, w.seq from event_position w
             where w.position > s.position and w.position <= until order by w.position limit 2000) p
     cross join lateral webhook_event_for(s, i, p.at, p.seq) ev
     order by p.position limit greatest(most, 0)
$$;

-- Claims new events for these endpoints, as far as there is room beside what is claimed `again`, and moves the
-- endpoints on in the log up to `head`. What the owner may not read is withheld: it becomes a delivery that is not
-- sent. What waits behind an earlier delivery of its lane is parked.
create or replace function webhook_claim_new(me uuid, ids uuid[], batch int, again webhook_retry[], head bigint)
returns table (delivery_id uuid, endpoint_id uuid, at_position bigint, n int, base int, lane boolean, account_id uuid,
               event_id uuid, event_type text, event_at timestamptz, sequence bigint, traceparent text,
               data jsonb, previous jsonb)
language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with room as materialized (
        select * from webhook_claim_rooms(ids, batch, again, head)
    ), fresh as materialized (
        select (r.s).endpoint_id, webhook_delivery_id(f.at_position, (r.s).number) as delivery_id, f.*,
               (r.e).ordering = 'account' and f.account_id is not null as lane,
               f.account_id is not null and not (r.e).owner_sees_all
                   and webhook_owner_areas((r.e).owner_scope, (r.e).owner_user_id, (r.e).owner_areas, f.account_id)
                           >> f.area & 1 = 0 as withheld
          from room r
         cross join lateral webhook_events_next(r.s, r.i, r.until, r.free) f
    ), behind as materialized (
        select f.delivery_id from fresh f
         where f.lane and not f.withheld
           and exists (select 1 from webhook_retry h
                        where h.endpoint_id = f.endpoint_id and h.account_id = f.account_id
                          and h.lane and h.state in ('waiting', 'parked'))
    ), made as (
        insert into webhook_delivery (id, endpoint_id, position, event_id, event_type, account_id)
        select f.delivery_id, f.endpoint_id, f.at_position, f.event_id, f.event_type, f.account_id from fresh f
    ), parked as (
        insert into webhook_retry (delivery_id, endpoint_id, position, account_id, attempts, lane, state)
        select f.delivery_id, f.endpoint_id, f.at_position, f.account_id, 0, not f.withheld,
               case when f.withheld then 'withheld' else 'parked' end
          from fresh f
         where f.withheld or f.delivery_id in (select b.delivery_id from behind b)
    ), counted as (
        select (r.s).endpoint_id, r.free, r.until,
               (select count(*) from fresh f where f.endpoint_id = (r.s).endpoint_id) as found,
               (select max(f.at_position) from fresh f where f.endpoint_id = (r.s).endpoint_id) as last
          from room r
    ), moved as (
        update webhook_endpoint_state s
           set position = case when c.free <= 0 then s.position
                               when c.found >= c.free then c.last
                               else c.until end,
               settled = case when s.owner = me then s.settled else s.position end, claimed_at = now(),
               owner = case when s.owner = me or c.found > 0
                              or exists (select 1 from unnest(again) a where a.endpoint_id = s.endpoint_id) then me end
          from counted c
         where s.endpoint_id = c.endpoint_id
    )
    select f.delivery_id, f.endpoint_id, f.at_position, 1, 0, f.lane, f.account_id, f.event_id, f.event_type,
           f.event_at, f.sequence, f.traceparent, f.data, f.previous
      from fresh f
     where not f.withheld and f.delivery_id not in (select b.delivery_id from behind b);
end $$;
revoke execute on function webhook_claim_new(uuid, uuid[], int, webhook_retry[], bigint) from kamd_app;

-- Claims work for worker `me`: at most `most` endpoints that are not `busy`, and `batch` deliveries of each: what is
-- due again, then new events. The endpoints claimed from have claimed_at = now(). Gaps of the log are passed over.
create or replace function webhook_claim(me uuid, busy uuid[], batch int, most int)
returns table (delivery_id uuid, endpoint_id uuid, at_position bigint, n int, base int, lane boolean, account_id uuid,
               event_id uuid, event_type text, event_at timestamptz, sequence bigint, traceparent text,
               data jsonb, previous jsonb)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    head bigint := (select s.position from sequencer s);
    ids uuid[] := webhook_claim_endpoints(me, busy, most, head);
    again webhook_retry[];
begin
    if ids is null then
        return;
    end if;
    again := webhook_claim_again(ids, batch);
    return query
    select * from webhook_claim_new(me, ids, batch, again, head)
    union all
    select a.delivery_id, a.endpoint_id, a.position, a.attempts, a.base, a.lane, a.account_id, d.event_id, d.event_type,
           ev.at, ev.sequence, ev.traceparent, ev.data, ev.previous
      from unnest(again) a
      join webhook_delivery d on d.id = a.delivery_id
      left join event_position p on p.position = a.position
      left join lateral (select * from event x where x.at = p.at and x.seq = p.seq limit 1) ev on true
    order by 3;
end $$;
revoke execute on function webhook_claim(uuid, uuid[], int, int) from kamd_app;

-- Writes the attempts on deliveries of the endpoints `mine`, and what waits for another one; then keeps the lanes.
create or replace function webhook_settle_results(mine uuid[], results webhook_result[]) returns void
language plpgsql as $$
begin
    insert into webhook_attempt
           (delivery_id, n, account_id, started_at, duration_ms, status, error, address, response_excerpt)
    select r.delivery_id, r.n, r.account_id, now() - make_interval(secs => r.ago_us / 1e6), r.duration_ms, r.status,
           r.error, r.address, r.response_excerpt
      from unnest(results) r
     where r.endpoint_id = any (mine) and r.outcome <> 'returned'
    on conflict do nothing;
    delete from webhook_retry t
     using unnest(results) r
     where r.endpoint_id = any (mine) and r.outcome = 'delivered' and t.delivery_id = r.delivery_id;
    insert into webhook_retry as t
           (delivery_id, endpoint_id, position, account_id, attempts, base, lane, state, next_at)
    select r.delivery_id, r.endpoint_id, r.at_position, r.account_id,
           case when r.outcome = 'returned' then r.n - 1 else r.n end, r.base, r.lane,
           case when r.outcome = 'exhausted' then 'exhausted' else 'waiting' end,
           case when r.outcome = 'exhausted' then null else now() + make_interval(secs => r.pause_ms / 1e3) end
      from unnest(results) r
     where r.endpoint_id = any (mine) and r.outcome <> 'delivered'
    on conflict (delivery_id) do update
        set attempts = excluded.attempts, state = excluded.state, next_at = excluded.next_at;
    perform webhook_lanes(array_agg(distinct r.endpoint_id), array_agg(distinct r.account_id))
       from unnest(results) r
      where r.endpoint_id = any (mine) and r.lane
     having count(*) > 0;
end $$;
revoke execute on function webhook_settle_results(uuid[], webhook_result[]) from kamd_app;

-- Disables those of the endpoints `mine` of which every attempt has failed for five days, or whose receiver says that
-- it is gone, and tells the owner; a warning comes at half of that time.
create or replace function webhook_give_up(mine uuid[], endpoints webhook_endpoint_result[]) returns void
language plpgsql as $$
declare
    news event_in[];
begin
    with closed as (
        update webhook_endpoint w
           set state = 'disabled', version = w.version + 1, updated_at = now(),
               disabled_reason = coalesce(e.gone, 'Every attempt has failed for five days.')
          from unnest(endpoints) e
          join webhook_endpoint_state s on s.endpoint_id = e.endpoint_id
         where w.id = e.endpoint_id and w.id = any (mine) and w.state = 'enabled'
           and (e.gone is not null or (e.failures > 0 and s.failing_since < now() - webhook_patience()))
        returning w, s.failing_since
    ), warned as (
        update webhook_endpoint_state s set warned_at = now()
          from unnest(endpoints) e
          join webhook_endpoint w on w.id = e.endpoint_id
         where s.endpoint_id = e.endpoint_id and s.endpoint_id = any (mine) and e.failures > 0 and e.gone is null
           and s.warned_at is null and s.failing_since < now() - webhook_patience() / 2
           and s.failing_since >= now() - webhook_patience() and w.state = 'enabled'
        returning w, s.failing_since
    ), told as (
        select webhook_tell('webhook.disabled', c.w, c.failing_since) as t from closed c
        union all
        select webhook_tell('webhook.failing', x.w, x.failing_since) from warned x
    )
    select array_agg(t) into news from told;
    perform event_write(news);
end $$;
revoke execute on function webhook_give_up(uuid[], webhook_endpoint_result[]) from kamd_app;

-- Writes what came out, for the endpoints that `me` still owns; returns those that it must let go: taken over by
-- another, disabled, or deleted.
create or replace function webhook_settle(me uuid, results webhook_result[], endpoints webhook_endpoint_result[])
returns setof uuid
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    mine uuid[];
begin
    select array_agg(s.endpoint_id) into mine
      from (select s.endpoint_id
              from webhook_endpoint_state s
             where s.owner = me and s.endpoint_id in (select e.endpoint_id from unnest(endpoints) e)
             order by s.endpoint_id for update) s;
    perform webhook_settle_results(mine, results);
    update webhook_endpoint_state s
       set settled = greatest(s.settled, coalesce(e.settled, s.position)), failures = e.failures, opened = e.opened,
           failing_since = case when e.failures > 0 then coalesce(s.failing_since, now()) end,
           warned_at = case when e.failures > 0 then s.warned_at end,
           next_at = case when e.pause_ms is not null then now() + make_interval(secs => e.pause_ms / 1e3)
                          when e.failures = 0 then null
                          else s.next_at end,
           owner = case when e.release then null else s.owner end
      from unnest(endpoints) e
     where s.endpoint_id = e.endpoint_id and s.endpoint_id = any (mine);
    perform webhook_give_up(mine, endpoints);
    return query
    select e.endpoint_id
      from unnest(endpoints) e
      join webhook_endpoint w on w.id = e.endpoint_id
     where not e.release
       and (mine is null or e.endpoint_id <> all (mine) or w.state <> 'enabled' or w.deleted_at is not null);
end $$;
revoke execute on function webhook_settle(uuid, webhook_result[], webhook_endpoint_result[]) from kamd_app;
