-- The program: one for the whole company. Criteria are versioned; one version is active.

create table criteria (
    version int primary key, created_at timestamptz not null default now(), created_by text,
    note text, metrics jsonb not null -- [{metric, weight, floor, ceiling}]
);
create table program (
    one boolean primary key default true check (one), version bigint not null default 1, updated_at timestamptz not null default now(),
    objective text not null, max_key_accounts int not null check (max_key_accounts >= 0), max_net_growth int check (max_net_growth >= 0),
    program_year_start text not null default '01-01' check (program_year_start ~ '^\d\d-\d\d$'), -- month and day
    enter_score numeric(7, 4) not null, recover_score numeric(7, 4) not null, exit_score numeric(7, 4) not null,
    tier_b_score numeric(7, 4) not null, grace_days int not null check (grace_days >= 0),
    reporting_currency text not null, criteria_version int not null references criteria,
    last_full_evaluation_at timestamptz,
    constraint program_recover_score_check check (enter_score >= recover_score and recover_score > exit_score)
);
insert into criteria (version, note, metrics) values (1, 'Where every program starts; replace it by your own.',
    '[{"metric": "revenue_ttm", "weight": "50", "floor": "0", "ceiling": "100000"},
      {"metric": "margin_ttm", "weight": "30", "floor": "0", "ceiling": "30000"},
      {"metric": "growth", "weight": "20", "floor": "-0.5", "ceiling": "0.5"}]');
insert into program (objective, max_key_accounts, enter_score, recover_score, exit_score, tier_b_score, grace_days, reporting_currency, criteria_version)
values ('Serve and grow the few customers that bring most of the profit.', 20, 60, 55, 50, 30, 30, 'USD', 1);

create table program_rate (
    currency_code text primary key, rate numeric(20, 10) not null check (rate > 0), -- reporting currency for one unit
    updated_at timestamptz not null default now()
);

create table key_status_history (
    id bigint generated always as identity primary key, at timestamptz not null default now(),
    account_id uuid not null references account, cause text not null, actor text,
    from_status text not null, to_status text not null, from_tier text not null, to_tier text not null,
    score numeric(7, 4), score_before numeric(7, 4), score_rank int, criteria_version int,
    contributions jsonb not null, contributions_before jsonb not null
);
create index key_status_history_account_id_idx on key_status_history (account_id, id desc);
call protect('key_status_history', 'account_id');
revoke insert, update on key_status_history from kamd_app, kamd_worker;

-- A stored evaluation as of some day; it does not move anybody.
create table evaluation_result (
    operation_id uuid not null references operation on delete cascade, account_id uuid not null,
    score_rank int, score numeric(7, 4), contributions jsonb not null, missing text[] not null,
    primary key (operation_id, account_id)
);
create index evaluation_result_rank_idx on evaluation_result (operation_id, score_rank, account_id);
call protect('evaluation_result', 'account_id');
grant delete on evaluation_result to kamd_worker;

create function days_revenue(amount numeric, rate numeric) returns numeric immutable parallel safe language sql as $$ select amount * rate $$;

-- The score: one function for one account, all, and what-if, so that their digits cannot differ. `ids` null: all accounts.
-- Windows are whole days: the 365 days up to and including on_day. numeric throughout; score and contributions have four places; contributions are rounded by the
-- largest remainder, so that they add up to the score. A missing input is left out of the weights and listed.
create function score_accounts(ids uuid[], on_day date, metrics jsonb, currency text)
returns table (account_id uuid, score numeric, contributions jsonb, missing text[]) stable language sql as $$
with chosen as (
    select a.id, a.lifecycle from account a where (ids is null or a.id = any (ids)) and a.deleted_at is null
), some_order as (
    select exists (select 1 from day_sales) as yes
), sums as (
    select d.account_id,
           sum(d.amount * r.rate) filter (where d.day > on_day - 365) as revenue,
           sum(d.cost * r.rate) filter (where d.day > on_day - 365) as cost,
           coalesce(bool_or(d.unknown_costs > 0) filter (where d.day > on_day - 365), false) as cost_unknown,
           coalesce(bool_or(r.rate is null) filter (where d.day > on_day - 365), false) as rate_unknown,
           sum(d.amount * r.rate) filter (where d.day <= on_day - 365) as revenue_before,
           coalesce(bool_or(r.rate is null) filter (where d.day <= on_day - 365), false) as rate_unknown_before
      from day_sales d
      left join lateral (select case when d.currency_code = currency then 1 else (select p.rate from program_rate p where p.currency_code = d.currency_code) end as rate) r on true
     where (ids is null or d.account_id = any (ids)) and d.orders <> 0 and d.day <= on_day and d.day > on_day - 730
     group by d.account_id
), inputs as (
    select c.id,
           case when not some_order.yes or s.rate_unknown then null else coalesce(s.revenue, 0) end as revenue_ttm,
           case when not some_order.yes or s.rate_unknown or s.cost_unknown then null else coalesce(s.revenue, 0) - coalesce(s.cost, 0) end as margin_ttm,
           case when s.rate_unknown or s.rate_unknown_before or coalesce(s.revenue_before, 0) <= 0 then null
                else coalesce(s.revenue, 0) / s.revenue_before - 1 end as growth
      from chosen c cross join some_order left join sums s on s.account_id = c.id
), valued as (
    select i.id, m.ord, m.metric, m.weight, v.value,
           case when v.value is null then null
                else least(greatest((v.value - m.floor) / (m.ceiling - m.floor), 0), 1) * 100 end as scaled
      from inputs i
      cross join (select e.ord, e.j ->> 'metric' as metric, (e.j ->> 'weight')::numeric as weight, (e.j ->> 'floor')::numeric as floor, (e.j ->> 'ceiling')::numeric as ceiling
                    from jsonb_array_elements(metrics) with ordinality e(j, ord)) m
      cross join lateral (select case m.metric when 'revenue_ttm' then i.revenue_ttm when 'margin_ttm' then i.margin_ttm when 'growth' then i.growth end as value) v
), weighed as (
    select v.*, sum(weight) filter (where value is not null) over (partition by id) as total_weight from valued v
), parts as (
    select w.*, weight * scaled / nullif(total_weight, 0) as part from weighed w
), floors as (
    select p.*, trunc(part, 4) as low,
           round(sum(part) over (partition by id), 4) as score,
           row_number() over (partition by id order by part - trunc(part, 4) desc nulls last, ord) as place
      from parts p
), spread as (
    select f.*, case when f.value is null then null
                     else f.low + case when f.place <= (f.score - sum(f.low) over (partition by f.id)) * 10000 then 0.0001 else 0 end end as contribution
      from floors f
)
select s.id, max(s.score),
       jsonb_agg(jsonb_build_object('metric', s.metric, 'value', round(s.value, 4)::text, 'scaled', round(s.scaled, 4)::text, 'weight', s.weight::text,
                                    'contribution', round(s.contribution, 4)::text) order by s.ord),
       coalesce(array_agg(s.metric order by s.ord) filter (where s.value is null), '{}')
  from spread s group by s.id
$$;
drop function days_revenue(numeric, numeric);

-- What an event or the API says of a standing.
create function standing_view(s standing) returns jsonb stable language sql as $$
    select jsonb_build_object('key_status', s.key_status, 'tier', s.tier, 'score', s.score::text, 'score_rank', s.score_rank, 'as_of', s.as_of,
                              'criteria_version', s.criteria_version, 'contributions', s.contributions, 'missing', to_jsonb(s.missing))
$$;

create type standing_touch as (account_id uuid, version bigint);

-- Scores accounts as of today and moves the status machine. Returns whose standing changed, with the account's cache version.
--   none -> candidate at or above enter; candidate -> none below it
--   key -> at_risk below exit (with no grace: slips at once); at_risk -> key at or above recover; at_risk -> none when the grace clock has run out.
--   The clock runs while the score is below exit, and starts anew once it is not. An account without any input stays where it is.
create function evaluate(ids uuid[], with_rank boolean, cause text) returns setof standing_touch
language plpgsql security definer set search_path = public, pg_temp as $$
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
        select emit(array_agg(row (t.type, (t.after).account_id, 'account', (t.after).account_id, a.version + (t.after).version, null,
                   jsonb_build_object('account_id', (t.after).account_id, 'account_number', a.account_number, 'name', a.name, 'cause', cause)
                       || standing_view(t.after)
                       || jsonb_build_object('score_before', (t.before).score::text, 'contributions_before', (t.before).contributions, 'tier_before', (t.before).tier),
                   jsonb_build_object('key_status', (t.before).key_status, 'tier', (t.before).tier, 'score', (t.before).score::text))::event_in
                   order by (t.after).account_id, t.nth))
          from told t join account a on a.id = (t.after).account_id
    )
    select (w.after).account_id, a.version + (w.after).version from written w join account a on a.id = (w.after).account_id
      cross join (select count(*) from sent) done;
    if ids is null then
        update program set last_full_evaluation_at = now();
    end if;
end $$;
revoke execute on function evaluate(uuid[], boolean, text) from kamd_app;

-- Scores what is marked, at most `most` accounts, and the grace clocks that ran out.
create function rescore_marked(most int) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
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
    end if;
end $$;
revoke execute on function rescore_marked(int) from kamd_app;

-- Raises key_account_cap_reached, with the weakest members, when the list has no free place.
create function program_place(p program) returns void language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    members int;
begin
    select count(*) into members from standing s where s.key_status in ('key', 'at_risk');
    if members >= p.max_key_accounts then
        raise exception using errcode = 'KD409', message = 'key_account_cap_reached',
            detail = format('%s of at most %s key accounts. Swap one of the weakest members out, or raise the cap.', members, p.max_key_accounts),
            hint = (select jsonb_build_object('weakest', coalesce(jsonb_agg(jsonb_build_object('account_id', w.account_id, 'name', w.name, 'score', w.score::text, 'key_status', w.key_status)
                        order by w.score nulls first, w.name), '[]'))::text
                      from (select s.account_id, n.name, s.score, s.key_status from standing s join account n on n.id = s.account_id
                             where s.key_status in ('key', 'at_risk') order by s.score nulls first, n.name limit 5) w);
    end if;
end $$;
revoke execute on function program_place(program) from kamd_app;

-- Makes an account a key account. The program's row is the lock under which cap, growth and load are counted.
create function designate(account uuid, terms jsonb) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
    a account;
    before standing;
    after standing;
    year_start date;
    net int;
    load int;
    manager app_user;
begin
    if context('scope') is distinct from 'all' then
        raise exception using errcode = 'KD403', message = 'forbidden', detail = 'Only a director designates key accounts.';
    end if;
    select * into p from program;
    perform program_place(p); -- a full list says so without waiting for the lock; it is asked again under it
    select * into p from program for update;
    select * into a from account t where t.id = designate.account and t.deleted_at is null for no key update;
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
    perform program_place(p);
    if p.max_net_growth is not null then
        year_start := to_date(extract(year from current_date) || '-' || p.program_year_start, 'YYYY-MM-DD');
        if year_start > current_date then
            year_start := year_start - interval '1 year';
        end if;
        select coalesce(sum(case when h.from_status not in ('key', 'at_risk') and h.to_status in ('key', 'at_risk') then 1
                                 when h.from_status in ('key', 'at_risk') and h.to_status not in ('key', 'at_risk') then -1 else 0 end), 0)
          into net from key_status_history h where h.at >= year_start;
        if net + 1 > p.max_net_growth then
            raise exception using errcode = 'KD409', message = 'key_account_growth_reached',
                detail = format('The list grew by %s since %s; at most %s in a program year.', net, year_start, p.max_net_growth);
        end if;
    end if;
    if a.manager_id is not null then
        select * into manager from app_user u where u.id = a.manager_id;
        select count(*) into load from standing s join account n on n.id = s.account_id
         where n.manager_id = a.manager_id and s.key_status in ('key', 'at_risk');
        if manager.capacity is not null and load >= manager.capacity then
            raise exception using errcode = 'KD409', message = 'manager_capacity_reached',
                detail = format('%s already manages %s key accounts, and has capacity for %s.', manager.name, load, manager.capacity);
        end if;
    end if;
    update standing s
       set version = s.version + 1, updated_at = now(), key_status = 'key', tier = 'A', key_since = now(), status_since = now(), grace_until = null,
           designation = terms || jsonb_build_object('designated_at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'designated_by', context('actor'))
     where s.account_id = a.id returning * into after;
    insert into key_status_history (account_id, cause, actor, from_status, to_status, from_tier, to_tier, score, score_before, score_rank, criteria_version, contributions, contributions_before)
    values (a.id, 'designated', context('actor'), before.key_status, 'key', before.tier, 'A', before.score, before.score, before.score_rank, before.criteria_version, before.contributions, before.contributions);
    perform emit(array [row ('account.key_status.designated', a.id, 'account', a.id, a.version + after.version, null,
                jsonb_build_object('account_id', a.id, 'account_number', a.account_number, 'name', a.name, 'cause', 'designated') || standing_view(after) || jsonb_build_object('designation', after.designation),
                jsonb_build_object('key_status', before.key_status, 'tier', before.tier))::event_in]
        || case when before.tier <> 'A' then array [row ('account.tier_changed', a.id, 'account', a.id, a.version + after.version, null,
                jsonb_build_object('account_id', a.id, 'account_number', a.account_number, 'name', a.name, 'cause', 'designated') || standing_view(after),
                jsonb_build_object('tier', before.tier))::event_in] else array []::event_in[] end);
    perform rescore_mark(array [a.id]);
    return query select a.id, a.version + after.version;
end $$;

-- Due follow-ups: one statement claims them and writes their event, so there is exactly one per occurrence and revision, whoever runs it and dies.
-- PostgreSQL's clock alone decides. Returns the accounts told of.
create function follow_ups_fire(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
begin
    with due as materialized (
        select f.id from follow_up f where f.due_at <= clock_timestamp() and f.fired_revision < f.revision and f.status = 'open' and f.deleted_at is null
         order by f.due_at limit most for update skip locked
    ), fired as (
        update follow_up f set fired_revision = f.revision from due d where f.id = d.id
        returning f.*
    )
    select array_agg(row ('follow_up.due', f.account_id, 'follow_up', f.id, f.version, 'follow_up.due:' || f.id || ':' || f.revision,
               jsonb_strip_nulls(jsonb_build_object('account_id', f.account_id, 'follow_up_id', f.id, 'version', f.version, 'title', f.title, 'assignee_id', f.assignee_id,
                   'contact_id', f.contact_id, 'plan_id', f.plan_id, 'review_id', f.review_id, 'series_id', f.series_id, 'occurrence_no', f.occurrence_no, 'revision', f.revision,
                   'priority', f.priority, 'due_on', f.due_on, 'time_zone', f.time_zone,
                   'due_at', to_char(f.due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))), '{}')::event_in order by f.due_at, f.id)
      into evs from fired f;
    perform emit(evs);
    return coalesce(cardinality(evs), 0);
end $$;
revoke execute on function follow_ups_fire(int) from kamd_app;
