-- What an id names is looked up under the caller's own access, and what is hidden costs what never was costs.
-- min-binary: 29

-- visible_TABLE(ids, deleted): which of these records the caller sees, with their accounts and the areas that the
-- caller reads of those; deleted records only where they are asked for.
-- The account is read by the owner, and then the caller's access to it is asked, also where there is no record: with
-- row level security alone the caller's accounts are put together only once a row is found, and the time tells that
-- there is one. coalesce keeps the join an outer one.
create procedure make_visible(tab regclass, account text, area text) language plpgsql as $make$
begin
    execute format($sql$
create function visible_%1$s(ids uuid[], deleted boolean) returns table (id uuid, account_id uuid, areas bigint)
stable rows 10 security definer set search_path = public, pg_temp language plpgsql as $body$
begin
    return query
    select i.id, r.account, a.areas from unnest(ids) i(id)
      left join lateral (select t.%2$I as account, %3$s as area from %1$s t
                          where t.id = i.id and (deleted or t.deleted_at is null) offset 0) r on true
     cross join lateral areas_of(coalesce(r.account, '00000000-0000-0000-0000-000000000000')) a(areas)
     where a.areas >> coalesce(r.area, 63) & 1 = 1;
end $body$$sql$, tab, account, area);
end $make$;

call make_visible('account', 'id', 'area_number(''profile'')');
call make_visible('contact', 'account_id', 'area_number(''contacts'')');
call make_visible('plan', 'account_id', 'area_number(''plan'')');
call make_visible('plan_section', 'account_id', 'area_number(t.section)');
call make_visible('review', 'account_id', 'area_number(''reviews'')');
call make_visible('follow_up', 'account_id', 'area_number(''reviews'')');
call make_visible('interaction', 'account_id', 'area_number(''interactions'')');
call make_visible('problem', 'account_id', 'area_number(''problems'')');
call make_visible('sales_order', 'account_id', 'area_number(''sales'')');
call make_visible('team_member', 'account_id', 'area_number(''profile'')');
call make_visible('wallet', 'account_id', 'area_number(''economics'')');
call make_visible('nomination', 'account_id', 'area_number(''profile'')');
call make_visible('commitment', 'account_id', 'area_number(''interactions'')');
call make_visible('need', 'account_id', 'area_number(''interactions'')');
call make_visible('solution', 'account_id', 'area_number(''interactions'')');
call make_visible('investment', 'account_id', 'area_number(''economics'')');
call make_visible('project', 'account_id', 'area_number(''plan'')');
call make_visible('link', 'account_id', 'area_number(''profile'')');

-- For visible_plan_section() to ask who may see it.
create function plan_section_id(plan uuid, section text) returns uuid stable security definer
set search_path = public, pg_temp language plpgsql as $$
begin
    return (select s.id from plan_section s where s.plan_id = plan and s.section = plan_section_id.section);
end $$;

-- Of people there is one list for all who may ask.
create function visible_app_user(ids uuid[], deleted boolean) returns table (id uuid, account_id uuid, areas bigint)
stable rows 10 language plpgsql as $$
begin
    return query select u.id, null::uuid, caller_reads() from app_user u
                  where u.id = any (ids) and (deleted or u.deleted_at is null);
end $$;

-- The parent cannot go while an account is put below it. Its row is locked before the tree is: who changes the parent's
-- level has the row already, and then wants the tree. The planner's settings are for one account, found by its id.
create or replace function account_tree() returns trigger language plpgsql security definer
set search_path = public, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
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
