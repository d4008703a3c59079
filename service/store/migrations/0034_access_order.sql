-- Access that opens is told in the order of locks of those who change a team: an account's sequence first, then its rows of acl. (As in 0022 it was the other
-- way round: the two then waited for each other, and one of them began anew.) It waits for neither: what others hold now, the next round tells.
-- min-binary: 29
create or replace function access_open(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    mine uuid[];
    evs event_in[];
begin
    with due as materialized (
        select distinct x.account_id from (
            select x.account_id from acl x where not x.opened and x.visible_from <= now() order by x.account_id, x.user_id, x.reason, x.nth limit most) x
    ), locked as (
        select s.account_id from account_sequence s where s.account_id in (select d.account_id from due d) order by s.account_id for update skip locked
    )
    select array_agg(m.account_id) into mine from (
        select l.account_id from locked l
        union all
        select d.account_id from due d where not exists (select from account_sequence s where s.account_id = d.account_id)) m;
    if mine is null then
        return 0;
    end if;
    with due as (
        select x.user_id, x.account_id, x.reason, x.nth from acl x where not x.opened and x.visible_from <= now() and x.account_id = any (mine)
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
