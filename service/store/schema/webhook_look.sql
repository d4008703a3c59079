-- Looking at webhooks: the list of deliveries, how it goes at one endpoint, and sending one delivery again.

-- Sends one delivery again, whatever came of it; a new round of attempts begins. A delivery that arrived, or was given
-- up, is sent outside of the order of its account, as later ones have gone before. Refused while an attempt is under
-- way, and where the endpoint is not the caller's, or is not enabled.
create or replace function webhook_delivery_again(delivery uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    d webhook_delivery;
    e webhook_endpoint;
    r webhook_retry;
    last int;
begin
    select * into d from webhook_delivery t where t.id = delivery;
    perform 1 from webhook_endpoint_state s where s.endpoint_id = d.endpoint_id for update;
    select * into e from webhook_endpoint w where w.id = d.endpoint_id and is_callers(w.actor, w.reach);
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found',
            detail = 'There is no such delivery, or it has not been tried yet.';
    elsif e.deleted_at is not null or e.state <> 'enabled' then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = 'The webhook endpoint is disabled or deleted.';
    end if;
    select * into r from webhook_retry t where t.delivery_id = delivery for update;
    select max(a.n) into last from webhook_attempt a where a.delivery_id = delivery;
    if r.state = 'sending' or (r.delivery_id is null and last is null) then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'An attempt is under way.';
    end if;
    insert into webhook_retry as t
           (delivery_id, endpoint_id, position, account_id, attempts, base, lane, state, next_at)
    values (d.id, d.endpoint_id, d.position, d.account_id, coalesce(last, 0), coalesce(last, 0), false, 'waiting',
            now())
    on conflict (delivery_id) do update
        set state = 'waiting', next_at = now(), base = excluded.base,
            lane = t.lane and t.state not in ('exhausted', 'withheld');
    -- Whoever asks believes that the endpoint works now, so nothing waits for the end of its pause.
    update webhook_endpoint_state set next_at = null where endpoint_id = d.endpoint_id;
end $$;

-- The ids of at most `most` deliveries of the endpoints `mine` that were made, older than `top`, newest first; `wanted`
-- (a state) null: of all. The ids of events that an endpoint has not got to yet are not among them. `of_all` says that
-- `mine` are all endpoints there are: then they are read along one index, however many there are.
create or replace function webhook_delivery_ids(mine uuid[], of_all boolean, wanted text, top uuid, most int)
returns uuid[]
stable language plpgsql as $$
begin
    if wanted in ('failed', 'exhausted', 'withheld') then
        return array(select r.delivery_id from webhook_retry r
                      where r.delivery_id < top and r.endpoint_id = any (mine)
                        and case when wanted = 'failed' then r.state not in ('exhausted', 'withheld') and r.attempts > 0
                                 else r.state = wanted end
                      order by r.delivery_id desc limit most);
    elsif wanted = 'pending' then
        return array(select x.id from (
                        select r.delivery_id as id from webhook_retry r
                         where r.delivery_id < top and r.endpoint_id = any (mine)
                           and r.state not in ('exhausted', 'withheld') and r.attempts = 0
                        union all
                        select d.id
                          from webhook_endpoint_state s
                          join webhook_delivery d on d.endpoint_id = s.endpoint_id
                               and d.id >= webhook_delivery_id(s.settled + 1, 0)
                         where d.id < top and s.endpoint_id = any (mine)
                           and not exists (select 1 from webhook_attempt a where a.delivery_id = d.id)
                           and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)) x
                      order by x.id desc limit most);
    elsif of_all then
        return array(select d.id from webhook_delivery d
                      where d.id < top
                        and (wanted is null
                             or (exists (select 1 from webhook_attempt a where a.delivery_id = d.id)
                                 and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)))
                      order by d.id desc limit most);
    end if;
    return array(select x.id from unnest(mine) m(id) cross join lateral (
                    select d.id from webhook_delivery d
                     where d.endpoint_id = m.id and d.id < top
                       and (wanted is null
                            or (exists (select 1 from webhook_attempt a where a.delivery_id = d.id)
                                and not exists (select 1 from webhook_retry r where r.delivery_id = d.id)))
                     order by d.id desc limit most) x
                  order by x.id desc limit most);
end $$;

-- Deliveries of the caller's endpoints, newest first, `most` at most. `endpoint` and `wanted` (a state) null: all;
-- `before` is the last id of the page before, null: from the newest. Events that an endpoint has not got to yet are
-- pending, too: the newest 20,000 places of the log are searched for them.
create or replace function webhook_deliveries(endpoint uuid, wanted text, before uuid, most int)
returns table (id uuid, event_id uuid, event_type text, state text, attempt_count int, next_attempt_at timestamptz,
               endpoint_id uuid, account_id uuid, created_at timestamptz, last_status int)
stable language plpgsql set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    top uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    mine uuid[] := array(select e.id from webhook_endpoint e
                          where (endpoint is null or e.id = endpoint) and is_callers(e.actor, e.reach));
    ids uuid[] := webhook_delivery_ids(mine, endpoint is null and caller_is_admin(), wanted, top, most);
begin
    return query
    select * from (
        select d.id, d.event_id, d.event_type,
               case when r.state in ('exhausted', 'withheld') then r.state
                    when coalesce(r.attempts, 0) > 0 then 'failed'
                    when r.delivery_id is not null or a.n is null then 'pending'
                    else 'delivered' end as state,
               coalesce(r.attempts, a.n, 1) as attempt_count, r.next_at as next_attempt_at, d.endpoint_id, d.account_id,
               d.created_at, a.status as last_status
          from webhook_delivery d
          left join webhook_retry r on r.delivery_id = d.id
          left join lateral (select t.n, t.status from webhook_attempt t
                              where t.delivery_id = d.id order by t.n desc limit 1) a on true
         where d.id = any (ids)
        union all
        select v.*
          -- "offset 0": else the sub-selects of webhook_interest come into the calls, and keep the planner from
          -- putting the functions' texts in their place.
          from (select s, i
                  from webhook_endpoint_state s
                  join webhook_endpoint e on e.id = s.endpoint_id and e.deleted_at is null
                  join webhook_interest i on i.endpoint_id = s.endpoint_id
                 where s.endpoint_id = any (mine) offset 0) o
         cross join lateral (
            select webhook_delivery_id(p.position, (o.s).number), ev.id, ev.type, 'pending', 0, (o.s).next_at,
                   (o.s).endpoint_id, ev.account_id, ev.at, null::int
              from (select w.position, w.at, w.seq from event_position w
                     where w.position > (o.s).position and w.position <= webhook_delivery_position(top)
                       and webhook_delivery_id(w.position, (o.s).number) < top
                     order by w.position desc limit 20000) p
             cross join lateral webhook_event_for(o.s, o.i, p.at, p.seq) ev
             order by p.position desc limit most) v
         where wanted is null or wanted = 'pending') every
    order by 1 desc limit most;
end $$;

-- How it goes at one endpoint, by the newest 50,000 deliveries that were made in the last `hours`: counts by state,
-- attempts with their durations (ms) and errors, the breaker, and how many events the endpoint is behind. Positions in
-- gaps of the log do not count as events. Null: there is no such endpoint.
create or replace function webhook_stats(endpoint uuid, hours int) returns jsonb stable language sql as $$
    with made as materialized (
        select d.id, d.created_at from webhook_delivery d
         where d.endpoint_id = endpoint and d.created_at > now() - make_interval(hours => hours)
         order by d.id desc limit 50000
    ), judged as (
        select m.id, m.created_at,
               case when r.state in ('exhausted', 'withheld') then r.state
                    when coalesce(r.attempts, 0) > 0 then 'failed'
                    when r.delivery_id is not null
                         or not exists (select 1 from webhook_attempt a where a.delivery_id = m.id) then 'pending'
                    else 'delivered' end as state
          from made m
          left join webhook_retry r on r.delivery_id = m.id
    ), tried as materialized (
        select a.started_at, a.duration_ms, a.error is null and a.status between 200 and 299 as ok,
               coalesce(a.error, 'http_' || a.status) as error
          from made m
          join webhook_attempt a on a.delivery_id = m.id
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
               'disable_at', utc_text(s.failing_since + webhook_patience()),
               'breaker', case when s.failures < 5 and s.next_at is null then 'closed'
                               when s.next_at > now() then 'open'
                               when s.failures >= 5 then 'half_open'
                               else 'closed' end,
               'breaker_until', utc_text(case when s.next_at > now() then s.next_at end),
               'events_behind', q.position - s.position - log_gaps(s.position))
      from webhook_endpoint e
      join webhook_endpoint_state s on s.endpoint_id = e.id
     cross join sequencer q
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
