-- Writes of many rows: each row becomes JSON once. A few accounts are scored, and a few lines imported, without reading all that there is.
-- min-binary: 29

-- As in 0029 and 0035.
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

-- As in 0003 and 0035.
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
