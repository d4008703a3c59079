-- Access: who reads and writes which information areas of which accounts, why, and since when. A set of areas is a bit
-- mask; area n of area_names(), counted from 0, is bit n.

-- The names of the areas in a mask, in the order of area_names().
create or replace function mask_areas(mask bigint) returns text[]
immutable strict parallel safe language sql as $$
    select coalesce(array_agg(a order by n), '{}') from unnest(area_names()) with ordinality u(a, n)
     where mask >> (n - 1)::int & 1 = 1
$$;

-- The areas that the caller's role may read at most. The setting kamd.areas holds them in its lower 20 bits, and the
-- areas that the role may write above those; where it is unset, the caller reads and writes nothing.
create or replace function caller_reads() returns bigint
stable parallel safe language sql as
$$ select coalesce(nullif(current_setting('kamd.areas', true), '')::bigint, 0) & ((1::bigint << 20) - 1) $$;

-- The areas that the caller's role may write at most: see caller_reads(). Bits 20 and 21 are no areas, but the bits 40
-- and 41 of caller_reach().
create or replace function caller_writes() returns bigint
stable parallel safe language sql as
$$ select coalesce(nullif(current_setting('kamd.areas', true), '')::bigint, 0) >> 20 $$;

-- Whether this reason for access means that the person answers for the account, and so sees all areas of it.
create or replace function access_answers_for(reason text) returns boolean
immutable parallel safe language sql as $$ select reason in ('manager', 'sponsor', 'delegate', 'above') $$;

-- The accounts that the caller sees now, each with the areas that the caller reads and writes: what access_now gives,
-- as far as the caller's role goes. An account without any readable area is left out.
create or replace function my_access() returns table (account_id uuid, areas bigint, writes bigint)
stable parallel safe rows 100 language sql as $$
    select m.account_id, m.areas & caller_reads(), m.areas & caller_writes()
      from access_now m
     where m.user_id = (select nullif(current_setting('kamd.user_id', true), '')::uuid)
       and m.areas & caller_reads() <> 0
$$;

-- The accounts of which the caller reads at least one area of the mask. Row policies ask this once in a statement.
create or replace function readable_accounts(mask bigint) returns uuid[]
stable parallel safe language sql as
$$ select coalesce(array_agg(m.account_id), '{}') from my_access() m where m.areas & mask <> 0 $$;

-- The accounts of which the caller writes at least one area of the mask. Row policies ask this once in a statement.
create or replace function writable_accounts(mask bigint) returns uuid[]
stable parallel safe language sql as
$$ select coalesce(array_agg(m.account_id), '{}') from my_access() m where m.writes & mask <> 0 $$;

-- Every account that the caller sees with every area of it that the caller reads, one a row: for the policies of tables
-- whose rows each have an area of their own.
create or replace function readable_areas() returns table (account_id uuid, area smallint)
stable parallel safe rows 1000 language sql as
$$ select m.account_id, n::smallint from my_access() m, generate_series(0, 17) n where m.areas >> n & 1 = 1 $$;

-- Every account that the caller sees with every area of it that the caller writes, one a row.
create or replace function writable_areas() returns table (account_id uuid, area smallint)
stable parallel safe rows 1000 language sql as
$$ select m.account_id, n::smallint from my_access() m, generate_series(0, 17) n where m.writes >> n & 1 = 1 $$;

-- The areas of one account that the caller reads; null where the account is not there for the caller. Callers of scope
-- 'all' get what their role reads for any id, also of an account that does not exist. It is PL/pgSQL because that keeps
-- its plan for the connection.
create or replace function areas_of(account uuid) returns bigint stable parallel safe language plpgsql as $$
begin
    if current_setting('kamd.scope', true) = 'all' then
        return caller_reads();
    end if;
    return (select m.areas from my_access() m where m.account_id = account);
end $$;

-- The areas of one account that the caller writes; null where the account is not there for the caller.
create or replace function areas_writable_of(account uuid) returns bigint stable parallel safe language plpgsql as $$
begin
    if current_setting('kamd.scope', true) = 'all' then
        return caller_writes();
    end if;
    return (select m.writes from my_access() m where m.account_id = account);
end $$;

-- Who answers for these accounts, and since when and until when: the manager, sponsor and delegate of each, and the
-- managers of the accounts above it. They see all areas of it. Like access_wanted_by_team(), it is one query without
-- settings or rights of its own, so that the planner puts it in the place of the call.
create or replace function access_wanted_by_office(ids uuid[])
returns table (account_id uuid, user_id uuid, reason text, areas bigint, removed bigint, since timestamptz,
               until timestamptz)
stable language sql as $$
    with recursive affected as (
        select unnest(ids) as id
    ), chain as (
        select a.id as account_id, p.id as above_id, p.parent_id, 0 as up from affected a join account p on p.id = a.id
        union all
        select c.account_id, p.id, p.parent_id, c.up + 1 from chain c join account p on p.id = c.parent_id
         where c.up < 16
    )
    select distinct c.account_id, a.manager_id, case c.up when 0 then 'manager' else 'above' end,
           areas_all(), 0::bigint, '-infinity'::timestamptz, 'infinity'::timestamptz
      from chain c join account a on a.id = c.above_id
     where a.manager_id is not null
    union all
    select a.id, a.sponsor_id, 'sponsor', areas_all(), 0, '-infinity', 'infinity'
      from account a join affected f on f.id = a.id
     where a.sponsor_id is not null
    union all
    select a.id, a.delegate_id, 'delegate', areas_all(), 0, '-infinity', coalesce(a.delegate_until, 'infinity')
      from account a join affected f on f.id = a.id
     where a.delegate_id is not null
$$;

-- What the members of these accounts' teams see: what their role in the team says, the sections that they fill, and
-- what grants add and remove. A grant holds within the membership.
create or replace function access_wanted_by_team(ids uuid[])
returns table (account_id uuid, user_id uuid, reason text, areas bigint, removed bigint, since timestamptz,
               until timestamptz)
stable language sql as $$
    with affected as (
        select unnest(ids) as id
    ), members as (
        select t.account_id, t.user_id, coalesce(r.areas, o.areas) as areas, t.grants, t.function,
               coalesce(t.active_from::timestamptz, '-infinity') as since,
               coalesce((t.active_until + 1)::timestamptz, 'infinity') as until
          from team_member t join affected f on f.id = t.account_id
          left join team_role r on r.role = t.role
          join team_role o on o.role = 'other'
         where t.deleted_at is null
    )
    select m.account_id, m.user_id, 'team', m.areas | areas_mask(array ['profile']), 0::bigint, m.since, m.until
      from members m
    union all
    select distinct s.account_id, t.user_id, 'contributor', areas_mask(array ['profile', 'plan', s.section]), 0::bigint,
           t.since, t.until
      from plan_section s join affected f on f.id = s.account_id,
           jsonb_array_elements(s.contributors) c,
           lateral (select m.user_id, m.since, m.until from members m
                     where m.account_id = s.account_id
                       and (c ->> 'user_id' is null or (c ->> 'user_id')::uuid = m.user_id)
                       and (c ->> 'user_id' is not null or m.function = c ->> 'function')) t
     where s.deleted_at is null
    union all
    select m.account_id, m.user_id, 'grant',
           case when g ->> 'effect' = 'remove' then 0 else g.mask end,
           case when g ->> 'effect' = 'remove' then g.mask else 0 end,
           greatest(m.since, coalesce((g ->> 'visible_from')::timestamptz, '-infinity')),
           least(m.until, coalesce((g ->> 'visible_until')::timestamptz, 'infinity'))
      from members m,
           lateral (select e as g, areas_mask(array(select jsonb_array_elements_text(e -> 'areas'))) as mask
                      from jsonb_array_elements(m.grants) e) g
$$;

-- Works out anew who may see these accounts and those below them. Those who answer for an account see all of it; the
-- team sees what role and grants say. Up to ten accounts share one generic plan of index scans. For more, the function
-- lets each call have a plan of its own with every kind of join; the header names these settings so that they end with
-- the function.
create or replace function account_access_refresh(ids uuid[]) returns void
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = on set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off as $$
begin
    if coalesce(cardinality(ids), 0) = 0 then
        return;
    end if;
    with recursive affected as (
        select unnest(ids) as id
        union
        select c.id from account c join affected a on c.parent_id = a.id
    )
    select array_agg(a.id) into ids from affected a;
    if cardinality(ids) > 10 then
        perform set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_hashjoin', 'on', true),
                set_config('enable_mergejoin', 'on', true), set_config('enable_seqscan', 'on', true);
    end if;
    with wanted as (
        select * from access_wanted_by_office(ids)
        union all
        select * from access_wanted_by_team(ids)
    ), numbered as (
        select w.*, (row_number() over (partition by w.account_id, w.user_id, w.reason
                                        order by w.since, w.until, w.areas, w.removed))::int as nth
          from wanted w
         where w.since < w.until
    ), gone as (
        delete from account_access x using unnest(ids) f(id)
         where x.account_id = f.id
           and not exists (select 1 from numbered o
                            where o.account_id = x.account_id and o.user_id = x.user_id
                              and o.reason = x.reason and o.nth = x.nth)
    )
    insert into account_access as x
           (user_id, account_id, reason, nth, areas, removed, visible_from, visible_until, opened)
    select user_id, account_id, reason, nth, areas, removed, since, until, access_answers_for(reason) or areas = 0
      from numbered
    on conflict (user_id, account_id, reason, nth) do update
        set areas = excluded.areas, removed = excluded.removed,
            visible_from = excluded.visible_from, visible_until = excluded.visible_until,
            -- what was open, and stays so, is not told again
            opened = excluded.opened or (x.opened and excluded.areas & ~x.areas = 0 and excluded.visible_from <= now())
     where (x.areas, x.removed, x.visible_from, x.visible_until)
           is distinct from (excluded.areas, excluded.removed, excluded.visible_from, excluded.visible_until);
end $$;
revoke execute on function account_access_refresh(uuid[]) from kamd_app;

-- Tells of access that begins now, at most `most` times, and returns how many events it wrote: not too soon and not too
-- late (004-26). It takes locks in the order of those who change a team: an account's sequence first, then the
-- account's rows of account_access. It waits for neither: what others hold now, the next round tells. Access that is
-- over by now is marked without being told.
create or replace function access_open(most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    mine uuid[];
    evs event_in[];
begin
    with due as materialized (
        select distinct x.account_id
          from (select x.account_id from account_access x
                 where not x.opened and x.visible_from <= now()
                 order by x.account_id, x.user_id, x.reason, x.nth limit most) x
    ), locked as (
        select s.account_id from account_sequence s
         where s.account_id in (select d.account_id from due d)
         order by s.account_id for update skip locked
    )
    select array_agg(m.account_id) into mine
      from (select l.account_id from locked l
            union all
            select d.account_id from due d
             where not exists (select from account_sequence s where s.account_id = d.account_id)) m;
    if mine is null then
        return 0;
    end if;
    with due as (
        select x.user_id, x.account_id, x.reason, x.nth from account_access x
         where not x.opened and x.visible_from <= now() and x.account_id = any (mine)
         order by x.account_id, x.user_id, x.reason, x.nth limit most for update skip locked
    ), told as (
        update account_access x set opened = true from due d
         where (x.user_id, x.account_id, x.reason, x.nth) = (d.user_id, d.account_id, d.reason, d.nth)
        returning x.*
    )
    select array_agg(row ('access.opened', t.account_id, 'account', t.account_id, a.version,
                          'access.opened:' || t.account_id || ':' || t.user_id || ':' || t.reason || ':' || t.nth
                              || ':' || clock_timestamp(),
                          jsonb_build_object(
                              'account_id', t.account_id, 'user_id', t.user_id, 'because', t.reason,
                              'areas', to_jsonb(mask_areas(t.areas)),
                              'visible_until', case when t.visible_until < 'infinity'
                                                    then utc_text(t.visible_until) end),
                          '{}')::event_in
                     order by t.account_id, t.user_id, t.reason, t.nth)
      into evs
      from told t join account a on a.id = t.account_id and a.deleted_at is null
     where t.visible_until > now();
    perform event_write(evs);
    return coalesce(cardinality(evs), 0);
end $$;
revoke execute on function access_open(int) from kamd_app;

-- For every area of an account, in the order of area_names(): whether a person sees it now, and because of what, with
-- reasons that do not hold yet, or no longer. The function answers everybody: the API asks before whether the caller
-- may know. What the person's role may read at most is not in it.
create or replace function access_explain(person uuid, account uuid)
returns table (area text, visible boolean, because jsonb)
stable language sql security definer set search_path = public, pg_temp as $$
    select n.area,
           coalesce(bool_or(x.now and access_answers_for(x.reason)), false)
           or (coalesce(bool_or(x.now and not access_answers_for(x.reason) and x.gives), false)
               and not coalesce(bool_or(x.now and x.takes), false)),
           coalesce(jsonb_agg(jsonb_build_object(
                                  'reason', x.reason, 'effect', case when x.takes then 'remove' else 'add' end,
                                  'state', x.state,
                                  'visible_from', case when x.visible_from > '-infinity'
                                                       then utc_text(x.visible_from) end,
                                  'visible_until', case when x.visible_until < 'infinity'
                                                        then utc_text(x.visible_until) end)
                              order by x.reason, x.nth) filter (where x.gives or x.takes), '[]')
      from unnest(area_names()) with ordinality n(area, at)
      left join lateral (
          select a.reason, a.nth, a.visible_from, a.visible_until,
                 a.visible_from <= now() and a.visible_until > now() as now,
                 a.areas >> (n.at - 1)::int & 1 = 1 as gives, a.removed >> (n.at - 1)::int & 1 = 1 as takes,
                 case when a.visible_from > now() then 'not_yet'
                      when a.visible_until <= now() then 'over'
                      else 'in_force' end as state
            from account_access a
           where a.user_id = person and a.account_id = account) x on x.gives or x.takes
     group by n.area, n.at
     order by n.at
$$;

-- Refreshes the access to accounts whose plan sections got other contributors, were deleted, or came back. Nested loops
-- are off because a connection plans a trigger's statement once, and mostly for one row: the rows before and after
-- would then be joined by nested loops also when there are thousands.
create or replace function section_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
begin
    perform account_access_refresh(array(
        select distinct n.account_id from new_rows n join old_rows o on o.id = n.id
         where (n.contributors, n.deleted_at) is distinct from (o.contributors, o.deleted_at)));
    return null;
end $$;

-- Refreshes the access to accounts whose team members were added or changed.
create or replace function team_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform account_access_refresh(array_agg(distinct account_id)) from new_rows;
    return null;
end $$;

-- Refreshes the access to accounts with members in a team role that was added or changed. Members whose role is not in
-- team_role have the areas of the role 'other', so they are included when that one changes.
create or replace function team_role_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform account_access_refresh(array(
        select distinct t.account_id from team_member t
         where t.deleted_at is null
           and (t.role in (select role from changed)
                or 'other' in (select role from changed) and t.role not in (select role from team_role))));
    return null;
end $$;

-- Refreshes the access to accounts with members in a team role that was removed.
create or replace function team_role_gone() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform account_access_refresh(array(
        select distinct t.account_id from team_member t
         where t.deleted_at is null and t.role in (select role from changed)));
    return null;
end $$;

-- Whether the caller may do what is for admins only.
create or replace function caller_is_admin() returns boolean
stable parallel safe language sql as $$ select caller_reach() >> 41 & 1 = 1 $$;

-- Whether something is the caller's own, that `actor` made when caller_reach() was `reach`. The maker is whom history
-- names: a person, also by a key of that person, or a key that is nobody's, whatever the key's text is by now. A key
-- that may less than the maker could does not have what the maker made. Admins have everything.
create or replace function is_callers(actor text, reach bigint) returns boolean stable parallel safe language sql as $$
    select caller_is_admin()
           or (actor = current_setting('kamd.actor', true) and reach & ~caller_reach() & ((1::bigint << 41) - 1) = 0)
$$;

-- The accounts that an answer tells of, as {account: areas that the caller reads of it now}; null when there are none.
-- `said` is the answer with the request's path: it tells of an account whose id, or whose record's id, stands in it.
-- Which account a record belongs to, history knows.
create or replace function told_accounts(said text) returns jsonb
stable language plpgsql security definer set search_path = public, pg_temp as $$
declare
    ids uuid[] := array(select distinct m[1]::uuid
                          from regexp_matches(said, '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}', 'g') m);
begin
    ids := ids || array(select (select h.account_id from history h where h.record_id = i.id order by h.id desc limit 1)
                          from unnest(ids) i(id));
    return (select jsonb_object_agg(n.account_id, n.areas & caller_reads()) from access_now n
             where n.user_id = session_setting('user_id')::uuid and n.account_id = any (ids)
               and n.areas & caller_reads() <> 0);
end $$;

-- What the caller has lost since an answer was stored with this caller_reach() and these told_accounts(). 0: nothing.
-- 1: the caller may less, or reads less of one of the accounts. 2: one of the accounts is not there for the caller any
-- more.
create or replace function access_lost(reach bigint, told jsonb) returns int stable language sql as $$
    select greatest(case when reach & ~caller_reach() <> 0 then 1 else 0 end,
                    (select max(case when a.areas is null then 2 when t.areas::bigint & ~a.areas <> 0 then 1 else 0 end)
                       from jsonb_each_text(told) t(account_id, areas)
                      cross join lateral areas_of(t.account_id::uuid) a(areas)))
$$;

-- Notes in the setting kamd.revoked that this transaction ends somebody's access. The API reads it before the commit,
-- and answers only once no process lets that person in any more.
create or replace function note_revocation() returns trigger language plpgsql as $$
begin
    perform set_config('kamd.revoked', 'yes', true);
    return null;
end $$;

-- Which of these users the caller sees, in the columns of the functions of visible.sql: all of them, since there is one
-- list of people for all who may ask.
create or replace function visible_app_user(ids uuid[], deleted boolean)
returns table (id uuid, account_id uuid, areas bigint)
stable rows 10 language plpgsql as $$
begin
    return query
    select u.id, null::uuid, caller_reads() from app_user u
     where u.id = any (ids) and (deleted or u.deleted_at is null);
end $$;

-- The id of a plan's section, whoever asks: visible_plan_section() then says whether the caller sees the section.
create or replace function plan_section_id(plan uuid, section text) returns uuid
stable security definer set search_path = public, pg_temp language plpgsql as $$
begin
    return (select s.id from plan_section s where s.plan_id = plan and s.section = plan_section_id.section);
end $$;

-- Who sees which areas of an account now. Those who answer for it see all of it; team members see what their role in
-- the team, their contributions and grants give, less what grants take away.
create or replace view access_now with (security_invoker = true) as
    select a.user_id, a.account_id,
           coalesce(bit_or(a.areas) filter (where access_answers_for(a.reason)), 0)
           | (coalesce(bit_or(a.areas) filter (where not access_answers_for(a.reason)), 0)
              & ~coalesce(bit_or(a.removed), 0))
               as areas
      from account_access a
     where a.visible_from <= now() and a.visible_until > now()
     group by a.user_id, a.account_id;
revoke insert, update on access_now from kamd_app, kamd_worker;

-- What a request may be signed with now: keys that are not revoked, not expired, and not of a user who has left. A key
-- whose text was replaced has two rows until the text before ends.
create or replace view live_key with (security_invoker = true) as
    select k.id, s.hash, s.secret_no, k.name, k.role, k.scopes, k.user_id, least(k.expires_at, s.ends_at) as ends_at
      from api_key k left join app_user u on u.id = k.user_id
     cross join lateral (
          values (k.hash, k.secret_no, null::timestamptz),
                 (k.previous_hash, k.secret_no - 1, k.previous_until)) s (hash, secret_no, ends_at)
     where s.hash is not null and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
       and (s.ends_at is null or s.ends_at > now())
       and (k.user_id is null or (u.active and u.deleted_at is null));
revoke insert, update on live_key from kamd_app, kamd_worker;

-- What an account's score is made of, for those who read the account's economics (area 12). The view reads the table
-- with the rights of its owner, whose policy lets every row through: the conditions here alone decide who sees what.
create or replace view account_status_why with (security_barrier) as
    select s.account_id, s.score, s.health, s.contributions, s.missing
      from account_status s
     where (select current_setting('kamd.scope', true) = 'all' and caller_reads() & (1 << 12) <> 0)
        or s.account_id = any ((select readable_accounts(1 << 12))::uuid[]);
revoke insert, update on account_status_why from kamd_app, kamd_worker;

-- What the score was made of at each move of a key status, for those who read the account's economics: see
-- account_status_why.
create or replace view key_status_why with (security_barrier) as
    select h.id, h.contributions, h.contributions_before
      from key_status_history h
     where (select current_setting('kamd.scope', true) = 'all' and caller_reads() & (1 << 12) <> 0)
        or h.account_id = any ((select readable_accounts(1 << 12))::uuid[]);
revoke insert, update on key_status_why from kamd_app, kamd_worker;
