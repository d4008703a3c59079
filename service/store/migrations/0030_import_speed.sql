-- What stood in the way of long imports, as measured.
-- min-binary: 29

-- Marks for scoring are added, and locked by nobody: who writes for an account does not wait for its score. A worker deletes those that it sees, then reads: what a
-- later mark is for may have been read already, never the other way round. Whoever scores an account at the same time waits for its standing, and reads after that.
alter table rescore drop constraint rescore_pkey;
create index rescore_account_id_idx on rescore (account_id);
create or replace function rescore_mark(ids uuid[]) returns void language sql security definer set search_path = public, pg_temp as $$
    insert into rescore (account_id) select distinct i from unnest(ids) i where i is not null
$$;
create or replace function rescore_marked(most int) returns setof standing_touch language plpgsql security definer set search_path = public, pg_temp as $$
declare
    ids uuid[];
begin
    with marked as materialized (
        select account_id from (select distinct r.account_id from rescore r order by 1 limit most) d
    ), taken as (
        select r.ctid as at from rescore r join marked s on s.account_id = r.account_id for update of r skip locked
    ), gone as (
        delete from rescore r using taken t where r.ctid = t.at returning r.account_id
    )
    select array_agg(distinct account_id order by account_id) into ids from gone;
    if ids is null then
        select array_agg(account_id) into ids from
            (select s.account_id from standing s where s.grace_until <= now() order by s.account_id limit most for update skip locked) expired;
    end if;
    if ids is not null then
        return query select * from evaluate(ids, false, 'inputs_changed');
        return query select * from evaluate_health(ids);
    end if;
end $$;

-- While an import fills tables that were empty, plans are made for empty tables; autovacuum comes after a minute at the earliest.
create function import_statistics() returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    analyze account, standing, external_id, sync_state, contact, interaction, sales_order, day_sales, history, account_sequence;
end $$;
revoke execute on function import_statistics() from kamd_app;
