-- A grace clock that ran out is looked at in every round. (As in 0030 only where nothing was marked: while others'
-- marks kept coming, nobody slipped until the full evaluation of the next day.) It is not locked here: evaluate() locks
-- all it touches in one order, and who comes second finds the status moved.
-- min-binary: 29
create or replace function rescore_marked(most int) returns setof standing_touch language plpgsql security definer
set search_path = public, pg_temp as $$
declare
    ids uuid[];
begin
    with marked as materialized (
        select account_id from (select distinct r.account_id from rescore r order by 1 limit most) d
    ), taken as (
        select r.ctid as at from rescore r join marked s on s.account_id = r.account_id for update of r skip locked
    ), gone as (
        delete from rescore r using taken t where r.ctid = t.at returning r.account_id
    ), expired as (
        select s.account_id from standing s where s.grace_until <= now() order by s.account_id limit most
    )
    select array_agg(account_id order by account_id) into ids
      from (select account_id from gone union select account_id from expired) due;
    if ids is not null then
        return query select * from evaluate(ids, false, 'inputs_changed');
        return query select * from evaluate_health(ids);
    end if;
end $$;
