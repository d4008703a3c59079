-- The program: the status of accounts and the status machine that moves it, the ways onto the list of key accounts and
-- off it, and nominations.

-- The part of an account's status that events carry and the API answers with.
create or replace function account_status_view(s account_status) returns jsonb stable language sql as $$
    select jsonb_build_object(
        'key_status', s.key_status, 'tier', s.tier, 'score', s.score::text, 'score_rank', s.score_rank,
        'as_of', s.as_of, 'criteria_version', s.criteria_version, 'contributions', s.contributions,
        'missing', to_jsonb(s.missing))
$$;

-- Makes the event of a changed status: the status after the change and before it, and the cause of the change. The
-- event's version is the account's cache version, which is the sum of the versions of account and account_status.
create or replace function account_status_event(
    type text, after account_status, before account_status, cause text) returns event_in
stable language sql as $$
    select row (type, after.account_id, 'account', after.account_id, a.version + after.version, null,
                jsonb_build_object('account_id', after.account_id, 'account_number', a.account_number, 'name', a.name,
                                   'cause', cause)
                || account_status_view(after)
                || jsonb_build_object('score_before', before.score::text,
                                      'contributions_before', before.contributions, 'tier_before', before.tier)
                || case when type = 'account.key_status.designated'
                        then jsonb_build_object('designation', after.designation) else '{}' end,
                jsonb_build_object('key_status', before.key_status, 'tier', before.tier,
                                   'score', before.score::text))::event_in
      from account a where a.id = after.account_id
$$;

-- The event of a change of key status; null where nobody is told: only who was on the list, or comes onto it, matters.
create or replace function status_event_type(was text, becomes text) returns text
immutable parallel safe language sql as $$
    select case when was not in ('key', 'at_risk') and becomes = 'key' then 'account.key_status.designated'
                when was not in ('key', 'at_risk') or was = becomes then null
                when becomes = 'at_risk' then 'account.key_status.at_risk'
                when becomes = 'key' then 'account.key_status.recovered'
                else 'account.key_status.slipped' end
$$;

-- Writes the history and the events of changes of status, at most a few hundred at once: events go in one array.
create or replace function status_moves_tell(moves status_move[], cause text, reason text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into key_status_history (
        account_id, cause, actor, from_status, to_status, from_tier, to_tier, score, score_before, score_rank,
        criteria_version, contributions, contributions_before, reason, designation)
    select (m.after).account_id, status_moves_tell.cause, session_setting('actor'), (m.before).key_status,
           (m.after).key_status, (m.before).tier, (m.after).tier, (m.after).score, (m.before).score,
           (m.after).score_rank, (m.after).criteria_version, (m.after).contributions, (m.before).contributions,
           status_moves_tell.reason, coalesce((m.after).designation, (m.before).designation)
      from unnest(moves) m
     order by (m.after).account_id;
    perform event_write(array_agg(account_status_event(t.type, t.after, t.before, status_moves_tell.cause)
                                  order by (t.after).account_id, t.nth))
       from (select m.after, m.before, 1 as nth,
                    status_event_type((m.before).key_status, (m.after).key_status) as type from unnest(moves) m
             union all
             select m.after, m.before, 2, case when (m.after).tier <> (m.before).tier then 'account.tier_changed' end
               from unnest(moves) m) t
      where t.type is not null;
end $$;
revoke execute on function status_moves_tell(status_move[], text, text) from kamd_app;

-- Writes the history and the events of a change that a person made, and lets the units follow. Returns the accounts
-- with their cache versions.
create or replace function account_status_moved(before account_status, after account_status, cause text, reason text)
returns setof account_status_touch language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform status_moves_tell(array [row (after, before)::status_move], cause, reason);
    return query select a.id, a.version + after.version from account a where a.id = after.account_id;
    return query select * from units_follow(array [after.account_id]);
end $$;
revoke execute on function account_status_moved(account_status, account_status, text, text) from kamd_app;

-- When a grace that begins at `since` is over.
create or replace function grace_end(since timestamptz, p program) returns timestamptz stable language sql as $$
    select since + make_interval(days => p.grace_days)
$$;

-- The key status that a score leads to from the status `was`, under the scores of `p`. An account without any input
-- keeps its status.
--   none -> candidate at or above enter; candidate -> none below it
--   key -> at_risk below exit (without grace: to none at once)
--   at_risk -> key at or above recover; at_risk -> none below exit when the grace is over
create or replace function status_next(was text, lifecycle text, score numeric, grace_over boolean, p program)
returns text immutable parallel safe language sql as $$
    select case when was in ('divesting', 'divested') then was
                when was in ('none', 'candidate') then
                    case when lifecycle <> 'customer' then 'none'
                         when score is null then was
                         when score >= p.enter_score then 'candidate'
                         else 'none' end
                when score is null then was
                when was = 'key' then
                    case when score >= p.exit_score then 'key'
                         when p.grace_days = 0 then 'none'
                         else 'at_risk' end
                else -- at_risk
                    case when score >= p.recover_score then 'key'
                         when score < p.exit_score and grace_over then 'none'
                         else 'at_risk' end end
$$;

-- What customers (null: all that are locked) would be after an evaluation, beside what they are. Ranks are only made
-- anew `with_rank`, among the customers scored. The grace clock runs while the score is below exit, and starts anew
-- after the score was not.
create or replace function status_evaluated(customers uuid[], with_rank boolean)
returns table (before account_status, key_status text, tier text, score numeric, score_rank int, contributions jsonb,
               missing text[], grace_until timestamptz)
stable language sql security definer set search_path = public, pg_temp as $$
    with p as materialized (
        select p, c.metrics from program p join criteria c on c.version = p.criteria_version
    ), scored as materialized (
        select r.*, case when with_rank then rank() over (order by r.score desc nulls last, a.account_number, a.id)::int
                    end as score_rank,
               a.lifecycle
          from p cross join lateral score_accounts(customers, current_date, p.metrics, (p.p).reporting_currency) r
          join account a on a.id = r.account_id
    ), moved as materialized (
        select o as before, s.score, s.contributions, s.missing, coalesce(s.score_rank, o.score_rank) as score_rank,
               status_next(o.key_status, s.lifecycle, s.score, (p.p).grace_days = 0 or o.grace_until <= now(), p.p)
                   as key_status,
               case when s.score is null then o.grace_until
                    when s.score >= (p.p).exit_score then null
                    when o.key_status = 'key' or (o.key_status = 'at_risk' and o.grace_until is null)
                        then grace_end(now(), p.p)
                    when o.key_status = 'at_risk' then o.grace_until end as grace_until,
               (p.p).tier_b_score as tier_b_score
          from scored s join account_status o on o.account_id = s.account_id cross join p
    )
    select m.before, m.key_status,
           case when m.key_status in ('key', 'at_risk') then 'A' when m.score >= m.tier_b_score then 'B' else 'C' end,
           m.score, m.score_rank, m.contributions, m.missing,
           case when m.key_status = 'at_risk' then m.grace_until end
      from moved m
$$;
revoke execute on function status_evaluated(uuid[], boolean) from kamd_app;

-- Scores these customers (null: all) as of today, and moves the status machine. Only statuses in `locked` are moved:
-- any other could be designated or scored between reading and writing. The history and the events are written for a
-- hundred at a time, which bounds their arrays. The work memory holds the scores of a whole portfolio.
create or replace function evaluate_customers(customers uuid[], locked uuid[], with_rank boolean, cause text)
returns setof account_status_touch
language sql security definer set search_path = public, pg_temp set work_mem = '64MB' as $$
    with final as materialized (
        select f.*, p.criteria_version from status_evaluated(customers, with_rank) f cross join program p
         where (f.before).account_id = any (locked)
    ), written as (
        update account_status t
           set version = t.version + 1, updated_at = now(), tier = f.tier, key_status = f.key_status, score = f.score,
               score_rank = f.score_rank, as_of = current_date, criteria_version = f.criteria_version,
               contributions = f.contributions, missing = f.missing, grace_until = f.grace_until,
               status_since = case when f.key_status <> t.key_status then now() else t.status_since end,
               key_since = case when f.key_status in ('key', 'at_risk') then t.key_since end,
               designation = case when f.key_status in ('key', 'at_risk') then t.designation end
          from final f
         where t.account_id = (f.before).account_id
           and (t.tier, t.key_status, t.score, t.score_rank, t.criteria_version, t.contributions, t.missing,
                t.grace_until)
               is distinct from (f.tier, f.key_status, f.score, f.score_rank, f.criteria_version, f.contributions,
                                 f.missing, f.grace_until)
        returning t as after, f.before
    ), told as (
        select status_moves_tell(array_agg(row (m.after, m.before)::status_move order by (m.after).account_id),
                                 cause, null)
          from (select w.*, (row_number() over (order by (w.after).account_id) - 1) / 100 as part
                  from written w
                 where (w.after).key_status <> (w.before).key_status or (w.after).tier <> (w.before).tier) m
         group by m.part
         order by m.part
    )
    select (w.after).account_id, a.version + (w.after).version
      from written w
      join account a on a.id = (w.after).account_id
     cross join (select count(*) from told) done
$$;
revoke execute on function evaluate_customers(uuid[], uuid[], boolean, text) from kamd_app;

-- Scores the customers of these accounts (`ids` null: all customers) as of today, moves the status machine, and lets
-- the units follow. Returns the accounts whose status changed, with their cache versions. A full evaluation notes how
-- many customers each tier has.
create or replace function evaluate(ids uuid[], with_rank boolean, cause text) returns setof account_status_touch
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    customers uuid[];
    locked uuid[];
begin
    if ids is null then
        -- The program's row is locked before any status, as in designate(): it is updated at the end.
        perform 1 from program for update;
    else
        customers := array(select distinct s.customer_id from account_status s where s.account_id = any (ids));
    end if;
    -- An account that is created later is in rescore_queue, and has its turn.
    select array_agg(l.account_id) into locked
      from (select s.account_id from account_status s where (customers is null or s.customer_id = any (customers))
             order by s.account_id for update) l;
    return query select * from evaluate_customers(customers, locked, with_rank, cause);
    return query select * from units_follow(customers);
    if ids is null then
        update program
           set last_full_evaluation_at = now(),
               tiers = (select jsonb_build_object(
                            'A', count(*) filter (where s.tier = 'A'), 'B', count(*) filter (where s.tier = 'B'),
                            'C', count(*) filter (where s.tier = 'C'))
                          from account_status s join account a on a.id = s.account_id
                         where a.deleted_at is null and s.customer_id = s.account_id);
    end if;
end $$;
revoke execute on function evaluate(uuid[], boolean, text) from kamd_app;

-- Raises key_account_cap_reached when the list has no free place; the hint names the five weakest members.
create or replace function program_place(p program) returns void
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    members int;
begin
    select count(*) into members from account_status s where s.holds_place;
    if members >= p.max_key_accounts then
        raise exception using errcode = 'KD409', message = 'key_account_cap_reached',
            detail = format('%s of at most %s key accounts. Swap one of the weakest members out, or raise the cap.',
                            members, p.max_key_accounts),
            hint = (select jsonb_build_object('weakest', coalesce(jsonb_agg(jsonb_build_object(
                               'account_id', w.account_id, 'name', w.name, 'score', w.score::text,
                               'key_status', w.key_status) order by w.score nulls first, w.name), '[]'))::text
                      from (select s.account_id, n.name, s.score, s.key_status
                              from account_status s join account n on n.id = s.account_id
                             where s.holds_place
                             order by s.score nulls first, n.name limit 5) w);
    end if;
end $$;
revoke execute on function program_place(program) from kamd_app;

-- The day on which the current program year began, and how many more accounts came onto the list since then than left
-- it. A program year that begins on the 29th to 31st is taken to begin on the 28th, a day that every month has.
create or replace function program_growth(p program, year_start out date, net out int)
stable language sql security definer set search_path = public, pg_temp as $$
    with y as (
        select make_date(extract(year from current_date)::int, left(p.program_year_start, 2)::int,
                         least(right(p.program_year_start, 2)::int, 28)) as day
    ), s as (
        select case when day > current_date then (day - interval '1 year')::date else day end as day from y
    )
    select s.day,
           (select coalesce(sum(
                       case when h.from_status not in ('key', 'at_risk') and h.to_status in ('key', 'at_risk') then 1
                            when h.from_status in ('key', 'at_risk') and h.to_status not in ('key', 'at_risk') then -1
                            else 0 end), 0)::int
              from key_status_history h where h.at >= s.day)
      from s
$$;
revoke execute on function program_growth(program) from kamd_app;

-- Locks the program's row, under which cap, growth and load are counted, and returns it. Only for callers whose scope
-- is all accounts: who does not see every account does not decide who is a key account.
create or replace function program_lock() returns program
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
begin
    if session_setting('scope') is distinct from 'all' then
        raise exception using errcode = 'KD403', message = 'forbidden',
            detail = 'Only a director decides who is a key account.';
    end if;
    select * into p from program for update;
    return p;
end $$;
revoke execute on function program_lock() from kamd_app;

-- What GET /v1/program says beside the settings: how full the list is, and which limits are exceeded. Managers over
-- their capacity are named only to callers who see all accounts.
create or replace function program_state() returns jsonb
stable language sql security definer set search_path = public, pg_temp as $$
    with p as (
        select * from program
    ), members as (
        select count(*)::int as n from account_status where holds_place
    ), waiting as (
        select count(*)::int as n from account_status where key_status = 'candidate' and customer_id = account_id
    ), loads as (
        select u.id, u.name, manager_limit(u.capacity) as capacity, count(*)::int as load
          from account_status s join account a on a.id = s.account_id join app_user u on u.id = a.manager_id
         where s.holds_place and session_setting('scope') = 'all'
           and u.active and u.deleted_at is null
         group by u.id
        having count(*) > manager_limit(u.capacity)
    ), over as (
        select 1 as nth, jsonb_build_object('rule', 'max_key_accounts', 'most', p.max_key_accounts, 'actual', m.n) as j
          from p, members m where m.n > p.max_key_accounts
        union all
        select 2, jsonb_build_object('rule', 'max_net_growth', 'most', p.max_net_growth, 'actual', g.net)
          from p, program_growth((select q from program q)) g where g.net > p.max_net_growth
        union all
        select 3, jsonb_build_object('rule', 'manager_capacity', 'most', l.capacity, 'actual', l.load,
                                     'user_id', l.id, 'name', l.name)
          from loads l
        union all
        select 4, jsonb_build_object('rule', 'tier_a_smallest',
                                     'most', least((p.tiers ->> 'B')::int, (p.tiers ->> 'C')::int), 'actual', m.n)
          from p, members m where m.n > least((p.tiers ->> 'B')::int, (p.tiers ->> 'C')::int)
    )
    select jsonb_build_object(
        'key_accounts', m.n, 'over_cap', m.n > p.max_key_accounts,
        'free_places', greatest(p.max_key_accounts - m.n, 0), 'candidates', w.n,
        'net_growth', (select net from program_growth((select q from program q))), 'tiers', p.tiers,
        'over_limits', (select coalesce(jsonb_agg(o.j order by o.nth, o.j ->> 'name'), '[]') from over o))
      from p, members m, waiting w
$$;

-- How many key accounts somebody with this capacity may manage (null: no limit): one, where the settings say so.
create or replace function manager_limit(capacity int) returns int stable parallel safe language plpgsql as $$
begin
    return least(capacity, (select 1 from program_settings s where s.one_key_customer_per_manager));
end $$;

-- Raises manager_capacity_reached when a person would manage more key accounts than manager_limit() allows.
-- `others`: how many are about to come that the table does not show yet. The person's row is locked, so that two
-- transactions at once are counted one after the other.
create or replace function manager_check(manager uuid, others int) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    u app_user;
    most int;
    load int;
begin
    select * into u from app_user t where t.id = manager for no key update;
    most := manager_limit(u.capacity);
    if most is null then
        return;
    end if;
    select count(*) into load
      from account_status s join account n on n.id = s.account_id
     where n.manager_id = manager and s.holds_place;
    if load + others > most then
        raise exception using errcode = 'KD409', message = 'manager_capacity_reached', column = 'manager_id',
            detail = format('%s already manages %s key accounts, and has capacity for %s.', u.name, load + others - 1,
                            most);
    end if;
end $$;
revoke execute on function manager_check(uuid, int) from kamd_app;

-- Raises unit_of_customer when an account is a unit: its customer can be a key account. The hint names the customer.
create or replace function unit_refused(s account_status) returns void
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    if s.customer_id <> s.account_id then
        raise exception using errcode = 'KD409', message = 'unit_of_customer',
            detail = (select format('The account is a unit of %s, which is the customer. Take that one, or let a'
                                    ' director make the unit a customer of its own (standalone).', a.name)
                        from account a where a.id = s.customer_id),
            hint = jsonb_build_object('customer_id', s.customer_id)::text;
    end if;
end $$;
revoke execute on function unit_refused(account_status) from kamd_app;

-- Raises the first gate that stands against an account: a transactional sales cycle, a fit check that found it
-- unsuitable, or none that is recent enough where one is needed.
create or replace function admission_gates(a account) returns void
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    f fit_check;
begin
    select * into f from fit_check c where c.account_id = a.id and c.deleted_at is null;
    if coalesce(f.sales_cycle, a.sales_cycle) = 'transactional' then
        raise exception using errcode = 'KD409', message = 'transactional_sales_cycle',
            detail = 'The sales cycle is transactional: key account management does not work there. A director may'
                     ' override it with a reason and an expiry.';
    end if;
    if f.verdict = 'unsuitable' then
        raise exception using errcode = 'KD409', message = 'fit_check_unsuitable',
            detail = format('The fit check found the account unsuitable (%s). A director may override it with a'
                            ' reason and an expiry.', array_to_string(f.failing, ', '));
    end if;
    if (select s.require_fit_check and (f.id is null or f.checked_on < current_date - s.fit_check_max_age_days)
          from program_settings s) then
        raise exception using errcode = 'KD409', message = 'fit_check_required',
            detail = 'A fit check is needed that is recent enough; see /v1/accounts/{id}/fit-check.';
    end if;
end $$;
revoke execute on function admission_gates(account) from kamd_app;

-- Raises the limit that the list has come to: its places, or its growth in a program year.
create or replace function admission_limits(p program) returns void
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    grown record;
begin
    perform program_place(p);
    if p.max_net_growth is not null then
        select * into grown from program_growth(p);
        if grown.net + 1 > p.max_net_growth then
            raise exception using errcode = 'KD409', message = 'key_account_growth_reached',
                detail = format('The list grew by %s since %s; at most %s in a program year.', grown.net,
                                grown.year_start, p.max_net_growth);
        end if;
    end if;
end $$;
revoke execute on function admission_limits(program) from kamd_app;

-- Puts an account onto the list, or raises the first rule that stands against it. `terms` are kept as the designation;
-- an override among them passes over sales cycle and fit check, but not over cap, growth and load. The caller holds the
-- program's row, the lock under which these three are counted. Returns the account with its cache version.
create or replace function key_admit(p program, account uuid, terms jsonb, cause text)
returns setof account_status_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    a account;
    before account_status;
    after account_status;
    overridden boolean := terms ? 'override';
begin
    perform rescore_enqueue(array [account]); -- a worker scores the account once this is committed
    select * into a from account t where t.id = key_admit.account and t.deleted_at is null for no key update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such account.';
    end if;
    perform customers_lock(array [a.id]);
    select * into before from account_status s where s.account_id = a.id for update;
    perform unit_refused(before);
    if a.lifecycle <> 'customer' then
        raise exception using errcode = 'KD422', message = 'not_existing_customer', column = 'lifecycle',
            detail = format('The account is a %s; only an existing customer can become a key account.', a.lifecycle);
    end if;
    if before.key_status not in ('none', 'candidate') then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = format('The account''s key status is %s already.', before.key_status);
    end if;
    if overridden and (terms -> 'override' ->> 'expires_on')::date <= current_date then
        raise exception using errcode = 'KD422', message = 'validation_failed', column = 'override/expires_on',
            detail = 'An override ends on a day to come.';
    end if;
    if not overridden then
        perform admission_gates(a);
    end if;
    perform admission_limits(p);
    if a.manager_id is not null then
        perform manager_check(a.manager_id, 1);
    end if;
    update account_status s
       set version = s.version + 1, updated_at = now(), key_status = 'key', tier = 'A', key_since = now(),
           status_since = now(), grace_until = null,
           designation = terms || jsonb_build_object(
               'designated_at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'designated_by', session_setting('actor'))
     where s.account_id = a.id
    returning * into after;
    return query select * from account_status_moved(before, after, cause, terms ->> 'reason');
end $$;
revoke execute on function key_admit(program, uuid, jsonb, text) from kamd_app;

-- Ends key status by a person's decision: the account becomes a candidate when its score is high enough, else none.
-- Returns the account with its cache version.
create or replace function key_release(p program, account uuid, cause text, reason text)
returns setof account_status_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    a account;
    before account_status;
    after account_status;
begin
    perform rescore_enqueue(array [account]);
    select * into a from account t where t.id = key_release.account and t.deleted_at is null for no key update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such account.';
    end if;
    perform customers_lock(array [a.id]);
    select * into before from account_status s where s.account_id = a.id for update;
    perform unit_refused(before);
    if before.key_status not in ('key', 'at_risk') then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = format('%s is no key account; its key status is %s.', a.name, before.key_status);
    end if;
    update account_status s
       set version = s.version + 1, updated_at = now(), status_since = now(), grace_until = null, key_since = null,
           designation = null,
           key_status = case when a.lifecycle = 'customer' and s.score >= p.enter_score then 'candidate'
                             else 'none' end,
           tier = case when s.score >= p.tier_b_score then 'B' else 'C' end
     where s.account_id = a.id
    returning * into after;
    return query select * from account_status_moved(before, after, cause, reason);
end $$;
revoke execute on function key_release(program, uuid, text, text) from kamd_app;

-- Makes an account a key account; key_admit() says under which rules. Returns the account with its cache version.
create or replace function designate(account uuid, terms jsonb) returns setof account_status_touch
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
begin
    select * into p from program;
    if session_setting('scope') = 'all' then
        perform program_place(p); -- a full list says so without waiting for the lock; key_admit() asks again under it
    end if;
    p := program_lock();
    return query select * from key_admit(p, account, terms, 'designated');
end $$;

-- Takes an account off the list, for a reason. Returns the account with its cache version.
create or replace function de_designate(account uuid, reason text) returns setof account_status_touch
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
begin
    p := program_lock();
    return query select * from key_release(p, account, 'de_designated', reason);
end $$;

-- Takes one account off the list and puts another onto it, or does neither. Returns both with their cache versions.
create or replace function swap_key_accounts(account_in uuid, account_out uuid, terms jsonb)
returns setof account_status_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p program;
begin
    p := program_lock();
    perform rescore_enqueue(array [account_in, account_out]);
    -- Both statuses are locked in the order in which evaluate() locks them.
    perform customers_lock(array [account_in, account_out]);
    return query select * from key_release(p, account_out, 'swapped_out', terms ->> 'reason');
    return query select * from key_admit(p, account_in, terms, 'swapped_in');
end $$;

-- An account's status at the end of a day (UTC), as the history tells it: before its first entry an account is none and
-- C. `since` is null when the account was not there yet; key_since and designation are null unless it was a key
-- account. Whoever sees a unit may read this of its customer: the caller asks who sees what.
create or replace function account_status_at(account uuid, on_day date)
returns table (key_status text, tier text, since timestamptz, key_since timestamptz, designation jsonb)
stable language sql security definer set search_path = public, pg_temp as $$
    with past as materialized (
        select h.id, h.at, h.from_status, h.to_status, h.to_tier, h.designation
          from key_status_history h
         where h.account_id = account and h.at < (on_day + 1)::timestamp at time zone 'UTC'
    ), last as (
        select p.to_status, p.to_tier from past p order by p.id desc limit 1
    ), entry as (
        select p.at, p.designation
          from past p
         where p.to_status in ('key', 'at_risk') and p.from_status not in ('key', 'at_risk')
         order by p.id desc limit 1
    )
    select coalesce(l.to_status, 'none'), coalesce(l.to_tier, 'C'),
           coalesce((select max(p.at) from past p where p.from_status <> p.to_status),
                    case when a.created_at < (on_day + 1)::timestamp at time zone 'UTC' then a.created_at end),
           case when l.to_status in ('key', 'at_risk') then e.at end,
           case when l.to_status in ('key', 'at_risk') then e.designation end
      from account a left join last l on true left join entry e on true where a.id = account
$$;

-- Refuses a nomination of an account that is no customer, or a key account already, and notes who nominated. The lock
-- on the status decides between a nomination and a designation at the same time: whichever comes second sees the
-- other.
create or replace function nomination_made() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    its record;
begin
    perform 1 from account_status s where s.account_id = new.account_id for share;
    select s.key_status, a.lifecycle, s as status into its
      from account_status s join account a on a.id = s.account_id where s.account_id = new.account_id;
    perform unit_refused(its.status);
    if its.lifecycle <> 'customer' then
        raise exception using errcode = 'KD422', message = 'not_existing_customer', column = 'account_id',
            detail = format('The account is a %s; only an existing customer can be nominated.', its.lifecycle);
    end if;
    if its.key_status in ('key', 'at_risk') then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'account_id',
            detail = 'The account is a key account already.';
    end if;
    new.nominated_by := session_setting('actor');
    return new;
end $$;

-- Closes an open nomination as declined or withdrawn. Only who nominated may withdraw it, or a caller who sees all
-- accounts; the right to decline is checked before the call. Runs with the caller's rights: row level security says
-- which nominations there are.
create or replace function nomination_close(nomination uuid, outcome text, why text) returns void language plpgsql as $$
declare
    its nomination;
begin
    select * into its from nomination n where n.id = nomination_close.nomination and n.deleted_at is null for update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found',
            detail = 'There is no such nomination that you can see.';
    end if;
    if its.status <> 'open' then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = format('The nomination is %s already.', its.status);
    end if;
    if outcome = 'withdrawn' and its.nominated_by is distinct from session_setting('actor')
       and session_setting('scope') is distinct from 'all' then
        raise exception using errcode = 'KD403', message = 'forbidden',
            detail = 'Only who nominated withdraws it; a director may decline it.';
    end if;
    update nomination n
       set status = outcome, decision_reason = why, decided_at = now(), decided_by = session_setting('actor'),
           version = n.version + 1, updated_at = now()
     where n.id = its.id;
end $$;

-- Accepts the open nominations of an account that has become a key account.
create or replace function nominations_accepted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update nomination n
       set status = 'accepted', decided_at = now(), decided_by = session_setting('actor'), version = n.version + 1,
           updated_at = now()
     where n.account_id = new.account_id and n.status = 'open';
    return null;
end $$;
