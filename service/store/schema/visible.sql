-- The functions visible_TABLE(ids, deleted): which of these records the caller sees, with the record's account and the
-- areas of the account that the caller reads. Deleted records are among them only where `deleted` is true.

-- Makes visible_TABLE() for a table: `account` is its column of the account, `area` an expression over its row `t` that
-- gives the number of the area. The function reads the record's account with the rights of the owner, and then asks for
-- the caller's access to it, also where there is no record: with row level security alone, the caller's accounts would
-- be put together only once a row is found, and the time would tell that there is one. coalesce keeps the join an outer
-- one.
create or replace procedure make_visible(tab regclass, account text, area text) language plpgsql as $make$
begin
    execute format($sql$
create or replace function visible_%1$s(ids uuid[], deleted boolean)
returns table (id uuid, account_id uuid, areas bigint)
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
call make_visible('allied_organisation', 'account_id', 'area_number(''profile'')');
