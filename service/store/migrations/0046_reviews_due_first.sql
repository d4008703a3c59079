-- A review is missed only after it was told to be due. One whose row another transaction held was passed over when the
-- due ones were told, and could be missed a moment later by the same call: review.due was then never sent.
-- min-binary: 29
create or replace function reviews_fire(most int) returns int language plpgsql security definer
set search_path = public, pg_temp as $$
declare
    evs event_in[];
    r review;
    grace int := (select review_grace_days from program_settings);
    -- today's date where the day begins first
    furthest date := ((clock_timestamp() at time zone 'UTC') + interval '14 hours')::date;
    n int := 0;
begin
    -- Those that were told stay scheduled for days: they are left out before anything is worked out.
    with waiting as materialized (
        select t.id from review t where t.status = 'scheduled' and t.deleted_at is null and t.due_on <= furthest
           and not exists (select 1 from review_told d where d.review_id = t.id and d.due_on = t.due_on)
    ), due as materialized (
        select t.* from review t join waiting w on w.id = t.id
         where t.status = 'scheduled' and t.deleted_at is null and day_begin(t.due_on, t.time_zone) <= clock_timestamp()
         order by t.due_on limit most for update of t skip locked
    ), told as (
        insert into review_told (review_id, due_on, account_id) select id, due_on, account_id from due
            on conflict do nothing returning review_id
    )
    select array_agg(row ('review.due', d.account_id, 'review', d.id, d.version,
               'review.due:' || d.id || ':' || d.due_on,
               jsonb_strip_nulls(jsonb_build_object('account_id', d.account_id, 'review_id', d.id,
                   'version', d.version, 'plan_id', d.plan_id, 'cadence', d.cadence,
                   'due_on', d.due_on, 'time_zone', d.time_zone)), '{}')::event_in order by d.due_on, d.id)
      into evs from due d join told t on t.review_id = d.id;
    perform emit(evs);
    for r in
        select t.* from review t
         where t.status = 'scheduled' and t.deleted_at is null and t.due_on <= furthest - grace - 1
           and day_begin(t.due_on + grace + 1, t.time_zone) <= clock_timestamp()
           and t.created_at + make_interval(days => grace) <= clock_timestamp()
           and exists (select 1 from review_told d where d.review_id = t.id and d.due_on = t.due_on)
         order by t.due_on limit most for update skip locked
    loop
        perform review_next(r, (clock_timestamp() at time zone r.time_zone)::date - grace);
        update review t set status = 'missed', version = t.version + 1, updated_at = now() where t.id = r.id;
        n := n + 1;
    end loop;
    return n + coalesce(cardinality(evs), 0);
end $$;
