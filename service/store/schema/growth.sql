-- What an account could become, and what it costs: needs, opportunities, economics and whitespace. The documents are
-- made with the caller's rights: row level security says what goes into them.

-- Lets a need only go forward: stated, diagnosed, prescribed, resolved (003-10), and notes the time of each step.
-- Nothing is prescribed or resolved before it is diagnosed; what was diagnosed may be resolved without a prescription.
create or replace function need_step() returns trigger language plpgsql as $$
declare
    steps text[] := array ['stated', 'diagnosed', 'prescribed', 'resolved'];
    before text := case tg_op when 'INSERT' then 'stated' else old.status end;
begin
    if array_position(steps, new.status) < array_position(steps, before) then
        raise exception using errcode = 'KD422', message = 'no_step_back', column = 'status',
            detail = format('The need is %s already. What comes up again is a new need.', before);
    end if;
    if before = 'stated' and new.status in ('prescribed', 'resolved') then
        raise exception using errcode = 'KD422', column = 'status',
            message = case new.status when 'prescribed' then 'no_prescription_without_diagnosis'
                                      else 'no_resolution_without_diagnosis' end,
            detail = format('Nothing is %s before it is diagnosed.', new.status);
    end if;
    if new.status = before and tg_op = 'UPDATE' then
        return new;
    end if;
    case new.status
        when 'diagnosed' then new.diagnosed_at := now();
        when 'prescribed' then new.prescribed_at := now();
        when 'resolved' then new.resolved_at := now();
        else null;
    end case;
    return new;
end $$;

-- What one unit of each known currency is in the reporting currency.
create or replace function growth_rates() returns table (currency_code text, rate numeric) stable language sql as $$
    select reporting_currency, 1::numeric from program
    union all
    select r.currency_code, r.rate from program_rate r, program p where r.currency_code <> p.reporting_currency
$$;

-- The opportunities of an account's plans (plan_states null: of all plans), with their sums by kind and currency
-- (000-03 to 000-05), and what the fit check says of each kind. A sum is of the known values; unknown ones are counted.
-- Null for an account that the caller does not see.
create or replace function account_opportunities(account uuid, plan_states text[]) returns jsonb
stable language sql as $$
with listed as (
    select p.id as plan_id, p.title, p.status, p.period_start, o.n, o.d, (o.d ->> 'value')::numeric as value
      from plan p cross join lateral jsonb_array_elements(p.opportunities) with ordinality o(d, n)
     where p.account_id = account and p.deleted_at is null and (plan_states is null or p.status = any (plan_states))
), sums as (
    select d ->> 'kind' as kind, d ->> 'currency_code' as currency_code, count(*) as opportunities,
           count(*) - count(value) as unknown_values, sum(value) as value
      from listed
     group by 1, 2
), checked as (
    select k.kind, k.answer
      from fit_check f
     cross join lateral (
        values ('upsell', f.upsell), ('cross_sell', f.cross_sell), ('expand', f.expand)) k(kind, answer)
     where f.account_id = account and f.deleted_at is null
)
select jsonb_build_object(
    'account_id', a.id,
    'data', coalesce((select jsonb_agg(jsonb_build_object(
        'plan_id', l.plan_id, 'plan_title', l.title, 'plan_status', l.status, 'kind', l.d -> 'kind',
        'product', l.d -> 'product', 'unit_account_id', l.d -> 'unit_account_id', 'value', l.d -> 'value',
        'currency_code', l.d -> 'currency_code', 'stage', l.d -> 'stage')
        order by l.period_start desc, l.plan_id, l.n) from listed l), '[]'),
    'totals', coalesce((select jsonb_agg(jsonb_build_object(
        'kind', s.kind, 'currency_code', s.currency_code, 'opportunities', s.opportunities,
        'unknown_values', s.unknown_values, 'value', round(s.value, 4)::text)
        order by s.kind, s.currency_code) from sums s), '[]'),
    'fit_check', coalesce((select jsonb_agg(jsonb_build_object(
        'kind', c.kind, 'possible', c.answer -> 'possible', 'est_value', c.answer -> 'est_value')
        order by c.kind) from checked c), '[]'))
  from account a where a.id = account and a.deleted_at is null
$$;

-- What was invested in an account until a day, in the reporting currency; `amount` is null where the rate is unknown.
create or replace function account_investments(account uuid, on_day date)
returns table (kind text, invested_on date, payback_on date, currency_code text, amount numeric)
stable language sql as $$
    select i.kind, i.invested_on, i.payback_on, i.currency_code, i.amount * r.rate
      from investment i left join growth_rates() r on r.currency_code = i.currency_code
     where i.account_id = account and i.deleted_at is null and i.invested_on <= on_day
$$;

-- What was invested in an account against the margin it brought, month by month from the first investment to the day,
-- in the reporting currency, and the sums up to each month. An amount that is unknown in one month makes every sum from
-- that month on unknown (null); no_cost and no_rate are the currencies of orders with an unknown cost, or without a
-- rate. It is PL/pgSQL because that keeps its plan for the connection.
create or replace function economics_months(account uuid, on_day date)
returns table (month date, ends date, invested numeric, margin numeric, all_invested numeric, all_margin numeric,
               no_cost text[], no_rate text[])
stable rows 24 language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with ours as materialized (
        select date_trunc('month', i.invested_on)::date as month, i.invested_on, i.amount
          from account_investments(account, on_day) i
         where i.kind in ('ours', 'joint')
    ), span as (
        select min(invested_on) as first from ours
    ), invested as (
        select month, case when count(*) = count(amount) then sum(amount) end as amount from ours group by 1
    ), sold as (
        select date_trunc('month', d.day)::date as month, d.currency_code, sum(d.amount - d.cost) * r.rate as margin,
               bool_or(d.unknown_costs > 0) as cost_unknown, r.rate is null as rate_unknown
          from span s
          join day_sales d on d.account_id = account and d.day between s.first and on_day and d.orders <> 0
          left join growth_rates() r on r.currency_code = d.currency_code
         group by 1, 2, r.rate
    ), earned as (
        select month, case when not bool_or(cost_unknown or rate_unknown) then sum(margin) end as amount,
               array_agg(currency_code) filter (where cost_unknown) as no_cost,
               array_agg(currency_code) filter (where rate_unknown) as no_rate
          from sold
         group by 1
    ), lines as (
        select m.month::date as month, (m.month + interval '1 month' - interval '1 day')::date as ends,
               case when i.month is null then 0 else i.amount end as invested,
               case when e.month is not null then e.amount when orders_known() then 0 end as margin,
               e.no_cost, e.no_rate
          from span s
         cross join generate_series(date_trunc('month', s.first), on_day::timestamp, interval '1 month') m(month)
          left join invested i on i.month = m.month::date
          left join earned e on e.month = m.month::date
    )
    select month, ends, invested, margin,
           case when count(*) over w = count(invested) over w then sum(invested) over w end,
           case when count(*) over w = count(margin) over w then sum(margin) over w end, no_cost, no_rate
      from lines
    window w as (order by month);
end $$;

-- What was invested in an account against the margin it brought (000-18, 002-05), as economics_months() says, and where
-- it stands on the day; `missing` lists why a sum is unknown. Cost to serve is never known. Null for an account that
-- the caller does not see.
create or replace function account_economics(account uuid, on_day date) returns jsonb stable language sql as $$
with spent as materialized (
    select * from account_investments(account, on_day)
), span as (
    select min(invested_on) as first, max(payback_on) as payback from spent where kind in ('ours', 'joint')
), sums as materialized (
    select * from economics_months(account, on_day)
), last as (
    select all_invested as invested, all_margin as margin from sums order by month desc limit 1
), even as (
    select min(ends) as reached from sums where ends <= on_day and all_margin >= all_invested
), gaps as (
    select 'cost' as input, month, unnest(no_cost) as currency_code from sums
    union
    select 'rate', month, unnest(no_rate) from sums
    union
    select 'rate', date_trunc('month', invested_on)::date, currency_code from spent where amount is null
    union
    select 'orders', null, null where not orders_known()
    union
    select 'cost_to_serve', null, null
)
select jsonb_build_object(
    'account_id', a.id, 'as_of', on_day, 'reporting_currency', p.reporting_currency, 'first_invested_on', span.first,
    'invested', round(case when span.first is null then 0 else last.invested end, 4)::text,
    'margin', round(last.margin, 4)::text, 'balance', round(last.margin - last.invested, 4)::text,
    'theirs', (select case when count(*) = count(s.amount) then round(coalesce(sum(s.amount), 0), 4)::text end
                 from spent s where s.kind = 'theirs'),
    'cost_to_serve', null, 'break_even_on', even.reached, 'payback_on', span.payback,
    'past_payback', case when span.payback is null then null
                         when even.reached is not null or on_day <= span.payback then false
                         when last.margin is not null and last.invested is not null then true end,
    'months', coalesce((select jsonb_agg(jsonb_build_object(
        'month', to_char(s.month, 'YYYY-MM'), 'invested', round(s.invested, 4)::text,
        'margin', round(s.margin, 4)::text, 'cumulative_invested', round(s.all_invested, 4)::text,
        'cumulative_margin', round(s.all_margin, 4)::text) order by s.month) from sums s), '[]'),
    'missing', (select jsonb_agg(jsonb_build_object(
        'input', g.input, 'month', to_char(g.month, 'YYYY-MM'), 'currency_code', g.currency_code)
        order by g.input, g.month, g.currency_code) from gaps g))
  from account a cross join program p cross join span cross join even left join last on true
 where a.id = account and a.deleted_at is null
$$;

-- The opportunities of an account's plans that are not closed, each with the unit that it names (else the account), its
-- product as it is compared (key) and as it is shown, and its value in the reporting currency. Like unit_purchases(),
-- it is one query without settings or rights of its own, so that the planner puts it in the place of the call.
create or replace function open_opportunities(account uuid)
returns table (plan_id uuid, n bigint, unit uuid, key text, product text, d jsonb, value numeric, currency_code text)
stable language sql as $$
    select p.id, o.n, coalesce((o.d ->> 'unit_account_id')::uuid, p.account_id),
           nullif(lower(btrim(o.d ->> 'product')), ''), btrim(o.d ->> 'product'), o.d,
           (o.d ->> 'value')::numeric * r.rate, o.d ->> 'currency_code'
      from plan p
     cross join lateral jsonb_array_elements(p.opportunities) with ordinality o(d, n)
      left join growth_rates() r on r.currency_code = o.d ->> 'currency_code'
     where p.account_id = account and p.deleted_at is null and p.status <> 'closed'
$$;

-- What an account bought in the last 730 days, by product: when last, for how much in the reporting currency (null
-- where a rate is unknown), and the currencies without a rate. "offset 0": else the planner reads the orders of all
-- accounts.
create or replace function unit_purchases(account uuid)
returns table (key text, product text, last_on date, amount numeric, no_rate text)
stable language sql as $$
    select lower(btrim(l.product)), min(btrim(l.product) collate "C"), max(o.ordered_on),
           case when count(*) = count(r.rate) then sum(l.amount * r.rate) end,
           string_agg(distinct o.currency_code, ' ') filter (where r.rate is null)
      from (select * from sales_order o
             where o.account_id = account and o.ordered_on > current_date - 730 and o.deleted_at is null offset 0) o
     cross join lateral jsonb_to_recordset(o.lines) l(product text, amount numeric)
      left join growth_rates() r on r.currency_code = o.currency_code
     where btrim(l.product) <> ''
     group by 1
$$;

-- The units that an account's whitespace is about: the account, those `below` it, its allies that have accounts, and
-- `named` units of opportunities, in this order; a unit that is there twice comes by the first of its relations.
create or replace function whitespace_units(account uuid, below uuid[], named uuid[])
returns table (id uuid, relation text, n bigint, name text, account_number text, level text)
stable language sql as $$
    select u.id, u.relation, row_number() over (order by u.rank, u.name, u.id), u.name, u.account_number, u.level
      from (select distinct on (r.id) r.id, r.relation, r.rank, a.name, a.account_number, a.level
              from (select b as id, case when b = account then 'self' else 'below' end as relation,
                           case when b = account then 0 else 1 end as rank
                      from unnest(below) b
                    union all
                    select l.linked_account_id, l.kind, 2
                      from allied_organisation l
                     where l.account_id = account and l.deleted_at is null and l.linked_account_id is not null
                    union all
                    select x, 'opportunity', 3 from unnest(named) x) r
              join account a on a.id = r.id and a.deleted_at is null
             order by r.id, r.rank, r.relation) u
$$;

-- The products that these units bought, or that opportunities (rows of open_opportunities() as a document) name for
-- them, the largest first: which unit buys the product, or could (cells); the units' places that have it (taken), how
-- many these are, and how many of them bought it; what is unknown; and the currencies without a rate.
create or replace function whitespace_products(units uuid[], opportunities jsonb)
returns table (nth bigint, product text, amount numeric, cells jsonb, taken bigint[], n bigint, bought bigint,
               value numeric, amount_unknown boolean, value_unknown boolean, no_rate text)
stable language sql as $$
    with bought as (
        select u.id as unit, u.n, l.*
          from unnest(units) with ordinality u(id, n) cross join lateral unit_purchases(u.id) l
    ), wanted as (
        select o.unit, u.n, o.key, min(o.product collate "C") as product,
               case when count(*) = count(o.value) then sum(o.value) end as value,
               jsonb_agg(jsonb_build_object(
                   'plan_id', o.plan_id, 'kind', o.d -> 'kind', 'value', o.d -> 'value',
                   'currency_code', o.d -> 'currency_code', 'stage', o.d -> 'stage') order by o.plan_id, o.n) as list
          from jsonb_to_recordset(opportunities) o(plan_id uuid, n bigint, unit uuid, key text, product text, d jsonb,
                                                   value numeric)
          join unnest(units) with ordinality u(id, n) on u.id = o.unit
         where o.key is not null
         group by 1, 2, 3
    ), cell as (
        select key, unit, coalesce(b.n, w.n) as n, b.amount, b.last_on, b.no_rate, w.value, w.list,
               b.n is not null as bought, least(b.product collate "C", w.product collate "C") as product
          from bought b full join wanted w using (unit, key)
    ), line as (
        select key, min(product collate "C") as product, sum(amount) as amount,
               jsonb_agg(jsonb_build_object(
                   'account_id', unit, 'state', case when bought then 'bought' else 'opportunity' end,
                   'amount', round(amount, 4)::text, 'last_on', last_on, 'opportunity_value', round(value, 4)::text,
                   'opportunities', coalesce(list, '[]')) order by n) as cells,
               array_agg(n) as taken, count(*) as n, count(*) filter (where bought) as bought, sum(value) as value,
               bool_or(bought and amount is null) as amount_unknown,
               bool_or(list is not null and value is null) as value_unknown,
               string_agg(no_rate, ' ') as no_rate
          from cell
         group by key
    )
    select row_number() over (order by amount desc nulls last, key), product, amount, cells, taken, n, bought, value,
           amount_unknown, value_unknown, no_rate
      from line
$$;
-- Who buys what, and who could (000-04, 000-06): products of the last 730 days and of opportunities in plans that are
-- not closed, against units: the account, those below it, its allies that have accounts, and units that opportunities
-- name. At most 100 units, in that order, and 300 products, the largest first: what a request has time for. Amounts of
-- cells and totals are in the reporting currency, and null where a rate or a value is unknown. Null for an account that
-- the caller does not see.
create or replace function account_whitespace(account uuid) returns jsonb stable language sql as $$
with recursive below as (
    select a.id, 0 as depth from account a where a.id = account and a.deleted_at is null
    union
    select c.id, b.depth + 1
      from account c join below b on c.parent_id = b.id
     where c.deleted_at is null and b.depth < 16
), opportunity as materialized (
    select o.* from below b cross join lateral open_opportunities(b.id) o
), every_unit as materialized (
    select u.*
      from (select array_agg(id) as ids from below) b
     cross join (select array_agg(distinct unit) as ids from opportunity) o
     cross join lateral whitespace_units(account, b.ids, o.ids) u
), unit as materialized (
    select * from every_unit where n <= 100
), every_product as materialized (
    select p.*
      from (select array_agg(id order by n) as ids from unit) u
     cross join (select jsonb_agg(o) as list from opportunity o) o
     cross join lateral whitespace_products(u.ids, o.list) p
), product as materialized (
    select * from every_product where nth <= 300
), counted as (
    select count(*) as products, coalesce(sum(bought), 0) as bought, coalesce(sum(n - bought), 0) as opportunity,
           case when bool_or(amount_unknown) then null else coalesce(sum(amount), 0) end as amount,
           case when bool_or(value_unknown) then null else coalesce(sum(value), 0) end as value
      from product
)
select jsonb_build_object(
    'account_id', account, 'since', current_date - 729, 'reporting_currency', p.reporting_currency,
    'units', (select jsonb_agg(jsonb_build_object(
        'account_id', u.id, 'account_number', u.account_number, 'name', u.name, 'level', u.level,
        'relation', u.relation) order by u.n) from unit u),
    'products', coalesce((select jsonb_agg(jsonb_build_object(
        'product', l.product, 'amount', round(l.amount, 4)::text, 'cells', l.cells,
        'white_account_ids', array(select u.id from unit u where u.n <> all (l.taken) order by u.n))
        order by l.nth) from product l), '[]'),
    'totals', jsonb_build_object(
        'units', s.units, 'products', c.products, 'bought', c.bought, 'opportunity', c.opportunity,
        'white', s.units * c.products - c.bought - c.opportunity,
        'amount', round(c.amount, 4)::text, 'opportunity_value', round(c.value, 4)::text,
        'without_product', (select count(*) from opportunity o where o.key is null),
        'left_off_units', (select count(*) from every_unit) - s.units,
        'left_off_products', (select count(*) from every_product) - c.products),
    'missing_rates', coalesce((
        select jsonb_agg(distinct x.code)
          from (select unnest(string_to_array(l.no_rate, ' ')) as code from every_product l
                union all
                select o.currency_code from opportunity o where o.d ->> 'value' is not null and o.value is null) x
         where x.code is not null), '[]'))
  from program p cross join counted c cross join (select count(*) as units from unit) s
 where exists (select 1 from below)
$$;

-- A document of account_whitespace() as rows, one for each product and unit, also where the unit does not buy the
-- product (white): what GET /v1/accounts/{id}/whitespace?format=csv writes.
create or replace function whitespace_cells(doc jsonb)
returns table (product text, account_id text, account_number text, name text, relation text, state text, amount text,
               last_on text, opportunity_kinds text, opportunity_value text, stages text)
stable language sql as $$
    with line as materialized (
        select n, p ->> 'product' as product, p -> 'cells' as cells
          from jsonb_array_elements(doc -> 'products') with ordinality x(p, n)
    ), unit as materialized (
        select n, u ->> 'account_id' as id, u ->> 'account_number' as account_number, u ->> 'name' as name,
               u ->> 'relation' as relation
          from jsonb_array_elements(doc -> 'units') with ordinality x(u, n)
    ), cell as materialized (
        select l.n, c ->> 'account_id' as id, c as d from line l cross join lateral jsonb_array_elements(l.cells) c
    )
    select l.product, u.id, u.account_number, u.name, u.relation, coalesce(c.d ->> 'state', 'white'),
           c.d ->> 'amount', c.d ->> 'last_on',
           (select string_agg(distinct o ->> 'kind', ' ') from jsonb_array_elements(c.d -> 'opportunities') o),
           c.d ->> 'opportunity_value',
           (select string_agg(distinct o ->> 'stage', '; ') from jsonb_array_elements(c.d -> 'opportunities') o)
      from line l
     cross join unit u
      left join cell c on c.n = l.n and c.id = u.id
     order by l.n, u.n
$$;
