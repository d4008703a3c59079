-- Customers and their units. A customer is a tree of accounts, known by its top: it is scored, ranked and counted once.
-- An account below another is a unit of that one's customer, unless a director has made it a customer of its own
-- (standalone), or the program counts units. A unit shows the key status and the tier of its customer, and has no
-- score.

-- The top of the customer that an account belongs to. A deleted account belongs to none but itself. The planner's
-- settings are for one account after the other, found by its id, with one plan for a connection.
create or replace function customer_of(account uuid) returns uuid
stable language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    top uuid := account;
    above uuid;
begin
    if (select p.counts from program p) = 'unit' then
        return account;
    end if;
    for steps in 1 .. 16 loop
        select a.parent_id into above from account a
         where a.id = top and a.standalone is null and (a.deleted_at is null or steps > 1);
        exit when above is null;
        top := above;
    end loop;
    return top;
end $$;

-- Locks the status of customers and of all their units, in the one order in which whoever moves several locks them.
create or replace function customers_lock(customers uuid[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform 1 from account_status s where s.customer_id = any (customers) order by s.account_id for update;
end $$;
revoke execute on function customers_lock(uuid[]) from kamd_app;

-- Gives units the key status and the tier of their customer (`customers` null: all). Returns those that changed, with
-- their cache versions.
create or replace function units_follow(customers uuid[]) returns setof account_status_touch
language sql security definer set search_path = public, pg_temp as $$
    with followed as (
        update account_status u
           set key_status = c.key_status, tier = c.tier, key_since = c.key_since, status_since = c.status_since,
               version = u.version + 1, updated_at = now()
          from account_status c
         where c.account_id = u.customer_id and u.customer_id <> u.account_id
           and (customers is null or u.customer_id = any (customers))
           and (u.key_status, u.tier, u.key_since) is distinct from (c.key_status, c.tier, c.key_since)
        returning u.account_id, u.version
    )
    select a.id, a.version + f.version from followed f join account a on a.id = f.account_id
$$;
revoke execute on function units_follow(uuid[]) from kamd_app;

-- Looks anew to which customer accounts, and those below them, belong; queues the customers that lost or gained a unit
-- to be scored. A key account does not silently become a unit of another customer. The planner's settings are for the
-- few accounts of a subtree, found by their ids, whatever the caller has set.
create or replace function customers_refresh(ids uuid[]) returns void
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = on set enable_seqscan = off as $$
declare
    concerned uuid[];
    stays record;
begin
    if ids is null then
        return;
    end if;
    with recursive below as (
        select i as id from unnest(ids) i
        union
        select a.id from account a join below b on a.parent_id = b.id
    ), moves as (
        select s.account_id, s.customer_id as was, customer_of(s.account_id) as becomes
          from account_status s join below b on b.id = s.account_id
    )
    select array_agg(distinct c) into concerned
      from moves m, unnest(array [m.was, m.becomes]) c where m.was is distinct from m.becomes;
    if concerned is null then
        return;
    end if;
    perform customers_lock(concerned);
    select a.name, s.key_status into stays
      from account_status s join account a on a.id = s.account_id
     where s.customer_id = any (concerned) and s.holds_place and customer_of(s.account_id) <> s.account_id limit 1;
    if found then
        raise exception using errcode = 'KD409', message = 'key_account_is_customer',
            detail = format('%s is a key account, and would become a unit of another customer. End its key status'
                            ' first, or let a director make it a customer of its own (standalone).', stays.name);
    end if;
    update account_status s
       set customer_id = n.customer_id, key_status = 'none', tier = 'C', key_since = null, status_since = now(),
           score = null, score_rank = null, contributions = '[]', missing = '{}', grace_until = null,
           designation = null, version = s.version + 1, updated_at = now()
      from (select l.account_id, customer_of(l.account_id) as customer_id
              from account_status l where l.customer_id = any (concerned)) n
     where s.account_id = n.account_id and s.customer_id <> n.customer_id;
    perform units_follow(concerned);
    perform rescore_enqueue(concerned || ids);
end $$;
revoke execute on function customers_refresh(uuid[]) from kamd_app;

-- Refuses a change of `standalone` by anybody but a director: it decides who is a customer, and so who may be a key
-- account.
create or replace function standalone_decided() returns trigger language plpgsql as $$
begin
    if session_setting('scope') is distinct from 'all' then
        raise exception using errcode = 'KD403', message = 'forbidden', column = 'standalone',
            detail = 'Only a director makes a unit a customer of its own.';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('kamd account tree', 0)); -- as in account_tree()
    return new;
end $$;

-- Looks anew to which customer each account belongs when the program counts otherwise.
create or replace function program_counts_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform customers_refresh(array_agg(a.id)) from account a where a.parent_id is not null and a.deleted_at is null;
    return null;
end $$;

-- The status of the customer that an account belongs to, for whoever sees the account: id, name, tier, status and
-- benefits of a customer are known at all its units. Whether the caller may read its score is asked elsewhere.
create or replace function customer_status(account uuid)
returns table (account_id uuid, name text, key_status text, tier text, score numeric, score_rank int, as_of date,
               criteria_version int, status_since timestamptz, key_since timestamptz, grace_until timestamptz,
               designation jsonb)
stable rows 1 language sql security definer set search_path = public, pg_temp as $$
    select s.account_id, a.name, s.key_status, s.tier, s.score, s.score_rank, s.as_of, s.criteria_version,
           s.status_since, s.key_since, s.grace_until, s.designation
      from account_status u
      join account_status s on s.account_id = u.customer_id
      join account a on a.id = s.account_id
     where u.account_id = customer_status.account
$$;
