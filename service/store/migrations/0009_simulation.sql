-- What a list of key accounts is decided with: the customers' wallets, nominations, what-if runs, and the status of another day.

create table wallet (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint wallet_account_id_fkey references account,
    category text not null, period text not null,
    customer_spend numeric(19, 4) check (customer_spend >= 0), our_revenue numeric(19, 4) check (our_revenue >= 0), -- null: unknown
    currency_code text, source text, confidence text,
    share numeric(7, 4) generated always as (round(our_revenue / nullif(customer_spend, 0), 4)) stored,
    constraint wallet_share_check check (our_revenue <= customer_spend)
);
create unique index wallet_period_key on wallet (account_id, category, period) where deleted_at is null;
create index wallet_account_id_idx on wallet (account_id, id);
create index wallet_updated_at_idx on wallet (updated_at, id);
call protect('wallet', 'account_id');
call log_changes('wallet', 'wallet', 'account_id', 'events');
call follow_external_ids('wallet', 'wallet', 'account_id');

create function wallet_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform rescore_mark(array_agg(distinct account_id)) from new_rows;
    return null;
end $$;
create trigger wallet_follow_insert after insert on wallet referencing new table as new_rows for each statement execute function wallet_follow();
create trigger wallet_follow_update after update on wallet referencing new table as new_rows for each statement execute function wallet_follow();

-- ---- nominations ----

create table nomination (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    account_id uuid not null constraint nomination_account_id_fkey references account,
    region text not null, reason text not null,
    status text not null default 'open' check (status in ('open', 'accepted', 'declined', 'withdrawn')),
    nominated_by text, decided_at timestamptz, decided_by text, decision_reason text
);
create unique index nomination_region_key on nomination (account_id, region) where status = 'open' and deleted_at is null;
create index nomination_account_id_idx on nomination (account_id, id);
create index nomination_updated_at_idx on nomination (updated_at, id);
create index nomination_open_idx on nomination (id) where status = 'open';
call protect('nomination', 'account_id');
call log_changes('nomination', 'nomination', 'account_id', 'events');

-- The standing's lock decides between a nomination and a designation at the same time: whichever comes second sees the other.
create function nomination_made() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    its record;
begin
    perform 1 from standing s where s.account_id = new.account_id for share;
    select s.key_status, a.lifecycle into its from standing s join account a on a.id = s.account_id where s.account_id = new.account_id;
    if its.lifecycle <> 'customer' then
        raise exception using errcode = 'KD422', message = 'not_existing_customer', column = 'account_id',
            detail = format('The account is a %s; only an existing customer can be nominated.', its.lifecycle);
    end if;
    if its.key_status in ('key', 'at_risk') then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'account_id', detail = 'The account is a key account already.';
    end if;
    new.nominated_by := context('actor');
    return new;
end $$;
create trigger nomination_made before insert on nomination for each row execute function nomination_made();

-- Run as the caller: row level security says which nominations are there. Open ones are declined by those who decide; withdrawn by whoever nominated, or by them.
create function nomination_close(nomination uuid, outcome text, why text) returns void language plpgsql as $$
declare
    its nomination;
begin
    select * into its from nomination n where n.id = nomination_close.nomination and n.deleted_at is null for update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such nomination that you can see.';
    end if;
    if its.status <> 'open' then
        raise exception using errcode = 'KD409', message = 'conflict', detail = format('The nomination is %s already.', its.status);
    end if;
    if outcome = 'withdrawn' and its.nominated_by is distinct from context('actor') and context('scope') is distinct from 'all' then
        raise exception using errcode = 'KD403', message = 'forbidden', detail = 'Only who nominated withdraws it; a director may decline it.';
    end if;
    update nomination n set status = outcome, decision_reason = why, decided_at = now(), decided_by = context('actor'), version = n.version + 1, updated_at = now()
     where n.id = its.id;
end $$;

create function nominations_accepted() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update nomination n set status = 'accepted', decided_at = now(), decided_by = context('actor'), version = n.version + 1, updated_at = now()
     where n.account_id = new.account_id and n.status = 'open';
    return null;
end $$;
create trigger nominations_accepted after update of key_status on standing for each row
    when (new.key_status = 'key' and old.key_status not in ('key', 'at_risk')) execute function nominations_accepted();

-- ---- simulation ----

-- The metric whose contribution differs most between two explanations: {metric, difference}; null when none does.
create function decisive_metric(now_parts jsonb, then_parts jsonb) returns jsonb immutable parallel safe language sql as $$
    select jsonb_build_object('metric', d.metric, 'difference', d.difference::text)
      from (select metric, coalesce(t.part, 0) - coalesce(n.part, 0) as difference, t.ord
              from (select e.j ->> 'metric' as metric, (e.j ->> 'contribution')::numeric as part, e.ord from jsonb_array_elements(then_parts) with ordinality e(j, ord)) t
              full join (select e.j ->> 'metric' as metric, (e.j ->> 'contribution')::numeric as part from jsonb_array_elements(now_parts) e(j)) n using (metric)) d
     where d.difference <> 0 order by abs(d.difference) desc, d.ord nulls last, d.metric limit 1
$$;

-- What would be under other criteria, scores or another cap, as of some day: {criteria | criteria_version, max_key_accounts, enter_score, recover_score, exit_score,
-- tier_b_score, as_of, start}; what is absent is the program's. It reads only. Members below exit slip (once the grace is over), the others stay; free places go to the best
-- at or above enter, as if somebody designated each. start = empty: as if nobody was a key account yet.
create function simulate(params jsonb) returns jsonb stable language plpgsql as $$
declare
    p program;
    used_version int;
    used_metrics jsonb;
    on_day date := coalesce((params ->> 'as_of')::date, current_date);
    places int;
    enter_at numeric(7, 4);
    recover_at numeric(7, 4);
    exit_at numeric(7, 4);
    tier_b_at numeric(7, 4);
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
            raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'criteria_version', detail = 'There is no such version of the criteria.';
        end if;
    end if;
    places := coalesce((params ->> 'max_key_accounts')::int, p.max_key_accounts);
    enter_at := coalesce((params ->> 'enter_score')::numeric, p.enter_score);
    recover_at := coalesce((params ->> 'recover_score')::numeric, p.recover_score);
    exit_at := coalesce((params ->> 'exit_score')::numeric, p.exit_score);
    tier_b_at := coalesce((params ->> 'tier_b_score')::numeric, p.tier_b_score);
    if enter_at < recover_at or recover_at <= exit_at then
        raise exception using errcode = 'KD422', message = 'score_order', column = 'recover_score',
            detail = format('It must be enter_score >= recover_score > exit_score; here %s, %s and %s.', enter_at, recover_at, exit_at);
    end if;
    with scored as materialized (
        select r.account_id, r.score, r.contributions, r.missing, a.account_number, a.name, a.lifecycle, s.key_status, s.score as score_now, s.contributions as contributions_now,
               s.key_status in ('key', 'at_risk') and not from_empty as member,
               coalesce(f.sales_cycle, a.sales_cycle) is not distinct from 'transactional' as blocked -- until a director overrides it (requirement 000-02)
          from score_accounts(null, on_day, used_metrics, p.reporting_currency) r
          join account a on a.id = r.account_id join standing s on s.account_id = r.account_id
          left join fit_check f on f.account_id = r.account_id and f.deleted_at is null
    ), ranked as materialized (
        select s.account_id, s.score, s.blocked, rank() over (order by s.score desc nulls last, s.account_number, s.account_id) as place,
               case when s.member and s.score < exit_at then 'slips'
                    when s.member then 'stays'
                    when s.lifecycle = 'customer' and s.key_status not in ('divesting', 'divested') and s.score >= enter_at then 'qualifies' end as side
          from scored s
    ), staying as (
        select count(*) as n from ranked where side = 'stays'
    ), sided as materialized (
        select r.account_id, r.place, r.score,
               case when r.side is distinct from 'qualifies' then r.side
                    when r.blocked then 'waits'
                    when row_number() over (partition by r.side, r.blocked order by r.place) <= places - t.n then 'enters' else 'waits' end as fate
          from ranked r cross join staying t
    ), listed as (
        select l.fate, l.nth, l.place, jsonb_build_object(
                   'rank', l.place, 'account_id', s.account_id, 'account_number', s.account_number, 'name', s.name, 'key_status', s.key_status,
                   'key_status_then', case l.fate when 'enters' then 'key' when 'waits' then 'candidate' when 'slips' then 'none'
                                           else case when s.key_status = 'at_risk' and (s.score is null or s.score < recover_at) then 'at_risk' else 'key' end end,
                   'score', s.score::text, 'score_now', s.score_now::text, 'contributions', s.contributions, 'contributions_now', s.contributions_now,
                   'missing', to_jsonb(s.missing), 'blocked_by', case when l.fate = 'waits' and s.blocked then 'transactional_sales_cycle' end, 'decisive', decisive_metric(s.contributions_now, s.contributions)) as entry
          from (select d.*, row_number() over (partition by d.fate order by d.place) as nth from sided d where d.fate is not null) l
          join scored s on s.account_id = l.account_id
         where l.nth <= case l.fate when 'waits' then 50 else 1000 end
    ), counts as (
        select count(*) as accounts, count(d.score) as scored, count(*) filter (where d.fate = 'stays') as stays, count(*) filter (where d.fate = 'enters') as enters,
               count(*) filter (where d.fate = 'slips') as slips, count(*) filter (where d.fate = 'waits') as waits,
               count(*) filter (where d.score >= tier_b_at and d.fate is distinct from 'stays' and d.fate is distinct from 'enters') as tier_b
          from sided d
    )
    select jsonb_build_object(
               'as_of', on_day, 'criteria_version', used_version, 'criteria', used_metrics, 'max_key_accounts', places, 'enter_score', enter_at::text,
               'recover_score', recover_at::text, 'exit_score', exit_at::text, 'tier_b_score', tier_b_at::text, 'start', case when from_empty then 'empty' else 'current' end,
               'accounts', c.accounts, 'scored', c.scored, 'missing', (select count(*) from scored s where cardinality(s.missing) > 0),
               'counts', jsonb_build_object('stays', c.stays, 'enters', c.enters, 'slips', c.slips, 'waits', c.waits),
               'tiers', jsonb_build_object('A', c.stays + c.enters, 'B', c.tier_b, 'C', c.accounts - c.stays - c.enters - c.tier_b),
               'over_cap', case when c.stays > places then jsonb_build_object('by', c.stays - places, 'weakest', (
                   select jsonb_agg(jsonb_build_object('account_id', s.account_id, 'account_number', s.account_number, 'name', s.name, 'score', s.score::text) order by w.place desc)
                     from (select d.account_id, d.place from sided d where d.fate = 'stays' order by d.place desc limit least(c.stays - places, 50)) w
                     join scored s on s.account_id = w.account_id)) end,
               'enters', (select coalesce(jsonb_agg(l.entry order by l.place), '[]') from listed l where l.fate = 'enters'),
               'slips', (select coalesce(jsonb_agg(l.entry order by l.place), '[]') from listed l where l.fate = 'slips'),
               'stays', (select coalesce(jsonb_agg(l.entry order by l.place), '[]') from listed l where l.fate = 'stays'),
               'waits', (select coalesce(jsonb_agg(l.entry order by l.place), '[]') from listed l where l.fate = 'waits'))
      into result from counts c;
    return result;
end $$;

-- ---- the status of another day ----

alter table key_status_history add column designation jsonb; -- the terms under which an account came onto the list
create index key_status_history_at_idx on key_status_history (account_id, at desc);


-- As the history tells it, at the end of that day (UTC): before its first entry an account is none and C.
create function standing_at(account uuid, on_day date)
returns table (key_status text, tier text, since timestamptz, key_since timestamptz, designation jsonb) stable language sql as $$
    with past as materialized (
        select h.* from key_status_history h where h.account_id = account and h.at < (on_day + 1)::timestamp at time zone 'UTC'
    ), last as (
        select p.to_status, p.to_tier from past p order by p.id desc limit 1
    ), entry as (
        select p.at, p.designation from past p where p.to_status in ('key', 'at_risk') and p.from_status not in ('key', 'at_risk') order by p.id desc limit 1
    )
    select coalesce(l.to_status, 'none'), coalesce(l.to_tier, 'C'),
           coalesce((select max(p.at) from past p where p.from_status <> p.to_status), case when a.created_at < (on_day + 1)::timestamp at time zone 'UTC' then a.created_at end),
           case when l.to_status in ('key', 'at_risk') then e.at end, case when l.to_status in ('key', 'at_risk') then e.designation end
      from account a left join last l on true left join entry e on true where a.id = account
$$;
