-- Plans: what a write calls is planned once for a connection, not at each call; and one row's plan does not read a whole table.
-- And many rows at once: each becomes JSON once, and no trigger compares each with each.
--
-- For who changes these: what a function sets with set_config(..., true) ends with it only where the function says SET for it, too; else it stays until the end of the
-- transaction. And reading without an index is switched off only where there is one: else PostgreSQL thinks the plan so dear that it compiles it.
-- min-binary: 29

-- ---- areas ----

-- As in 0022. Strict kept it from becoming a part of the statement around it: it was planned by itself at each call.
create or replace function area_number(area text) returns int immutable parallel safe language sql as $$ select array_position(area_names(), area) - 1 $$;
-- What cannot become a part is PL/pgSQL, which keeps its plan.
create or replace function areas_mask(areas text[]) returns bigint immutable parallel safe language plpgsql as $$
declare
    mask bigint := 0;
    area text;
begin
    foreach area in array coalesce(areas, '{}') loop
        mask := mask | coalesce(1::bigint << area_number(area), 0);
    end loop;
    return mask;
end $$;
create or replace function utc_text(at timestamptz) returns text immutable strict parallel safe language plpgsql as
$$ begin return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'); end $$;
-- As in 0010.
create or replace function changed_fields(before jsonb, after jsonb) returns jsonb immutable parallel safe language plpgsql as $$
begin
    return (select coalesce(jsonb_object_agg(a.key, jsonb_build_array(before -> a.key, a.value)), '{}')
              from jsonb_each(after) a
             where a.value is distinct from before -> a.key
               and a.key not in ('version', 'updated_at', 'fired_revision', 'derived_version', 'continued', 'overdue_level', 'planned', 'told_due_on', 'series_first_on', 'series_time',
                                 'series_first_no', 'slot_on'));
end $$;

create or replace function areas_of(account uuid) returns bigint stable parallel safe language plpgsql as $$
begin
    if current_setting('kamd.scope', true) = 'all' then
        return caller_reads();
    end if;
    return (select m.areas from my_access() m where m.account_id = account);
end $$;
create or replace function areas_writable_of(account uuid) returns bigint stable parallel safe language plpgsql as $$
begin
    if current_setting('kamd.scope', true) = 'all' then
        return caller_writes();
    end if;
    return (select m.writes from my_access() m where m.account_id = account);
end $$;

-- ---- access ----

-- As in 0022, with what lies below found first. For a few accounts there is one plan, of index scans; for many, each call has a plan of its own, as it had.
create or replace function acl_refresh(ids uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
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
        perform set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true),
                set_config('enable_seqscan', 'on', true);
    end if;
    with recursive affected as (
        select unnest(ids) as id
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

-- ---- marks ----

create or replace function rescore_mark(ids uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if ids is not null then
        insert into rescore (account_id) select distinct i from unnest(ids) i where i is not null;
    end if;
end $$;
create or replace function stay_in_touch_mark(ids uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
    insert into stay_in_touch_mark as m (account_id)
    select distinct a.id from account a where a.id = any (ids)
       and (a.cadence <> '[]' and exists (select 1 from standing s where s.account_id = a.id and s.key_status in ('key', 'at_risk'))
            or exists (select 1 from follow_up f where f.account_id = a.id and f.kind = 'stay_in_touch' and f.status = 'open' and f.deleted_at is null))
     order by 1
    on conflict (account_id) do update set since = m.since;
end $$;

-- ---- the log ----

-- As in 0022, with a short way for one event. Of many, what is joined here is hashed: nested loops took the square of how many there were.
create or replace function emit(evs event_in[]) returns void language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = off as $$
declare
    one event_in;
    nth bigint := 0;
begin
    if evs is null or cardinality(evs) = 0 then
        return;
    end if;
    if cardinality(evs) = 1 then
        one := evs[1];
        if one.account_id is not null then
            insert into account_sequence as s (account_id, last) values (one.account_id, 1) on conflict (account_id) do update set last = s.last + 1 returning s.last into nth;
        end if;
        insert into event (id, type, account_id, resource, record_id, version, sequence, actor, origin, request_id, traceparent, data, previous, area)
        values (uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001', coalesce(one.dedupe, one.type || ':' || one.record_id || ':' || one.version || ':' || nth)),
                one.type, one.account_id, one.resource, one.record_id, one.version, nth,
                context('actor'), context('origin'), context('request_id'), context('traceparent'), one.data, coalesce(one.previous, '{}'), event_area(one.type, one.resource));
        return;
    end if;
    -- One order of locking for everybody.
    perform 1 from account_sequence s where s.account_id = any (array(select e.account_id from unnest(evs) e)) order by s.account_id for update;
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

-- As in 0022; each row becomes JSON once, not for each of its columns here.
create or replace function log_insert() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    evs event_in[];
begin
    with made as materialized (
        select to_jsonb(n) as j from new_rows n
    ), logged as (
        insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes, area)
        select nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, 'created',
               context('actor'), context('origin'), context('request_id'), '{}', resource_area(resource, j ->> 'section')
          from made
    )
    select array_agg(row (resource || '.created', nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', j -> account_column, resource || '_id', j -> 'id', 'version', j -> 'version')), '{}')::event_in)
      into evs from made;
    perform emit(evs);
    return null;
end $$;

-- As in 0029, the same way.
create or replace function log_update() returns trigger language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    quiet boolean := tg_argv[2] = 'quiet';
    evs event_in[];
begin
    with changed as materialized (
        select r.j, changed_fields(r.before, r.j) as c,
               case when r.was is null and r.deleted_at is not null then case when r.j ->> 'merged_into' is null then 'deleted' else 'merged' end
                    when r.was is not null and r.deleted_at is null then 'restored'
                    else 'updated' end as op, r.version_before
          from (select to_jsonb(o) as before, to_jsonb(n) as j, o.deleted_at as was, n.deleted_at, o.version as version_before
                  from old_rows o join new_rows n on n.id = o.id offset 0) r
    ), logged as (
        insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes, area)
        select nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, op,
               context('actor'), context('origin'), context('request_id'), c, resource_area(resource, j ->> 'section')
          from changed where c <> '{}'
    )
    select array_agg(row (resource || '.' || op, nullif(j ->> account_column, '')::uuid, resource, (j ->> 'id')::uuid, (j ->> 'version')::bigint, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', j -> account_column, resource || '_id', j -> 'id', 'version', j -> 'version', 'merged_into', j -> 'merged_into'))
                   || jsonb_build_object('changed_fields', (select coalesce(jsonb_agg(k order by k), '[]') from jsonb_object_keys(c) k)),
               jsonb_build_object('version', version_before))::event_in)
      into evs from changed where c <> '{}';
    if not quiet then
        perform emit(evs);
    end if;
    return null;
end $$;

-- As in 0003, the same way.
create or replace function touched() returns trigger language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
    if context('actor') = 'worker' then
        return null;
    end if;
    perform set_config('kamd.touched', coalesce(current_setting('kamd.touched', true), '') || coalesce(
        case tg_argv[0]
            when 'standing' then (select string_agg('account:' || a.id || ' ' || (a.version + (n.j ->> 'version')::bigint), E'\n') || E'\n'
                                    from (select to_jsonb(r) as j from new_rows r offset 0) n join account a on a.id = (n.j ->> 'account_id')::uuid)
            when 'account' then (select string_agg('account:' || s.account_id || ' ' || ((n.j ->> 'version')::bigint + s.version), E'\n') || E'\n'
                                   from (select to_jsonb(r) as j from new_rows r offset 0) n join standing s on s.account_id = (n.j ->> 'id')::uuid)
            else (select string_agg(tg_argv[0] || ':' || (n.j ->> 'id') || ' ' || ((n.j ->> 'version')::bigint + coalesce((n.j ->> 'derived_version')::bigint, 0)), E'\n') || E'\n'
                    from (select to_jsonb(r) as j from new_rows r offset 0) n)
        end, ''), true);
    return null;
end $$;

-- As in 0003, with what is gone found without joining the two states, and as in 0027 with what could not be put only looked for when something could not.
create or replace function external_ids_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
    resource_name text := tg_argv[0];
    account_column text := tg_argv[1];
    wanted int;
    put int;
    taken record;
begin
    if tg_op = 'UPDATE' then
        delete from external_id x using (
            select o.id, k.key, k.value from old_rows o, jsonb_each_text(o.external_ids) k
            except select n.id, k.key, k.value from new_rows n, jsonb_each_text(n.external_ids) k) gone
         where x.system = gone.key and x.resource = resource_name and x.external_id = gone.value and x.record_id = gone.id;
    end if;
    select count(*) into wanted from new_rows n, jsonb_object_keys(n.external_ids) k;
    if wanted = 0 then
        return null;
    end if;
    insert into external_id (system, resource, external_id, record_id, account_id)
    select k.key, resource_name, k.value, n.id, nullif(to_jsonb(n) ->> account_column, '')::uuid from new_rows n, jsonb_each_text(n.external_ids) k order by 1, 3
    on conflict (system, resource, external_id) do update set account_id = excluded.account_id where external_id.record_id = excluded.record_id;
    get diagnostics put = row_count;
    if put < wanted then
        select k.key as system, k.value as ext into taken from new_rows n, jsonb_each_text(n.external_ids) k
         where not exists (select from external_id x where x.system = k.key and x.resource = resource_name and x.external_id = k.value and x.record_id = n.id) limit 1;
        raise exception using errcode = 'KD409', message = 'already_exists', column = 'external_ids',
            detail = format('Another record already has the id %s of system %s.', taken.ext, taken.system);
    end if;
    return null;
end $$;

-- ---- before and after ----

-- A connection plans a trigger's statement once, and mostly for one row: the states before and after were then joined by nested loops, also for thousands of rows.
-- These join nothing else; what they call, and what joins tables, says so for itself.
alter function account_follow() set enable_nestloop = off;
alter function cadence_mark() set enable_nestloop = off;
alter function manager_told() set enable_nestloop = off;
alter function section_follow() set enable_nestloop = off;
alter function review_tell() set enable_nestloop = off;
alter function audit_history() set enable_nestloop = on;
alter function audit_history() set enable_hashjoin = off;
alter function audit_history() set enable_mergejoin = off;
alter function audit_history() set enable_seqscan = off;

-- As in 0014, in two steps for the same reason.
create or replace function due_timer() returns trigger language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = off set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on as $$
declare
    moved follow_up_timer[];
begin
    if tg_op = 'INSERT' then
        insert into follow_up_timer (follow_up_id, account_id, due_at, level, active)
        select n.id, n.account_id, n.due_at, 0, n.status = 'open' and n.deleted_at is null from new_rows n;
        return null;
    end if;
    select array_agg(row (n.id, n.account_id, n.due_at, case when n.revision <> o.revision then 0 end, n.status = 'open' and n.deleted_at is null)::follow_up_timer) into moved
      from new_rows n join old_rows o on o.id = n.id
     where (n.revision, n.status = 'open', n.deleted_at is null) is distinct from (o.revision, o.status = 'open', o.deleted_at is null);
    if moved is not null then
        perform set_config('enable_nestloop', 'on', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true);
        update follow_up_timer t set due_at = m.due_at, level = coalesce(m.level, t.level), active = m.active from unnest(moved) m where t.follow_up_id = m.follow_up_id;
    end if;
    return null;
end $$;

-- As in 0011 and 0017, in two steps: what else is joined, or fires further triggers, is planned as ever.
create or replace function plan_section_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    plans uuid[];
begin
    select array_agg(distinct n.plan_id) into plans from new_rows n join old_rows o on o.id = n.id
     where (n.state, n.content, n.contributors) is distinct from (o.state, o.content, o.contributors);
    if plans is not null then
        perform set_config('enable_nestloop', 'on', true);
        update plan p set changed_since_version = true, derived_version = p.derived_version + 1
         where p.version_no > 0 and not p.changed_since_version and p.id = any (array(select unnest(plans)));
    end if;
    return null;
end $$;
create or replace function follow_up_continue() returns trigger language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    going follow_up[];
    evs event_in[];
begin
    select array_agg(row (n.*)::follow_up order by n.id) filter (where n.continued and not o.continued),
           array_agg(row ('follow_up.completed', n.account_id, 'follow_up', n.id, n.version, null,
               jsonb_strip_nulls(jsonb_build_object('account_id', n.account_id, 'follow_up_id', n.id, 'version', n.version, 'title', n.title, 'assignee_id', n.assignee_id,
                   'series_id', n.series_id, 'occurrence_no', n.occurrence_no, 'completed_by', n.completed_by,
                   'completed_at', to_char(n.completed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))),
               jsonb_build_object('status', o.status))::event_in order by n.id) filter (where n.status = 'done' and o.status <> 'done')
      into going, evs from new_rows n join old_rows o on o.id = n.id
     where (n.continued and not o.continued) or (n.status = 'done' and o.status <> 'done');
    if going is not null then
        perform set_config('enable_nestloop', 'on', true);
        insert into follow_up (id, account_id, review_id, plan_id, contact_id, need_id, project_id, title, description, assignee_id, priority, time_zone, due_at, due_on, recurrence,
                               series_id, occurrence_no, series_first_on, series_time, series_first_no, slot_on)
        select uuid_v7(), n.account_id, n.review_id, n.plan_id, n.contact_id, n.need_id, n.project_id, n.title, n.description, n.assignee_id, n.priority, n.time_zone,
               local_instant(s.next_on + coalesce(n.series_time, time '00:00'), coalesce(n.time_zone, 'UTC')), case when n.series_time is null then s.next_on end, n.recurrence,
               n.series_id, n.occurrence_no + 1, n.series_first_on, n.series_time, n.series_first_no, s.next_on
          from unnest(going) n cross join lateral (select follow_up_next_on(row (n.*)::follow_up) as next_on) s
         where s.next_on is not null
         order by n.id
        on conflict (series_id, occurrence_no) where series_id is not null do nothing;
    end if;
    perform emit(evs);
    return null;
end $$;
alter function commitment_follow() set enable_nestloop = off;
alter function commitment_settle(commitment[]) set enable_nestloop = on;

-- ---- for each row, or a few ----

alter function account_tree() set plan_cache_mode = force_generic_plan;
alter function account_tree() set enable_seqscan = off;
alter function account_manager() set plan_cache_mode = force_generic_plan;
alter function order_sums_add(day_sales[]) set plan_cache_mode = force_generic_plan;
alter function order_sums_add(day_sales[]) set enable_seqscan = off;
alter function interaction_contacts() set plan_cache_mode = force_generic_plan;
create or replace function erased_id_digest(system text, external_id text) returns bytea stable security definer set search_path = public, pg_temp language plpgsql as $$
begin
    return (select sha256(k.key || convert_to(jsonb_build_array(system, external_id)::text, 'UTF8')) from erased_id_key k);
end $$;
create or replace function erased_contact(system text, external_id text) returns uuid stable security definer set search_path = public, pg_temp language plpgsql as $$
begin
    return (select e.contact_id from erased_id e where e.digest = erased_id_digest(system, external_id));
end $$;
create or replace function template_fields(template int, section_name text) returns jsonb stable language plpgsql as $$
begin
    return (select s -> 'fields' from plan_template t, jsonb_array_elements(t.sections) s where t.version = template and s ->> 'section' = section_name);
end $$;
create or replace function day_begin(day date, zone text) returns timestamptz stable strict parallel safe language plpgsql as $$
begin
    return (select min(u) from (select day::timestamp at time zone zone - make_interval(mins => m) as u from unnest(array [0, 30, 60]) m) c where (u at time zone zone)::date >= day);
end $$;

-- As in 0016, with nothing to check asked for first: the statement that checks is planned at each call.
create or replace function references_check() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    known text := case tg_op when 'UPDATE' then format('coalesce((select o.%I from old_rows o where o.id = n.id), ''{}'')', tg_argv[0]) else '''{}''::text[]' end;
    given boolean;
    stranger text;
begin
    execute format('select exists (select from new_rows n where n.%I <> ''{}'')', tg_argv[0]) into given;
    if not given then
        return null;
    end if;
    execute format('select x from new_rows n, unnest(n.%I) x where x <> all (%s)'
                   ' and not exists (select 1 from %I r where r.id = x::uuid and r.account_id = n.account_id and r.deleted_at is null) limit 1', tg_argv[0], known, tg_argv[1])
       into stranger;
    if stranger is not null then
        raise exception using errcode = 'KD422', message = 'unknown_reference', column = tg_argv[0],
            detail = format('The account has no %s %s.', tg_argv[1], stranger);
    end if;
    return null;
end $$;

-- As in 0011, in the language that keeps its plans.
create or replace function section_errors(fields jsonb, content jsonb, complete boolean, account uuid) returns jsonb stable language plpgsql as $$
begin
    return (select jsonb_agg(e) from jsonb_array_elements(fields) with ordinality f(field, nth), lateral (
        select field_errors(f.field, content -> (f.field ->> 'name'), '/content/' || (f.field ->> 'name'), account) as e
        union all
        select violation('/content/' || (f.field ->> 'name'), 'required', 'is required before the section is complete')
         where complete and (f.field ->> 'required')::boolean and is_blank(content -> (f.field ->> 'name'))) x);
end $$;

-- Mostly a few accounts are scored, not a thousand: for those, no table of all accounts is read.
alter function score_accounts(uuid[], date, jsonb, text) rows 50;

-- As in 0030, of the tables that have doubled since they were last looked at: all of them took seconds each time, in a database of some size.
create or replace function import_statistics() returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    grown regclass;
begin
    for grown in select c.oid from pg_class c
                  where c.oid = any (array ['account', 'standing', 'external_id', 'sync_state', 'contact', 'interaction', 'sales_order', 'day_sales', 'history', 'account_sequence']::regclass[])
                    and pg_relation_size(c.oid) / current_setting('block_size')::int > 2 * greatest(c.relpages, 8) loop
        execute format('analyze %s', grown);
    end loop;
end $$;
