-- What follows a change of a record: the tree of accounts, deletion and return of what is below an account, ids of
-- other systems, a contact's last interaction. And how times and days are read and shown.

-- Fills in who got in touch, where nobody said.
create or replace function interaction_fill() returns trigger language plpgsql as $$
begin
    new.direction := coalesce(new.direction, interaction_direction(new.kind));
    return new;
end $$;

-- Refuses a time more than a day ahead (clocks and time zones differ by less) in the columns named: they say what has
-- happened. What is planned is a follow-up.
create or replace function time_has_come() returns trigger language plpgsql as $$
declare
    late text;
begin
    select c into late from unnest(tg_argv) c
     where (to_jsonb(new) ->> c)::timestamptz > now() + interval '1 day'
       and (tg_op = 'INSERT' or to_jsonb(new) -> c is distinct from to_jsonb(old) -> c) limit 1;
    if found then
        raise exception using errcode = 'KD422', message = 'in_future', column = late,
            detail = 'This says what has happened, and may be at most a day ahead. What is planned is a follow-up.';
    end if;
    return new;
end $$;

-- Keeps a contact's last interaction: the latest one that is a contact, has taken place and is not deleted. Contacts
-- are locked in the order of their ids. The plan is made once for a connection, not at each call.
create or replace function interaction_contacts() returns trigger
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
    concerned uuid[];
begin
    if tg_op = 'INSERT' then
        select array_agg(distinct c::uuid) into concerned from new_rows n, jsonb_array_elements_text(n.contact_ids) c;
    else
        select array_agg(distinct c::uuid) into concerned
          from (select contact_ids from new_rows union all select contact_ids from old_rows) r,
               jsonb_array_elements_text(r.contact_ids) c;
    end if;
    update contact t set last_interaction_at = l.at, derived_version = t.derived_version + 1
      from (select c.id, (select max(i.occurred_at) from interaction i
                           where i.account_id = c.account_id and i.deleted_at is null and i.is_contact
                             and i.occurred_at <= now() and i.contact_ids ? c.id::text) as at
              from contact c where c.id = any (concerned) order by c.id for update) l
     where t.id = l.id and t.last_interaction_at is distinct from l.at;
    return null;
end $$;

-- Sees to it that a person's allocations over all accounts are at most 100 % (004-08), and that nobody who has left
-- comes into a team. Memberships that have ended do not count. The rows of the people are locked first, so that two
-- transactions do not both find room.
create or replace function team_allocation() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    over record;
begin
    perform 1 from app_user u where u.id in (select user_id from new_rows) order by u.id for no key update;
    if tg_op = 'INSERT' then
        select u.name into over from new_rows n join app_user u on u.id = n.user_id
         where not (u.active and u.deleted_at is null) and (n.active_until is null or n.active_until >= current_date)
         limit 1;
        if found then
            raise exception using errcode = 'KD422', message = 'user_has_left', column = 'user_id',
                detail = format('%s has left, and takes on nothing new.', over.name);
        end if;
    end if;
    select u.name, sum(t.allocation_pct) as pct into over from team_member t join app_user u on u.id = t.user_id
     where t.user_id in (select user_id from new_rows) and t.deleted_at is null
       and (t.active_until is null or t.active_until >= current_date)
     group by u.id, u.name having sum(t.allocation_pct) > 100 limit 1;
    if found then
        raise exception using errcode = 'KD422', message = 'over_allocated', column = 'allocation_pct',
            detail = format('%s would be allocated %s %% over all accounts; at most 100 %%.', over.name, over.pct);
    end if;
    return null;
end $$;

-- Whether two memberships make two account managers of one team: both in that role on the same day, today or later.
create or replace function team_managers_clash(a team_member, b team_member) returns boolean
stable language sql as $$
    select a.id <> b.id and a.role = 'account_manager' and b.role = 'account_manager'
           and a.deleted_at is null and b.deleted_at is null
           and not isempty(daterange(a.active_from, a.active_until, '[]')
                           * daterange(b.active_from, b.active_until, '[]') * daterange(current_date, null))
$$;

-- Sees to it that a team has one account manager at a time (003-05). A member who has left is none. Of two transactions
-- that each add one, the second waits in log_insert or log_update, whose names come first, for the account's events of
-- the first, and then sees its member here. What was so before is no reason to refuse another change. Nested loops are
-- off for the rows before and after: see account_follow().
create or replace function team_one_manager() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    other record;
begin
    if tg_op = 'UPDATE' then
        perform 1 from new_rows n join old_rows o on o.id = n.id
          where (n.account_id, n.role, n.active_from, n.active_until, n.deleted_at)
                is distinct from (o.account_id, o.role, o.active_from, o.active_until, o.deleted_at);
        if not found then
            return null;
        end if;
    end if;
    select u.name into other
      from new_rows n
      join team_member t on t.account_id = n.account_id and team_managers_clash(row (n.*)::team_member, t)
      join app_user u on u.id = t.user_id and user_here(u.id) is not null
     where user_here(n.user_id) is not null
     limit 1;
    if found then
        raise exception using errcode = 'KD409', message = 'second_account_manager', column = 'role',
            detail = format('%s is the team''s account manager already; a team has one at a time.', other.name);
    end if;
    return null;
end $$;

-- Keeps external_id in step with the external_ids of records: an id belongs to one record of a resource. Arguments: the
-- resource's name; the column that holds the account ('' = none). The ids that are gone are found by EXCEPT, without a
-- join of the rows before and after; which id another record has is looked up only when one could not be put. The
-- settings make one plan for a connection, of lookups by index: external_id is large, and a statement mostly changes a
-- few rows.
create or replace function external_ids_track() returns trigger
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = on set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off as $$
declare
    resource_name text := tg_argv[0];
    account_column text := tg_argv[1];
    wanted int;
    put int;
    taken record;
begin
    if tg_op = 'UPDATE' then
        delete from external_id x
         using (select o.id, k.key, k.value from old_rows o, jsonb_each_text(o.external_ids) k
                except
                select n.id, k.key, k.value from new_rows n, jsonb_each_text(n.external_ids) k) gone
         where x.system = gone.key and x.resource = resource_name and x.external_id = gone.value
           and x.record_id = gone.id;
    end if;
    select count(*) into wanted from new_rows n, jsonb_object_keys(n.external_ids) k;
    if wanted = 0 then
        return null;
    end if;
    insert into external_id (system, resource, external_id, record_id, account_id)
    select k.key, resource_name, k.value, n.id, nullif(to_jsonb(n) ->> account_column, '')::uuid
      from new_rows n, jsonb_each_text(n.external_ids) k
     order by 1, 3
    on conflict (system, resource, external_id) do update set account_id = excluded.account_id
     where external_id.record_id = excluded.record_id;
    get diagnostics put = row_count;
    if put < wanted then
        select k.key as system, k.value as ext into taken from new_rows n, jsonb_each_text(n.external_ids) k
         where not exists (select from external_id x
                            where x.system = k.key and x.resource = resource_name and x.external_id = k.value
                              and x.record_id = n.id)
         limit 1;
        raise exception using errcode = 'KD409', message = 'already_exists', column = 'external_ids',
            detail = format('Another record already has the id %s of system %s.', taken.ext, taken.system);
    end if;
    return null;
end $$;

-- The rank of a level in the tree of accounts, from 1 at the top; null for a name that is none. Ranks grow on every way
-- down, so an account cannot come below itself; account_tree() still looks for that, to name a cycle as one.
create or replace function level_rank(level text) returns int
immutable strict parallel safe language sql as
$$ select array_position(array ['global', 'regional', 'national', 'sub_regional'], level) $$;

-- Keeps the tree of accounts. An account that was merged lies below the one it became, at no level of the tree: who
-- answers for that one sees its history. A parent cannot be deleted while an account is put below it: the parent's row
-- is locked. It is locked before the tree is, because who changes the parent's level has the row already, and then
-- wants the tree. The planner's settings are for one account, found by its id, with one plan for a connection.
create or replace function account_tree() returns trigger
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    parent account;
    above uuid;
begin
    if tg_op = 'UPDATE' and ((new.parent_id, new.level) is not distinct from (old.parent_id, old.level)
                             or new.merged_into is not null) then
        return new;
    end if;
    if new.parent_id is not null then
        select * into parent from account where id = new.parent_id for share;
    end if;
    if new.parent_id is not null or tg_op = 'UPDATE' then
        -- Two branches are not moved into each other.
        perform pg_advisory_xact_lock(hashtextextended('kamd account tree', 0));
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
        if parent.deleted_at is not null then
            raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'parent_id',
                detail = 'The parent was deleted.';
        end if;
        if parent.id is not null
           and (new.level is null or parent.level is null or level_rank(new.level) <= level_rank(parent.level)) then
            raise exception using errcode = 'KD422', message = 'level_order', column = 'level',
                detail = format('Below a parent of level %s, this account needs a lower level; it has %s.',
                                coalesce(parent.level, 'none'), coalesce(new.level, 'none'));
        end if;
    end if;
    if tg_op = 'UPDATE' and exists (select 1 from account c where c.parent_id = new.id and c.deleted_at is null
                                     and (new.level is null or level_rank(c.level) <= level_rank(new.level))) then
        raise exception using errcode = 'KD422', message = 'level_order', column = 'level',
            detail = 'An account below this one has the same or a higher level.';
    end if;
    return new;
end $$;

-- Refuses a circle of people who report to each other, of whatever length. Argument: the column of the superior.
-- Triggers fire in the order of their names: log_update has locked the chain of history that all these people's changes
-- go to, so of two transactions that write at once, the later one waits and sees here what the earlier one wrote. The
-- line is followed after the whole statement, so that one statement may turn it around; new records are not looked at,
-- because nobody reports to them yet. Whether a superior changed is asked first, because the statement that follows the
-- line is planned at each call; the settings make it find each superior by the index.
create or replace function superiors_check() returns trigger
language plpgsql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    changed uuid[];
    superior text := tg_argv[0];
    circle boolean;
begin
    execute format('select array_agg(id) from (select n.id, n.%1$I from new_rows n where n.%1$I is not null'
                   ' except select o.id, o.%1$I from old_rows o) c', superior)
       into changed;
    if changed is null then
        return null;
    end if;
    execute format('with recursive line as ('
                   ' select t.id as person, t.%1$I as above from %2$s t where t.id = any ($1)'
                   ' union select l.person, t.%1$I from line l join %2$s t on t.id = l.above where l.above <> l.person)'
                   ' select exists (select from line where above = person)', superior, tg_relid::regclass)
       into circle using changed;
    if circle then
        raise exception using errcode = 'KD422', message = 'reports_in_a_circle', column = superior,
            detail = 'The superior named is the person itself or reports to it, directly or through others.';
    end if;
    return null;
end $$;

-- Refuses a contact that influences itself. A new contact cannot: nobody knows its id yet.
create or replace function contact_influences() returns trigger language plpgsql as $$
declare
    nth bigint;
begin
    select i.nth - 1 into nth
      from jsonb_array_elements(new.influences) with ordinality i(one, nth)
     where i.one ->> 'contact_id' = new.id::text
     limit 1;
    if found then
        raise exception using errcode = 'KD422', message = 'itself', column = format('influences/%s/contact_id', nth),
            detail = 'Nobody influences themselves.';
    end if;
    return new;
end $$;

-- Moves a contact, which the caller has locked, to another account. What the person was among the people there ends:
-- whom they report to and influence, who reports to them and influences them, and our counterpart. What was recorded of
-- the person stays with the account before. Both accounts are told, and neither of the other.
create or replace function contact_move(contact_id uuid, to_account uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    was contact;
    moved contact;
begin
    select * into was from contact c where c.id = contact_move.contact_id and c.deleted_at is null;
    perform 1 from account a where a.id = to_account and a.deleted_at is null for share;
    if was.id is null or not found then
        raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'account_id',
            detail = 'There is no such account that you can see.';
    elsif was.account_id = to_account then
        raise exception using errcode = 'KD422', message = 'same_account', column = 'account_id',
            detail = 'The contact is with this account already.';
    end if;
    update contact c
       set reports_to_id = nullif(c.reports_to_id, was.id), version = c.version + 1, updated_at = now(),
           influences = (select coalesce(jsonb_agg(i.one order by i.nth), '[]')
                           from jsonb_array_elements(c.influences) with ordinality i(one, nth)
                          where i.one ->> 'contact_id' <> was.id::text)
     where c.account_id = was.account_id
       and (c.reports_to_id = was.id
            or c.influences @> jsonb_build_array(jsonb_build_object('contact_id', was.id)));
    update contact c
       set account_id = to_account, reports_to_id = null, influences = '[]', mirror_user_id = null,
           version = c.version + 1, updated_at = now(),
           last_interaction_at = (select max(i.occurred_at) from interaction i
                                   where i.account_id = to_account and i.deleted_at is null and i.occurred_at <= now()
                                     and i.contact_ids ? c.id::text)
     where c.id = was.id
    returning * into moved;
    perform event_write(array_agg(
                row ('contact.moved', d.account_id, 'contact', moved.id, moved.version, null,
                     jsonb_build_object('account_id', d.account_id, 'contact_id', moved.id, 'version', moved.version,
                                        'direction', d.direction),
                     '{}')::event_in order by d.account_id))
       from (values (was.account_id, 'left'), (to_account, 'joined')) d(account_id, direction);
end $$;

-- Gives a new account its status and its access, and refreshes the access when the people in charge or the parent
-- change; looks anew whose unit it is when its place in the tree changes. Queues the account to be scored when it is
-- new, and when its lifecycle, deletion or cadence changes. Nested loops are off because the plan is made once for a
-- connection, and mostly for one row: the rows before and after would then be joined by nested loops also when there
-- are thousands.
create or replace function account_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
begin
    if tg_op = 'INSERT' then
        insert into account_status (account_id, customer_id) select id, id from new_rows;
        perform customers_refresh(array_agg(id)) from new_rows where parent_id is not null;
        perform account_access_refresh(array_agg(id)) from new_rows;
        perform rescore_enqueue(array_agg(id)) from new_rows;
        return null;
    end if;
    perform account_access_refresh(array_agg(n.id)) from new_rows n join old_rows o on o.id = n.id
      where (n.manager_id, n.sponsor_id, n.delegate_id, n.delegate_until, n.parent_id)
            is distinct from (o.manager_id, o.sponsor_id, o.delegate_id, o.delegate_until, o.parent_id);
    perform customers_refresh(array_agg(n.id)) from new_rows n join old_rows o on o.id = n.id
      where (n.parent_id, n.standalone, n.deleted_at) is distinct from (o.parent_id, o.standalone, o.deleted_at);
    perform rescore_enqueue(array_agg(n.id)) from new_rows n join old_rows o on o.id = n.id
      where (n.lifecycle, n.deleted_at, n.cadence) is distinct from (o.lifecycle, o.deleted_at, o.cadence);
    return null;
end $$;

-- Deletes what is below an account with it, and brings that back with it: the records whose instant of deletion is the
-- account's. Below is every table with an account and a deletion, so that none is forgotten. An account that was merged
-- into another does not come back; a key account, or one with accounts below it, cannot be deleted.
create or replace function account_delete() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    child regclass;
begin
    if (new.deleted_at is null) = (old.deleted_at is null) then
        return null;
    end if;
    if new.deleted_at is null and new.merged_into is not null then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = format('The account was merged into %s and is not coming back.', new.merged_into);
    end if;
    if new.deleted_at is not null then
        if exists (select 1 from account c where c.parent_id = new.id and c.deleted_at is null) then
            raise exception using errcode = 'KD409', message = 'conflict',
                detail = 'Accounts below this one still exist.';
        end if;
        if exists (select 1 from account_status s
                    where s.account_id = new.id and s.holds_place) then
            raise exception using errcode = 'KD409', message = 'conflict',
                detail = 'A key account cannot be deleted; end its key status first.';
        end if;
    end if;
    for child in
        select c.oid from pg_class c
          join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped
          join pg_attribute d on d.attrelid = c.oid and d.attname = 'deleted_at' and not d.attisdropped
         where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
         order by c.relname
    loop
        if new.deleted_at is not null then
            execute format('update %s set deleted_at = $1, version = version + 1, updated_at = now()'
                           ' where account_id = $2 and deleted_at is null', child)
              using new.deleted_at, new.id;
        else
            execute format('update %s set deleted_at = null, version = version + 1, updated_at = now()'
                           ' where account_id = $2 and deleted_at = $1', child)
              using old.deleted_at, new.id;
        end if;
    end loop;
    return null;
end $$;

-- Notes the cached entries that this transaction replaces, for the API to invalidate before it answers: lines "kind:id
-- version" in the setting kamd.touched, which ends with the transaction. Argument: the table. The version grows with
-- every change of the entry, typed or derived; that of an account is the sum of the versions of account and
-- account_status. Workers know what they touched, and note nothing. The settings make one plan for a connection, of
-- lookups by index: for the few rows of a statement, no table is read whole.
create or replace function note_cache_invalidation() returns trigger
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_nestloop = on set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off as $$
begin
    if session_setting('actor') = 'worker' then
        return null;
    end if;
    perform set_config('kamd.touched', coalesce(current_setting('kamd.touched', true), '') || coalesce(
        case tg_argv[0]
        when 'account_status' then
            (select string_agg('account:' || a.id || ' ' || (a.version + (n.j ->> 'version')::bigint), E'\n') || E'\n'
               from (select to_jsonb(r) as j from new_rows r offset 0) n
               join account a on a.id = (n.j ->> 'account_id')::uuid)
        when 'account' then
            (select string_agg('account:' || s.account_id || ' ' || ((n.j ->> 'version')::bigint + s.version), E'\n')
                    || E'\n'
               from (select to_jsonb(r) as j from new_rows r offset 0) n
               join account_status s on s.account_id = (n.j ->> 'id')::uuid)
        else
            (select string_agg(tg_argv[0] || ':' || (n.j ->> 'id') || ' '
                                   || ((n.j ->> 'version')::bigint + coalesce((n.j ->> 'derived_version')::bigint, 0)),
                               E'\n') || E'\n'
               from (select to_jsonb(r) as j from new_rows r offset 0) n)
        end, ''), true);
    return null;
end $$;

-- Checks that ids in a list refer to records of the same account. They are checked where they come in, and not again
-- when they stay, so that a later deletion of the other record stands in nobody's way. Arguments: the column, a text[];
-- the table referred to. Whether there is anything to check is asked first, because the statement that checks is
-- planned at each call.
create or replace function references_exist() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    known text := case tg_op
        when 'UPDATE' then format('coalesce((select o.%I from old_rows o where o.id = n.id), ''{}'')', tg_argv[0])
        else '''{}''::text[]' end;
    given boolean;
    stranger text;
begin
    execute format('select exists (select from new_rows n where n.%I <> ''{}'')', tg_argv[0]) into given;
    if not given then
        return null;
    end if;
    execute format('select x from new_rows n, unnest(n.%I) x where x <> all (%s)'
                   ' and not exists (select 1 from %I r where r.id = x::uuid and r.account_id = n.account_id'
                   ' and r.deleted_at is null) limit 1',
                   tg_argv[0], known, tg_argv[1])
       into stranger;
    if stranger is not null then
        raise exception using errcode = 'KD422', message = 'unknown_reference', column = tg_argv[0],
            detail = format('The account has no %s %s.', tg_argv[1], stranger);
    end if;
    return null;
end $$;

-- The form of a tag in which tags are compared: without accents, in small letters, with a hyphen for whatever stands
-- between words. A tag of signs alone is its own.
create or replace function tag_slug(tag text) returns text immutable strict parallel safe language plpgsql as $$
declare
    folded text := lower(regexp_replace(normalize(tag, nfkd), '[\u0300-\u036f]', '', 'g'));
begin
    return coalesce(nullif(btrim(regexp_replace(folded, '[^[:alnum:]]+', '-', 'g'), '-'), ''), folded);
end $$;

-- The same of each tag in a list.
create or replace function tag_slugs(tags text[]) returns text[] immutable strict parallel safe language sql as
$$ select array(select tag_slug(t) from unnest(tags) t) $$;

-- Writes the ids in need_ids in lower case, in their order: UUIDs in lists are compared as text.
create or replace function need_ids_lower() returns trigger language plpgsql as $$
begin
    new.need_ids := array(select lower(x) from unnest(new.need_ids) with ordinality l(x, n) order by n);
    return new;
end $$;

-- Tells that an account has another manager, by an event beside account.updated that names the manager before. Nested
-- loops are off for the rows before and after: see account_follow().
create or replace function manager_told() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    evs event_in[];
begin
    select array_agg(row ('account.manager_changed', n.id, 'account', n.id, n.version, null,
                          jsonb_build_object(
                              'account_id', n.id, 'account_number', n.account_number, 'name', n.name,
                              'version', n.version, 'manager_id', n.manager_id, 'manager_id_before', o.manager_id),
                          jsonb_build_object('version', o.version, 'manager_id', o.manager_id))::event_in
                     order by n.id)
      into evs
      from old_rows o join new_rows n on n.id = o.id
     where n.manager_id is distinct from o.manager_id;
    perform event_write(evs);
    return null;
end $$;

-- A time as the API shows it: UTC, with microseconds. It is PL/pgSQL, which keeps its plan: as SQL, it could not become
-- a part of the statement around it.
create or replace function utc_text(at timestamptz) returns text
immutable strict parallel safe language plpgsql as
$$ begin return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'); end $$;

-- When a day begins in a time zone: its first instant, also where clocks go back at midnight (the earlier of two), or
-- midnight is skipped (the first minute after it).
create or replace function day_begin(day date, zone text) returns timestamptz
stable strict parallel safe language plpgsql as $$
begin
    return (select min(u)
              from (select day::timestamp at time zone zone - make_interval(mins => m) as u
                      from unnest(array [0, 30, 60]) m) c
             where (u at time zone zone)::date >= day);
end $$;

-- When a day ends in UTC: the first instant of the day after it.
create or replace function day_end(day date) returns timestamptz
immutable strict parallel safe language sql as $$ select (day + 1)::timestamp at time zone 'UTC' $$;

-- Checks that a manager who gets a key account has capacity for one more, as when an account gets key status. The plan
-- is made once for a connection, not at each call.
create or replace function account_manager() returns trigger
language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan as $$
begin
    if new.manager_id is not null and new.manager_id is distinct from old.manager_id
       and exists (select 1 from account_status s
                    where s.account_id = new.id and s.holds_place) then
        perform manager_check(new.manager_id, 0);
    end if;
    return null;
end $$;
