-- What is its maker's: webhook endpoints, operations and imports are there for whoever made them, and for admins; for
-- others it is as if they had never been.
-- min-binary: 29
--
-- A program from before does not say that a caller is an admin: under it admins, too, see their own only.

-- All that a caller may at most, as one number: the areas to read, above them (20) those to write, then (40) all
-- accounts, and (41) what is for admins. The setting is that of caller_reads() and caller_writes().
create function caller_reach() returns bigint stable parallel safe language sql as $$
    select coalesce(nullif(current_setting('kamd.areas', true), '')::bigint, 0)
           | case when current_setting('kamd.scope', true) = 'all' then 1::bigint << 40 else 0 end
$$;
create function caller_is_admin() returns boolean stable parallel safe language sql as
$$ select caller_reach() >> 41 & 1 = 1 $$;
-- The maker is whom history names: a person, also by a key that is theirs, or a key that is nobody's, whatever its text
-- is by now. A key of a person that may less than the maker could does not have what the person made.
create function is_callers(actor text, reach bigint) returns boolean stable parallel safe language sql as $$
    select caller_is_admin() or (actor = current_setting('kamd.actor', true)
                                 and reach & ~caller_reach() & ((1::bigint << 41) - 1) = 0)
$$;

-- `own`: a condition on the table's columns. For the workers everything is there.
create procedure protect_own(tab regclass, own text) language plpgsql as $$
begin
    execute format('alter table %s enable row level security, force row level security', tab);
    execute format('create policy own on %s to kamd_app using (%s) with check (%s)', tab, own, own);
    execute format('create policy worker on %s to kamd_worker using (true) with check (true)', tab);
    execute format('create policy owner on %s to kamd_owner using (true) with check (true)', tab);
end $$;

-- ---- webhook endpoints ----

alter table webhook_endpoint add column actor text, add column reach bigint not null default 0;
-- Those from before: of the person, else of the key that its first secret was made by, in the same transaction.
alter table webhook_endpoint disable trigger log_update;
update webhook_endpoint e
   set actor = coalesce('user:' || e.owner_user_id,
                        (select h.actor from history h
                          where h.at = e.created_at and h.resource = 'webhook_secret' and h.op = 'created'
                            and h.changes -> 'endpoint_id' ->> 1 = e.id::text limit 1)),
       reach = e.owner_areas | case when e.owner_scope = 'all' then 1::bigint << 40 else 0 end;
update webhook_endpoint e set reach = e.reach | (1::bigint << 41)
  from api_key k where e.actor = 'key:' || k.id and k.role = 'admin' and k.scopes = '{}';
alter table webhook_endpoint enable trigger log_update;
alter table webhook_endpoint alter column actor set default context('actor'),
    alter column reach set default caller_reach();
create index webhook_endpoint_actor_idx on webhook_endpoint (actor);

call protect_own('webhook_endpoint', 'is_callers(actor, reach)');
call protect_own('webhook_secret', 'endpoint_id in (select e.id from webhook_endpoint e)');
call protect_own('webhook_header', 'endpoint_id in (select e.id from webhook_endpoint e)');
call protect_own('webhook_endpoint_state', 'endpoint_id in (select e.id from webhook_endpoint e)');
-- These were protected by account, and are now by endpoint, too.
create policy own on webhook_delivery as restrictive to kamd_app
    using (endpoint_id = any (array(select e.id from webhook_endpoint e)));
create policy own on webhook_retry as restrictive to kamd_app
    using (endpoint_id = any (array(select e.id from webhook_endpoint e)));
create policy own on webhook_attempt as restrictive to kamd_app
    using (webhook_delivery_number(delivery_id) = any (array(select s.number from webhook_endpoint_state s)));
-- What is told of an endpoint is for those that it is there for.
create policy own on event as restrictive for select to kamd_app
    using (resource <> 'webhook_endpoint' or record_id = any (array(select e.id from webhook_endpoint e)));
create policy own on history as restrictive for select to kamd_app
    using (resource <> 'webhook_endpoint' or record_id = any (array(select e.id from webhook_endpoint e)));

-- As in 0018, and of which endpoints it is told what becomes of them; null: of all, as an admin made it.
create or replace view webhook_interest with (security_invoker = true) as
select e.id as endpoint_id, e.event_types as types,
       cardinality(e.event_types) = 0 or '*' = any (e.event_types) as every_type,
       array(select replace(left(t, -1), '_', '\_') || '%' from unnest(e.event_types) t where right(t, 2) = '.*')
           as prefixes,
       e.account_ids::uuid[] as accounts,
       case when e.owner_scope <> 'all'
            then array(select a.account_id from acl a where a.user_id = e.owner_user_id
                          and a.visible_from <= now() and a.visible_until > now()) end as visible,
       e.changed_fields, e.account_tiers as tiers, e.account_key_statuses as statuses,
       cardinality(e.account_tiers) + cardinality(e.account_key_statuses) > 0 as by_standing,
       case when e.reach >> 41 & 1 = 0
            then array(select s.id from webhook_endpoint s where s.actor = e.actor) end as siblings
  from webhook_endpoint e;
create or replace function webhook_wants(i webhook_interest, type text, record_id uuid, account_id uuid, data jsonb)
returns boolean immutable language sql as $$
    select case when type = 'webhook.ping' then record_id = i.endpoint_id
                else (i.every_type or type = any (i.types) or type like any (i.prefixes))
                     and (cardinality(i.accounts) = 0 or account_id = any (i.accounts))
                     and (i.visible is null or account_id is null or account_id = any (i.visible))
                     and (cardinality(i.changed_fields) = 0 or not data ? 'changed_fields'
                          or data -> 'changed_fields' ?| i.changed_fields)
                     and (type not like 'webhook.%' or i.siblings is null or record_id = any (i.siblings)) end
$$;

-- As in 0026, of the caller's endpoints.
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
               and not pg_visible_in_snapshot(ev.xid, s.since)
               and (not (i).by_standing or ev.type = 'webhook.ping'
                    or exists (select 1 from standing st where st.account_id = ev.account_id
                                  and (cardinality((i).tiers) = 0 or st.tier = any ((i).tiers))
                                  and (cardinality((i).statuses) = 0 or st.key_status = any ((i).statuses))))
             order by p.position desc limit most) v
         where s.endpoint_id = any (mine) and (wanted is null or wanted = 'pending')) every
    order by 1 desc limit most;
end $$;

-- These run as the owner of everything, so they ask themselves. As in 0005 and 0026.
create or replace function webhook_ping(endpoint uuid) returns uuid language plpgsql security definer
set search_path = public, pg_temp as $$
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
    perform emit(array [row ('webhook.ping', null, 'webhook_endpoint', e.id, e.version, name,
                             jsonb_build_object('webhook_endpoint_id', e.id, 'version', e.version), '{}')::event_in]);
    return uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001', name);
end $$;
create or replace function webhook_delivery_again(delivery uuid) returns void language plpgsql security definer
set search_path = public, pg_temp as $$
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
            lane = t.lane and t.state not in ('exhausted', 'withheld'); -- its place in the order has passed
    -- Somebody believes that it works now.
    update webhook_endpoint_state set next_at = null where endpoint_id = d.endpoint_id;
end $$;

-- ---- what is written for somebody later ----

-- Whether they were an admin. Of what waits from before, nobody knows.
alter table sync_deferred add column reach bigint not null default 0;
alter table sync_deferred alter column reach set default caller_reach();
alter table import add column reach bigint not null default 1::bigint << 40;
alter table import alter column reach set default caller_reach();

-- ---- operations and imports ----

-- Those from before were asked for by callers who see all accounts.
alter table operation add column reach bigint not null default 1::bigint << 40;
alter table operation alter column reach set default caller_reach();
drop policy visible on operation;
create policy own on operation to kamd_app using (is_callers(actor, reach)) with check (is_callers(actor, reach));
create policy own on evaluation_result as restrictive for select to kamd_app
    using (operation_id = any (array(select o.id from operation o)));

call protect_own('import', 'is_callers(actor, reach)');
call protect_own('import_part', 'import_id in (select i.id from import i)');
call protect_own('import_error', 'import_id in (select i.id from import i)');
call protect_own('import_record', 'import_id in (select i.id from import i)');

-- ---- stored answers ----

-- What the caller had when an answer was stored, so that it is not given to who has less by now: what they might at
-- most, and, of who does not see all accounts, what they read of each account that the answer tells of.
alter table idempotency add column reach bigint not null default 0, add column told jsonb;
alter table idempotency alter column reach set default caller_reach();

-- An answer tells of the accounts that it, or the request's path, names by their id, or by that of a record of theirs.
create function told_accounts(said text) returns jsonb stable language plpgsql security definer
set search_path = public, pg_temp as $$
declare
    ids uuid[] := array(select distinct m[1]::uuid
                          from regexp_matches(said, '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}', 'g') m);
begin
    ids := ids || array(select (select h.account_id from history h where h.record_id = i.id order by h.id desc limit 1)
                          from unnest(ids) i(id));
    return (select jsonb_object_agg(n.account_id, n.areas & caller_reads()) from access_now n
             where n.user_id = context('user_id')::uuid and n.account_id = any (ids)
               and n.areas & caller_reads() <> 0);
end $$;
-- 0: nothing of it. 1: the caller may less, or reads less of an account. 2: an account is not there for them any more.
create function access_lost(reach bigint, told jsonb) returns int stable language sql as $$
    select greatest(case when reach & ~caller_reach() <> 0 then 1 else 0 end,
                    (select max(case when a.areas is null then 2 when t.areas::bigint & ~a.areas <> 0 then 1 else 0 end)
                       from jsonb_each_text(told) t(account_id, areas)
                      cross join lateral areas_of(t.account_id::uuid) a(areas)))
$$;
