-- What the list of key accounts would be under other rules: the answer to POST /v1/program/simulations.

-- The program with the thresholds and the cap of `params` in place of its own.
create or replace function simulation_program(params jsonb) returns program stable language plpgsql as $$
declare
    p program;
begin
    select * into p from program;
    p.max_key_accounts := coalesce((params ->> 'max_key_accounts')::int, p.max_key_accounts);
    p.enter_score := coalesce((params ->> 'enter_score')::numeric, p.enter_score);
    p.recover_score := coalesce((params ->> 'recover_score')::numeric, p.recover_score);
    p.exit_score := coalesce((params ->> 'exit_score')::numeric, p.exit_score);
    p.tier_b_score := coalesce((params ->> 'tier_b_score')::numeric, p.tier_b_score);
    if p.enter_score < p.recover_score or p.recover_score <= p.exit_score then
        raise exception using errcode = 'KD422', message = 'score_order', column = 'recover_score',
            detail = format('It must be enter_score >= recover_score > exit_score; here %s, %s and %s.', p.enter_score,
                            p.recover_score, p.exit_score);
    end if;
    return p;
end $$;

-- The criteria of `params`, or those of the version that they name, or of the program's.
create or replace function simulation_metrics(params jsonb, version int) returns jsonb stable language plpgsql as $$
declare
    metrics jsonb := params -> 'criteria';
begin
    if not params ? 'criteria' then
        select c.metrics into metrics from criteria c where c.version = simulation_metrics.version;
        if not found then
            raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'criteria_version',
                detail = 'There is no such version of the criteria.';
        end if;
    end if;
    return metrics;
end $$;

-- Each customer with its score on a day, and its fate: stays, slips, enters, waits, or null. Members below exit slip
-- (once the grace is over), the others stay; free places go to the best at or above enter, as if somebody designated
-- each. A transactional customer waits until a director overrides that (000-02). `from_empty`: as if nobody was a key
-- account yet.
create or replace function simulation_fates(p program, metrics jsonb, on_day date, from_empty boolean)
returns table (account_id uuid, account_number text, name text, lifecycle text, key_status text, score numeric,
               contributions jsonb, missing text[], score_now numeric, contributions_now jsonb, blocked boolean,
               place bigint, fate text)
stable language sql as $$
    with scored as materialized (
        select r.*, a.account_number, a.name, a.lifecycle, s.key_status, s.score as score_now,
               (select w.contributions from account_status_why w where w.account_id = s.account_id)
                   as contributions_now,
               s.key_status in ('key', 'at_risk') and not from_empty as member,
               coalesce(f.sales_cycle, a.sales_cycle) is not distinct from 'transactional' as blocked
          from score_accounts(null, on_day, metrics, p.reporting_currency) r
          join account a on a.id = r.account_id
          join account_status s on s.account_id = r.account_id
          left join fit_check f on f.account_id = r.account_id and f.deleted_at is null
    ), ranked as materialized (
        select s.*, rank() over (order by s.score desc nulls last, s.account_number, s.account_id) as place,
               case when s.member and status_next('at_risk', s.lifecycle, s.score, true, p) = 'none' then 'slips'
                    when s.member then 'stays'
                    when s.key_status not in ('divesting', 'divested')
                         and status_next('none', s.lifecycle, s.score, true, p) = 'candidate' then 'qualifies'
               end as side
          from scored s
    ), staying as (
        select count(*) as n from ranked where side = 'stays'
    )
    select r.account_id, r.account_number, r.name, r.lifecycle, r.key_status, r.score, r.contributions, r.missing,
           r.score_now, r.contributions_now, r.blocked, r.place,
           case when r.side is distinct from 'qualifies' then r.side
                when r.blocked then 'waits'
                when row_number() over (partition by r.side, r.blocked order by r.place) <= p.max_key_accounts - t.n
                    then 'enters'
                else 'waits' end
      from ranked r cross join staying t
$$;

-- The list under other criteria, scores or another cap, as of some day. Changes nothing. `params`: {criteria |
-- criteria_version, max_key_accounts, enter_score, recover_score, exit_score, tier_b_score, as_of, start}; what is
-- absent is taken from the program. start = empty: as if nobody was a key account yet.
create or replace function simulate(params jsonb) returns jsonb stable language plpgsql as $$
declare
    p program := simulation_program(params);
    used_version int := case when not params ? 'criteria'
                             then coalesce((params ->> 'criteria_version')::int, p.criteria_version) end;
    used_metrics jsonb := simulation_metrics(params, used_version);
    on_day date := coalesce((params ->> 'as_of')::date, current_date);
    from_empty boolean := params ->> 'start' is not distinct from 'empty';
    result jsonb;
begin
    with fates as materialized (
        select * from simulation_fates(p, used_metrics, on_day, from_empty)
    ), listed as (
        select f.fate, jsonb_agg(jsonb_build_object(
                   'rank', f.place, 'account_id', f.account_id, 'account_number', f.account_number, 'name', f.name,
                   'key_status', f.key_status,
                   'key_status_then', case f.fate when 'enters' then 'key' when 'waits' then 'candidate'
                                                  when 'slips' then 'none'
                                                  else status_next(f.key_status, f.lifecycle, f.score, true, p) end,
                   'score', f.score::text, 'score_now', f.score_now::text,
                   'contributions', f.contributions, 'contributions_now', f.contributions_now,
                   'missing', to_jsonb(f.missing),
                   'blocked_by', case when f.fate = 'waits' and f.blocked then 'transactional_sales_cycle' end,
                   'decisive', decisive_metric(f.contributions_now, f.contributions)) order by f.place) as entries
          from (select d.*, row_number() over (partition by d.fate order by d.place) as nth
                  from fates d where d.fate is not null) f
         where f.nth <= case f.fate when 'waits' then 50 else 1000 end
         group by f.fate
    )
    select simulation_counts(array_agg(f.fate), count(f.score), count(*) filter (where cardinality(f.missing) > 0),
                             count(*) filter (where f.score >= p.tier_b_score and f.fate is distinct from 'stays'
                                                and f.fate is distinct from 'enters'))
           || jsonb_build_object(
               'as_of', on_day, 'criteria_version', used_version, 'criteria', used_metrics,
               'max_key_accounts', p.max_key_accounts,
               'enter_score', p.enter_score::text, 'recover_score', p.recover_score::text,
               'exit_score', p.exit_score::text, 'tier_b_score', p.tier_b_score::text,
               'start', case when from_empty then 'empty' else 'current' end,
               'over_cap', (select case when count(*) > p.max_key_accounts then jsonb_build_object(
                                'by', count(*) - p.max_key_accounts,
                                'weakest', (array_agg(jsonb_build_object(
                                    'account_id', m.account_id, 'account_number', m.account_number, 'name', m.name,
                                    'score', m.score::text) order by m.place desc))
                                    [:least(count(*) - p.max_key_accounts, 50)]) end
                              from fates m where m.fate = 'stays'))
           || (select jsonb_object_agg(n.fate, coalesce(l.entries, '[]'))
                 from unnest(array ['enters', 'slips', 'stays', 'waits']) n(fate) left join listed l using (fate))
      into result from fates f;
    return result;
end $$;

-- How many customers were looked at, have a score, lack an input, and come to each fate and tier.
create or replace function simulation_counts(fates text[], scored bigint, missing bigint, tier_b bigint)
returns jsonb immutable language sql as $$
    select jsonb_build_object(
               'accounts', c.accounts, 'scored', scored, 'missing', missing,
               'counts', jsonb_build_object('stays', c.stays, 'enters', c.enters, 'slips', c.slips, 'waits', c.waits),
               'tiers', jsonb_build_object(
                   'A', c.stays + c.enters, 'B', tier_b, 'C', c.accounts - c.stays - c.enters - tier_b))
      from (select count(*) as accounts, count(*) filter (where f = 'stays') as stays,
                   count(*) filter (where f = 'enters') as enters, count(*) filter (where f = 'slips') as slips,
                   count(*) filter (where f = 'waits') as waits
              from unnest(fates) f) c
$$;
