-- Merging: one customer that was recorded twice, as two accounts, becomes one. What lies below the one account goes to
-- the other, and what was the one points to it.

-- Every table of records that belong to an account, and whether a merge moves its rows. Rows that stay are derived from
-- rows that move, or are what happened under the account that is no more: history, events and their chains are never
-- written anew.
create or replace function merge_tables() returns table (name text, moves boolean) stable language sql as $$
    select c.relname::text,
           exists (select from pg_attribute d
                    where d.attrelid = c.oid and d.attname = 'deleted_at' and not d.attisdropped)
           or c.relname in (
               'plan_version', 'plan_acknowledgement', 'plan_stale', 'review_told', 'follow_up_timer', 'sync_conflict')
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped
     where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace
$$;

-- Refuses to merge two accounts where one of them is not there, or both have an order of the same number.
create or replace function merge_refuse(target uuid, source uuid) returns void language plpgsql as $$
declare
    doubled text;
begin
    if not exists (select from account a where a.id = target and a.deleted_at is null) then
        raise exception using errcode = 'KD404', message = 'not_found',
            detail = 'There is no such account that you can see.';
    end if;
    if not exists (select from account a where a.id = source and a.deleted_at is null) then
        raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'source_id',
            detail = 'There is no such account.';
    end if;
    select string_agg(o.external_id, ', ') into doubled
      from (select o.external_id
              from sales_order o
              join sales_order t on t.account_id = target and t.external_id = o.external_id and t.deleted_at is null
             where o.account_id = source and o.deleted_at is null
             order by 1
             limit 5) o;
    if doubled is not null then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'source_id',
            detail = format('Both accounts have orders of the same number: %s. Delete one of each first.', doubled);
    end if;
end $$;

-- Ends the source's records of which an account can have one only, where the target has one, too; and the links of the
-- two accounts with each other.
create or replace function merge_end_doubles(target uuid, source uuid) returns void language plpgsql as $$
#variable_conflict use_variable
begin
    update allied_organisation s set deleted_at = now(), version = version + 1, updated_at = now()
     where s.deleted_at is null and (s.account_id, s.linked_account_id) in ((source, target), (target, source));
    update team_member s set deleted_at = now(), version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null
       and exists (select from team_member t
                    where t.account_id = target and t.deleted_at is null
                      and ((t.user_id, t.role) = (s.user_id, s.role) or team_managers_clash(s, t)));
    update wallet s set deleted_at = now(), version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null
       and exists (select from wallet t
                    where t.account_id = target and (t.category, t.period) = (s.category, s.period)
                      and t.deleted_at is null);
    update nomination s set status = 'withdrawn', version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null and s.status = 'open'
       and exists (select from nomination t
                    where t.account_id = target and t.region = s.region and t.status = 'open'
                      and t.deleted_at is null);
    update plan s set status = 'closed', version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null and s.status = 'active'
       and exists (select from plan t where t.account_id = target and t.status = 'active' and t.deleted_at is null);
    update follow_up s set status = 'cancelled', version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null and s.kind = 'stay_in_touch' and s.status = 'open'
       and exists (select from follow_up t
                    where t.account_id = target and t.channel = s.channel and t.kind = 'stay_in_touch'
                      and t.status = 'open' and t.deleted_at is null);
    update review s set status = 'cancelled', version = version + 1, updated_at = now()
     where s.account_id = source and s.deleted_at is null and s.status = 'scheduled'
       and exists (select from review t
                    where t.account_id = target and t.cadence = s.cadence and t.status = 'scheduled'
                      and t.deleted_at is null);
end $$;

-- Moves the source's records to the target, but for metrics and a fit check that the target has, too; and the links of
-- other accounts with the source. Records move with what they refer to, whichever table comes first.
create or replace function merge_move_records(target uuid, source uuid) returns void language plpgsql as $$
declare
    tab text;
begin
    set constraints all deferred;
    for tab in select m.name from merge_tables() m where m.moves order by 1 loop
        execute format(
            'update %I s set account_id = $1%s where s.account_id = $2%s', tab,
            case when tab in ('plan_version', 'plan_acknowledgement', 'plan_stale', 'review_told', 'follow_up_timer',
                              'sync_conflict') then ''
                 else ', version = s.version + 1, updated_at = now()' end,
            case tab when 'account_metric'
                     then ' and not exists (select from account_metric t '
                          'where t.account_id = $1 and (t.metric, t.period) = (s.metric, s.period))'
                     when 'fit_check' then ' and not exists (select from fit_check t where t.account_id = $1)'
                     else '' end)
          using target, source;
    end loop;
    set constraints all immediate;
    update allied_organisation s set linked_account_id = target, version = version + 1, updated_at = now()
     where s.linked_account_id = source;
end $$;

-- Places the target in the hierarchy: a target that was below the source steps into the source's place, and what was
-- below the source is below the target.
create or replace function merge_hierarchy(into_it account, gone account, taken text[]) returns void
language plpgsql as $$
begin
    if into_it.parent_id = gone.id then
        update account a
           set version = version + 1, parent_id = gone.parent_id,
               level = case when 'level' = any (taken) then gone.level else a.level end
         where a.id = into_it.id;
    end if;
    update account a set parent_id = into_it.id, version = version + 1, updated_at = now()
     where a.parent_id = gone.id and a.id <> into_it.id and a.deleted_at is null;
end $$;

-- `source` becomes part of `target`: what lies below it moves, `taken` names fields whose values come from it, and it
-- is gone. What both have, and can have once only, stays the target's: roles of the team, its account manager, wallets
-- of a period, open nominations, assessed metrics, the fit check, an active plan (the source's is closed), the
-- scheduled review of a cadence and the stay-in-touch series (the source's are cancelled). Orders are never dropped:
-- where both have one of the same number, nothing is merged. Both accounts are locked in the order of their ids.
create or replace function merge_accounts(target uuid, source uuid, taken text[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_variable
declare
    into_it account;
    gone account;
    given text := '';
begin
    perform 1 from account a where a.id in (target, source) order by a.id for update;
    perform merge_refuse(target, source);
    select * into into_it from account a where a.id = target;
    select * into gone from account a where a.id = source;
    perform merge_end_doubles(target, source);
    perform merge_move_records(target, source);
    perform merge_hierarchy(into_it, gone, taken);

    -- The source goes, so that its number is free for the target, and its ids in other systems, too, but for those of
    -- systems in which the target has an id.
    update account a
       set deleted_at = now(), merged_into = target, parent_id = target, version = version + 1, updated_at = now(),
           external_ids = (select coalesce(jsonb_object_agg(k, v), '{}')
                             from jsonb_each(gone.external_ids) e(k, v)
                            where into_it.external_ids ? k)
     where a.id = source;
    select coalesce(string_agg(format(', %1$I = s.%1$I', f), ''), '') into given from unnest(taken) f;
    execute format($sql$update account t
        set version = t.version + 1, updated_at = now(), external_ids = $3 || t.external_ids,
           phones = array(select x from unnest(t.phones || s.phones) with ordinality u(x, n) group by x order by min(n)
               limit 20),
           emails = array(select x from unnest(t.emails || s.emails) with ordinality u(x, n) group by x order by min(n)
               limit 20)%s
      from account s where t.id = $1 and s.id = $2$sql$, given) using target, source, gone.external_ids;
end $$;

-- How many records a merge moves. Of each table `most` at most are counted: who asks needs to know only whether there
-- are fewer in all.
create or replace function merge_size(source uuid, most int) returns bigint
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    tab text;
    one bigint;
    size bigint := 0;
begin
    for tab in select m.name from merge_tables() m where m.moves loop
        execute format('select count(*) from (select from %I where account_id = $1 limit $2) few', tab)
           into one using source, most;
        size := size + one;
    end loop;
    return size;
end $$;

-- Runs a merge that takes longer than a request may, for a worker, in the name of whoever asked for it. Returns the
-- cache entries that it replaced, as in kamd.touched; null: the operation is not this worker's any more.
create or replace function merge_run(operation_id uuid, token uuid) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    asked jsonb;
begin
    select o.request into asked
      from operation o
     where o.id = operation_id and o.lease_token = token and o.status = 'running';
    if not found then
        return null;
    end if;
    perform set_config('kamd.' || k, asked ->> k, true)
       from unnest(array ['actor', 'origin', 'request_id']) k
      where asked ? k;
    perform merge_accounts((asked ->> 'account_id')::uuid, (asked ->> 'source_id')::uuid,
                           array(select jsonb_array_elements_text(asked -> 'take')));
    update operation o
       set status = 'succeeded', updated_at = now(), leased_until = null, progress_done = 1, progress_total = 1,
           result = jsonb_build_object('account_id', asked -> 'account_id')
     where o.id = operation_id and o.lease_token = token and o.status = 'running';
    if not found then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The operation was cancelled.';
    end if;
    return coalesce(current_setting('kamd.touched', true), '');
end $$;
