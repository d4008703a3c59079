-- All metrics of the catalogue, health, and every way into and out of the list of key accounts.

alter table program add column tiers jsonb; -- how many accounts each tier had at the last full evaluation

-- A high value of these is bad: it scales to 0.
create function metric_lowers(metric text) returns boolean immutable strict parallel safe language sql as
$$ select metric in ('complaint_load', 'service_load', 'days_since_interaction', 'open_problems') $$;
-- These come from other records only; nobody assesses them.
create function metric_is_derived(metric text) returns boolean immutable strict parallel safe language sql as
$$ select metric in ('revenue_ttm', 'margin_ttm', 'growth', 'complaint_load', 'service_load', 'days_since_interaction', 'open_problems', 'sentiment', 'cadence_adherence') $$;
create function day_end(day date) returns timestamptz immutable strict parallel safe language sql as $$ select (day + 1)::timestamp at time zone 'UTC' $$;

create function metrics_use(metrics jsonb, variadic names text[]) returns boolean immutable parallel safe language sql as
$$ select jsonb_path_query_array(metrics, '$[*].metric') ?| names $$;

-- The weighted mean and its contributions, as SQL over a relation with columns id, v1..vk: see score_accounts().
create function score_sql(metrics jsonb, inputs text) returns text immutable strict language plpgsql as $$
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
            scaled[i] := format('case when v%s is not null then (1 - least(greatest((v%s - (%s)) / %s, 0), 1)) * 100 end as s%s', i, i, least(lowest, highest), abs(highest - lowest), i);
        else
            scaled[i] := format('case when v%s is not null then least(greatest((v%s - (%s)) / (%s), 0), 1) * 100 end as s%s', i, i, lowest, highest - lowest, i);
        end if;
        weights[i] := format('case when v%s is null then 0 else %s end', i, m ->> 'weight');
        parts[i] := format('%s * s%s / nullif(total, 0) as p%s', m ->> 'weight', i, i);
        lows[i] := format('trunc(p%s, 4) as l%s', i, i);
        rests[i] := format('p%s - l%s as r%s', i, i, i);
        -- The largest remainders are rounded up, the first of equal ones first, until the contributions add up to the score.
        select coalesce(string_agg(format('case when r%s %s r%s then 1 else 0 end', j, case when j < i then '>=' else '>' end, i), ' + '), '0') into place
          from generate_series(1, k) j where j <> i;
        objects[i] := format('jsonb_build_object(''metric'', %L, ''value'', round(v%s, 4)::text, ''scaled'', round(s%s, 4)::text, ''weight'', %L, ''contribution'',
                              (l%s + case when %s < spare then 0.0001 else 0 end)::text)', m ->> 'metric', i, i, (m ->> 'weight')::numeric::text, i, place);
        absent[i] := format('case when v%s is null then %L end', i, m ->> 'metric');
    end loop;
    -- Each level stands for itself ("offset 0"), so that no expression is worked out twice.
    return format(
        'select id, score, jsonb_build_array(%s), array_remove(array [%s], null)::text[] from (
           select *, %s, (score - (%s)) * 10000 as spare from (
             select *, case when total > 0 then round(%s, 4) end as score, %s from (
               select *, %s from (
                 select *, %s as total, %s from (%s offset 0) x offset 0) y offset 0) z offset 0) w offset 0) r',
        array_to_string(objects, ', '), array_to_string(absent, ', '),
        array_to_string(rests, ', '), (select string_agg(format('coalesce(l%s, 0)', i), ' + ') from generate_series(1, k) i),
        (select string_agg(format('coalesce(p%s, 0)', i), ' + ') from generate_series(1, k) i), array_to_string(lows, ', '),
        array_to_string(parts, ', '), array_to_string(weights, ' + '), array_to_string(scaled, ', '), inputs);
end $$;

-- The score: one function for one account, all, and what-if, so that their digits cannot differ; health is the same sum over other metrics. `ids` null: all accounts.
-- Windows are whole days: the 365 days up to and including on_day. numeric throughout; score and contributions have four places; contributions are rounded by the
-- largest remainder, so that they add up to the score. A missing input is left out of the weights and listed.
--   revenue_ttm, margin_ttm, growth         from orders
--   ltv                                     margin_ttm * r / (1 + d - r), r the retention rate and d the discount rate (Gupta and Lehmann 2003), unless assessed
--   revenue_potential, share_of_wallet_gap  what the customer spends in all, and 1 - our share of it, each category's latest period begun by then, unless assessed
--   complaint_load                          complaints and problems in the window
--   service_load                            inquiries, service calls and billing problems in the window for each 1,000 of revenue_ttm
--   days_since_interaction, sentiment (-1 to 1), open_problems (low 1, medium 2, high 3, revenue loss 5 each), cadence_adherence (0 to 1)
--                                           (the three loads are missing where no interaction and no problem was ever recorded: nobody looked)
--   any other name                          assessed: the value of the latest period begun by then
-- The statement is made for the metrics asked for: it reads only what they need, and works row by row, with no row for each metric and no window over them.
create or replace function score_accounts(ids uuid[], on_day date, metrics jsonb, currency text)
returns table (account_id uuid, score numeric, contributions jsonb, missing text[]) stable language plpgsql as $$
declare
    mine text := case when ids is null then '' else 'and account_id = any ($1)' end;
    one text;
    given text;
    columns text[];
    joins text := '';
    rates constant text := '(select $3 as currency_code, 1::numeric as rate union all select p.currency_code, p.rate from program_rate p where p.currency_code <> $3)';
begin
    if metrics_use(metrics, 'revenue_ttm', 'margin_ttm', 'growth', 'ltv', 'service_load') then
        joins := joins || format('left join (
            select account_id, sum(amount * rate) filter (where day > $2 - 365) as revenue, sum(cost * rate) filter (where day > $2 - 365) as cost,
                   bool_or(unknown_costs > 0) filter (where day > $2 - 365) as cost_unknown, bool_or(rate is null) filter (where day > $2 - 365) as rate_unknown,
                   sum(amount * rate) filter (where day <= $2 - 365) as revenue_before, bool_or(rate is null) filter (where day <= $2 - 365) as rate_unknown_before
              from day_sales left join %s r using (currency_code) where orders <> 0 and day <= $2 and day > $2 - %s %s group by account_id) s on s.account_id = a.id ',
            rates, case when metrics_use(metrics, 'growth') then 730 else 365 end, mine);
    end if;
    if metrics_use(metrics, 'share_of_wallet_gap', 'revenue_potential') then
        joins := joins || format('left join (
            select account_id, case when not bool_or(rate is null) then sum(customer_spend * rate) end as potential,
                   case when not bool_or(rate is null) then 1 - sum(our_revenue * rate) / nullif(sum(customer_spend * rate) filter (where our_revenue is not null), 0) end as gap
              from (select distinct on (account_id, category) w.* from wallet w where deleted_at is null and customer_spend is not null and lower(period_days(period)) <= $2 %s
                     order by account_id, category, lower(period_days(period)) desc, upper(period_days(period))) w left join %s r using (currency_code)
             group by account_id) w on w.account_id = a.id ', mine, rates);
    end if;
    if metrics_use(metrics, 'complaint_load', 'service_load', 'open_problems', 'days_since_interaction', 'sentiment', 'cadence_adherence') then
        joins := joins || format('left join (
            select account_id, count(*) filter (where kind = ''complaint'' and occurred_at >= day_end($2 - 365)) as complaints,
                   count(*) filter (where kind in (''inquiry'', ''service_call'') and occurred_at >= day_end($2 - 365)) as service_contacts,
                   avg(case sentiment when ''positive'' then 1 when ''neutral'' then 0 when ''negative'' then -1 end) filter (where occurred_at >= day_end($2 - 365)) as sentiment,
                   max(occurred_at) as last_at, min(occurred_at) as first_at
              from interaction where deleted_at is null and occurred_at < day_end($2) %s group by account_id) t on t.account_id = a.id ', mine);
    end if;
    if metrics_use(metrics, 'complaint_load', 'service_load', 'open_problems') then
        joins := joins || format('left join (
            select account_id, count(*) filter (where opened_at >= day_end($2 - 365)) as opened, count(*) filter (where category = ''billing'' and opened_at >= day_end($2 - 365)) as billing,
                   sum(case severity when ''low'' then 1 when ''medium'' then 2 when ''high'' then 3 else 5 end) filter (where resolved_at is null or resolved_at >= day_end($2)) as open_load
              from problem where deleted_at is null and opened_at < day_end($2) %s group by account_id) b on b.account_id = a.id ', mine);
    end if;
    if metrics_use(metrics, 'cadence_adherence') then -- what was promised since the account is known, where that is one touch at least
        joins := joins || 'left join lateral (
            select avg(least(1, (select count(*) from interaction i where i.account_id = a.id and i.channel = p.channel and i.deleted_at is null
                                    and i.occurred_at >= day_end($2 - 365) and i.occurred_at < day_end($2)) / p.touches)) as adherence
              from (select e ->> ''channel'' as channel, sum(times_a_year(e ->> ''every'')) * least(365, $2 - least(a.created_at, t.first_at)::date + 1) / 365.0 as touches
                      from jsonb_array_elements(a.cadence) e group by 1) p where p.touches >= 1) k on a.cadence <> ''[]'' ';
    end if;
    for i in 1 .. jsonb_array_length(metrics) loop
        one := metrics -> (i - 1) ->> 'metric';
        given := format('g%s.value', i);
        if not metric_is_derived(one) then
            joins := joins || format('left join (select distinct on (account_id) account_id, value from account_metric where metric = %L and deleted_at is null and lower(days) <= $2 %s
                order by account_id, lower(days) desc, upper(days)) g%s on g%s.account_id = a.id ', one, mine, i, i);
        end if;
        if one = 'ltv' then
            joins := joins || format('left join (select distinct on (account_id) account_id, value from account_metric where metric = ''retention_rate'' and deleted_at is null and lower(days) <= $2 %s
                order by account_id, lower(days) desc, upper(days)) l on l.account_id = a.id cross join program_settings c ', mine);
        end if;
        columns[i] := case one
            when 'revenue_ttm' then 'case when (select not exists (select from day_sales)) or s.rate_unknown then null else coalesce(s.revenue, 0) end'
            when 'margin_ttm' then 'case when (select not exists (select from day_sales)) or s.rate_unknown or s.cost_unknown then null else coalesce(s.revenue, 0) - coalesce(s.cost, 0) end'
            when 'growth' then 'case when s.rate_unknown or s.rate_unknown_before or coalesce(s.revenue_before, 0) <= 0 then null else coalesce(s.revenue, 0) / s.revenue_before - 1 end'
            when 'ltv' then format('coalesce(%s, case when (select not exists (select from day_sales)) or s.rate_unknown or s.cost_unknown then null else coalesce(s.revenue, 0) - coalesce(s.cost, 0) end
                * coalesce(l.value, c.retention_rate) / nullif(1 + c.discount_rate - coalesce(l.value, c.retention_rate), 0))', given)
            when 'revenue_potential' then format('coalesce(%s, w.potential)', given)
            when 'share_of_wallet_gap' then format('coalesce(%s, w.gap)', given)
            when 'complaint_load' then 'case when t.account_id is not null or b.account_id is not null then (coalesce(t.complaints, 0) + coalesce(b.opened, 0))::numeric end'
            when 'service_load' then 'case when t.account_id is null and b.account_id is null then null when coalesce(t.service_contacts, 0) + coalesce(b.billing, 0) = 0 then 0
                when s.rate_unknown or s.revenue <= 0 then null else (coalesce(t.service_contacts, 0) + coalesce(b.billing, 0)) * 1000 / s.revenue end'
            when 'days_since_interaction' then '($2 - (t.last_at at time zone ''UTC'')::date)::numeric'
            when 'sentiment' then 't.sentiment'
            when 'open_problems' then 'case when t.account_id is not null or b.account_id is not null then coalesce(b.open_load, 0)::numeric end'
            when 'cadence_adherence' then 'k.adherence'
            else given end || format(' as v%s', i);
    end loop;
    return query execute score_sql(metrics, format('select a.id, %s from account a %s where a.deleted_at is null %s',
                                                   array_to_string(columns, ', '), joins, case when ids is null then '' else 'and a.id = any ($1)' end))
      using ids, on_day, currency;
end $$;

-- ---- what marks an account for scoring ----

-- The name makes it fire before log_insert and log_update: marks are locked before an account's sequence, as the worker that empties them does.
create function changes_mark() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform rescore_mark(array_agg(distinct account_id)) from new_rows;
    return null;
end $$;
create trigger changes_mark_insert after insert on interaction referencing new table as new_rows for each statement execute function changes_mark();
create trigger changes_mark_update after update on interaction referencing new table as new_rows for each statement execute function changes_mark();
create trigger changes_mark_insert after insert on problem referencing new table as new_rows for each statement execute function changes_mark();
create trigger changes_mark_update after update on problem referencing new table as new_rows for each statement execute function changes_mark();
create trigger changes_mark_insert after insert on account_metric referencing new table as new_rows for each statement execute function changes_mark();
create trigger changes_mark_update after update on account_metric referencing new table as new_rows for each statement execute function changes_mark();

create or replace function account_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        insert into standing (account_id) select id from new_rows;
        perform acl_refresh(array_agg(id)) from new_rows;
        perform rescore_mark(array_agg(id)) from new_rows;
        return null;
    end if;
    perform acl_refresh(array_agg(n.id)) from new_rows n join old_rows o on o.id = n.id
      where (n.manager_id, n.sponsor_id, n.delegate_id, n.delegate_until, n.parent_id)
            is distinct from (o.manager_id, o.sponsor_id, o.delegate_id, o.delegate_until, o.parent_id);
    perform rescore_mark(array_agg(n.id)) from new_rows n join old_rows o on o.id = n.id
      where (n.lifecycle, n.deleted_at, n.cadence) is distinct from (o.lifecycle, o.deleted_at, o.cadence);
    return null;
end $$;

-- ---- health ----

-- What the health of an account is made of, and what it was before it last changed. Derived, as standing is.
create table account_health (
    account_id uuid primary key references account, updated_at timestamptz not null default now(), as_of date not null,
    health int, score numeric(7, 4), contributions jsonb not null, missing text[] not null,
    previous_health int, previous_score numeric(7, 4), previous_contributions jsonb, previous_as_of date, changed_at timestamptz not null default now()
) with (fillfactor = 70);
call protect('account_health', 'account_id');
revoke insert, update on account_health from kamd_app, kamd_worker;

-- 0 to 100, null when every input is missing. It moves nobody; it only says.
create function evaluate_health(ids uuid[]) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp set work_mem = '64MB' as $$
declare
    s program_settings;
    p program;
begin
    select * into s from program_settings;
    select * into p from program;
    return query
    with scored as materialized (
        select r.*, round(r.score)::int as health from score_accounts(ids, current_date, s.health_metrics, p.reporting_currency) r
    ), kept as (
        insert into account_health as h (account_id, as_of, health, score, contributions, missing)
        select c.account_id, current_date, c.health, c.score, c.contributions, c.missing from scored c order by c.account_id
        on conflict (account_id) do update
            set updated_at = now(), as_of = excluded.as_of, health = excluded.health, score = excluded.score, contributions = excluded.contributions, missing = excluded.missing,
                previous_health = case when h.score is distinct from excluded.score then h.health else h.previous_health end,
                previous_score = case when h.score is distinct from excluded.score then h.score else h.previous_score end,
                previous_contributions = case when h.score is distinct from excluded.score then h.contributions else h.previous_contributions end,
                previous_as_of = case when h.score is distinct from excluded.score then h.as_of else h.previous_as_of end,
                changed_at = case when h.score is distinct from excluded.score then now() else h.changed_at end
         where (h.score, h.contributions, h.missing) is distinct from (excluded.score, excluded.contributions, excluded.missing)
    ), shown as (
        update standing t set health = c.health, version = t.version + 1, updated_at = now()
          from (select l.account_id, n.health from standing l join scored n on n.account_id = l.account_id
                 where l.health is distinct from n.health order by l.account_id for update of l) c
         where t.account_id = c.account_id
        returning t.account_id, t.version
    )
    select w.account_id, a.version + w.version from shown w join account a on a.id = w.account_id;
end $$;
revoke execute on function evaluate_health(uuid[]) from kamd_app;

-- ---- the status machine ----

-- As in 0004, with what is new: the sizes of the tiers are noted with a full evaluation.
create or replace function evaluate(ids uuid[], with_rank boolean, cause text) returns setof standing_touch
language plpgsql security definer set search_path = public, pg_temp set work_mem = '64MB' as $$
declare
    p program;
    c criteria;
    locked uuid[];
begin
    if ids is null then
        select * into p from program for update; -- before any standing, in the order of designate(); its time is noted below
    else
        select * into p from program;
    end if;
    select * into c from criteria where version = p.criteria_version;
    -- What comes after this is not touched: it is marked, and has its turn. (Unlocked, it could be designated or scored between reading and writing.)
    select array_agg(l.account_id) into locked
      from (select s.account_id from standing s where (ids is null or s.account_id = any (ids)) order by s.account_id for update) l;
    return query
    with scored as materialized (
        select r.*, case when with_rank then rank() over (order by r.score desc nulls last, a.account_number, a.id)::int end as score_rank, a.lifecycle
          from score_accounts(ids, current_date, c.metrics, p.reporting_currency) r join account a on a.id = r.account_id
    ), moved as materialized (
        select o as before, s.score, s.contributions, s.missing, coalesce(s.score_rank, o.score_rank) as score_rank,
               case
                   when o.key_status in ('divesting', 'divested') then o.key_status
                   when o.key_status in ('none', 'candidate') then
                       case when s.lifecycle <> 'customer' then 'none' when s.score is null then o.key_status when s.score >= p.enter_score then 'candidate' else 'none' end
                   when s.score is null then o.key_status
                   when o.key_status = 'key' then
                       case when s.score >= p.exit_score then 'key' when p.grace_days = 0 then 'none' else 'at_risk' end
                   else -- at_risk
                       case when s.score >= p.recover_score then 'key'
                            when s.score < p.exit_score and (p.grace_days = 0 or o.grace_until <= now()) then 'none'
                            else 'at_risk' end
               end as key_status,
               case when s.score is null then o.grace_until
                    when s.score >= p.exit_score then null
                    when o.key_status = 'key' or (o.key_status = 'at_risk' and o.grace_until is null) then now() + make_interval(days => p.grace_days)
                    when o.key_status = 'at_risk' then o.grace_until end as grace_until
          from scored s join standing o on o.account_id = s.account_id
         where o.account_id = any (locked)
    ), final as materialized (
        select m.*, case when m.key_status in ('key', 'at_risk') then 'A' when m.score >= p.tier_b_score then 'B' else 'C' end as tier,
               (m.before).account_id as account_id, m.key_status is distinct from (m.before).key_status as status_moved
          from moved m
    ), written as (
        update standing t
           set version = t.version + 1, updated_at = now(), tier = f.tier, key_status = f.key_status, score = f.score, score_rank = f.score_rank,
               as_of = current_date, criteria_version = p.criteria_version, contributions = f.contributions, missing = f.missing,
               grace_until = case when f.key_status = 'at_risk' then f.grace_until end,
               status_since = case when f.status_moved then now() else t.status_since end,
               key_since = case when f.key_status in ('key', 'at_risk') then t.key_since end,
               designation = case when f.key_status in ('key', 'at_risk') then t.designation end
          from final f
         where t.account_id = f.account_id
           and (t.tier, t.key_status, t.score, t.score_rank, t.criteria_version, t.contributions, t.missing, t.grace_until)
               is distinct from (f.tier, f.key_status, f.score, f.score_rank, p.criteria_version, f.contributions, f.missing,
                                 case when f.key_status = 'at_risk' then f.grace_until end)
        returning t as after, f.before, f.status_moved
    ), historied as (
        insert into key_status_history (account_id, cause, actor, from_status, to_status, from_tier, to_tier, score, score_before, score_rank, criteria_version, contributions, contributions_before)
        select (w.after).account_id, cause, context('actor'), (w.before).key_status, (w.after).key_status, (w.before).tier, (w.after).tier,
               (w.after).score, (w.before).score, (w.after).score_rank, p.criteria_version, (w.after).contributions, (w.before).contributions
          from written w where w.status_moved or (w.after).tier <> (w.before).tier
    ), told as (
        select w.after, w.before, 1 as nth,
               case when (w.after).key_status = 'at_risk' then 'account.key_status.at_risk'
                    when (w.after).key_status = 'key' then 'account.key_status.recovered'
                    else 'account.key_status.slipped' end as type
          from written w where w.status_moved and ((w.before).key_status in ('key', 'at_risk'))
        union all
        select w.after, w.before, 2, 'account.tier_changed' from written w where (w.after).tier <> (w.before).tier
    ), sent as (
        -- By the hundred: what emit() costs grows with the square of how many it is given.
        select emit(array_agg(standing_event(t.type, t.after, t.before, cause) order by (t.after).account_id, t.nth))
          from (select *, (dense_rank() over (order by (told.after).account_id) - 1) / 100 as part from told) t group by part order by part
    )
    select (w.after).account_id, a.version + (w.after).version from written w join account a on a.id = (w.after).account_id
      cross join (select count(*) from sent) done;
    if ids is null then
        update program set last_full_evaluation_at = now(),
            tiers = (select jsonb_build_object('A', count(*) filter (where s.tier = 'A'), 'B', count(*) filter (where s.tier = 'B'), 'C', count(*) filter (where s.tier = 'C'))
                       from standing s join account a on a.id = s.account_id where a.deleted_at is null);
    end if;
end $$;

-- The event of a change of standing: what is, what was, why.
create function standing_event(type text, after standing, before standing, cause text) returns event_in stable language sql as $$
    select row (type, after.account_id, 'account', after.account_id, a.version + after.version, null,
                jsonb_build_object('account_id', after.account_id, 'account_number', a.account_number, 'name', a.name, 'cause', cause)
                    || standing_view(after)
                    || jsonb_build_object('score_before', before.score::text, 'contributions_before', before.contributions, 'tier_before', before.tier)
                    || case when type = 'account.key_status.designated' then jsonb_build_object('designation', after.designation) else '{}' end,
                jsonb_build_object('key_status', before.key_status, 'tier', before.tier, 'score', before.score::text))::event_in
      from account a where a.id = after.account_id
$$;

-- Scores what is marked, at most `most` accounts, and the grace clocks that ran out.
create or replace function rescore_marked(most int) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    ids uuid[];
begin
    with taken as (
        select r.account_id from rescore r order by r.account_id limit most for update skip locked
    ), gone as (
        delete from rescore r using taken t where r.account_id = t.account_id returning r.account_id
    )
    select array_agg(account_id order by account_id) into ids from gone;
    if ids is null then
        select array_agg(account_id) into ids from
            (select s.account_id from standing s where s.grace_until <= now() order by s.account_id limit most for update skip locked) expired;
    end if;
    if ids is not null then
        return query select * from evaluate(ids, false, 'inputs_changed');
        return query select * from evaluate_health(ids);
    end if;
end $$;

-- ---- the ways into the list and out of it ----

alter table key_status_history add column reason text; -- of a person's decision
create index key_status_history_time_idx on key_status_history (at);

-- A change made by a person: history and events. Returns the account's cache version.
create function standing_moved(before standing, after standing, cause text, reason text) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into key_status_history (account_id, cause, actor, from_status, to_status, from_tier, to_tier, score, score_before, score_rank, criteria_version, contributions, contributions_before, reason, designation)
    values (after.account_id, cause, context('actor'), before.key_status, after.key_status, before.tier, after.tier, after.score, before.score, after.score_rank, after.criteria_version,
            after.contributions, before.contributions, reason, coalesce(after.designation, before.designation));
    perform emit(array [standing_event(case when after.key_status = 'key' then 'account.key_status.designated' else 'account.key_status.slipped' end, after, before, cause)]
        || case when after.tier <> before.tier then array [standing_event('account.tier_changed', after, before, cause)] else array []::event_in[] end);
    return query select a.id, a.version + after.version from account a where a.id = after.account_id;
end $$;
revoke execute on function standing_moved(standing, standing, text, text) from kamd_app;

-- The net growth of the list since the program year began.
create function program_growth(p program, year_start out date, net out int) stable language sql security definer set search_path = public, pg_temp as $$
    with y as (
        select make_date(extract(year from current_date)::int, left(p.program_year_start, 2)::int, least(right(p.program_year_start, 2)::int, 28)) as day
    ), s as (
        select case when day > current_date then (day - interval '1 year')::date else day end as day from y
    )
    select s.day, (select coalesce(sum(case when h.from_status not in ('key', 'at_risk') and h.to_status in ('key', 'at_risk') then 1
                                            when h.from_status in ('key', 'at_risk') and h.to_status not in ('key', 'at_risk') then -1 else 0 end), 0)::int
                     from key_status_history h where h.at >= s.day)
      from s
$$;
revoke execute on function program_growth(program) from kamd_app;

-- How many key accounts a person manages; the person's row is locked, so that two at once are counted one after the other.
create function manager_check(manager uuid, others int) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    u app_user;
    load int;
begin
    select * into u from app_user t where t.id = manager for no key update;
    if u.capacity is null then
        return;
    end if;
    select count(*) into load from standing s join account n on n.id = s.account_id where n.manager_id = manager and s.key_status in ('key', 'at_risk');
    if load + others > u.capacity then
        raise exception using errcode = 'KD409', message = 'manager_capacity_reached', column = 'manager_id',
            detail = format('%s already manages %s key accounts, and has capacity for %s.', u.name, load + others - 1, u.capacity);
    end if;
end $$;
revoke execute on function manager_check(uuid, int) from kamd_app;

-- A key account goes to another manager: that is a way into this manager's list.
create function account_manager() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if new.manager_id is not null and new.manager_id is distinct from old.manager_id
       and exists (select 1 from standing s where s.account_id = new.id and s.key_status in ('key', 'at_risk')) then
        perform manager_check(new.manager_id, 0);
    end if;
    return null;
end $$;
create trigger account_manager after update of manager_id on account for each row execute function account_manager();

-- The caller holds the program's row, under which cap, growth and load are counted.
create function key_admit(p program, account uuid, terms jsonb, cause text) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    a account;
    f fit_check;
    before standing;
    after standing;
    grown record;
    overridden boolean := terms ? 'override';
begin
    perform rescore_mark(array [account]); -- first: marks are locked before standings, as the worker does
    select * into a from account t where t.id = key_admit.account and t.deleted_at is null for no key update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such account.';
    end if;
    select * into before from standing s where s.account_id = a.id for update;
    if a.lifecycle <> 'customer' then
        raise exception using errcode = 'KD422', message = 'not_existing_customer', column = 'lifecycle',
            detail = format('The account is a %s; only an existing customer can become a key account.', a.lifecycle);
    end if;
    if before.key_status not in ('none', 'candidate') then
        raise exception using errcode = 'KD409', message = 'conflict', detail = format('The account''s key status is %s already.', before.key_status);
    end if;
    if overridden and (terms -> 'override' ->> 'expires_on')::date <= current_date then
        raise exception using errcode = 'KD422', message = 'validation_failed', column = 'override/expires_on', detail = 'An override ends on a day to come.';
    end if;
    select * into f from fit_check c where c.account_id = a.id and c.deleted_at is null;
    if not overridden then
        if coalesce(f.sales_cycle, a.sales_cycle) = 'transactional' then
            raise exception using errcode = 'KD409', message = 'transactional_sales_cycle',
                detail = 'The sales cycle is transactional: key account management does not work there. A director may override it with a reason and an expiry.';
        end if;
        if f.verdict = 'unsuitable' then
            raise exception using errcode = 'KD409', message = 'fit_check_unsuitable',
                detail = format('The fit check found the account unsuitable (%s). A director may override it with a reason and an expiry.', array_to_string(f.failing, ', '));
        end if;
        if (select s.require_fit_check and (f.id is null or f.checked_on < current_date - s.fit_check_max_age_days) from program_settings s) then
            raise exception using errcode = 'KD409', message = 'fit_check_required', detail = 'A fit check is needed that is recent enough; see /v1/accounts/{id}/fit-check.';
        end if;
    end if;
    perform program_place(p);
    if p.max_net_growth is not null then
        select * into grown from program_growth(p);
        if grown.net + 1 > p.max_net_growth then
            raise exception using errcode = 'KD409', message = 'key_account_growth_reached',
                detail = format('The list grew by %s since %s; at most %s in a program year.', grown.net, grown.year_start, p.max_net_growth);
        end if;
    end if;
    if a.manager_id is not null then
        perform manager_check(a.manager_id, 1);
    end if;
    update standing s
       set version = s.version + 1, updated_at = now(), key_status = 'key', tier = 'A', key_since = now(), status_since = now(), grace_until = null,
           designation = terms || jsonb_build_object('designated_at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'designated_by', context('actor'))
     where s.account_id = a.id returning * into after;
    return query select * from standing_moved(before, after, cause, terms ->> 'reason');
end $$;
revoke execute on function key_admit(program, uuid, jsonb, text) from kamd_app;

-- Ends key status by a person's decision: to the waiting list when the score is high enough for it.
create function key_release(p program, account uuid, cause text, reason text) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    a account;
    before standing;
    after standing;
begin
    perform rescore_mark(array [account]);
    select * into a from account t where t.id = key_release.account and t.deleted_at is null for no key update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such account.';
    end if;
    select * into before from standing s where s.account_id = a.id for update;
    if before.key_status not in ('key', 'at_risk') then
        raise exception using errcode = 'KD409', message = 'conflict', detail = format('%s is no key account; its key status is %s.', a.name, before.key_status);
    end if;
    update standing s
       set version = s.version + 1, updated_at = now(), status_since = now(), grace_until = null, key_since = null, designation = null,
           key_status = case when a.lifecycle = 'customer' and s.score >= p.enter_score then 'candidate' else 'none' end,
           tier = case when s.score >= p.tier_b_score then 'B' else 'C' end
     where s.account_id = a.id returning * into after;
    return query select * from standing_moved(before, after, cause, reason);
end $$;
revoke execute on function key_release(program, uuid, text, text) from kamd_app;

create function program_lock() returns program language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
begin
    if context('scope') is distinct from 'all' then
        raise exception using errcode = 'KD403', message = 'forbidden', detail = 'Only a director decides who is a key account.';
    end if;
    select * into p from program for update;
    return p;
end $$;
revoke execute on function program_lock() from kamd_app;

create or replace function designate(account uuid, terms jsonb) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
begin
    select * into p from program;
    if context('scope') = 'all' then
        perform program_place(p); -- a full list says so without waiting for the lock; it is asked again under it
    end if;
    p := program_lock();
    return query select * from key_admit(p, account, terms, 'designated');
end $$;

create function de_designate(account uuid, reason text) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
begin
    p := program_lock();
    return query select * from key_release(p, account, 'de_designated', reason);
end $$;

-- One in, one out, or nothing.
create function swap_key_accounts(account_in uuid, account_out uuid, terms jsonb) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
begin
    p := program_lock();
    perform rescore_mark(array [account_in, account_out]);
    perform 1 from standing s where s.account_id in (account_in, account_out) order by s.account_id for update; -- in the order of evaluate()
    return query select * from key_release(p, account_out, 'swapped_out', terms ->> 'reason');
    return query select * from key_admit(p, account_in, terms, 'swapped_in');
end $$;

-- What GET /v1/program says beside the settings. Loads name people, and are for those who see everything.
create function program_state() returns jsonb stable language sql security definer set search_path = public, pg_temp as $$
    with p as (select * from program), members as (select count(*)::int as n from standing where key_status in ('key', 'at_risk')),
    waiting as (select count(*)::int as n from standing where key_status = 'candidate'),
    loads as (
        select u.id, u.name, u.capacity, count(*)::int as load from standing s join account a on a.id = s.account_id join app_user u on u.id = a.manager_id
         where s.key_status in ('key', 'at_risk') and u.capacity is not null and context('scope') = 'all' group by u.id having count(*) > u.capacity
    ), over as (
        select 1 as nth, jsonb_build_object('rule', 'max_key_accounts', 'most', p.max_key_accounts, 'actual', m.n) as j from p, members m where m.n > p.max_key_accounts
        union all
        select 2, jsonb_build_object('rule', 'max_net_growth', 'most', p.max_net_growth, 'actual', g.net) from p, program_growth((select q from program q)) g where g.net > p.max_net_growth
        union all
        select 3, jsonb_build_object('rule', 'manager_capacity', 'most', l.capacity, 'actual', l.load, 'user_id', l.id, 'name', l.name) from loads l
        union all
        select 4, jsonb_build_object('rule', 'tier_a_smallest', 'most', least((p.tiers ->> 'B')::int, (p.tiers ->> 'C')::int), 'actual', m.n) from p, members m
         where m.n > least((p.tiers ->> 'B')::int, (p.tiers ->> 'C')::int)
    )
    select jsonb_build_object('key_accounts', m.n, 'over_cap', m.n > p.max_key_accounts, 'free_places', greatest(p.max_key_accounts - m.n, 0), 'candidates', w.n,
                              'net_growth', (select net from program_growth((select q from program q))), 'tiers', p.tiers,
                              'over_limits', (select coalesce(jsonb_agg(o.j order by o.nth, o.j ->> 'name'), '[]') from over o))
      from p, members m, waiting w
$$;

-- Only the functions above move a standing.
revoke insert, update on standing from kamd_app, kamd_worker;
grant delete on program_rate to kamd_app;

-- What is known of an account's inputs: assessed values, newest period first, and what health and score make of them.
create function account_metrics(account uuid) returns jsonb stable language sql as $$
    select jsonb_build_object('account_id', account, 'metrics', coalesce((
        select jsonb_agg(jsonb_build_object('metric', m.metric, 'period', m.period, 'value', m.value::text, 'source', m.source, 'note', m.note, 'assessed_by', m.assessed_by,
                   'updated_at', to_char(m.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) order by m.metric, lower(m.days) desc, upper(m.days))
          from account_metric m where m.account_id = account and m.deleted_at is null), '[]'))
      from account a where a.id = account and a.deleted_at is null
$$;

-- Sets the values named; a null value takes one away; what is not named stays.
create function account_metrics_set(account uuid, given jsonb) returns void language plpgsql as $$
begin
    perform rescore_mark(array [account]);
    insert into account_metric as m (account_id, metric, period, value, source, note, assessed_by)
    select account, g.metric, g.period, g.value, g.source, g.note, context('actor')
      from jsonb_to_recordset(given) g(metric text, period text, value numeric, source text, note text) where g.value is not null order by g.metric, g.period
    on conflict (account_id, metric, period) do update
        set value = excluded.value, source = excluded.source, note = excluded.note, assessed_by = excluded.assessed_by, deleted_at = null,
            version = m.version + 1, updated_at = now()
     where (m.value, m.source, m.note, m.deleted_at) is distinct from (excluded.value, excluded.source, excluded.note, null);
    update account_metric m set deleted_at = now(), version = m.version + 1, updated_at = now()
      from jsonb_to_recordset(given) g(metric text, period text, value numeric)
     where g.value is null and m.account_id = account and m.metric = g.metric and m.period = g.period and m.deleted_at is null;
end $$;

-- What changed between two lists of contributions.
create function contributions_moved(before jsonb, after jsonb) returns jsonb immutable language sql as $$
    select coalesce(jsonb_agg(jsonb_build_object('metric', m.metric, 'before', m.b, 'after', m.a) order by abs(coalesce(m.a::numeric, 0) - coalesce(m.b::numeric, 0)) desc, m.metric), '[]')
      from (select coalesce(x ->> 'metric', y ->> 'metric') as metric, x ->> 'contribution' as b, y ->> 'contribution' as a
              from jsonb_array_elements(coalesce(before, '[]')) x full join jsonb_array_elements(coalesce(after, '[]')) y on x ->> 'metric' = y ->> 'metric') m
     where m.b is distinct from m.a
$$;
