-- Another database than before: after a restore, a move or a failover, what kamd keeps of transaction ids means
-- nothing, or not what it meant. Once that is seen, it is based anew: nothing is lost, and nothing is sequenced twice.
-- min-binary: 29

-- Each time that kamd found itself elsewhere. Positions begin anew far behind those before: what was given out for
-- events that the new database does not have is never given to others.
create table database_change (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    was text not null, became text not null,
    from_position bigint not null, -- the last one before
    to_position bigint not null    -- none in between was ever given, or the event is gone
);
revoke insert, update on database_change from kamd_app, kamd_worker;

-- Which database this is: the cluster, its timeline (another one after a promotion or a recovery to a point in time),
-- and the database in it. Where a provider forbids to ask for one of them, the others must do; see sequence_events().
create function database_identity() returns text language plpgsql security definer
set search_path = public, pg_temp as $$
declare
    cluster text := '?';
    timeline text := '?';
begin
    begin
        cluster := (select c.system_identifier from pg_control_system() c);
    exception when others then
    end;
    begin
        timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    exception when others then
    end;
    return cluster || '/' || timeline || '/' || (select d.oid from pg_database d where d.datname = current_database());
end $$;
revoke execute on function database_identity() from kamd_app;

alter table sequencer
    add column database text not null default '',
    add column first_seq bigint not null default 0; -- events up to here are of another database: their xid says nothing
-- A log whose ids are ahead of ours was restored into this database before it could notice.
update sequencer set database = database_identity(),
       first_seq = coalesce((select max(e.seq) from event e where e.xid >= pg_snapshot_xmax(pg_current_snapshot())), 0);

-- Begins anew after the database was found to be another one. What was committed without a position gets one now,
-- wherever it was written: `seq` goes on in a restored database, and the ids of the one before are compared only with
-- each other. Returns how many.
create function sequence_anew(before sequencer, here text) returns int language plpgsql security definer
set search_path = public, pg_temp as $$
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

-- As in 0002, and it looks where it is. Ids never go back in one database: where no identity can be had, that tells.
create or replace function sequence_events() returns int language plpgsql security definer
set search_path = public, pg_temp as $$
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

-- ---- where positions leap ----

-- How many positions after this one were never given.
create function log_gaps(after bigint) returns bigint stable language sql as $$
    select coalesce(sum(c.to_position - c.from_position), 0)::bigint
      from database_change c where c.from_position >= after
$$;
-- The same place in the log; not in a gap, but behind it.
create function log_place(after bigint) returns bigint stable language sql as $$
    select coalesce((select max(c.to_position) from database_change c
                      where after >= c.from_position and after < c.to_position), after)
$$;
-- As in 0027, by the first position there is from the middle on.
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

-- ---- webhooks ----

-- Which events are for an endpoint: those that were written after it was made, by their place in the log; of those
-- before, only what was not committed yet then. `since` is compared with nothing else, so it is never one of another
-- database. Those that there are have long passed that.
alter table webhook_endpoint_state
    add column since_seq bigint not null default 0,
    alter column since_seq set default nextval('event_seq_seq');

-- As in 0026, with that, and over gaps.
create or replace function webhook_claim(me uuid, busy uuid[], batch int, most int)
returns table (delivery_id uuid, endpoint_id uuid, at_position bigint, n int, base int, lane boolean, account_id uuid,
               event_id uuid, event_type text, event_at timestamptz, sequence bigint, traceparent text,
               data jsonb, previous jsonb)
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
               and (s.owner is null or s.owner = me
                    or not exists (select 1 from worker w where w.token = s.owner and w.until > now()))
               and (s.position < head or s.owner <> me
                    or exists (select 1 from webhook_retry r
                                where r.endpoint_id = s.endpoint_id and r.state = 'waiting' and r.next_at <= now()))
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
        -- What was for its owner when it happened may no longer be. (An event that is gone cannot be asked; its
        -- attempt fails.)
        select due.delivery_id, r.account_id is null or e.owner_sees_all
               or coalesce(webhook_owner_areas(e.owner_scope, e.owner_user_id, e.owner_areas, r.account_id)
                               >> ev.area & 1 = 1, ev.area is null) as fine
          from due join webhook_retry r on r.delivery_id = due.delivery_id
          join webhook_endpoint e on e.id = r.endpoint_id
          left join event_position p on p.position = r.position and not e.owner_sees_all
          left join lateral (select x.area from event x where x.at = p.at and x.seq = p.seq limit 1) ev on true
    ), taken as (
        update webhook_retry r
           set state = case when j.fine then 'sending' else 'withheld' end, lane = r.lane and j.fine,
               attempts = r.attempts + case when j.fine then 1 else 0 end, next_at = null
          from judged j where r.delivery_id = j.delivery_id returning r
    )
    select coalesce(array_agg(t.r) filter (where (t.r).state = 'sending'), '{}'),
           array_agg(t.r) filter (where (t.r).state = 'withheld')
      into again, held from taken t;
    if held is not null then -- what was parked behind them need not wait
        perform webhook_lanes(array(select distinct h.endpoint_id from unnest(held) h),
                              array(select distinct h.account_id from unnest(held) h));
    end if;
    return query
    with room as materialized (
        select s.endpoint_id, s.number, s.since, s.since_seq, s.position, i, e.ordering = 'account' as ordered,
               e.owner_sees_all, e.owner_scope, e.owner_user_id, e.owner_areas,
               coalesce((select w.position from event_position w where w.position > s.position
                          order by w.position offset 1999 limit 1), head) as until,
               case when s.failures >= 5 then 1 when s.failures > 0 then least(4, batch) else batch end
                   - (select count(*) from unnest(again) a where a.endpoint_id = s.endpoint_id) as free
          from webhook_endpoint_state s join webhook_endpoint e on e.id = s.endpoint_id
          join webhook_interest i on i.endpoint_id = s.endpoint_id
         where s.endpoint_id = any (ids)
    ), fresh as materialized (
        select r.endpoint_id, webhook_delivery_id(f.at_position, r.number) as delivery_id, f.*,
               r.ordered and f.account_id is not null as lane,
               f.account_id is not null and not r.owner_sees_all
                   and webhook_owner_areas(r.owner_scope, r.owner_user_id, r.owner_areas, f.account_id)
                           >> f.area & 1 = 0 as withheld
          from room r cross join lateral (
              -- The limits keep the planner to the way of the index: from the cursor on, until there is enough.
              select p.position as at_position, ev.id as event_id, ev.type as event_type, ev.at as event_at,
                     ev.sequence, ev.traceparent, ev.data, ev.previous, ev.account_id, ev.area
                from (select w.position, w.at, w.seq from event_position w
                       where w.position > r.position and w.position <= r.until order by w.position limit 2000) p
                cross join lateral (select * from event x where x.at = p.at and x.seq = p.seq limit 1) ev
               where webhook_wants(r.i, ev.type, ev.record_id, ev.account_id, ev.data)
                 and (ev.seq > r.since_seq or not pg_visible_in_snapshot(ev.xid, r.since))
               and (not (r.i).by_standing or ev.type = 'webhook.ping'
                    or exists (select 1 from standing st where st.account_id = ev.account_id
                                  and (cardinality((r.i).tiers) = 0 or st.tier = any ((r.i).tiers))
                                  and (cardinality((r.i).statuses) = 0 or st.key_status = any ((r.i).statuses))))
               order by p.position limit greatest(r.free, 0)) f
    ), behind as materialized (
        select f.delivery_id from fresh f
         where f.lane and not f.withheld
           and exists (select 1 from webhook_retry h where h.endpoint_id = f.endpoint_id
                          and h.account_id = f.account_id and h.lane and h.state in ('waiting', 'parked'))
    ), made as (
        insert into webhook_delivery (id, endpoint_id, position, event_id, event_type, account_id)
        select f.delivery_id, f.endpoint_id, f.at_position, f.event_id, f.event_type, f.account_id from fresh f
    ), parked as (
        insert into webhook_retry (delivery_id, endpoint_id, position, account_id, attempts, lane, state)
        select f.delivery_id, f.endpoint_id, f.at_position, f.account_id, 0, not f.withheld,
               case when f.withheld then 'withheld' else 'parked' end
          from fresh f where f.withheld or f.delivery_id in (select b.delivery_id from behind b)
    ), counted as (
        select r.endpoint_id, r.free, r.until,
               (select count(*) from fresh f where f.endpoint_id = r.endpoint_id) as found,
               (select max(f.at_position) from fresh f where f.endpoint_id = r.endpoint_id) as last
          from room r
    ), moved as (
        update webhook_endpoint_state s
           set position = case when c.free <= 0 then s.position when c.found >= c.free then c.last else c.until end,
               settled = case when s.owner = me then s.settled else s.position end, claimed_at = now(),
               owner = case when s.owner = me or c.found > 0
                              or exists (select 1 from unnest(again) a where a.endpoint_id = s.endpoint_id) then me end
          from counted c where s.endpoint_id = c.endpoint_id
    )
    select f.delivery_id, f.endpoint_id, f.at_position, 1, 0, f.lane, f.account_id, f.event_id, f.event_type,
           f.event_at, f.sequence, f.traceparent, f.data, f.previous
      from fresh f where not f.withheld and f.delivery_id not in (select b.delivery_id from behind b)
    union all
    select a.delivery_id, a.endpoint_id, a.position, a.attempts, a.base, a.lane, a.account_id, d.event_id, d.event_type,
           ev.at, ev.sequence, ev.traceparent, ev.data, ev.previous
      from unnest(again) a join webhook_delivery d on d.id = a.delivery_id
      left join event_position p on p.position = a.position
      left join lateral (select * from event x where x.at = p.at and x.seq = p.seq limit 1) ev on true
    order by 3;
end $$;

-- As in 0040, with the same.
create or replace function webhook_deliveries(endpoint uuid, wanted text, before uuid, most int)
returns table (id uuid, event_id uuid, event_type text, state text, attempt_count int, next_attempt_at timestamptz,
               endpoint_id uuid, account_id uuid, created_at timestamptz, last_status int)
stable language plpgsql set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    top uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    mine uuid[] := array(select e.id from webhook_endpoint e
                          where (endpoint is null or e.id = endpoint) and is_callers(e.actor, e.reach));
    ids uuid[] := '{}';
begin
    if wanted in ('failed', 'exhausted', 'withheld') then
        ids := array(select r.delivery_id from webhook_retry r
                      where r.delivery_id < top and r.endpoint_id = any (mine)
                        and case when wanted = 'failed' then r.state not in ('exhausted', 'withheld') and r.attempts > 0
                                 else r.state = wanted end
                      order by r.delivery_id desc limit most);
    elsif wanted = 'pending' then
        ids := array(select x.id from (
                        select r.delivery_id as id from webhook_retry r
                         where r.delivery_id < top and r.endpoint_id = any (mine)
                           and r.state not in ('exhausted', 'withheld') and r.attempts = 0
                        union all
                        select d.id from webhook_endpoint_state s join webhook_delivery d
                            on d.endpoint_id = s.endpoint_id and d.id >= webhook_delivery_id(s.settled + 1, 0)
                         where d.id < top and s.endpoint_id = any (mine)
                           and not exists (select 1 from webhook_attempt a where a.delivery_id = d.id)
                           and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)) x
                      order by x.id desc limit most);
    elsif endpoint is null and caller_is_admin() then -- one way of the index, however many endpoints there are
        ids := array(select d.id from webhook_delivery d
                      where d.id < top
                        and (wanted is null
                             or (exists (select 1 from webhook_attempt a where a.delivery_id = d.id)
                                 and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)))
                      order by d.id desc limit most);
    else
        ids := array(select x.id from unnest(mine) m(id) cross join lateral (
                        select d.id from webhook_delivery d
                         where d.endpoint_id = m.id and d.id < top
                           and (wanted is null
                                or (exists (select 1 from webhook_attempt a where a.delivery_id = d.id)
                                    and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)))
                         order by d.id desc limit most) x
                      order by x.id desc limit most);
    end if;
    return query
    select * from (
        select d.id, d.event_id, d.event_type,
               case when r.state in ('exhausted', 'withheld') then r.state
                    when coalesce(r.attempts, 0) > 0 then 'failed'
                    when r.delivery_id is not null or a.n is null then 'pending' else 'delivered' end as state,
               coalesce(r.attempts, a.n, 1) as attempt_count, r.next_at as next_attempt_at, d.endpoint_id, d.account_id,
               d.created_at, a.status as last_status
          from webhook_delivery d left join webhook_retry r on r.delivery_id = d.id
          left join lateral (select t.n, t.status from webhook_attempt t
                              where t.delivery_id = d.id order by t.n desc limit 1) a on true
         where d.id = any (ids)
        union all
        select v.* from webhook_endpoint_state s
          join webhook_endpoint e on e.id = s.endpoint_id and e.deleted_at is null
          join webhook_interest i on i.endpoint_id = s.endpoint_id cross join lateral (
            select webhook_delivery_id(p.position, s.number), ev.id, ev.type, 'pending', 0, s.next_at, s.endpoint_id,
                   ev.account_id, ev.at, null::int
              from (select w.position, w.at, w.seq from event_position w
                     where w.position > s.position and w.position <= webhook_delivery_position(top)
                       and webhook_delivery_id(w.position, s.number) < top
                     order by w.position desc limit 20000) p
              cross join lateral (select * from event x where x.at = p.at and x.seq = p.seq limit 1) ev
             where webhook_wants(i, ev.type, ev.record_id, ev.account_id, ev.data)
               and (ev.seq > s.since_seq or not pg_visible_in_snapshot(ev.xid, s.since))
               and (not (i).by_standing or ev.type = 'webhook.ping'
                    or exists (select 1 from standing st where st.account_id = ev.account_id
                                  and (cardinality((i).tiers) = 0 or st.tier = any ((i).tiers))
                                  and (cardinality((i).statuses) = 0 or st.key_status = any ((i).statuses))))
             order by p.position desc limit most) v
         where s.endpoint_id = any (mine) and (wanted is null or wanted = 'pending')) every
    order by 1 desc limit most;
end $$;

-- As in 0026; gaps do not count as events.
create or replace function webhook_stats(endpoint uuid, hours int) returns jsonb stable language sql as $$
    with made as materialized (
        select d.id, d.created_at from webhook_delivery d
         where d.endpoint_id = endpoint and d.created_at > now() - make_interval(hours => hours)
         order by d.id desc limit 50000
    ), judged as (
        select m.id, m.created_at,
               case when r.state in ('exhausted', 'withheld') then r.state
                    when coalesce(r.attempts, 0) > 0 then 'failed' when r.delivery_id is not null
                         or not exists (select 1 from webhook_attempt a where a.delivery_id = m.id) then 'pending'
                    else 'delivered' end as state
          from made m left join webhook_retry r on r.delivery_id = m.id
    ), tried as materialized (
        select a.started_at, a.duration_ms, a.error is null and a.status between 200 and 299 as ok,
               coalesce(a.error, 'http_' || a.status) as error
          from made m join webhook_attempt a on a.delivery_id = m.id
    )
    select jsonb_build_object(
               'webhook_endpoint_id', e.id, 'state', e.state, 'hours', hours,
               'deliveries', j.n, 'delivered', j.delivered, 'pending', j.pending, 'failed', j.failed,
               'exhausted', j.exhausted, 'withheld', j.withheld,
               'oldest_undelivered_at', utc_text(j.oldest),
               'attempts', t.n, 'attempts_failed', t.n - t.ok,
               'success_share', round(t.ok::numeric / nullif(t.n, 0), 6),
               'duration_ms_p50', t.p50, 'duration_ms_p95', t.p95, 'duration_ms_p99', t.p99,
               'last_attempt_at', utc_text(t.last), 'last_success_at', utc_text(t.last_ok),
               'errors', coalesce((select jsonb_agg(jsonb_build_object('error', x.error, 'attempts', x.n)
                                                    order by x.n desc, x.error)
                                     from (select y.error, count(*) as n from tried y where not y.ok
                                            group by y.error order by 2 desc limit 20) x), '[]'),
               'consecutive_failures', s.failures, 'failing_since', utc_text(s.failing_since),
               'disable_at', utc_text(s.failing_since + interval '5 days'),
               'breaker', case when s.failures < 5 and s.next_at is null then 'closed'
                               when s.next_at > now() then 'open'
                               when s.failures >= 5 then 'half_open' else 'closed' end,
               'breaker_until', utc_text(case when s.next_at > now() then s.next_at end),
               'events_behind', q.position - s.position - log_gaps(s.position))
      from webhook_endpoint e join webhook_endpoint_state s on s.endpoint_id = e.id cross join sequencer q
     cross join (select count(*) as n, count(*) filter (where state = 'delivered') as delivered,
                        count(*) filter (where state = 'pending') as pending,
                        count(*) filter (where state = 'failed') as failed,
                        count(*) filter (where state = 'exhausted') as exhausted,
                        count(*) filter (where state = 'withheld') as withheld,
                        min(created_at) filter (where state in ('pending', 'failed')) as oldest from judged) j
     cross join (select count(*) as n, count(*) filter (where ok) as ok, max(started_at) as last,
                        max(started_at) filter (where ok) as last_ok,
                        percentile_disc(0.5) within group (order by duration_ms) as p50,
                        percentile_disc(0.95) within group (order by duration_ms) as p95,
                        percentile_disc(0.99) within group (order by duration_ms) as p99 from tried) t
     where e.id = endpoint and e.deleted_at is null
$$;
