-- Webhooks: which events an endpoint is for (see webhook_interest.sql, too), the ids of its deliveries, the keys and
-- secrets of its signatures, and what is asked for by hand: a ping and a replay.

-- The id of a delivery says which event and which endpoint (a UUID of version 8: RFC 9562 section 5.8), so it is known
-- before anything is written, and ids sort as positions do. One expression, so that the planner puts it in the place of
-- the call: it is called for each delivery that is claimed.
create or replace function webhook_delivery_id(at_position bigint, number bigint) returns uuid
immutable strict parallel safe language sql as $$
    select (left(lpad(to_hex(at_position), 15, '0'), 12) || '8' || right(lpad(to_hex(at_position), 15, '0'), 3) || '8'
        || lpad(to_hex(number), 15, '0'))::uuid
$$;

-- The position of a delivery's event in the log, from the delivery's id.
create or replace function webhook_delivery_position(id uuid) returns bigint
immutable strict parallel safe language sql as $$
    select ('x' || lpad(left(h, 12) || substr(h, 14, 3), 16, '0'))::bit(64)::bigint
      from (select replace(id::text, '-', '') as h) x
$$;

-- The number of a delivery's endpoint, as in webhook_endpoint_state, from the delivery's id.
create or replace function webhook_delivery_number(id uuid) returns bigint
immutable strict parallel safe language sql as $$
    select ('x' || lpad(right(id::text, 12), 16, '0'))::bit(64)::bigint
$$;

-- Whether an event is for an endpoint: by its type, its account, what the owner sees, and what changed. A ping is for
-- the endpoint that it names. One expression, so that the planner puts it in the place of the call: called as a
-- function it takes 200 us. Whether the account has a tier and a key status that the endpoint wants is asked by
-- webhook_event_for(): a sub-select here would keep the planner from that.
create or replace function webhook_wants(
    i webhook_interest, type text, record_id uuid, account_id uuid, data jsonb) returns boolean
immutable language sql as $$
    select case when type = 'webhook.ping' then record_id = i.endpoint_id
                else (i.every_type or type = any (i.types) or type like any (i.prefixes))
                     and (cardinality(i.accounts) = 0 or account_id = any (i.accounts))
                     and (i.visible is null or account_id is null or account_id = any (i.visible))
                     and (cardinality(i.changed_fields) = 0 or not data ? 'changed_fields'
                          or data -> 'changed_fields' ?| i.changed_fields)
                     and (type not like 'webhook.%' or i.siblings is null or record_id = any (i.siblings)) end
$$;

-- The event that was written at this time with this number, if it is for an endpoint; no row: it is not. Events that
-- were committed before the endpoint was made are not for it.
create or replace function webhook_event_for(
    s webhook_endpoint_state, i webhook_interest, written_at timestamptz, event_seq bigint)
returns setof event
stable language sql as $$
    select ev.*
      from (select * from event x where x.at = written_at and x.seq = event_seq limit 1) ev
     where webhook_wants(i, ev.type, ev.record_id, ev.account_id, ev.data)
       and (ev.seq > s.since_seq or not pg_visible_in_snapshot(ev.xid, s.since))
       and (not i.by_status or ev.type = 'webhook.ping'
            or exists (select 1 from account_status st where st.account_id = ev.account_id
                          and (cardinality(i.tiers) = 0 or st.tier = any (i.tiers))
                          and (cardinality(i.statuses) = 0 or st.key_status = any (i.statuses))))
$$;

-- The records that the deliveries just claimed for endpoints with payload 'full' tell of, and the areas of them that
-- the endpoint's owner reads now (a bit mask; 0: none; -1: all, of a record without an account).
create or replace function webhook_records(deliveries uuid[])
returns table (delivery_id uuid, resource text, record_id uuid, areas bigint)
stable language sql security definer set search_path = public, pg_temp as $$
    select d.id, ev.resource, ev.record_id,
           case when ev.account_id is null then -1
                else webhook_owner_areas(e.owner_scope, e.owner_user_id, e.owner_areas, ev.account_id) end
      from webhook_delivery d
      join webhook_endpoint e on e.id = d.endpoint_id and e.payload = 'full'
      join event_position p on p.position = d.position
      join event ev on ev.at = p.at and ev.seq = p.seq
     where d.id = any (deliveries)
$$;
revoke execute on function webhook_records(uuid[]) from kamd_app;

-- Trigger, before and after a change of an endpoint: a new endpoint belongs to the caller, with what the caller reads,
-- and begins at the end of the log; an endpoint that is enabled, or gets another URL, begins without failures.
create or replace function webhook_endpoint_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_when = 'BEFORE' and tg_op = 'UPDATE' then
        if new.state = 'enabled' then
            new.disabled_reason := null;
        end if;
        return new;
    elsif tg_when = 'BEFORE' then
        new.owner_user_id := session_setting('user_id')::uuid;
        new.owner_scope := coalesce(session_setting('scope'), 'acl');
        -- Only the API has callers with a role; everybody else is the operator.
        new.owner_areas := case when session_user = 'kamd_app' or current_setting('kamd.areas', true) <> ''
                                then caller_reads() else areas_all() end;
        return new;
    elsif tg_op = 'INSERT' then
        insert into webhook_endpoint_state (endpoint_id, position, settled)
        select new.id, s.position, s.position from sequencer s;
    elsif (new.state = 'enabled' and old.state <> 'enabled') or new.url <> old.url then
        update webhook_endpoint_state
           set failures = 0, opened = 0, failing_since = null, warned_at = null, next_at = null
         where endpoint_id = new.id;
    end if;
    return null;
end $$;

-- The areas of an account (a bit mask) that an endpoint's owner reads now. `ceiling` is what the role of the endpoint's
-- maker read; where the maker did not see all accounts, it is narrowed to what the owner sees of this one.
create or replace function webhook_owner_areas(scope text, owner uuid, ceiling bigint, account uuid) returns bigint
stable language sql as $$
    select case when scope = 'all' then ceiling
                else ceiling & coalesce((select x.areas from access_now x
                                          where x.user_id = owner and x.account_id = account), 0) end
$$;

-- Makes the next key for signatures that anybody can verify, and has the others expire after grace_seconds, unless they
-- do so sooner. Ten keys are live at most. The table's lock keeps two callers from making the same number.
create or replace function webhook_key_rotate(grace_seconds int) returns setof webhook_key language plpgsql as $$
begin
    lock table webhook_key in share row exclusive mode;
    if (select count(*) from webhook_key k where k.expires_at is null or k.expires_at > now()) >= 10 then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = 'There are 10 live keys. Wait until one expires.';
    end if;
    update webhook_key k set expires_at = now() + make_interval(secs => grace_seconds)
     where k.expires_at is null or k.expires_at > now() + make_interval(secs => grace_seconds);
    return query insert into webhook_key (number) select max(k.number) + 1 from webhook_key k returning *;
end $$;

-- Trigger: ten secrets of an endpoint are live at most, as so many signatures fit into a message. The endpoint's row is
-- locked, so that two secrets that come at once are both counted.
create or replace function webhook_secret_bound() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform 1 from webhook_endpoint e where e.id = new.endpoint_id for no key update;
    if (select count(*) from webhook_secret s
         where s.endpoint_id = new.endpoint_id and (s.expires_at is null or s.expires_at > now())) >= 10 then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = 'There are 10 live secrets. Wait until one expires, or rotate with a shorter grace.';
    end if;
    return new;
end $$;

-- An endpoint that only fails for so long is disabled; its owner is warned after half of it.
create or replace function webhook_patience() returns interval
immutable parallel safe language sql as $$ select interval '5 days' $$;

-- The event that tells of an endpoint that it is failing, or was disabled. Its name has the time since when the
-- endpoint fails, so that each warning is one event. disable_at is five days after that time; null: it does not fail.
create or replace function webhook_tell(event_type text, e webhook_endpoint, failing_since timestamptz) returns event_in
stable language sql as $$
    select row (
        event_type, null, 'webhook_endpoint', e.id, e.version,
        event_type || ':' || e.id || ':' || coalesce(extract(epoch from failing_since), 0) || ':' || e.version,
        jsonb_build_object(
            'webhook_endpoint_id', e.id, 'version', e.version, 'reason', e.disabled_reason,
            'failing_since', utc_text(failing_since), 'disable_at', utc_text(failing_since + webhook_patience())),
        '{}')::event_in
$$;

-- Writes a ping for an endpoint of the caller's, and returns the event's id, which follows from the event's name as in
-- event_write(). This runs as the owner of everything, so it asks itself whose the endpoint is.
create or replace function webhook_ping(endpoint uuid) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    e webhook_endpoint;
    name text := 'webhook.ping:' || gen_random_uuid();
begin
    select * into e from webhook_endpoint w
     where w.id = endpoint and w.deleted_at is null and is_callers(w.actor, w.reach) for key share;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found',
            detail = 'There is no such webhook endpoint.';
    elsif e.state <> 'enabled' then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = 'The webhook endpoint is disabled. Enable it first.';
    end if;
    perform event_write(array [row (
        'webhook.ping', null, 'webhook_endpoint', e.id, e.version, name,
        jsonb_build_object('webhook_endpoint_id', e.id, 'version', e.version), '{}')::event_in]);
    return uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001', name);
end $$;

-- The deliveries that a replay is asked for (the operation's request): one, or those made in a span of time, or of
-- these only the ones that have not arrived. By id, behind `after` (null: from the first), `most` at most (null: all).
create or replace function webhook_replay_wanted(request jsonb, after uuid, most int) returns setof uuid
stable language sql as $$
    select d.id
      from webhook_delivery d
     where d.endpoint_id = (request ->> 'webhook_endpoint_id')::uuid and (after is null or d.id > after)
       and (request ->> 'delivery_id' is null or d.id = (request ->> 'delivery_id')::uuid)
       and (request ->> 'since' is null or d.created_at >= (request ->> 'since')::timestamptz)
       and (request ->> 'until' is null or d.created_at < (request ->> 'until')::timestamptz)
       -- Deliveries that are made after the request are not meant.
       and d.created_at <= (request ->> 'requested_at')::timestamptz
       and (not (request -> 'only_failed')::boolean
            or exists (select 1 from webhook_retry r
                        where r.delivery_id = d.id and (r.state in ('exhausted', 'withheld') or r.attempts > 0)))
     order by d.id
     limit most
$$;

-- Sends again what was sent, `most` deliveries at a time; true: there is more. Each part is one transaction, which is
-- the operation's only while its worker `me` has the lease; how far the replay is stands in the operation's result, so
-- that another worker can go on from there.
create or replace function webhook_replay(operation_id uuid, me uuid, most int) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    o operation;
    endpoint uuid;
    before jsonb;
    ids uuid[];
    total bigint;
    sent int;
begin
    select * into o from operation t
     where t.id = operation_id and t.lease_token = me and t.status = 'running' for update;
    if not found then
        return false;
    end if;
    endpoint := (o.request ->> 'webhook_endpoint_id')::uuid;
    before := coalesce(o.result, '{"deliveries": 0, "replayed": 0}');
    perform 1 from webhook_endpoint_state s where s.endpoint_id = endpoint for update;
    if not exists (select 1 from webhook_endpoint e
                    where e.id = endpoint and e.state = 'enabled' and e.deleted_at is null) then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = 'The webhook endpoint is disabled or deleted.';
    end if;
    if o.result is null then
        select count(*) into total from webhook_replay_wanted(o.request, null, null);
    else
        total := (before ->> 'total')::bigint;
    end if;
    select array_agg(w) into ids from webhook_replay_wanted(o.request, (before ->> 'last_delivery_id')::uuid, most) w;
    insert into webhook_retry as t
           (delivery_id, endpoint_id, position, account_id, attempts, base, lane, state, next_at)
    -- Also deliveries that were never tried, as they were parked, given back or withheld; but a delivery that is being
    -- sent at this moment is not sent a second time.
    select d.id, d.endpoint_id, d.position, d.account_id, coalesce(a.n, 0), coalesce(a.n, 0), false, 'waiting', now()
      from webhook_delivery d
     cross join lateral (select max(x.n) as n from webhook_attempt x where x.delivery_id = d.id) a
     where d.id = any (ids) and (a.n is not null or exists (select 1 from webhook_retry r where r.delivery_id = d.id))
    on conflict (delivery_id) do update
        set state = 'waiting', next_at = now(), base = excluded.base,
            lane = t.lane and t.state not in ('exhausted', 'withheld')
     where t.state <> 'sending';
    get diagnostics sent = row_count;
    update webhook_endpoint_state set next_at = null where endpoint_id = endpoint;
    update operation t
       set updated_at = now(), progress_total = total,
           progress_done = (before ->> 'deliveries')::bigint + coalesce(cardinality(ids), 0),
           result = jsonb_build_object(
               'total', total,
               'deliveries', (before ->> 'deliveries')::bigint + coalesce(cardinality(ids), 0),
               'replayed', (before ->> 'replayed')::bigint + sent,
               'last_delivery_id', coalesce(ids[cardinality(ids)]::text, before ->> 'last_delivery_id')),
           status = case when coalesce(cardinality(ids), 0) < most then 'succeeded' else 'running' end,
           leased_until = case when coalesce(cardinality(ids), 0) < most then null else t.leased_until end
     where t.id = operation_id;
    return coalesce(cardinality(ids), 0) >= most;
end $$;
revoke execute on function webhook_replay(uuid, uuid, int) from kamd_app;
