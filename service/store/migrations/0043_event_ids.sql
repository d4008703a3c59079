-- An event's id is its own also after a restore: what was changed before it, and is gone, may have had the same version
-- and sequence, and whoever was sent that takes what comes with its id for the same.
-- min-binary: 29

-- As in 0035, with the time of the transaction in the name. What has a name of its own, as a follow-up's due time, is
-- the same event before and after, and keeps its id.
create or replace function emit(evs event_in[]) returns void language plpgsql security definer
set search_path = public, pg_temp set plan_cache_mode = force_generic_plan set enable_nestloop = off as $$
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
                context('actor'), context('origin'), context('request_id'), context('traceparent'), one.data,
                coalesce(one.previous, '{}'), event_area(one.type, one.resource));
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
           context('actor'), context('origin'), context('request_id'), context('traceparent'), n.data,
           coalesce(n.previous, '{}'), event_area(n.type, n.resource)
      from numbered n left join bumped b on b.account_id = n.account_id
      left join counted c on c.account_id = n.account_id
     order by n.ord;
end $$;
