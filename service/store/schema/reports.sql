-- Reports of the program, and what is told by itself of promises to customers that were not kept. A report is one
-- function from parameters to a whole document, and runs with its caller's rights.

-- Row level security leaves out of a report what its caller does not see. Parameters are texts: those of the request,
-- and for a page `after`, `size` and the cursor to give when more rows follow. Each row of a report has its place `n`,
-- from 1, and a page is a range of places.
--
-- Reports that join thousands of accounts run without nested loops (enable_nestloop = off): the planner takes row level
-- security to let one row in two hundred pass, and joins the thousands by loops (measured: 7 s instead of 0.3 s). The
-- larger work memory (32 MB) holds the hashes and sorts of a whole portfolio.

-- The day that a report is of: the one asked for, else today.
create or replace function report_day(params jsonb) returns date
stable language sql as $$ select coalesce((params ->> 'as_of')::date, current_date) $$;

-- The place of the last row before the page.
create or replace function report_after(params jsonb) returns bigint
immutable parallel safe language sql as $$ select coalesce((params ->> 'after')::bigint, 0) $$;

-- The place of the last row that fits on the page; a page has 1,000 rows where no size is given.
create or replace function report_last(params jsonb) returns bigint
immutable parallel safe language sql as $$ select report_after(params) + coalesce((params ->> 'size')::bigint, 1000) $$;

-- A time in UTC, with microseconds, as the API writes it.
create or replace function report_time(at timestamptz) returns text
stable parallel safe language sql as $$ select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

-- The `page` member of a report that has n_rows rows in all; its cursor is null on the last page.
create or replace function report_page(params jsonb, n_rows bigint) returns jsonb
immutable parallel safe language sql as $$
    select jsonb_build_object(
        'next_cursor', case when n_rows > report_last(params) then params ->> 'next_cursor' end,
        'has_more', n_rows > report_last(params))
$$;

-- Which customers bring 80 % of the profit, or of the revenue (requirements 001-01, 002-02), the largest first. Losses
-- come last, so the curve falls at its end. A customer is one row, with all its units; a unit of a customer that the
-- caller does not see stands for itself. The cut-off reads 80/20 both ways: enough customers for 80 % of the total,
-- but not more than 20 % of them. `points` asks for so many points of the curve instead of a page. Without nested
-- loops, as the head of this file says.
create or replace function report_pareto(params jsonb) returns jsonb
stable set enable_nestloop = off set work_mem = '32MB' language sql as $$
with customers as (
    select coalesce(c.id, s.account_id) as id,
           case when bool_and(m.amount is not null) then sum(m.amount) end as amount,
           bool_or(s.rate_unknown) as rate_unknown
      from sales_until(report_day(params), coalesce(params ->> 'period', 'ttm') = 'all') s
      join account_status st on st.account_id = s.account_id
      left join account c on c.id = st.customer_id and c.deleted_at is null
     cross join lateral (select case params ->> 'metric' when 'revenue' then s.revenue else s.profit end as amount) m
     group by 1
), buyers as (
    select a.id, a.account_number, a.name, st.key_status, c.amount, c.rate_unknown
      from customers c
      join account a on a.id = c.id and a.deleted_at is null
      join account_status st on st.account_id = a.id
), ranked as materialized (
    select row_number() over w as n, b.*, sum(b.amount) over (w rows unbounded preceding) as running
      from buyers b where b.amount is not null
    window w as (order by b.amount desc, b.account_number, b.id)
), totals as (
    select count(*) as n, nullif(greatest(sum(amount), 0), 0) as positive, coalesce(sum(amount), 0) as total,
           ceil(count(*) * 0.2)::bigint as fifth,
           coalesce(sum(amount) filter (where key_status in ('key', 'at_risk')), 0) as by_key,
           count(*) filter (where key_status in ('key', 'at_risk')) as keys
      from ranked
), cut as (
    select least((select min(r.n) from ranked r where r.running >= 0.8 * t.positive), t.fifth) as n
      from totals t where t.positive is not null
), page as (
    select r.* from ranked r, totals t
     where case when params ->> 'points' is null then r.n > report_after(params) and r.n <= report_last(params)
                else r.n % greatest(ceil(t.n / (params ->> 'points')::numeric), 1) = 0
                     or r.n in (1, t.n, (select c.n from cut c)) end
)
select jsonb_build_object(
    'data', (select coalesce(jsonb_agg(jsonb_build_object(
        'rank', g.n, 'account_id', g.id, 'account_number', g.account_number, 'name', g.name, 'key_status', g.key_status,
        'amount', round(g.amount, 4)::text, 'share', round(g.amount / t.positive, 8),
        'cumulative_share', round(g.running / t.positive, 8)) order by g.n), '[]') from page g),
    'metric', coalesce(params ->> 'metric', 'profit'), 'period', coalesce(params ->> 'period', 'ttm'),
    'as_of', report_day(params), 'reporting_currency', p.reporting_currency,
    'accounts', t.n, 'total', round(t.total, 4)::text,
    'key_accounts', t.keys, 'covered_by_key_list', round(t.by_key / t.positive, 8),
    'suggested_cut_off', (select c.n from cut c),
    'suggested_cut_off_share', (select round(r.running / t.positive, 8) from cut c join ranked r on r.n = c.n),
    'missing', (select jsonb_build_object(
        'accounts', count(*), 'unknown_rate', count(*) filter (where b.rate_unknown),
        'unknown_cost', count(*) filter (where not b.rate_unknown),
        'account_ids', to_jsonb(coalesce((array_agg(b.id order by b.account_number, b.id))[:100], '{}')))
                  from buyers b where b.amount is null),
    'page', report_page(params, t.n))
  from totals t cross join program p
$$;

-- How many times a year an interval comes round; null for any other word.
create or replace function times_a_year(every text) returns int
immutable strict parallel safe language sql as
$$
    select case every when 'monthly' then 12 when 'quarterly' then 4 when 'semiannual' then 2 when 'annual' then 1 end
$$;

-- How many of `asked` contacts a year the customer wants at most, by contact preference (requirement 001-11).
create or replace function wanted_a_year(asked numeric, preference jsonb) returns numeric
immutable parallel safe language sql as $$
    select least(asked, 12 * (preference ->> 'max_per_month')::numeric,
                 365 / nullif((preference ->> 'min_days_between')::numeric, 0))
$$;

-- Whether there are more accounts than the staff can serve (requirement 001-09): how many accounts and promised visits
-- each manager has, and may have; the most heavily loaded first. A promised visit takes a day. The accounts of a
-- manager who has left have none. Without nested loops, as the head of this file says.
create or replace function report_capacity(params jsonb) returns jsonb
stable set enable_nestloop = off language sql as $$
with managed as (
    select m.id as manager_id, s.holds_place as is_key, coalesce(v.visits, 0) as visits
      from account a
      join account_status s on s.account_id = a.id
      left join app_user m on m.id = a.manager_id and m.active and m.deleted_at is null
      left join lateral (select sum(times_a_year(c ->> 'every')) as visits from jsonb_array_elements(a.cadence) c
                          where c ->> 'channel' = 'in_person') v on a.cadence <> '[]'
     where a.deleted_at is null and a.lifecycle <> 'former'
), loads as (
    select manager_id, count(*) as accounts, count(*) filter (where is_key) as key_accounts, sum(visits) as visits,
           coalesce(sum(visits) filter (where is_key), 0) as key_visits
      from managed
     group by manager_id
), people as (
    select l.manager_id, u.name, case when u.id is not null then manager_limit(u.capacity) end as capacity,
           u.visit_days, l.accounts, l.key_accounts, l.visits, l.key_visits
      from loads l left join app_user u on u.id = l.manager_id
    union all -- whoever has room and no accounts; only callers who see all accounts see that there are none
    select u.id, u.name, manager_limit(u.capacity), u.visit_days, 0, 0, 0, 0
      from app_user u
     where session_setting('scope') = 'all' and u.active and u.deleted_at is null
       and (u.capacity is not null or u.visit_days is not null)
       and not exists (select from loads l where l.manager_id = u.id)
), judged as (
    select p.*, round(p.visits / nullif(p.visit_days, 0)::numeric, 4) as load,
           coalesce(p.key_accounts > p.capacity, false) as over_capacity,
           coalesce(p.visits > p.visit_days, false) as over_days,
           row_number() over (
               order by p.manager_id is null, p.visits / nullif(p.visit_days, 0)::numeric desc nulls last,
                        p.key_accounts desc, p.name, p.manager_id) as n
      from people p
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object(
        'user_id', j.manager_id, 'name', j.name, 'accounts', j.accounts, 'key_accounts', j.key_accounts,
        'capacity', j.capacity, 'capacity_left', j.capacity - j.key_accounts,
        'promised_visits', j.visits, 'promised_visits_key', j.key_visits,
        'visit_days', j.visit_days, 'visit_days_left', j.visit_days - j.visits, 'load', j.load,
        'over_capacity', j.over_capacity, 'over_visit_days', j.over_days)
        order by j.n) filter (where j.n > report_after(params) and j.n <= report_last(params)), '[]'),
    'summary', jsonb_build_object(
        'managers', count(j.manager_id), 'accounts', coalesce(sum(j.accounts), 0),
        'key_accounts', coalesce(sum(j.key_accounts), 0), 'promised_visits', coalesce(sum(j.visits), 0),
        'visit_days', sum(j.visit_days), 'over_capacity', count(*) filter (where j.over_capacity),
        'over_visit_days', count(*) filter (where j.over_days),
        'unmanaged_accounts', coalesce(sum(j.accounts) filter (where j.manager_id is null), 0)),
    'page', report_page(params, count(*)))
  from judged j
$$;

-- The attention that each buying account had in the 365 days up to the day, against what it bought. Contacts weigh by
-- channel and by the highest level met, and half as much after each half-life; `adjusted` is by how many contacts the
-- customer wants. `gap` (-1 to 1) is positive where the rank by attention is worse than the rank by purchases. Equal
-- accounts share the last of their ranks, so that no account counts as attended to merely for want of one that had
-- less.
create or replace function attention_gaps(on_day date)
returns table (account_id uuid, purchases numeric, touches bigint, last_at timestamptz, attention numeric,
               wanted numeric, adjusted numeric, rank_purchases bigint, rank_attention bigint, gap numeric,
               held boolean, kind text)
stable language sql as $$
with channels as materialized (
    select e.key as channel, e.value::float8 as weight
      from program_settings s cross join lateral jsonb_each_text(s.attention_channel_weights) e
), levels as materialized (
    select e.key as level, e.value::float8 as weight
      from program_settings s cross join lateral jsonb_each_text(s.attention_level_weights) e
), people as materialized (
    select t.id, l.weight from contact t join levels l on l.level = t.level
), named as materialized (
    select i.id, i.account_id, i.occurred_at, i.channel, x::uuid as contact_id
      from interaction i left join lateral jsonb_array_elements_text(i.contact_ids) x on true
     where i.deleted_at is null and i.is_contact and i.occurred_at < (on_day + 1)::timestamp at time zone 'UTC'
       and i.occurred_at >= (on_day - 364)::timestamp at time zone 'UTC'
), seen as (
    select n.account_id, n.occurred_at, n.channel, max(p.weight) as weight
      from named n left join people p on p.id = n.contact_id
     group by n.id, n.account_id, n.occurred_at, n.channel
), met as (
    select i.account_id, i.occurred_at,
           c.weight * coalesce(i.weight, 1)
               * power(0.5::float8, (on_day - (i.occurred_at at time zone 'UTC')::date)
                                    / s.attention_half_life_days::float8) as worth
      from seen i cross join program_settings s left join channels c on c.channel = i.channel
), given as (
    select m.account_id, count(*) as touches, max(m.occurred_at) as last_at,
           coalesce(sum(m.worth), 0)::numeric as attention
      from met m
     group by 1
), buyers as (
    select a.id, b.revenue, coalesce(g.touches, 0) as touches, g.last_at, coalesce(g.attention, 0) as attention,
           w.wanted, coalesce(g.attention, 0) * s.touches_per_year / nullif(w.wanted, 0) as adjusted,
           coalesce((a.contact_preference ->> 'do_not_contact_until')::date > on_day, false) or w.wanted = 0 as held
      from sales_until(on_day, false) b
      join account a on a.id = b.account_id and a.deleted_at is null
     cross join program_settings s
      left join given g on g.account_id = a.id
     cross join lateral (select wanted_a_year(s.touches_per_year, a.contact_preference) as wanted) w
     where b.revenue is not null
), ranked as (
    select b.*, count(*) over (order by b.revenue desc) as rank_purchases,
           count(*) over (order by b.adjusted desc nulls first) as rank_attention, count(*) over () as n
      from buyers b
), gaps as (
    select r.*, case when r.n > 1 then round((r.rank_attention - r.rank_purchases) / (r.n - 1)::numeric, 6)
                     else 0 end as gap
      from ranked r
)
select g.id, g.revenue, g.touches, g.last_at, g.attention, g.wanted, g.adjusted, g.rank_purchases, g.rank_attention,
       g.gap, g.held,
       case when g.gap >= s.attention_gap_threshold and not g.held then 'under_served'
            when g.gap <= -s.attention_gap_threshold and g.attention > 0 then 'over_served'
            else 'balanced' end
  from gaps g cross join program_settings s
$$;

-- Accounts that are "not given the attention my purchases would indicate" (requirement 001-22), the widest gap first;
-- those that get more attention than their purchases indicate come last. Without nested loops, as the head of this file
-- says.
create or replace function report_attention_gap(params jsonb) returns jsonb
stable set enable_nestloop = off set work_mem = '32MB' language sql as $$
with rows as (
    select row_number() over (order by g.gap desc, g.rank_purchases, a.account_number, a.id) as n, g.*,
           a.account_number, a.name, a.manager_id, a.contact_preference, s.key_status
      from attention_gaps(report_day(params)) g
      join account a on a.id = g.account_id
      join account_status s on s.account_id = a.id
     where coalesce((params ->> 'key_only')::boolean, false) = false or s.key_status in ('key', 'at_risk')
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object(
        'account_id', r.account_id, 'account_number', r.account_number, 'name', r.name, 'key_status', r.key_status,
        'manager_id', r.manager_id, 'purchases', round(r.purchases, 4)::text, 'rank_purchases', r.rank_purchases,
        'touches', r.touches, 'last_interaction_at', report_time(r.last_at), 'attention', round(r.attention, 6),
        'wanted_per_year', round(r.wanted, 4), 'adjusted_attention', round(r.adjusted, 6),
        'rank_attention', r.rank_attention, 'gap', r.gap, 'kind', r.kind, 'held', r.held,
        'do_not_contact_until', r.contact_preference -> 'do_not_contact_until')
        order by r.n) filter (where r.n > report_after(params) and r.n <= report_last(params)), '[]'),
    'as_of', report_day(params), 'reporting_currency', (select p.reporting_currency from program p),
    'threshold', (select s.attention_gap_threshold from program_settings s),
    'summary', jsonb_build_object(
        'accounts', count(*), 'under_served', count(*) filter (where r.kind = 'under_served'),
        'over_served', count(*) filter (where r.kind = 'over_served'),
        'balanced', count(*) filter (where r.kind = 'balanced'), 'held', count(*) filter (where r.held)),
    'page', report_page(params, count(*)))
  from rows r
$$;

-- Contacts that were promised and kept in the 365 days up to the day, for each account and channel. `accounts`: only
-- these; null: all. A channel that is promised twice counts once, with the shorter interval. The customer's wish beats
-- the promise: a channel that the customer does not want, or contacts beyond those wanted, are not owed. Nor is
-- anything owed for a time before the account was known, which is when it was made here or its first contact, the
-- earlier of the two. `kept` of those `owed` are null where less than one was owed; kept / owed, each summed up, is the
-- adherence of a channel, an account, or all. A month after 31 January is the last of February.
create or replace function contact_promises(on_day date, accounts uuid[], key_only boolean)
returns table (account_id uuid, channel text, every text, promised int, wanted numeric, actual bigint,
               last_at timestamptz, due_on date, days_late int, kept numeric, owed numeric, channel_wanted boolean)
stable language sql as $$
with promised as (
    select distinct on (a.id, c ->> 'channel') a.id, a.created_at, a.contact_preference as wish, s.key_since,
           least(a.created_at, (select min(i.occurred_at) from interaction i
                                 where i.account_id = a.id and i.is_contact and i.deleted_at is null)) as known_since,
           c ->> 'channel' as channel, c ->> 'every' as every, times_a_year(c ->> 'every') as times
      from account a
      join account_status s on s.account_id = a.id
     cross join lateral jsonb_array_elements(a.cadence) c
     where a.deleted_at is null and a.cadence <> '[]' and (accounts is null or a.id = any (accounts))
       and (not key_only or s.key_status in ('key', 'at_risk'))
     order by a.id, c ->> 'channel', times_a_year(c ->> 'every') desc
), had as (
    select p.*, t.last_at, coalesce(t.actual, 0) as actual,
           coalesce(jsonb_array_length(p.wish -> 'channels'), 0) = 0 or p.wish -> 'channels' ? p.channel
               as channel_wanted,
           wanted_a_year(p.times, p.wish) as wanted
      from promised p
      left join lateral (
          select max(i.occurred_at) as last_at,
                 count(*) filter (where i.occurred_at >= (on_day - 364)::timestamp at time zone 'UTC') as actual
            from interaction i
           where i.account_id = p.id and i.channel = p.channel and i.is_contact and i.deleted_at is null
             and i.occurred_at < (on_day + 1)::timestamp at time zone 'UTC') t on true
), due as (
    select k.*, case when k.channel_wanted and k.wanted > 0 then
                    greatest((f.since + make_interval(months => 12 / k.times))::date,
                             f.since + coalesce((k.wish ->> 'min_days_between')::int, 0),
                             (k.wish ->> 'do_not_contact_until')::date) end as due_on
      from had k
     cross join lateral (
          select (coalesce(k.last_at, k.key_since, k.created_at) at time zone 'UTC')::date as since) f
)
select d.id, d.channel, d.every, d.times, case when d.channel_wanted then d.wanted else 0 end, d.actual, d.last_at,
       d.due_on, coalesce(greatest(on_day - d.due_on, 0), 0), case when o.owed >= 1 then least(d.actual, o.owed) end,
       case when o.owed >= 1 then o.owed end, d.channel_wanted
  from due d
 cross join lateral (
      select case when d.channel_wanted then
                  d.wanted * least(on_day - (d.known_since at time zone 'UTC')::date + 1, 365) / 365 end as owed) o
$$;

-- How well promised contacts are kept ("monthly visits hoped for, quarterly at worst; actually twice a year",
-- requirement 001-10), the latest first. Covers key accounts, all accounts, or one account; null for an account that
-- the caller does not see. Without nested loops, as the head of this file says.
create or replace function report_cadence(params jsonb) returns jsonb
stable set enable_nestloop = off set work_mem = '32MB' language sql as $$
with rows as (
    select row_number() over (order by c.days_late desc, c.due_on nulls last, a.account_number, a.id, c.channel) as n,
           c.*, a.account_number, a.name, a.manager_id, s.key_status
      from contact_promises(report_day(params), nullif(array [(params ->> 'account_id')::uuid], array [null::uuid]),
                         coalesce((params ->> 'key_only')::boolean, params ->> 'account_id' is null)) c
      join account a on a.id = c.account_id
      join account_status s on s.account_id = a.id
)
select case when params ->> 'account_id' is null
                 or exists (select from account a where a.id = (params ->> 'account_id')::uuid and a.deleted_at is null)
            then jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object(
        'account_id', r.account_id, 'account_number', r.account_number, 'name', r.name, 'key_status', r.key_status,
        'manager_id', r.manager_id, 'channel', r.channel, 'every', r.every, 'promised_per_year', r.promised,
        'wanted_per_year', round(r.wanted, 4), 'channel_wanted', r.channel_wanted, 'actual', r.actual,
        'last_at', report_time(r.last_at), 'due_on', r.due_on, 'days_late', r.days_late,
        'owed', round(r.owed, 4), 'adherence', round(r.kept / r.owed, 6))
        order by r.n) filter (where r.n > report_after(params) and r.n <= report_last(params)), '[]'),
    'as_of', report_day(params),
    'summary', jsonb_build_object(
        'entries', count(*), 'accounts', count(distinct r.account_id), 'late', count(*) filter (where r.days_late > 0),
        'promised_per_year', coalesce(sum(r.promised), 0),
        'wanted_per_year', coalesce(round(sum(r.wanted), 4), 0), 'actual', coalesce(sum(r.actual), 0),
        'owed', round(sum(r.owed), 4), 'adherence', round(sum(r.kept) / sum(r.owed), 6)),
    'page', report_page(params, count(*))) end
  from rows r
$$;

-- Which key accounts lack something that each must have (requirements 000-11, 000-14), those that lack most first: a
-- plan that covers today, a review held within its cadence or scheduled and not overdue, a sponsor, a cadence, a
-- manager, a fit check that is not too old, and no override that has expired.
create or replace function report_compliance(params jsonb) returns jsonb stable language sql as $$
with facts as (
    select a.id, a.account_number, a.name, a.manager_id, a.sponsor_id, s.key_status, p.id as plan_id, p.period_end,
           r.next_on, r.overdue, r.held_at, f.checked_on, f.verdict,
           array_remove(array [
               case when p.id is null then 'plan' end,
               case when r.overdue or not coalesce(r.current, false) then 'review' end,
               case when user_here(a.sponsor_id) is null then 'sponsor' end,
               case when a.cadence = '[]' then 'cadence' end,
               case when user_here(a.manager_id) is null then 'manager' end,
               case when f.checked_on is null or f.checked_on < current_date - g.fit_check_max_age_days
                    then 'fit_check' end,
               case when (s.designation #>> '{override,expires_on}')::date < current_date
                    then 'expired_override' end], null) as missing
      from account_status s
      join account a on a.id = s.account_id and a.deleted_at is null
     cross join program_settings g
      left join lateral (select p.id, p.period_end
                           from plan p
                          where p.account_id = a.id and p.status = 'active' and p.deleted_at is null
                            and current_date between p.period_start and p.period_end
                          order by p.period_end desc, p.id limit 1) p on true
      left join lateral (
          select bool_or(r.status = 'scheduled' and r.due_on < current_date) as overdue,
                 min(r.due_on) filter (where r.status = 'scheduled') as next_on,
                 max(r.held_at) filter (where r.status = 'held') as held_at,
                 bool_or((r.status = 'scheduled' and r.due_on >= current_date)
                         or (r.status = 'held'
                             and (coalesce((r.held_at at time zone r.time_zone)::date, r.due_on)
                                  + make_interval(months => 12 / times_a_year(r.cadence)))::date
                                 >= current_date)) as current
            from review r where r.account_id = a.id and r.deleted_at is null) r on true
      left join fit_check f on f.account_id = a.id and f.deleted_at is null
     where s.holds_place
), rows as (
    select row_number() over (order by cardinality(f.missing) desc, f.account_number, f.id) as n, f.* from facts f
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object(
        'account_id', r.id, 'account_number', r.account_number, 'name', r.name, 'key_status', r.key_status,
        'manager_id', r.manager_id, 'sponsor_id', r.sponsor_id, 'compliant', cardinality(r.missing) = 0,
        'missing', to_jsonb(r.missing), 'plan_id', r.plan_id, 'plan_until', r.period_end,
        'last_review_at', report_time(r.held_at), 'next_review_on', r.next_on,
        'fit_checked_on', r.checked_on, 'fit_verdict', r.verdict)
        order by r.n) filter (where r.n > report_after(params) and r.n <= report_last(params)), '[]'),
    'as_of', current_date,
    'summary', jsonb_build_object(
        'key_accounts', count(*), 'compliant', count(*) filter (where cardinality(r.missing) = 0),
        'share', round(count(*) filter (where cardinality(r.missing) = 0) / nullif(count(*), 0)::numeric, 6),
        'missing', jsonb_build_object(
            'plan', count(*) filter (where 'plan' = any (r.missing)),
            'review', count(*) filter (where 'review' = any (r.missing)),
            'sponsor', count(*) filter (where 'sponsor' = any (r.missing)),
            'cadence', count(*) filter (where 'cadence' = any (r.missing)),
            'manager', count(*) filter (where 'manager' = any (r.missing)),
            'fit_check', count(*) filter (where 'fit_check' = any (r.missing)),
            'expired_override', count(*) filter (where 'expired_override' = any (r.missing)))),
    'page', report_page(params, count(*)))
  from rows r
$$;

-- How many key accounts each manager has, and how many have none (manager_id null). Counts all accounts also for
-- callers who do not see all, since the places on the list are one number for everybody.
create or replace function key_list_loads() returns table (manager_id uuid, key_accounts bigint)
stable security definer set search_path = public, pg_temp language sql as $$
    select a.manager_id, count(*)
      from account_status s join account a on a.id = s.account_id
     where s.holds_place
     group by a.manager_id
$$;

-- Sums over regions, managers, or whole customers (account trees, from their tops), the largest revenue first. A region
-- is the nearest geographic division at or above the account, else the account's country. A sum is null where one of
-- its accounts has an unknown rate or cost. Without nested loops, as the head of this file says.
create or replace function report_rollup(params jsonb) returns jsonb
stable set enable_nestloop = off set work_mem = '32MB' language sql as $$
with recursive tree as (
    select a.id, a.id as top_id, a.manager_id, a.country_code,
           case when a.division ->> 'kind' = 'geographic' then a.division ->> 'name' end as region, 0 as depth
      from account a
     where a.deleted_at is null
       and not exists (select from account p where p.id = a.parent_id and p.deleted_at is null)
    union all
    select c.id, t.top_id, c.manager_id, c.country_code,
           case when c.division ->> 'kind' = 'geographic' then c.division ->> 'name' else t.region end, t.depth + 1
      from tree t join account c on c.parent_id = t.id
     where c.deleted_at is null and t.depth < 16
), grouped as (
    select case coalesce(params ->> 'group_by', 'region')
               when 'manager' then t.manager_id
               when 'parent' then t.top_id end as id,
           case when coalesce(params ->> 'group_by', 'region') = 'region' then coalesce(t.region, t.country_code) end
               as region,
           count(*) as accounts, count(*) filter (where s.holds_place) as keys,
           count(*) filter (where m.is_customer and s.key_status = 'candidate') as candidates,
           count(*) filter (where m.is_customer and s.tier = 'A') as a,
           count(*) filter (where m.is_customer and s.tier = 'B') as b,
           count(*) filter (where m.is_customer and s.tier = 'C') as c,
           coalesce(sum(v.revenue), 0) as revenue, coalesce(sum(v.profit), 0) as profit,
           count(*) filter (where v.rate_unknown) as no_revenue,
           count(*) filter (where v.rate_unknown or v.cost_unknown) as no_profit,
           avg(w.score) as score, avg(w.health) as health
      from tree t
      join account_status s on s.account_id = t.id
     cross join lateral (select s.customer_id = s.account_id as is_customer) m
      left join account_status_why w on w.account_id = t.id
      left join sales_until(report_day(params), false) v on v.account_id = t.id
     group by 1, 2
), rows as (
    select row_number() over (order by g.revenue desc, coalesce(g.region, u.name, p.name), g.id) as n, g.*,
           coalesce(g.region, u.name, p.name) as name, sum(g.revenue) over () as total
      from grouped g left join app_user u on u.id = g.id left join account p on p.id = g.id
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object(
        'id', r.id, 'name', r.name, 'accounts', r.accounts, 'key_accounts', r.keys, 'candidates', r.candidates,
        'tiers', jsonb_build_object('A', r.a, 'B', r.b, 'C', r.c),
        'revenue_ttm', case when r.no_revenue = 0 then round(r.revenue, 4)::text end,
        'margin_ttm', case when r.no_profit = 0 then round(r.profit, 4)::text end,
        'missing', jsonb_build_object('revenue', r.no_revenue, 'margin', r.no_profit),
        'average_score', round(r.score, 4)::text, 'average_health', round(r.health, 2),
        'share', case when r.no_revenue = 0 then round(r.revenue / nullif(r.total, 0), 8) end)
        order by r.n) filter (where r.n > report_after(params) and r.n <= report_last(params)), '[]'),
    'group_by', coalesce(params ->> 'group_by', 'region'), 'as_of', report_day(params),
    'reporting_currency', (select p.reporting_currency from program p),
    'page', report_page(params, count(*)))
  from rows r
$$;

-- The waiting list (002-20), the best score first: which rules stand in the way of each candidate, and how many open
-- nominations there are (001-08). Score and contributions are null for callers who may not see them. Without nested
-- loops, as the head of this file says.
create or replace function report_candidates(params jsonb) returns jsonb
stable set enable_nestloop = off language sql as $$
with loads as materialized (
    select * from key_list_loads()
), places as (
    select p.max_key_accounts as most, (select coalesce(sum(l.key_accounts), 0) from loads l) as taken from program p
), rows as (
    select row_number() over (order by w.score desc nulls last, a.account_number, a.id) as n, a.id, a.account_number,
           a.name, a.manager_id, w.score, case when w.account_id is not null then s.score_rank end as score_rank,
           w.contributions, w.missing, s.status_since,
           array_remove(array [
               case when coalesce(f.sales_cycle, a.sales_cycle) = 'transactional' then 'transactional' end,
               case when f.verdict = 'unsuitable' then 'fit_check_unsuitable' end,
               case when g.require_fit_check and coalesce(f.checked_on < current_date - g.fit_check_max_age_days, true)
                    then 'fit_check_required' end,
               case when u.id is not null and coalesce(l.key_accounts, 0)
                              >= least(u.capacity, case when g.one_key_customer_per_manager then 1 end)
                    then 'manager_capacity' end], null) as blocked_by,
           (select count(*) from nomination n
             where n.account_id = a.id and n.status = 'open' and n.deleted_at is null) as open_nominations
      from account_status s
      join account a on a.id = s.account_id and a.deleted_at is null
      left join account_status_why w on w.account_id = s.account_id
     cross join program_settings g
      left join fit_check f on f.account_id = a.id and f.deleted_at is null
      left join app_user u on u.id = a.manager_id and u.active and u.deleted_at is null
      left join loads l on l.manager_id = u.id
     where s.key_status = 'candidate' and s.customer_id = s.account_id
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object(
        'rank', r.n, 'account_id', r.id, 'account_number', r.account_number, 'name', r.name,
        'manager_id', r.manager_id, 'score', r.score::text, 'score_rank', r.score_rank,
        'contributions', r.contributions, 'missing', to_jsonb(r.missing), 'waiting_since', report_time(r.status_since),
        'blocked_by', to_jsonb(r.blocked_by), 'open_nominations', r.open_nominations)
        order by r.n) filter (where r.n > report_after(params) and r.n <= report_last(params)), '[]'),
    'places', (select jsonb_build_object('max', p.most, 'taken', p.taken, 'free', greatest(p.most - p.taken, 0))
                 from places p),
    'page', report_page(params, count(*)))
  from rows r
$$;

-- Access that began after it was needed, or is still missing (004-26), the longest needed first: grants that name a
-- day, and plan sections that somebody has to fill by a day.
create or replace function report_late_access(params jsonb) returns jsonb stable language sql as $$
with needed as (
    select t.account_id, t.user_id, g -> 'areas' as areas, (g ->> 'needed_by')::date as needed_by,
           greatest(coalesce((g ->> 'visible_from')::timestamptz, '-infinity'),
                    coalesce(t.active_from::timestamptz, '-infinity')) as opens, 'grant' as needed_for
      from team_member t, jsonb_array_elements(t.grants) g
     where t.deleted_at is null and g ->> 'needed_by' is not null and coalesce(g ->> 'effect', 'add') = 'add'
    union all
    select s.account_id, (c ->> 'user_id')::uuid, jsonb_build_array(s.section), (c ->> 'due_on')::date,
           (select min(x.visible_from)
              from account_access x
             where x.user_id = (c ->> 'user_id')::uuid and x.account_id = s.account_id and x.visible_until > now()
               and x.areas >> area_number(s.section) & 1 = 1), 'section'
      from plan_section s, jsonb_array_elements(s.contributors) c
     where s.deleted_at is null and s.state <> 'complete' and c ->> 'user_id' is not null and c ->> 'due_on' is not null
), late as (
    select n.*, row_number() over (order by n.needed_by, n.account_id, n.user_id, n.needed_for, n.areas) as nth
      from needed n join account a on a.id = n.account_id and a.deleted_at is null
     where n.needed_by < current_date and (n.opens is null or n.opens > '-infinity' and n.opens::date > n.needed_by)
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object(
        'account_id', l.account_id, 'user_id', l.user_id, 'areas', l.areas, 'needed_by', l.needed_by,
        'opened_at', case when l.opens <= now() then report_time(l.opens) end,
        'days_late', least(coalesce(l.opens::date, current_date), current_date) - l.needed_by,
        'needed_for', l.needed_for)
        order by l.nth) filter (where l.nth > report_after(params) and l.nth <= report_last(params)), '[]'),
    'page', report_page(params, count(*)))
  from late l
$$;

-- Writes events of what went wrong by itself until today: promised contacts of key accounts that are late, once for
-- each account, channel and due day, and attention gaps that opened. A gap that closed may open again. One transaction
-- does this at a time; whoever comes second finds nothing left to tell. Returns how many events were written; -1 when
-- somebody else is at it. Without nested loops and with more work memory: all accounts are joined, as in the reports.
create or replace function promises_check() returns int
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off
set work_mem = '32MB' as $$
declare
    evs event_in[];
    more event_in[];
begin
    if not pg_try_advisory_xact_lock(hashtextextended('kamd promises', 0)) then
        return -1;
    end if;
    with told as (
        insert into cadence_missed (account_id, channel, due_on)
        select c.account_id, c.channel, c.due_on from contact_promises(current_date, null, true) c where c.days_late > 0
        on conflict do nothing
        returning account_id, channel, due_on
    )
    select array_agg(row ('cadence.missed', a.id, 'account', a.id, a.version + s.version,
               'cadence.missed:' || a.id || ':' || t.channel || ':' || t.due_on,
               jsonb_build_object(
                   'account_id', a.id, 'account_number', a.account_number, 'name', a.name, 'key_status', s.key_status,
                   'manager_id', a.manager_id, 'channel', c.channel, 'every', c.every, 'promised_per_year', c.promised,
                   'actual', c.actual, 'last_at', report_time(c.last_at), 'due_on', c.due_on,
                   'days_late', c.days_late), '{}')::event_in order by a.id, c.channel)
      into evs
      from told t
      join account a on a.id = t.account_id
      join account_status s on s.account_id = a.id
      join contact_promises(current_date, null, true) c on c.account_id = t.account_id and c.channel = t.channel;
    with gaps as materialized (
        select g.*, s.key_status
          from attention_gaps(current_date) g join account_status s on s.account_id = g.account_id
         where g.kind = 'under_served' and s.key_status in ('key', 'at_risk', 'candidate')
    ), closed as (
        update attention_gap o set closed_at = now()
         where o.closed_at is null and not exists (select from gaps g where g.account_id = o.account_id)
    ), opened as (
        insert into attention_gap as o (account_id) select g.account_id from gaps g order by 1
        on conflict (account_id) do update
            set times = o.times + 1, opened_at = now(), closed_at = null where o.closed_at is not null
        returning o.account_id, o.times
    )
    select array_agg(row ('attention_gap.opened', a.id, 'account', a.id, a.version + s.version,
               'attention_gap.opened:' || a.id || ':' || o.times,
               jsonb_build_object(
                   'account_id', a.id, 'account_number', a.account_number, 'name', a.name, 'key_status', g.key_status,
                   'manager_id', a.manager_id, 'gap', g.gap, 'rank_purchases', g.rank_purchases,
                   'rank_attention', g.rank_attention, 'last_interaction_at', report_time(g.last_at)),
               '{}')::event_in order by a.id)
      into more
      from opened o
      join gaps g on g.account_id = o.account_id
      join account a on a.id = o.account_id
      join account_status s on s.account_id = a.id;
    evs := coalesce(evs, '{}') || coalesce(more, '{}');
    perform event_write(evs);
    return cardinality(evs);
end $$;
revoke execute on function promises_check() from kamd_app;
