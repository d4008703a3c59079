-- Scores and health of accounts: which accounts are to be scored anew, the metrics, and the values that people assess.

-- Queues accounts to be scored; `ids` and members of it may be null. Each call adds rows of its own and waits for no
-- lock, so whoever writes for an account does not wait for its score. A worker deletes the rows that it sees, and reads
-- the inputs after that: a later row may be for an input that was read already, but no input goes unread.
create or replace function rescore_enqueue(ids uuid[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if ids is not null then
        insert into rescore_queue (account_id) select distinct i from unnest(ids) i where i is not null;
    end if;
end $$;

-- Queues the accounts of the rows written, on tables whose rows are inputs of a score.
create or replace function rescore_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform rescore_enqueue(array_agg(distinct account_id)) from new_rows;
    return null;
end $$;

-- The same for one row, on tables of which few changes are an input.
create or replace function rescore_follow_row() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform rescore_enqueue(array [new.account_id]);
    return null;
end $$;

-- True of a metric of which a high value is bad: it scales to 0.
create or replace function metric_lowers(metric text) returns boolean
immutable strict parallel safe language sql as
$$ select metric in ('complaint_load', 'service_load', 'days_since_interaction', 'open_problems') $$;

-- True of a metric that comes from other records only: nobody assesses it.
create or replace function metric_is_derived(metric text) returns boolean
immutable strict parallel safe language sql as
$$ select metric in (
    'revenue_ttm', 'margin_ttm', 'growth', 'complaint_load', 'service_load', 'days_since_interaction', 'open_problems',
        'sentiment', 'cadence_adherence', 'profitability', 'promises_kept', 'expectations', 'decision_maker_coverage')
$$;

-- True when one of these names is among the metrics, a list of {metric, weight, floor, ceiling}.
create or replace function metrics_use(metrics jsonb, variadic names text[]) returns boolean
immutable parallel safe language sql as $$ select jsonb_path_query_array(metrics, '$[*].metric') ?| names $$;

-- Makes the query of the weighted mean and its contributions, with the columns of score_accounts(), over `inputs`: the
-- text of a query with columns id, v1..vk, where vi is the value of the metric at place i.
create or replace function score_sql(metrics jsonb, inputs text) returns text immutable strict language plpgsql as $$
declare
    k int := jsonb_array_length(metrics);
    m jsonb;
    scaled text[]; parts text[]; lows text[]; rests text[]; objects text[]; absent text[]; weights text[];
    lowest numeric; highest numeric; place text;
begin
    for i in 1 .. k loop
        m := metrics -> (i - 1);
        lowest := (m ->> 'floor')::numeric;
        highest := (m ->> 'ceiling')::numeric;
        if metric_lowers(m ->> 'metric') then -- a high value is bad: 100 at the lower end
            scaled[i] := format('(1 - least(greatest((v%s - (%s)) / %s, 0), 1)) * 100',
                                i, least(lowest, highest), abs(highest - lowest));
        else
            scaled[i] := format('least(greatest((v%s - (%s)) / (%s), 0), 1) * 100', i, lowest, highest - lowest);
        end if;
        scaled[i] := format('case when v%s is not null then %s end as s%s', i, scaled[i], i);
        weights[i] := format('case when v%s is null then 0 else %s end', i, m ->> 'weight');
        parts[i] := format('%s * s%s / nullif(total, 0) as p%s', m ->> 'weight', i, i);
        lows[i] := format('trunc(p%s, 4) as l%s', i, i);
        rests[i] := format('p%s - l%s as r%s', i, i, i);
        -- The largest remainders are rounded up, the first of equal ones first, until the contributions add up to the
        -- score.
        select coalesce(string_agg(format('case when r%s %s r%s then 1 else 0 end',
                                          j, case when j < i then '>=' else '>' end, i), ' + '), '0')
          into place from generate_series(1, k) j where j <> i;
        objects[i] := format($sql$jsonb_build_object('metric', %L, 'value', round(v%s, 4)::text,
                                 'scaled', round(s%s, 4)::text, 'weight', %L,
                                 'contribution', (l%s + case when %s < spare then 0.0001 else 0 end)::text)$sql$,
                             m ->> 'metric', i, i, (m ->> 'weight')::numeric::text, i, place);
        absent[i] := format('case when v%s is null then %L end', i, m ->> 'metric');
    end loop;
    -- "offset 0" keeps the planner from merging the levels, so that no expression is worked out twice.
    return format(
        'select id, score, jsonb_build_array(%s), array_remove(array [%s], null)::text[] from (
           select *, %s, (score - (%s)) * 10000 as spare from (
             select *, case when total > 0 then round(%s, 4) end as score, %s from (
               select *, %s from (
                 select *, %s as total, %s from (%s offset 0) x offset 0) y offset 0) z offset 0) w offset 0) r',
        array_to_string(objects, ', '), array_to_string(absent, ', '), array_to_string(rests, ', '),
        (select string_agg(format('coalesce(l%s, 0)', i), ' + ') from generate_series(1, k) i),
        (select string_agg(format('coalesce(p%s, 0)', i), ' + ') from generate_series(1, k) i),
        array_to_string(lows, ', '), array_to_string(parts, ', '), array_to_string(weights, ' + '),
        array_to_string(scaled, ', '), inputs);
end $$;

-- The functions from here to score_value() make the parts of the query of score_owners(): joins to an account a, from
-- which the metrics are computed. In their text $1 are the accounts to score, $2 is the day, $3 the reporting currency,
-- and $4 those whose records count. `units` is the sub-select u that says to which of the accounts scored (owner) the
-- records of an account count. No window reaches beyond the day.

-- The sub-select u. A customer owns what its units have. Where not only customers are scored, a unit owns its own, too.
create or replace function score_units(customers_only boolean, limited boolean) returns text
immutable language sql as $$
    select '(select x.account_id, x.customer_id as owner from account_status x'
           || case when limited then ' where x.account_id = any ($4)' else '' end
           || case when customers_only then '' else
                  ' union all select x.account_id, x.account_id from account_status x'
                  ' where x.customer_id <> x.account_id'
                  || case when limited then ' and x.account_id = any ($4)' else '' end end || ') u using (account_id)'
$$;

-- The sub-select of currencies and their rates: what one unit is in the reporting currency.
create or replace function score_rates() returns text immutable language sql as $$
    select $sql$(select $3 as currency_code, 1::numeric as rate union all
                 select p.currency_code, p.rate from program_rate p where p.currency_code <> $3)$sql$
$$;

-- Join s: what an account ordered in the 365 days up to the day, and, where `days` is 730, in the 365 before those.
create or replace function score_orders(days int, units text) returns text immutable language sql as $$
    select format($sql$left join (
        select u.owner as account_id,
               sum(amount * rate) filter (where day > $2 - 365) as revenue,
               sum(cost * rate) filter (where day > $2 - 365) as cost,
               bool_or(unknown_costs > 0) filter (where day > $2 - 365) as cost_unknown,
               bool_or(rate is null) filter (where day > $2 - 365) as rate_unknown,
               sum(amount * rate) filter (where day <= $2 - 365) as revenue_before,
               bool_or(rate is null) filter (where day <= $2 - 365) as rate_unknown_before
          from day_sales join %s left join %s r using (currency_code)
         where orders <> 0 and day <= $2 and day > $2 - %s
         group by u.owner) s on s.account_id = a.id $sql$, units, score_rates(), days)
$$;

-- Join w: what the customer spends in all, and 1 - our share of it, in the latest period of each category that had
-- begun.
create or replace function score_wallets(units text) returns text immutable language sql as $$
    select format($sql$left join (
        select u.owner as account_id,
               case when not bool_or(rate is null) then sum(customer_spend * rate) end as potential,
               case when not bool_or(rate is null) then
                   1 - sum(our_revenue * rate)
                       / nullif(sum(customer_spend * rate) filter (where our_revenue is not null), 0)
               end as gap
          from (select distinct on (account_id, category) w.* from wallet w
                 where deleted_at is null and customer_spend is not null and lower(period_days(period)) <= $2
                   and ($4 is null or account_id = any ($4))
                 order by account_id, category, lower(period_days(period)) desc, upper(period_days(period))) w
          join %s left join %s r using (currency_code)
         group by u.owner) w on w.account_id = a.id $sql$, units, score_rates())
$$;

-- Join t: interactions. Complaints, service contacts and sentiment are of the 365 days up to the day; a complaint is
-- negative, whatever was noted with it. The last contact is of all time before the day's end.
create or replace function score_interactions(units text) returns text immutable language sql as $$
    select format($sql$left join (
        select u.owner as account_id,
               count(*) filter (where kind = 'complaint' and occurred_at >= day_end($2 - 365)) as complaints,
               count(*) filter (where kind in ('inquiry', 'service_call')
                                  and occurred_at >= day_end($2 - 365)) as service_contacts,
               avg(case when kind = 'complaint' or sentiment = 'negative' then -1
                        when sentiment = 'positive' then 1 when sentiment = 'neutral' then 0 end)
                   filter (where occurred_at >= day_end($2 - 365)) as sentiment,
               max(occurred_at) filter (where is_contact) as last_at
          from interaction join %s
         where deleted_at is null and occurred_at < day_end($2)
         group by u.owner) t on t.account_id = a.id $sql$, units)
$$;

-- Join b: problems opened in the 365 days up to the day, and the load of all that are open at its end.
create or replace function score_problems(units text) returns text immutable language sql as $$
    select format($sql$left join (
        select u.owner as account_id,
               count(*) filter (where opened_at >= day_end($2 - 365)) as opened,
               count(*) filter (where category = 'billing' and opened_at >= day_end($2 - 365)) as billing,
               sum(case severity when 'low' then 1 when 'medium' then 2 when 'high' then 3 else 5 end)
                   filter (where resolved_at is null or resolved_at >= day_end($2)) as open_load
          from problem join %s
         where deleted_at is null and opened_at < day_end($2)
         group by u.owner) b on b.account_id = a.id $sql$, units)
$$;

-- Join k: the share kept of the contacts that the account itself was owed.
create or replace function score_cadence() returns text immutable language sql as $$
    select $sql$left join (
        select account_id, sum(kept) / sum(owed) as adherence from contact_promises($2, $1, false)
         group by account_id) k on k.account_id = a.id $sql$
$$;

-- Join p: the share kept of the promises that were settled in the 365 days up to the day.
create or replace function score_promises(units text) returns text immutable language sql as $$
    select format($sql$left join (
        select u.owner as account_id, avg(case status when 'kept' then 1 else 0 end) as kept
          from commitment join %s
         where deleted_at is null and status in ('kept', 'broken')
           and settled_at >= day_end($2 - 365) and settled_at < day_end($2)
         group by u.owner) p on p.account_id = a.id $sql$, units)
$$;

-- Join e: the customer's latest ratings of our seven services to it, as a mean.
create or replace function score_expectations(units text) returns text immutable language sql as $$
    select format($sql$left join (
        select u.owner as account_id, avg(rating) as rating
          from (select distinct on (account_id, expectation) account_id, rating
                  from buyer_ratings($4)
                 where rater = 'customer' and at < day_end($2)
                 order by account_id, expectation, at desc, source desc) l
          join %s
         group by u.owner) e on e.account_id = a.id $sql$, units)
$$;

-- Join d: the share of those who decide that we had a contact with in the 365 days up to the day.
create or replace function score_coverage(units text) returns text immutable language sql as $$
    select format($sql$left join (
        select u.owner as account_id, avg(case when exists (
                   select from interaction i
                    where i.account_id = c.account_id and i.is_contact and i.deleted_at is null
                      and i.occurred_at >= day_end($2 - 365) and i.occurred_at < day_end($2)
                      and i.contact_ids ? c.id::text) then 1 else 0 end) as met
          from contact c join %s
         where decision_role = 'decision_maker' and deleted_at is null
         group by u.owner) d on d.account_id = a.id $sql$, units)
$$;

-- The join of an assessed metric, under `alias`: the value of the latest period that had begun. What was assessed of a
-- unit is not the customer's.
create or replace function score_assessed(metric text, alias text) returns text immutable language sql as $$
    select format($sql$left join (
        select distinct on (account_id) account_id, value from account_metric
         where metric = %L and deleted_at is null and lower(days) <= $2
           and ($1 is null or account_id = any ($1))
         order by account_id, lower(days) desc, upper(days)) %s on %s.account_id = a.id $sql$,
        metric, alias, alias)
$$;

-- All joins that these metrics need, and no others. The assessed value of the metric at place i is joined as gi, the
-- retention rate as l, the program's settings as c.
create or replace function score_joins(metrics jsonb, units text) returns text immutable language plpgsql as $$
declare
    joins text := '';
    one text;
begin
    if metrics_use(metrics, 'revenue_ttm', 'margin_ttm', 'growth', 'ltv', 'service_load', 'profitability') then
        joins := joins || score_orders(case when metrics_use(metrics, 'growth') then 730 else 365 end, units);
    end if;
    if metrics_use(metrics, 'share_of_wallet_gap', 'revenue_potential') then
        joins := joins || score_wallets(units);
    end if;
    if metrics_use(metrics, 'complaint_load', 'service_load', 'open_problems', 'days_since_interaction',
                   'sentiment') then
        joins := joins || score_interactions(units);
    end if;
    if metrics_use(metrics, 'complaint_load', 'service_load', 'open_problems') then
        joins := joins || score_problems(units);
    end if;
    if metrics_use(metrics, 'cadence_adherence') then
        joins := joins || score_cadence();
    end if;
    if metrics_use(metrics, 'promises_kept') then
        joins := joins || score_promises(units);
    end if;
    if metrics_use(metrics, 'expectations') then
        joins := joins || score_expectations(units);
    end if;
    if metrics_use(metrics, 'decision_maker_coverage') then
        joins := joins || score_coverage(units);
    end if;
    for i in 1 .. jsonb_array_length(metrics) loop
        one := metrics -> (i - 1) ->> 'metric';
        if not metric_is_derived(one) then
            joins := joins || score_assessed(one, 'g' || i);
        end if;
        if one = 'ltv' then
            joins := joins || score_assessed('retention_rate', 'l') || 'cross join program_settings c ';
        end if;
    end loop;
    return joins;
end $$;

-- The expression of one metric's value over the joins of score_joins(), null where an input is missing. `given` is the
-- expression of the assessed value.
create or replace function score_value(metric text, given text) returns text immutable language plpgsql as $$
declare
    revenue constant text := 'case when (select not exists (select from day_sales)) or s.rate_unknown then null'
                             ' else coalesce(s.revenue, 0) end';
    margin constant text := 'case when (select not exists (select from day_sales)) or s.rate_unknown or s.cost_unknown'
                            ' then null else coalesce(s.revenue, 0) - coalesce(s.cost, 0) end';
begin
    return case metric
        when 'revenue_ttm' then revenue
        when 'margin_ttm' then margin
        when 'growth' then
            'case when s.rate_unknown or s.rate_unknown_before or coalesce(s.revenue_before, 0) <= 0 then null'
            ' else coalesce(s.revenue, 0) / s.revenue_before - 1 end'
        when 'ltv' then
            format('coalesce(%s, %s * coalesce(l.value, c.retention_rate)'
                   ' / nullif(1 + c.discount_rate - coalesce(l.value, c.retention_rate), 0))', given, margin)
        when 'revenue_potential' then format('coalesce(%s, w.potential)', given)
        when 'share_of_wallet_gap' then format('coalesce(%s, w.gap)', given)
        when 'complaint_load' then
            '(coalesce(t.complaints, 0) + coalesce(b.opened, 0))::numeric'
        when 'service_load' then
            'case when coalesce(t.service_contacts, 0) + coalesce(b.billing, 0) = 0 then 0'
            ' when s.rate_unknown or s.revenue <= 0 then null'
            ' else (coalesce(t.service_contacts, 0) + coalesce(b.billing, 0)) * 1000 / s.revenue end'
        when 'days_since_interaction' then '($2 - (t.last_at at time zone ''UTC'')::date)::numeric'
        when 'sentiment' then 't.sentiment'
        when 'open_problems' then
            'coalesce(b.open_load, 0)::numeric'
        when 'cadence_adherence' then 'k.adherence'
        when 'profitability' then
            'case when s.rate_unknown or s.cost_unknown or s.revenue <= 0 then null'
            ' else 1 - coalesce(s.cost, 0) / s.revenue end'
        when 'promises_kept' then 'p.kept'
        when 'expectations' then 'e.rating'
        when 'decision_maker_coverage' then 'coalesce(d.met, 0)'
        else given end;
end $$;

-- Scores accounts (`ids` null: all; `customers_only`: no units) as of a day. One function serves one account, all
-- accounts, what-if runs and health (the same sum over other metrics), so that their digits cannot differ. Windows are
-- whole days: the 365 days up to and including on_day. Everything is numeric; score and contributions have four places;
-- contributions are rounded by the largest remainder, so that they add up to the score. A missing input is left out of
-- the weights and listed.
--   revenue_ttm, margin_ttm, growth         from orders
--   ltv                                     margin_ttm * r / (1 + d - r), r the retention rate and d the discount rate
--                                           (Gupta and Lehmann 2003), unless assessed
--   revenue_potential, share_of_wallet_gap  what the customer spends in all, and 1 - our share of it: the latest period
--                                           of each category that had begun, unless assessed
--   complaint_load                          complaints and problems in the window
--   service_load                            inquiries, service calls and billing problems in the window for each 1,000
--                                           of revenue_ttm
--   profitability                           margin_ttm / revenue_ttm
--   promises_kept (0 to 1), expectations    the share kept of those settled in the window; the customer's latest
--   (1 to 5), decision_maker_coverage       ratings; the share of those who decide that were met in the window, 0 where
--   (0 to 1)                                none is known
--   days_since_interaction, sentiment (-1 to 1), cadence_adherence (0 to 1),
--   open_problems                           low 1, medium 2, high 3, revenue loss 5 each
--                                           (the three loads are 0 where nothing was recorded: else the first
--                                           complaint would add a load near 0, and raise the score)
--   any other name                          assessed: the value of the latest period that had begun
-- The records of units count for their customer. The query is made for the metrics asked for: it reads only what they
-- need, and works row by row, with no row for each metric and no window over them. The planner is told to expect 50
-- rows, since mostly a few accounts are scored: for a few it does not read whole tables.
create or replace function score_owners(ids uuid[], on_day date, metrics jsonb, currency text, customers_only boolean)
returns table (account_id uuid, score numeric, contributions jsonb, missing text[])
stable rows 50 language plpgsql as $$
declare
    columns text := (select string_agg(score_value(m ->> 'metric', format('g%s.value', i)) || ' as v' || i,
                                       ', ' order by i)
                       from jsonb_array_elements(metrics) with ordinality u(m, i));
    limited boolean := ids is not null;
    members uuid[] := case when limited then
        array(select s.account_id from account_status s
               where s.customer_id = any (ids) or s.account_id = any (ids)) end;
begin
    return query execute
        score_sql(metrics, format('select a.id, %s from account a %s %s where a.deleted_at is null %s',
                                  columns,
                                  case when customers_only then 'join account_status o on o.customer_id = a.id'
                                                                ' and o.account_id = a.id' end,
                                  score_joins(metrics, score_units(customers_only, limited)),
                                  case when limited then 'and a.id = any ($1)' end))
      using ids, on_day, currency, members;
end $$;

-- The scores of customers (`ids` null: of all).
create or replace function score_accounts(ids uuid[], on_day date, metrics jsonb, currency text)
returns table (account_id uuid, score numeric, contributions jsonb, missing text[])
stable rows 50 language sql as $$ select * from score_owners(ids, on_day, metrics, currency, true) $$;

-- Scores at most `most` queued accounts, and as many whose grace clock has run out. Returns those whose status
-- changed, with their cache versions. Clocks are looked at in every round, also while the queue keeps growing: else
-- nobody would slip until the full evaluation of the next day. Rows that another worker holds are passed over. A status
-- whose clock ran out is not locked here: evaluate() locks all it touches in one order, and whoever comes second finds
-- the status moved.
create or replace function rescore_process(most int) returns setof account_status_touch
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    ids uuid[];
begin
    with first as materialized (
        select account_id from (select distinct r.account_id from rescore_queue r order by 1 limit most) d
    ), taken as (
        select r.ctid as at from rescore_queue r join first f on f.account_id = r.account_id for update of r skip locked
    ), gone as (
        delete from rescore_queue r using taken t where r.ctid = t.at returning r.account_id
    ), expired as (
        select s.account_id from account_status s where s.grace_until <= now() order by s.account_id limit most
    )
    select array_agg(account_id order by account_id) into ids
      from (select account_id from gone union select account_id from expired) due;
    if ids is not null then
        return query select * from evaluate(ids, false, 'inputs_changed');
        return query select * from evaluate_health(ids);
    end if;
end $$;
revoke execute on function rescore_process(int) from kamd_app;

-- Scores the health of accounts and of their customers (`ids` null: of all) as of today: 0 to 100, null when every
-- input is missing. Health is only shown; it moves no key status. The values before the latest change of the score are
-- kept beside the new ones. Returns the accounts whose health changed, with their cache versions. The work memory holds
-- the scores of a whole portfolio.
create or replace function evaluate_health(ids uuid[]) returns setof account_status_touch
language plpgsql security definer set search_path = public, pg_temp set work_mem = '64MB' as $$
declare
    s program_settings;
    p program;
begin
    select * into s from program_settings;
    select * into p from program;
    if ids is not null then
        ids := array(select x.customer_id from account_status x where x.account_id = any (ids)
                     union select unnest(ids));
    end if;
    return query
    with scored as materialized (
        select r.*, round(r.score)::int as health
          from score_owners(ids, current_date, s.health_metrics, p.reporting_currency, false) r
    ), kept as (
        insert into account_health as h (account_id, as_of, health, score, contributions, missing)
        select c.account_id, current_date, c.health, c.score, c.contributions, c.missing
          from scored c
         order by c.account_id
        on conflict (account_id) do update
            set updated_at = now(), as_of = excluded.as_of, health = excluded.health, score = excluded.score,
                contributions = excluded.contributions, missing = excluded.missing,
                previous_health = case when h.score is distinct from excluded.score then h.health
                                       else h.previous_health end,
                previous_score = case when h.score is distinct from excluded.score then h.score
                                      else h.previous_score end,
                previous_contributions = case when h.score is distinct from excluded.score then h.contributions
                                              else h.previous_contributions end,
                previous_as_of = case when h.score is distinct from excluded.score then h.as_of
                                      else h.previous_as_of end,
                changed_at = case when h.score is distinct from excluded.score then now() else h.changed_at end
         where (h.score, h.contributions, h.missing)
               is distinct from (excluded.score, excluded.contributions, excluded.missing)
    ), shown as (
        update account_status t set health = c.health, version = t.version + 1, updated_at = now()
          from (select l.account_id, n.health from account_status l join scored n on n.account_id = l.account_id
                 where l.health is distinct from n.health order by l.account_id for update of l) c
         where t.account_id = c.account_id
        returning t.account_id, t.version
    )
    select w.account_id, a.version + w.version from shown w join account a on a.id = w.account_id;
end $$;
revoke execute on function evaluate_health(uuid[]) from kamd_app;

-- The assessed values of an account, by metric, the newest period first. Null for an account that the caller does not
-- see.
create or replace function account_metrics(account uuid) returns jsonb stable language sql as $$
    select jsonb_build_object(
        'account_id', account,
        'metrics', coalesce((
            select jsonb_agg(jsonb_build_object(
                       'metric', m.metric, 'period', m.period, 'value', m.value::text, 'source', m.source,
                       'note', m.note, 'assessed_by', m.assessed_by,
                       'updated_at', to_char(m.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                       order by m.metric, lower(m.days) desc, upper(m.days))
              from account_metric m where m.account_id = account and m.deleted_at is null), '[]'))
      from account a where a.id = account and a.deleted_at is null
$$;

-- Sets assessed values of an account. `given`: [{metric, period, value, source, note}]; a null value takes the value of
-- that metric and period away; values that are not named stay.
create or replace function account_metrics_set(account uuid, given jsonb) returns void language plpgsql as $$
begin
    perform rescore_enqueue(array [account]);
    insert into account_metric as m (account_id, metric, period, value, source, note, assessed_by)
    select account, g.metric, g.period, g.value, g.source, g.note, session_setting('actor')
      from jsonb_to_recordset(given) g(metric text, period text, value numeric, source text, note text)
     where g.value is not null
     order by g.metric, g.period
    on conflict (account_id, metric, period) do update
        set value = excluded.value, source = excluded.source, note = excluded.note, assessed_by = excluded.assessed_by,
            deleted_at = null, version = m.version + 1, updated_at = now()
     where (m.value, m.source, m.note, m.deleted_at)
           is distinct from (excluded.value, excluded.source, excluded.note, null);
    update account_metric m set deleted_at = now(), version = m.version + 1, updated_at = now()
      from jsonb_to_recordset(given) g(metric text, period text, value numeric)
     where g.value is null and m.account_id = account and m.metric = g.metric and m.period = g.period
       and m.deleted_at is null;
end $$;

-- The contributions that differ between two lists, the largest difference first: [{metric, before, after}], null where
-- a list lacks the metric.
create or replace function contributions_moved(before jsonb, after jsonb) returns jsonb immutable language sql as $$
    select coalesce(jsonb_agg(jsonb_build_object('metric', m.metric, 'before', m.b, 'after', m.a)
               order by abs(coalesce(m.a::numeric, 0) - coalesce(m.b::numeric, 0)) desc, m.metric), '[]')
      from (select coalesce(x ->> 'metric', y ->> 'metric') as metric, x ->> 'contribution' as b,
                   y ->> 'contribution' as a
              from jsonb_array_elements(coalesce(before, '[]')) x
              full join jsonb_array_elements(coalesce(after, '[]')) y on x ->> 'metric' = y ->> 'metric') m
     where m.b is distinct from m.a
$$;

-- The metric whose contribution differs most between two lists: {metric, difference}, the second list's contribution
-- less the first list's. Null when none differs.
create or replace function decisive_metric(now_parts jsonb, then_parts jsonb) returns jsonb
immutable parallel safe language sql as $$
    select jsonb_build_object('metric', d.metric, 'difference', d.difference::text)
      from (select metric, coalesce(t.part, 0) - coalesce(n.part, 0) as difference, t.ord
              from (select e.j ->> 'metric' as metric, (e.j ->> 'contribution')::numeric as part, e.ord
                      from jsonb_array_elements(then_parts) with ordinality e(j, ord)) t
              full join (select e.j ->> 'metric' as metric, (e.j ->> 'contribution')::numeric as part
                           from jsonb_array_elements(now_parts) e(j)) n using (metric)) d
     where d.difference <> 0
     order by abs(d.difference) desc, d.ord nulls last, d.metric limit 1
$$;

-- Queues the accounts whose wallets were written to be scored.
create or replace function wallet_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform rescore_enqueue(array_agg(distinct account_id)) from new_rows;
    return null;
end $$;
