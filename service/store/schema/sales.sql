-- Orders: what they sum up to for each account, day and currency, and the ids that other systems give them.

-- Adds `deltas`, what a statement changes, as rows of day_sales, to the sums; queues the accounts to be scored, and
-- writes one event account.updated for each. Days are locked in one order, that of the primary key. The settings make
-- one plan for a connection, of lookups by index: day_sales is large, and a statement mostly touches a few of its rows.
create or replace function order_sums_add(deltas day_sales[]) returns void
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    touched uuid[];
begin
    with added as (
        insert into day_sales as d (account_id, day, currency_code, amount, cost, unknown_costs, orders)
        select account_id, day, currency_code, sum(amount), sum(cost), sum(unknown_costs), sum(orders)
          from unnest(deltas)
         group by 1, 2, 3
        having sum(amount) <> 0 or sum(cost) <> 0 or sum(unknown_costs) <> 0 or sum(orders) <> 0
         order by 1, 2, 3
        on conflict (account_id, day, currency_code) do update
            set amount = d.amount + excluded.amount, cost = d.cost + excluded.cost,
                unknown_costs = d.unknown_costs + excluded.unknown_costs, orders = d.orders + excluded.orders
        returning d.account_id
    )
    select array_agg(distinct account_id order by account_id) into touched from added;
    perform rescore_enqueue(touched);
    perform event_write(array_agg(row ('account.updated', a.id, 'account', a.id, a.version, null,
                                       jsonb_build_object(
                                           'account_id', a.id, 'version', a.version,
                                           'changed_fields', jsonb_build_array('orders')),
                                       jsonb_build_object('version', a.version))::event_in
                                  order by a.id))
       from account a where a.id = any (touched);
end $$;
revoke execute on function order_sums_add(day_sales[]) from kamd_app;

-- Keeps day_sales with every order: adds what is new, takes away what was before a change. Deleted orders do not count.
create or replace function order_sums() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        perform order_sums_add(array_agg(
            row (account_id, ordered_on, currency_code,
                 amount, coalesce(cost, 0), (cost is null)::int, 1)::day_sales))
           from new_rows where deleted_at is null;
    else
        perform order_sums_add(array_agg(d))
           from (select row (account_id, ordered_on, currency_code,
                             amount, coalesce(cost, 0), (cost is null)::int, 1)::day_sales as d
                   from new_rows where deleted_at is null
                 union all
                 select row (account_id, ordered_on, currency_code,
                             -amount, -coalesce(cost, 0), -(cost is null)::int, -1)::day_sales
                   from old_rows where deleted_at is null) both_sides;
    end if;
    return null;
end $$;

-- Sales of each account in the reporting currency, up to and including on_day: of the 365 days that end with it, or of
-- all time where `whole`. Null where a rate or a cost is unknown. There is one sum for each currency, then the rate:
-- that is exact, and 365 days of a large portfolio need no join for each day.
create or replace function sales_until(on_day date, whole boolean)
returns table (account_id uuid, orders bigint, revenue numeric, profit numeric, rate_unknown boolean,
               cost_unknown boolean)
stable language sql as $$
    select s.account_id, sum(s.orders)::bigint,
           case when not bool_or(r.rate is null) then sum(s.amount * r.rate) end,
           case when not bool_or(r.rate is null) and sum(s.unknown_costs) = 0
                then sum((s.amount - s.cost) * r.rate) end,
           bool_or(r.rate is null), sum(s.unknown_costs) > 0
      from (select d.account_id, d.currency_code, sum(d.orders) as orders, sum(d.amount) as amount,
                   sum(d.cost) as cost, sum(d.unknown_costs) as unknown_costs
              from day_sales d
             where d.orders <> 0 and d.day <= on_day and (whole or d.day > on_day - 365)
             group by 1, 2) s
     cross join program p
      left join program_rate q on q.currency_code = s.currency_code
     cross join lateral (select case when s.currency_code = p.reporting_currency then 1 else q.rate end as rate) r
     group by s.account_id
$$;

-- Whether any order was ever loaded. Without one, sales are unknown; with some, a customer without orders has bought
-- nothing.
create or replace function orders_known() returns boolean
stable security definer set search_path = public, pg_temp language sql as $$ select exists (select 1 from day_sales) $$;

-- Does for new orders what external_ids_track() does for other tables. Orders are the one table that grows by the
-- million: their account is read without making JSON of the whole row.
create or replace function order_external_ids() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    wanted int;
    put int;
    taken record;
begin
    select count(*) into wanted from new_rows n, jsonb_object_keys(n.external_ids) k;
    insert into external_id (system, resource, external_id, record_id, account_id)
    select k.key, 'order', k.value, n.id, n.account_id from new_rows n, jsonb_each_text(n.external_ids) k order by 1, 3
    on conflict (system, resource, external_id) do update set account_id = excluded.account_id
     where external_id.record_id = excluded.record_id;
    get diagnostics put = row_count;
    if put < wanted then
        select k.key as system, k.value as ext into taken from new_rows n, jsonb_each_text(n.external_ids) k
         where not exists (select from external_id x
                            where x.system = k.key and x.resource = 'order' and x.external_id = k.value
                              and x.record_id = n.id)
         limit 1;
        raise exception using errcode = 'KD409', message = 'already_exists', column = 'external_ids',
            detail = format('Another record already has the id %s of system %s.', taken.ext, taken.system);
    end if;
    return null;
end $$;
