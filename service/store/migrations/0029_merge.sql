-- One customer recorded twice: two accounts become one. What lies below the one goes to the other, and what was the one points to it.

alter table account add column merged_into uuid references account;

-- What lies below an account moves with what it refers to, whichever comes first.
do $$
declare
    c record;
begin
    for c in select conrelid::regclass as tab, conname from pg_constraint
              where contype = 'f' and connamespace = 'public'::regnamespace and pg_get_constraintdef(oid) like 'FOREIGN KEY (%, account_id)%'
    loop
        execute format('alter table %s alter constraint %I deferrable', c.tab, c.conname);
    end loop;
end $$;

-- Every table of what belongs to an account, and what a merge does with its rows. Those that it leaves are derived from what moves, or are what happened under the account that is no more:
-- history, events and their chains are never written anew.
create function merge_tables() returns table (name text, moves boolean) stable language sql as $$
    select c.relname::text, exists (select from pg_attribute d where d.attrelid = c.oid and d.attname = 'deleted_at' and not d.attisdropped)
               or c.relname in ('plan_version', 'plan_acknowledgement', 'plan_stale', 'review_told', 'follow_up_timer', 'sync_conflict')
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped
     where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace
$$;

-- What was merged does not come back.
create or replace function account_delete() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$declare
    child regclass;
begin
    if (new.deleted_at is null) = (old.deleted_at is null) then
        return null;
    end if;
    if new.deleted_at is null and new.merged_into is not null then
        raise exception using errcode = 'KD409', message = 'conflict', detail = format('The account was merged into %s and is not coming back.', new.merged_into);
    end if;
    if new.deleted_at is not null then
        if exists (select 1 from account c where c.parent_id = new.id and c.deleted_at is null) then
            raise exception using errcode = 'KD409', message = 'conflict', detail = 'Accounts below this one still exist.';
        end if;
        if exists (select 1 from standing s where s.account_id = new.id and s.key_status in ('key', 'at_risk')) then
            raise exception using errcode = 'KD409', message = 'conflict', detail = 'A key account cannot be deleted; end its key status first.';
        end if;
    end if;
    for child in
        select c.oid from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped
          join pg_attribute d on d.attrelid = c.oid and d.attname = 'deleted_at' and not d.attisdropped
         where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace order by c.relname
    loop
        if new.deleted_at is not null then
            execute format('update %s set deleted_at = $1, version = version + 1, updated_at = now() where account_id = $2 and deleted_at is null', child)
              using new.deleted_at, new.id;
        else
            execute format('update %s set deleted_at = null, version = version + 1, updated_at = now() where account_id = $2 and deleted_at = $1', child)
              using old.deleted_at, new.id;
        end if;
    end loop;
    return null;
end $$;

-- What was merged lies below what it became, at no level of the tree: who answers for that one sees its history.
create or replace function account_tree() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$declare
    parent account;
    above uuid;
begin
    if tg_op = 'UPDATE' and ((new.parent_id, new.level) is not distinct from (old.parent_id, old.level) or new.merged_into is not null) then
        return new;
    end if;
    if new.parent_id is not null or tg_op = 'UPDATE' then
        perform pg_advisory_xact_lock(hashtextextended('kamd account tree', 0)); -- moves of two branches into each other
    end if;
    if new.parent_id is not null then
        above := new.parent_id;
        for steps in 1 .. 16 loop
            if above = new.id then
                raise exception using errcode = 'KD409', message = 'account_cycle', column = 'parent_id',
                    detail = 'The parent named is the account itself or lies below it.';
            end if;
            select parent_id into above from account where id = above;
            exit when above is null;
        end loop;
        select * into parent from account where id = new.parent_id;
        if found and parent.deleted_at is not null then
            raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'parent_id', detail = 'The parent was deleted.';
        end if;
        if found and (new.level is null or parent.level is null or level_rank(new.level) <= level_rank(parent.level)) then
            raise exception using errcode = 'KD422', message = 'level_order', column = 'level',
                detail = format('Below a parent of level %s, this account needs a lower level; it has %s.', coalesce(parent.level, 'none'), coalesce(new.level, 'none'));
        end if;
    end if;
    if tg_op = 'UPDATE' and exists (select 1 from account c where c.parent_id = new.id and c.deleted_at is null
                                     and (new.level is null or level_rank(c.level) <= level_rank(new.level))) then
        raise exception using errcode = 'KD422', message = 'level_order', column = 'level', detail = 'An account below this one has the same or a higher level.';
    end if;
    return new;
end $$;

-- As 0022, and a merge is told as one.
create or replace function log_update() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$declare
    resource text := tg_argv[0];
    account_column text := tg_argv[1];
    quiet boolean := tg_argv[2] = 'quiet';
    evs event_in[];
begin
    with changed as materialized (
        select to_jsonb(n) as j, changed_fields(to_jsonb(o), to_jsonb(n)) as c,
               case when o.deleted_at is null and n.deleted_at is not null then case when to_jsonb(n) ->> 'merged_into' is null then 'deleted' else 'merged' end
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
               jsonb_strip_nulls(jsonb_build_object('account_id', j -> account_column, resource || '_id', j -> 'id', 'version', j -> 'version', 'merged_into', j -> 'merged_into'))
                   || jsonb_build_object('changed_fields', (select coalesce(jsonb_agg(k order by k), '[]') from jsonb_object_keys(c) k)),
               jsonb_build_object('version', version_before))::event_in)
      into evs from changed where c <> '{}';
    if not quiet then
        perform emit(evs);
    end if;
    return null;
end $$;

-- `source` becomes part of `target`: what lies below it moves, `taken` names fields whose values come from it, and it is gone. What both have, and can have once only, stays the target's:
-- roles of the team, wallets of a period, open nominations, assessed metrics, the fit check, an active plan (the source's is closed) and the stay-in-touch series. Orders are never dropped:
-- where both have one of the same number, nothing is merged.
create function merge_accounts(target uuid, source uuid, taken text[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_variable
declare
    into_it account;
    gone account;
    doubled text;
    tab text;
    given text := '';
begin
    perform 1 from account a where a.id in (target, source) order by a.id for update;
    select * into into_it from account a where a.id = target and a.deleted_at is null;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such account that you can see.';
    end if;
    select * into gone from account a where a.id = source and a.deleted_at is null;
    if not found then
        raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'source_id', detail = 'There is no such account.';
    end if;
    select string_agg(o.external_id, ', ') into doubled
      from (select o.external_id from sales_order o join sales_order t on t.account_id = target and t.external_id = o.external_id and t.deleted_at is null
             where o.account_id = source and o.deleted_at is null order by 1 limit 5) o;
    if doubled is not null then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'source_id',
            detail = format('Both accounts have orders of the same number: %s. Delete one of each first.', doubled);
    end if;

    update link s set deleted_at = now(), version = version + 1, updated_at = now() -- of the two with each other
     where s.deleted_at is null and (s.account_id, s.linked_account_id) in ((source, target), (target, source));
    update team_member s set deleted_at = now(), version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null
       and exists (select from team_member t where t.account_id = target and (t.user_id, t.role) = (s.user_id, s.role) and t.deleted_at is null);
    update wallet s set deleted_at = now(), version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null
       and exists (select from wallet t where t.account_id = target and (t.category, t.period) = (s.category, s.period) and t.deleted_at is null);
    update nomination s set status = 'withdrawn', version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null and s.status = 'open'
       and exists (select from nomination t where t.account_id = target and t.region = s.region and t.status = 'open' and t.deleted_at is null);
    update plan s set status = 'closed', version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null and s.status = 'active'
       and exists (select from plan t where t.account_id = target and t.status = 'active' and t.deleted_at is null);
    update follow_up s set status = 'cancelled', version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null and s.kind = 'stay_in_touch' and s.status = 'open'
       and exists (select from follow_up t where t.account_id = target and t.channel = s.channel and t.kind = 'stay_in_touch' and t.status = 'open' and t.deleted_at is null);

    set constraints all deferred;
    for tab in select m.name from merge_tables() m where m.moves order by 1 loop
        execute format('update %I s set account_id = $1%s where s.account_id = $2%s', tab,
            case when tab in ('plan_version', 'plan_acknowledgement', 'plan_stale', 'review_told', 'follow_up_timer', 'sync_conflict') then '' else ', version = s.version + 1, updated_at = now()' end,
            case tab when 'account_metric' then ' and not exists (select from account_metric t where t.account_id = $1 and (t.metric, t.period) = (s.metric, s.period))'
                     when 'fit_check' then ' and not exists (select from fit_check t where t.account_id = $1)' else '' end)
          using target, source;
    end loop;
    set constraints all immediate;
    update link s set linked_account_id = target, version = version + 1, updated_at = now() where s.linked_account_id = source;

    if into_it.parent_id = source then -- it steps into the place of what was above it
        update account a set version = version + 1, parent_id = gone.parent_id, level = case when 'level' = any (taken) then gone.level else a.level end where a.id = target;
    end if;
    update account a set parent_id = target, version = version + 1, updated_at = now() where a.parent_id = source and a.id <> target and a.deleted_at is null;

    -- Its number and its ids in other systems are free for the target where that has none.
    update account a set deleted_at = now(), merged_into = target, parent_id = target, version = version + 1, updated_at = now(),
           external_ids = (select coalesce(jsonb_object_agg(k, v), '{}') from jsonb_each(gone.external_ids) e(k, v) where into_it.external_ids ? k)
     where a.id = source;
    select coalesce(string_agg(format(', %1$I = s.%1$I', f), ''), '') into given from unnest(taken) f;
    execute format($sql$update account t set version = t.version + 1, updated_at = now(), external_ids = $3 || t.external_ids,
           phones = array(select x from unnest(t.phones || s.phones) with ordinality u(x, n) group by x order by min(n) limit 20),
           emails = array(select x from unnest(t.emails || s.emails) with ordinality u(x, n) group by x order by min(n) limit 20)%s
      from account s where t.id = $1 and s.id = $2$sql$, given) using target, source, gone.external_ids;
end $$;

-- How much moves, where that is less than `most`.
create function merge_size(source uuid, most int) returns bigint language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    tab text;
    one bigint;
    size bigint := 0;
begin
    for tab in select m.name from merge_tables() m where m.moves loop
        execute format('select count(*) from (select from %I where account_id = $1 limit $2) few', tab) into one using source, most;
        size := size + one;
    end loop;
    return size;
end $$;

-- For a worker: what takes longer than a request may, as by who asked for it. The cache's entries that it replaced; null when the operation is not this worker's any more.
create function merge_run(operation_id uuid, token uuid) returns text language plpgsql security definer set search_path = public, pg_temp as $$
declare
    asked jsonb;
begin
    select o.request into asked from operation o where o.id = operation_id and o.lease_token = token and o.status = 'running';
    if not found then
        return null;
    end if;
    perform set_config('kamd.' || k, asked ->> k, true) from unnest(array ['actor', 'origin', 'request_id']) k where asked ? k;
    perform merge_accounts((asked ->> 'account_id')::uuid, (asked ->> 'source_id')::uuid, array(select jsonb_array_elements_text(asked -> 'take')));
    update operation o set status = 'succeeded', updated_at = now(), leased_until = null, progress_done = 1, progress_total = 1,
           result = jsonb_build_object('account_id', asked -> 'account_id')
     where o.id = operation_id and o.lease_token = token and o.status = 'running';
    if not found then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The operation was cancelled.';
    end if;
    return coalesce(current_setting('kamd.touched', true), '');
end $$;
