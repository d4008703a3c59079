-- What the list of key accounts would be under other rules: the answer to POST /v1/program/simulations.

-- The list under other criteria, scores or another cap, as of some day. Changes nothing. `params`: {criteria |
-- criteria_version, max_key_accounts, enter_score, recover_score, exit_score, tier_b_score, as_of, start}; what is
-- absent is taken from the program. Members below exit slip (once the grace is over), the others stay; free places go
-- to the best at or above enter, as if somebody designated each. start = empty: as if nobody was a key account yet.
create or replace function simulate(params jsonb) returns jsonb stable language plpgsql as $$
declare
    p program;
    used_version int;
    used_metrics jsonb;
    on_day date := coalesce((params ->> 'as_of')::date, current_date);
    from_empty boolean := params ->> 'start' is not distinct from 'empty';
    result jsonb;
begin
    select * into p from program;
    if params ? 'criteria' then
        used_metrics := params -> 'criteria';
    else
        used_version := coalesce((params ->> 'criteria_version')::int, p.criteria_version);
        select c.metrics into used_metrics from criteria c where c.version = used_version;
        if not found then
            raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'criteria_version',
                detail = 'There is no such version of the criteria.';
        end if;
    end if;
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
    with scored as materialized (
        select r.account_id, r.score, r.contributions, r.missing, a.account_number, a.name, a.lifecycle, s.key_status,
               s.score as score_now,
               (select w.contributions from account_status_why w where w.account_id = s.account_id)
                   as contributions_now,
               s.key_status in ('key', 'at_risk') and not from_empty as member,
               -- until a director overrides it (requirement 000-02)
               coalesce(f.sales_cycle, a.sales_cycle) is not distinct from 'transactional' as blocked
          from score_accounts(null, on_day, used_metrics, p.reporting_currency) r
          join account a on a.id = r.account_id
          join account_status s on s.account_id = r.account_id
          left join fit_check f on f.account_id = r.account_id and f.deleted_at is null
    ), ranked as materialized (
        select s.account_id, s.score, s.blocked,
               rank() over (order by s.score desc nulls last, s.account_number, s.account_id) as place,
               case when s.member and status_next('at_risk', s.lifecycle, s.score, true, p) = 'none' then 'slips'
                    when s.member then 'stays'
                    when s.key_status not in ('divesting', 'divested')
                         and status_next('none', s.lifecycle, s.score, true, p) = 'candidate' then 'qualifies'
               end as side
          from scored s
    ), staying as (
        select count(*) as n from ranked where side = 'stays'
    ), sided as materialized (
        select r.account_id, r.place, r.score,
               case when r.side is distinct from 'qualifies' then r.side
                    when r.blocked then 'waits'
                    when row_number() over (partition by r.side, r.blocked order by r.place) <= p.max_key_accounts - t.n
                        then 'enters'
                    else 'waits' end as fate
          from ranked r cross join staying t
    ), listed as (
        select l.fate, l.nth, l.place, jsonb_build_object(
                   'rank', l.place, 'account_id', s.account_id, 'account_number', s.account_number, 'name', s.name,
                   'key_status', s.key_status,
                   'key_status_then',
                   case l.fate
                       when 'enters' then 'key'
                       when 'waits' then 'candidate'
                       when 'slips' then 'none'
                       else status_next(s.key_status, s.lifecycle, s.score, true, p) end,
                   'score', s.score::text, 'score_now', s.score_now::text,
                   'contributions', s.contributions, 'contributions_now', s.contributions_now,
                   'missing', to_jsonb(s.missing),
                   'blocked_by', case when l.fate = 'waits' and s.blocked then 'transactional_sales_cycle' end,
                   'decisive', decisive_metric(s.contributions_now, s.contributions)) as entry
          from (select d.*, row_number() over (partition by d.fate order by d.place) as nth
                  from sided d where d.fate is not null) l
          join scored s on s.account_id = l.account_id
         where l.nth <= case l.fate when 'waits' then 50 else 1000 end
    ), counts as (
        select count(*) as accounts, count(d.score) as scored,
               count(*) filter (where d.fate = 'stays') as stays, count(*) filter (where d.fate = 'enters') as enters,
               count(*) filter (where d.fate = 'slips') as slips, count(*) filter (where d.fate = 'waits') as waits,
               count(*) filter (where d.score >= p.tier_b_score and d.fate is distinct from 'stays'
                                  and d.fate is distinct from 'enters') as tier_b
          from sided d
    )
    select jsonb_build_object(
               'as_of', on_day, 'criteria_version', used_version, 'criteria', used_metrics,
               'max_key_accounts', p.max_key_accounts,
               'enter_score', p.enter_score::text, 'recover_score', p.recover_score::text,
               'exit_score', p.exit_score::text, 'tier_b_score', p.tier_b_score::text,
               'start', case when from_empty then 'empty' else 'current' end,
               'accounts', c.accounts, 'scored', c.scored,
               'missing', (select count(*) from scored s where cardinality(s.missing) > 0),
               'counts', jsonb_build_object('stays', c.stays, 'enters', c.enters, 'slips', c.slips, 'waits', c.waits),
               'tiers', jsonb_build_object(
                   'A', c.stays + c.enters, 'B', c.tier_b, 'C', c.accounts - c.stays - c.enters - c.tier_b),
               'over_cap', case when c.stays > p.max_key_accounts then jsonb_build_object(
                   'by', c.stays - p.max_key_accounts,
                   'weakest', (select jsonb_agg(jsonb_build_object(
                                          'account_id', s.account_id, 'account_number', s.account_number,
                                          'name', s.name, 'score', s.score::text) order by w.place desc)
                                 from (select d.account_id, d.place from sided d where d.fate = 'stays'
                                        order by d.place desc limit least(c.stays - p.max_key_accounts, 50)) w
                                 join scored s on s.account_id = w.account_id)) end,
               'enters', (select coalesce(jsonb_agg(l.entry order by l.place), '[]')
                            from listed l where l.fate = 'enters'),
               'slips', (select coalesce(jsonb_agg(l.entry order by l.place), '[]')
                           from listed l where l.fate = 'slips'),
               'stays', (select coalesce(jsonb_agg(l.entry order by l.place), '[]')
                           from listed l where l.fate = 'stays'),
               'waits', (select coalesce(jsonb_agg(l.entry order by l.place), '[]')
                           from listed l where l.fate = 'waits'))
      into result from counts c;
    return result;
end $$;
