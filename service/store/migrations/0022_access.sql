-- Information areas: who may see which part of an account, and write it. Row level security by area; grants with a time; who got access when.
-- Areas are bits, numbered as enum area in include/domain/resource.h; a test compares the two.

-- PUBLIC may execute every new function unless that default is taken away for the owner as a whole: within a schema it cannot be, so what 0001 says there had no
-- effect, and neither had each later "revoke execute ... from kamd_app".
alter default privileges revoke execute on functions from public;
do $$
declare
    f regprocedure;
begin
    for f in select p.oid from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proowner = current_user::regrole loop
        execute format('revoke execute on %s %s from public', case when (select prokind from pg_proc where oid = f) = 'p' then 'procedure' else 'function' end, f);
    end loop;
end $$;

revoke execute on function event_partitions(int), event_partitions_drop(int) from kamd_app;

create function area_names() returns text[] immutable parallel safe language sql as
$$ select array['competitive_environment', 'contacts_and_decisions', 'negotiations', 'leader_perceptions', 'values_beliefs', 'capabilities', 'strategies', 'internal_processes',
                'interaction_history', 'profile', 'contacts', 'sales', 'economics', 'interactions', 'problems', 'reviews', 'plan', 'divestment'] $$;
create function area_number(area text) returns int immutable strict parallel safe language sql as $$ select array_position(area_names(), area) - 1 $$;
create function areas_mask(areas text[]) returns bigint immutable parallel safe language sql as
$$ select coalesce(bit_or(1::bigint << area_number(a)), 0) from unnest(areas) a $$;
create function mask_areas(mask bigint) returns text[] immutable strict parallel safe language sql as
$$ select coalesce(array_agg(a order by n), '{}') from unnest(area_names()) with ordinality u(a, n) where mask >> (n - 1)::int & 1 = 1 $$;

-- What the caller's role may read and write at most: one setting, the areas to write above those to read. Unset: nothing.
create function caller_reads() returns bigint stable parallel safe language sql as
$$ select coalesce(nullif(current_setting('kamd.areas', true), '')::bigint, 0) & ((1::bigint << 20) - 1) $$;
create function caller_writes() returns bigint stable parallel safe language sql as
$$ select coalesce(nullif(current_setting('kamd.areas', true), '')::bigint, 0) >> 20 $$;

-- The area that a record lies in. Sections of a plan are areas themselves.
create function resource_area(resource text, section text default null) returns smallint immutable parallel safe language sql as $$
    select area_number(case resource
        when 'plan_section' then coalesce(section, 'plan')
        when 'contact' then 'contacts'
        when 'order' then 'sales'
        when 'wallet' then 'economics' when 'investment' then 'economics' when 'metric' then 'economics'
        when 'interaction' then 'interactions' when 'need' then 'interactions' when 'solution' then 'interactions' when 'commitment' then 'interactions'
        when 'problem' then 'problems'
        when 'review' then 'reviews' when 'follow_up' then 'reviews' when 'expectation' then 'reviews'
        when 'plan' then 'plan' when 'project' then 'plan' when 'fit_check' then 'plan'
        when 'divestment' then 'divestment'
        else 'profile' end)::smallint
$$;
-- Events of key status carry their explanation: contributions of revenue and margin.
create function event_area(type text, resource text) returns smallint immutable parallel safe language sql as $$
    select case when type like 'account.key\_status.%' or type = 'account.tier_changed' then area_number('economics')::smallint
                when type like 'account.divestment.%' then area_number('divestment')::smallint
                when type = 'attention_gap.opened' then area_number('sales')::smallint
                when type = 'cadence.missed' then area_number('interactions')::smallint
                else resource_area(resource) end
$$;

-- ---- what a person sees of which account ----

alter table acl add column removed bigint not null default 0, add column nth int not null default 1, add column opened boolean not null default true;
alter table acl alter column areas set default (1::bigint << 18) - 1;
update acl set areas = (1::bigint << 18) - 1;
alter table acl drop constraint acl_reason_check,
    add constraint acl_reason_check check (reason in ('manager', 'sponsor', 'delegate', 'above', 'team', 'grant', 'contributor'));
alter table acl drop constraint acl_pkey, add primary key (user_id, account_id, reason, nth);
create index acl_unopened_idx on acl (visible_from) where not opened;

create function answers_for(reason text) returns boolean immutable parallel safe language sql as $$ select reason in ('manager', 'sponsor', 'delegate', 'above') $$;
-- Who sees which areas of an account, now. Who answers for it sees all of it; a member what the role in the team and grants give, less what grants take away.
create view access_now with (security_invoker = true) as
    select a.user_id, a.account_id,
           coalesce(bit_or(a.areas) filter (where answers_for(a.reason)), 0)
           | (coalesce(bit_or(a.areas) filter (where not answers_for(a.reason)), 0) & ~coalesce(bit_or(a.removed), 0)) as areas
      from acl a where a.visible_from <= now() and a.visible_until > now() group by a.user_id, a.account_id;
revoke insert, update on access_now from kamd_app, kamd_worker;
-- The caller's accounts.
create function my_access() returns table (account_id uuid, areas bigint, writes bigint) stable parallel safe rows 100 language sql as $$
    select m.account_id, m.areas & caller_reads(), m.areas & caller_writes() from access_now m
     where m.user_id = (select nullif(current_setting('kamd.user_id', true), '')::uuid) and m.areas & caller_reads() <> 0
$$;
create function readable_accounts(mask bigint) returns uuid[] stable parallel safe language sql as
$$ select coalesce(array_agg(m.account_id), '{}') from my_access() m where m.areas & mask <> 0 $$;
create function writable_accounts(mask bigint) returns uuid[] stable parallel safe language sql as
$$ select coalesce(array_agg(m.account_id), '{}') from my_access() m where m.writes & mask <> 0 $$;
create function readable_areas() returns table (account_id uuid, area smallint) stable parallel safe rows 1000 language sql as
$$ select m.account_id, n::smallint from my_access() m, generate_series(0, 17) n where m.areas >> n & 1 = 1 $$;
create function writable_areas() returns table (account_id uuid, area smallint) stable parallel safe rows 1000 language sql as
$$ select m.account_id, n::smallint from my_access() m, generate_series(0, 17) n where m.writes >> n & 1 = 1 $$;

-- What the caller may read of one account; null: it is not there for them.
create function areas_of(account uuid) returns bigint stable parallel safe language sql as
$$ select case when current_setting('kamd.scope', true) = 'all' then caller_reads() else (select m.areas from my_access() m where m.account_id = account) end $$;
create function areas_writable_of(account uuid) returns bigint stable parallel safe language sql as
$$ select case when current_setting('kamd.scope', true) = 'all' then caller_writes() else (select m.writes from my_access() m where m.account_id = account) end $$;

-- Row level security by area. As before, nothing is looked up for callers who see all accounts, and once in a statement for the others.
create procedure protect_area(tab regclass, account_column name, area text) language plpgsql as $$
declare
    bit bigint := 1::bigint << area_number(area);
begin
    execute format('drop policy visible on %s', tab);
    execute format('create policy visible on %s to kamd_app'
        ' using ((select current_setting(''kamd.scope'', true) = ''all'' and caller_reads() & %s <> 0) or %I = any ((select readable_accounts(%s))::uuid[]))'
        ' with check ((select current_setting(''kamd.scope'', true) = ''all'' and caller_writes() & %s <> 0) or %I = any ((select writable_accounts(%s))::uuid[]))',
        tab, bit, account_column, bit, bit, account_column, bit);
end $$;

-- The area differs from row to row: `area` is an expression.
create procedure protect_areas(tab regclass, area text) language plpgsql as $$
begin
    execute format('drop policy visible on %s', tab);
    execute format('create policy visible on %s to kamd_app'
        ' using ((select current_setting(''kamd.scope'', true)) = ''all'' and (select caller_reads()) >> %s & 1 = 1'
        '        or account_id = any ((select readable_accounts(-1))::uuid[]) and (account_id, %s) in (select r.account_id, r.area from readable_areas() r))'
        ' with check ((select current_setting(''kamd.scope'', true)) = ''all'' and (select caller_writes()) >> %s & 1 = 1'
        '        or (account_id, %s) in (select r.account_id, r.area from writable_areas() r))', tab, area, area, area, area);
end $$;

call protect_area('account', 'id', 'profile');
call protect_area('standing', 'account_id', 'profile');
call protect_area('account_sequence', 'account_id', 'profile');
call protect_area('rescore', 'account_id', 'profile');
call protect_area('team_member', 'account_id', 'profile');
call protect_area('nomination', 'account_id', 'profile');
call protect_area('link', 'account_id', 'profile');
call protect_area('key_status_history', 'account_id', 'profile');
call protect_area('contact', 'account_id', 'contacts');
call protect_area('sales_order', 'account_id', 'sales');
call protect_area('day_sales', 'account_id', 'sales');
call protect_area('attention_gap', 'account_id', 'sales');
call protect_area('wallet', 'account_id', 'economics');
call protect_area('investment', 'account_id', 'economics');
call protect_area('account_metric', 'account_id', 'economics');
call protect_area('account_health', 'account_id', 'economics');
call protect_area('evaluation_result', 'account_id', 'economics');
call protect_area('interaction', 'account_id', 'interactions');
call protect_area('cadence_missed', 'account_id', 'interactions');
call protect_area('stay_in_touch_mark', 'account_id', 'interactions');
call protect_area('need', 'account_id', 'interactions');
call protect_area('solution', 'account_id', 'interactions');
call protect_area('commitment', 'account_id', 'interactions');
call protect_area('problem', 'account_id', 'problems');
call protect_area('review', 'account_id', 'reviews');
call protect_area('review_told', 'account_id', 'reviews');
call protect_area('expectation_rating', 'account_id', 'reviews');
call protect_area('follow_up', 'account_id', 'reviews');
call protect_area('follow_up_timer', 'account_id', 'reviews');
call protect_area('plan', 'account_id', 'plan');
call protect_area('plan_version', 'account_id', 'plan');
call protect_area('plan_acknowledgement', 'account_id', 'plan');
call protect_area('plan_stale', 'account_id', 'plan');
call protect_area('fit_check', 'account_id', 'plan');
call protect_area('project', 'account_id', 'plan');
call protect_areas('plan_section', 'resource_area(''plan_section'', section)');
call protect_areas('external_id', 'resource_area(resource)');

-- Both logs know the area of what they tell.
alter table history add column area smallint not null default 9;
update history set area = resource_area(resource) where area <> resource_area(resource);
call protect_areas('history', 'area');
alter table event add column area smallint not null default 9;
update event set area = event_area(type, resource) where area <> event_area(type, resource);
call protect_areas('event', 'area');

-- As in 0002, with the area.
create or replace function emit(evs event_in[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if evs is null or cardinality(evs) = 0 then
        return;
    end if;
    if cardinality(evs) > 1 then -- one order of locking for everybody
        perform 1 from account_sequence s
         where s.account_id in (select e.account_id from unnest(evs) e) order by s.account_id for update;
    end if;
    with numbered as (
        select u.*, row_number() over (partition by u.account_id order by u.ord) as nth
          from unnest(evs) with ordinality u(type, account_id, resource, record_id, version, dedupe, data, previous, ord)
    ), counted as (
        select account_id, count(*) as n from numbered where account_id is not null group by account_id order by account_id
    ), bumped as (
        insert into account_sequence as s (account_id, last) select account_id, n from counted
        on conflict (account_id) do update set last = s.last + excluded.last
        returning s.account_id, s.last
    )
    insert into event (id, type, account_id, resource, record_id, version, sequence, actor, origin, request_id, traceparent, data, previous, area)
    select uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001',
               coalesce(n.dedupe, n.type || ':' || n.record_id || ':' || n.version || ':' || coalesce(b.last - c.n + n.nth, 0))),
           n.type, n.account_id, n.resource, n.record_id, n.version, coalesce(b.last - c.n + n.nth, 0),
           context('actor'), context('origin'), context('request_id'), context('traceparent'), n.data, coalesce(n.previous, '{}'), event_area(n.type, n.resource)
      from numbered n left join bumped b on b.account_id = n.account_id left join counted c on c.account_id = n.account_id
     order by n.ord;
end $$;

create or replace function log_insert() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    evs event_in[];
begin
    insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes, area)
    select nullif(r.j ->> account_column, '')::uuid, resource, (r.j ->> 'id')::uuid, (r.j ->> 'version')::bigint, 'created',
           context('actor'), context('origin'), context('request_id'), '{}', resource_area(resource, r.j ->> 'section')
      from (select to_jsonb(n) as j from new_rows n) r;
    select array_agg(row (resource || '.created', nullif(r.j ->> account_column, '')::uuid, resource, (r.j ->> 'id')::uuid, (r.j ->> 'version')::bigint, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', r.j -> account_column, resource || '_id', r.j -> 'id', 'version', r.j -> 'version')), '{}')::event_in)
      into evs from (select to_jsonb(n) as j from new_rows n) r;
    perform emit(evs);
    return null;
end $$;

create or replace function log_update() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    quiet boolean := tg_argv[2] = 'quiet';
    evs event_in[];
begin
    with changed as materialized (
        select to_jsonb(n) as j, changed_fields(to_jsonb(o), to_jsonb(n)) as c,
               case when o.deleted_at is null and n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null and n.deleted_at is null then 'restored'
                    else 'updated' end as op, o.version as version_before
          from old_rows o join new_rows n on n.id = o.id
    ), logged as (
        insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes, area)
        select nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, op,
               context('actor'), context('origin'), context('request_id'), c, resource_area(resource, j ->> 'section')
          from changed where c <> '{}'
    )
    select array_agg(row (resource || '.' || op, nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', j -> account_column, resource || '_id', j -> 'id', 'version', j -> 'version'))
                   || jsonb_build_object('changed_fields', (select coalesce(jsonb_agg(k order by k), '[]') from jsonb_object_keys(c) k)),
               jsonb_build_object('version', version_before))::event_in)
      into evs from changed where c <> '{}';
    if not quiet then
        perform emit(evs);
    end if;
    return null;
end $$;

-- ---- what the team's roles see ----

create table team_role (
    role text primary key, version bigint not null default 1, updated_at timestamptz not null default now(), updated_by text,
    areas bigint not null
);
insert into team_role (role, areas) select role, areas_mask(areas) from (values
    ('account_manager', area_names()),
    ('category_manager', array['profile', 'contacts', 'interactions', 'problems', 'sales', 'plan', 'reviews', 'competitive_environment', 'contacts_and_decisions', 'negotiations', 'capabilities', 'strategies', 'interaction_history']),
    ('intelligence', array['profile', 'contacts', 'interactions', 'problems', 'plan', 'reviews', 'competitive_environment', 'contacts_and_decisions', 'leader_perceptions', 'values_beliefs', 'capabilities', 'strategies', 'internal_processes', 'interaction_history']),
    ('market_research', array['profile', 'interactions', 'problems', 'sales', 'plan', 'competitive_environment', 'capabilities', 'strategies']),
    ('controlling', array['profile', 'sales', 'economics', 'plan', 'reviews', 'capabilities']),
    ('customer_support', array['profile', 'contacts', 'interactions', 'problems', 'plan', 'reviews', 'interaction_history']),
    ('product_development', array['profile', 'contacts', 'interactions', 'problems', 'plan', 'competitive_environment', 'capabilities', 'strategies']),
    ('other', array['profile', 'contacts', 'interactions', 'problems', 'plan', 'reviews'])) v(role, areas); -- 'other': every role that is not here
grant delete on team_role to kamd_app;

alter table team_member add column grants jsonb not null default '[]';

-- As in 0003, with areas: those who answer for an account see all of it; the team what role and grants say. Grants hold within the membership.
create or replace function acl_refresh(ids uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if ids is null then
        return;
    end if;
    with recursive affected as (
        select unnest(ids) as id
        union
        select c.id from account c join affected a on c.parent_id = a.id
    ), chain as (
        select a.id as account_id, p.id as above_id, p.parent_id, 0 as up from affected a join account p on p.id = a.id
        union all
        select c.account_id, p.id, p.parent_id, c.up + 1 from chain c join account p on p.id = c.parent_id where c.up < 16
    ), members as (
        select t.account_id, t.user_id, coalesce(r.areas, o.areas) as areas, t.grants, t.function,
               coalesce(t.active_from::timestamptz, '-infinity') as since, coalesce((t.active_until + 1)::timestamptz, 'infinity') as until
          from team_member t join affected f on f.id = t.account_id left join team_role r on r.role = t.role join team_role o on o.role = 'other'
         where t.deleted_at is null
    ), wanted as (
        select distinct c.account_id, a.manager_id as user_id, case c.up when 0 then 'manager' else 'above' end as reason, (1::bigint << 18) - 1 as areas, 0::bigint as removed,
               '-infinity'::timestamptz as since, 'infinity'::timestamptz as until
          from chain c join account a on a.id = c.above_id where a.manager_id is not null
        union all
        select a.id, a.sponsor_id, 'sponsor', (1::bigint << 18) - 1, 0, '-infinity', 'infinity' from account a join affected f on f.id = a.id where a.sponsor_id is not null
        union all
        select a.id, a.delegate_id, 'delegate', (1::bigint << 18) - 1, 0, '-infinity', coalesce(a.delegate_until, 'infinity')
          from account a join affected f on f.id = a.id where a.delegate_id is not null
        union all
        select m.account_id, m.user_id, 'team', m.areas | areas_mask(array ['profile']), 0, m.since, m.until from members m
        union all
        select distinct s.account_id, t.user_id, 'contributor', areas_mask(array ['profile', 'plan', s.section]), 0, t.since, t.until -- who fills a section sees it
          from plan_section s join affected f on f.id = s.account_id, jsonb_array_elements(s.contributors) c, lateral (
              select m.user_id, m.since, m.until from members m where m.account_id = s.account_id and (c ->> 'user_id' is null or (c ->> 'user_id')::uuid = m.user_id)
                 and (c ->> 'user_id' is not null or m.function = c ->> 'function')) t
         where s.deleted_at is null
        union all
        select m.account_id, m.user_id, 'grant', case when g ->> 'effect' = 'remove' then 0 else g.mask end, case when g ->> 'effect' = 'remove' then g.mask else 0 end,
               greatest(m.since, coalesce((g ->> 'visible_from')::timestamptz, '-infinity')), least(m.until, coalesce((g ->> 'visible_until')::timestamptz, 'infinity'))
          from members m, lateral (select e as g, areas_mask(array(select jsonb_array_elements_text(e -> 'areas'))) as mask from jsonb_array_elements(m.grants) e) g
    ), numbered as (
        select w.*, (row_number() over (partition by w.account_id, w.user_id, w.reason order by w.since, w.until, w.areas, w.removed))::int as nth from wanted w where w.since < w.until
    ), gone as (
        delete from acl x using affected f where x.account_id = f.id
           and not exists (select 1 from numbered o where o.account_id = x.account_id and o.user_id = x.user_id and o.reason = x.reason and o.nth = x.nth)
    )
    insert into acl as x (user_id, account_id, reason, nth, areas, removed, visible_from, visible_until, opened)
    select user_id, account_id, reason, nth, areas, removed, since, until, answers_for(reason) or areas = 0 from numbered
    on conflict (user_id, account_id, reason, nth) do update
        set areas = excluded.areas, removed = excluded.removed, visible_from = excluded.visible_from, visible_until = excluded.visible_until,
            opened = excluded.opened or (x.opened and excluded.areas & ~x.areas = 0 and excluded.visible_from <= now()) -- what was open, and stays so, is not told again
     where (x.areas, x.removed, x.visible_from, x.visible_until) is distinct from (excluded.areas, excluded.removed, excluded.visible_from, excluded.visible_until);
end $$;
revoke execute on function acl_refresh(uuid[]) from kamd_app;
select acl_refresh(array(select distinct account_id from team_member));

create index plan_section_account_id_idx on plan_section (account_id); -- acl_refresh(), policies
create function section_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform acl_refresh(array(select distinct n.account_id from new_rows n join old_rows o on o.id = n.id
        where (n.contributors, n.deleted_at) is distinct from (o.contributors, o.deleted_at)));
    return null;
end $$;
create trigger section_follow after update on plan_section referencing old table as old_rows new table as new_rows for each statement execute function section_follow();

create function team_role_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform acl_refresh(array(select distinct t.account_id from team_member t
        where t.deleted_at is null and (t.role in (select role from changed) or 'other' in (select role from changed) and t.role not in (select role from team_role))));
    return null;
end $$;
create function team_role_gone() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform acl_refresh(array(select distinct t.account_id from team_member t where t.deleted_at is null and t.role in (select role from changed)));
    return null;
end $$;
create trigger team_role_insert after insert on team_role referencing new table as changed for each statement execute function team_role_follow();
create trigger team_role_update after update on team_role referencing new table as changed for each statement execute function team_role_follow();
create trigger team_role_delete after delete on team_role referencing old table as changed for each statement execute function team_role_gone();

-- Tells of access that begins now, at most `most` times: not too soon and not too late (004-26).
create function access_open(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
begin
    with due as (
        select x.user_id, x.account_id, x.reason, x.nth from acl x where not x.opened and x.visible_from <= now()
         order by x.account_id, x.user_id, x.reason, x.nth limit most for update skip locked
    ), told as (
        update acl x set opened = true from due d
         where (x.user_id, x.account_id, x.reason, x.nth) = (d.user_id, d.account_id, d.reason, d.nth)
        returning x.*
    )
    select array_agg(row ('access.opened', t.account_id, 'account', t.account_id, a.version,
               'access.opened:' || t.account_id || ':' || t.user_id || ':' || t.reason || ':' || t.nth || ':' || clock_timestamp(),
               jsonb_build_object('account_id', t.account_id, 'user_id', t.user_id, 'because', t.reason, 'areas', to_jsonb(mask_areas(t.areas)),
                   'visible_until', case when t.visible_until < 'infinity' then utc_text(t.visible_until) end), '{}')::event_in
               order by t.account_id, t.user_id, t.reason, t.nth)
      into evs from told t join account a on a.id = t.account_id and a.deleted_at is null where t.visible_until > now();
    perform emit(evs);
    return coalesce(cardinality(evs), 0);
end $$;
revoke execute on function access_open(int) from kamd_app;

-- Why somebody sees an area of an account, or not. The caller is asked for the right to ask.
create function access_explain(person uuid, account uuid) returns table (area text, visible boolean, because jsonb) stable language sql security definer set search_path = public, pg_temp as $$
    select n.area, coalesce(bool_or(x.now and answers_for(x.reason)), false)
                   or (coalesce(bool_or(x.now and not answers_for(x.reason) and x.gives), false) and not coalesce(bool_or(x.now and x.takes), false)),
           coalesce(jsonb_agg(jsonb_build_object('reason', x.reason, 'effect', case when x.takes then 'remove' else 'add' end, 'state', x.state,
               'visible_from', case when x.visible_from > '-infinity' then utc_text(x.visible_from) end,
               'visible_until', case when x.visible_until < 'infinity' then utc_text(x.visible_until) end) order by x.reason, x.nth) filter (where x.gives or x.takes), '[]')
      from unnest(area_names()) with ordinality n(area, at)
      left join lateral (
          select a.reason, a.nth, a.visible_from, a.visible_until, a.visible_from <= now() and a.visible_until > now() as now,
                 a.areas >> (n.at - 1)::int & 1 = 1 as gives, a.removed >> (n.at - 1)::int & 1 = 1 as takes,
                 case when a.visible_from > now() then 'not_yet' when a.visible_until <= now() then 'over' else 'in_force' end as state
            from acl a where a.user_id = person and a.account_id = account) x on x.gives or x.takes
     group by n.area, n.at order by n.at
$$;

-- Access that came after it was needed, or is still missing (004-26): grants with a day, and sections that somebody has to fill.
create function report_late_access(params jsonb) returns jsonb stable language sql as $$
with needed as (
    select t.account_id, t.user_id, g -> 'areas' as areas, (g ->> 'needed_by')::date as needed_by,
           greatest(coalesce((g ->> 'visible_from')::timestamptz, '-infinity'), coalesce(t.active_from::timestamptz, '-infinity')) as opens, 'grant' as needed_for
      from team_member t, jsonb_array_elements(t.grants) g where t.deleted_at is null and g ->> 'needed_by' is not null and coalesce(g ->> 'effect', 'add') = 'add'
    union all
    select s.account_id, (c ->> 'user_id')::uuid, jsonb_build_array(s.section), (c ->> 'due_on')::date,
           (select min(x.visible_from) from acl x where x.user_id = (c ->> 'user_id')::uuid and x.account_id = s.account_id and x.visible_until > now()
               and x.areas >> area_number(s.section) & 1 = 1), 'section'
      from plan_section s, jsonb_array_elements(s.contributors) c
     where s.deleted_at is null and s.state <> 'complete' and c ->> 'user_id' is not null and c ->> 'due_on' is not null
), late as (
    select n.*, row_number() over (order by n.needed_by, n.account_id, n.user_id, n.needed_for, n.areas) as nth
      from needed n join account a on a.id = n.account_id and a.deleted_at is null
     where n.needed_by < current_date and (n.opens is null or n.opens > '-infinity' and n.opens::date > n.needed_by)
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object('account_id', l.account_id, 'user_id', l.user_id, 'areas', l.areas, 'needed_by', l.needed_by,
                 'opened_at', case when l.opens <= now() then report_time(l.opens) end, 'days_late', least(coalesce(l.opens::date, current_date), current_date) - l.needed_by,
                 'needed_for', l.needed_for) order by l.nth) filter (where l.nth > report_after(params) and l.nth <= report_last(params)), '[]'),
    'page', report_page(params, count(*)))
  from late l
$$;

-- ---- parts of records that lie in other areas than the record ----

-- The explanation of a score is economics; a standing's place in the list is not.
revoke select on standing, key_status_history from kamd_app;
grant select (account_id, version, updated_at, tier, key_status, score, score_rank, key_since, health, status_since, grace_until, as_of, criteria_version, designation) on standing to kamd_app;
grant select (id, at, account_id, cause, actor, from_status, to_status, from_tier, to_tier, score, score_before, score_rank, criteria_version, reason, designation) on key_status_history to kamd_app;
-- Owned by the owner, so these conditions are the lock.
create view standing_why with (security_barrier) as select s.account_id, s.score, s.health, s.contributions, s.missing from standing s
 where (select current_setting('kamd.scope', true) = 'all' and caller_reads() & (1 << 12) <> 0) or s.account_id = any ((select readable_accounts(1 << 12))::uuid[]);
create view key_status_why with (security_barrier) as select h.id, h.contributions, h.contributions_before from key_status_history h
 where (select current_setting('kamd.scope', true) = 'all' and caller_reads() & (1 << 12) <> 0) or h.account_id = any ((select readable_accounts(1 << 12))::uuid[]);
revoke insert, update on standing_why, key_status_why from kamd_app, kamd_worker;

-- A version holds all sections: each reader gets those of their areas.
revoke select on plan_version from kamd_app;
grant select (id, plan_id, account_id, version_no, created_at, created_by, kind, review_id, template_version, customer_impact, note) on plan_version to kamd_app;
create function sections_readable(content jsonb, areas bigint) returns jsonb immutable language sql as $$
    select case when content -> 'sections' is null or jsonb_typeof(content -> 'sections') <> 'object' then content
                else content || jsonb_build_object('sections', (select coalesce(jsonb_object_agg(s.key, s.value), '{}') from jsonb_each(content -> 'sections') s
                         where areas >> coalesce(area_number(s.key), 16) & 1 = 1)) end
$$;
create function plan_version_content(plan_id uuid, version_no int) returns jsonb stable language sql security definer set search_path = public, pg_temp as $$
    select sections_readable(v.content, areas_of(v.account_id)) from plan_version v
     where v.plan_id = plan_version_content.plan_id and v.version_no = plan_version_content.version_no and areas_of(v.account_id) >> 16 & 1 = 1
$$;

-- A version is made whole, whoever makes it; read, it is what the reader's areas are.
alter function plan_document(plan) security definer set search_path = public, pg_temp;

create or replace function plan_shared(plan_id uuid) returns jsonb stable language sql security definer set search_path = public, pg_temp as $$
    select jsonb_build_object('id', p.id, 'account_id', p.account_id, 'view', 'shared', 'status', p.status, 'version_no', p.version_no,
               'title', d -> 'title', 'period_start', d -> 'period_start', 'period_end', d -> 'period_end', 'client_strategy', d -> 'client_strategy', 'win_win', d -> 'win_win',
               'objectives', (select coalesce(jsonb_agg(jsonb_build_object('title', o -> 'title', 'metric', o -> 'metric', 'baseline', o -> 'baseline', 'target', o -> 'target',
                                  'current', o -> 'current', 'due_on', o -> 'due_on',
                                  'actions', (select coalesce(jsonb_agg(jsonb_build_object('title', a.one -> 'title', 'due_on', a.one -> 'due_on', 'status', a.one -> 'status') order by a.nth), '[]')
                                                from jsonb_array_elements(case jsonb_typeof(o -> 'actions') when 'array' then o -> 'actions' else '[]' end) with ordinality a(one, nth))) order by x.nth), '[]')
                                from jsonb_array_elements(d -> 'objectives') with ordinality x(o, nth)),
               'sections', (select coalesce(jsonb_agg(jsonb_build_object('section', s.one -> 'section', 'title', s.one -> 'title', 'content', d #> array ['sections', s.one ->> 'section', 'content']) order by s.nth), '[]')
                              from jsonb_array_elements(t.sections) with ordinality s(one, nth) where (s.one ->> 'shared')::boolean and d -> 'sections' ? (s.one ->> 'section')))
      from plan p left join plan_version v on v.plan_id = p.id and v.version_no = p.version_no
      join plan_template t on t.version = coalesce(v.template_version, p.template_version)
      cross join lateral (select sections_readable(coalesce(v.content, plan_document(p)), areas_of(p.account_id)) as d) doc
     where p.id = plan_shared.plan_id and p.deleted_at is null and areas_of(p.account_id) >> 16 & 1 = 1
$$;

-- As in 0021; the explanation is there for who may see it.
create or replace function report_candidates(params jsonb) returns jsonb stable set enable_nestloop = off language sql as $$
with loads as materialized (
    select * from key_list_loads()
), places as (
    select p.max_key_accounts as most, (select coalesce(sum(l.key_accounts), 0) from loads l) as taken from program p
), rows as (
    select row_number() over (order by w.score desc nulls last, a.account_number, a.id) as n, a.id, a.account_number, a.name, a.manager_id, w.score, case when w.account_id is not null then s.score_rank end as score_rank, w.contributions, w.missing,
           s.status_since, array_remove(array [
               case when coalesce(f.sales_cycle, a.sales_cycle) = 'transactional' then 'transactional' end,
               case when f.verdict = 'unsuitable' then 'fit_check_unsuitable' end,
               case when g.require_fit_check and coalesce(f.checked_on < current_date - g.fit_check_max_age_days, true) then 'fit_check_required' end,
               case when u.capacity <= coalesce(l.key_accounts, 0) then 'manager_capacity' end], null) as blocked_by,
           (select count(*) from nomination n where n.account_id = a.id and n.status = 'open' and n.deleted_at is null) as open_nominations
      from standing s join account a on a.id = s.account_id and a.deleted_at is null left join standing_why w on w.account_id = s.account_id cross join program_settings g
      left join fit_check f on f.account_id = a.id and f.deleted_at is null
      left join app_user u on u.id = a.manager_id left join loads l on l.manager_id = a.manager_id
     where s.key_status = 'candidate'
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object('rank', r.n, 'account_id', r.id, 'account_number', r.account_number, 'name', r.name, 'manager_id', r.manager_id, 'score', r.score::text,
                 'score_rank', r.score_rank, 'contributions', r.contributions, 'missing', to_jsonb(r.missing), 'waiting_since', report_time(r.status_since), 'blocked_by', to_jsonb(r.blocked_by), 'open_nominations', r.open_nominations) order by r.n)
                     filter (where r.n > report_after(params) and r.n <= report_last(params)), '[]'),
    'places', (select jsonb_build_object('max', p.most, 'taken', p.taken, 'free', greatest(p.most - p.taken, 0)) from places p),
    'page', report_page(params, count(*)))
  from rows r
$$;

-- As in 0009, without columns that not everybody reads.
create or replace function standing_at(account uuid, on_day date)
returns table (key_status text, tier text, since timestamptz, key_since timestamptz, designation jsonb) stable language sql as $$
    with past as materialized (
        select h.id, h.at, h.from_status, h.to_status, h.to_tier, h.designation from key_status_history h where h.account_id = account and h.at < (on_day + 1)::timestamp at time zone 'UTC'
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
-- And where sums are made of it.
do $$ begin
    execute replace(replace(pg_get_functiondef('report_rollup(jsonb)'::regprocedure), 'avg(s.score) as score, avg(s.health) as health', 'avg(w.score) as score, avg(w.health) as health'),
                    'join standing s on s.account_id = t.id', 'join standing s on s.account_id = t.id left join standing_why w on w.account_id = t.id');
end $$;
-- In simulate(), too, the explanation of today's score comes from where the lock is.
do $$ begin
    execute replace(pg_get_functiondef('simulate(jsonb)'::regprocedure), 's.contributions as contributions_now',
                    '(select w.contributions from standing_why w where w.account_id = s.account_id) as contributions_now');
end $$;
