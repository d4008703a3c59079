-- Events are read through their table, whose policies say who sees which; a day's partition by its own name is for nobody.
create or replace function event_partitions(days_ahead int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    d date;
    made int := 0;
begin
    for d in select generate_series(current_date, current_date + days_ahead, interval '1 day')::date loop
        if to_regclass(format('event_%s', to_char(d, 'YYYYMMDD'))) is null
           and not exists (select 1 from only event_rest where at >= d and at < d + 1) then
            execute format('create table event_%s partition of event for values from (%L) to (%L)',
                           to_char(d, 'YYYYMMDD'), d::timestamp at time zone 'UTC', (d + 1)::timestamp at time zone 'UTC');
            execute format('revoke all on event_%s from kamd_app, kamd_worker', to_char(d, 'YYYYMMDD'));
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;
do $$
declare
    part regclass;
begin
    for part in select i.inhrelid::regclass from pg_inherits i where i.inhparent = 'event'::regclass loop
        execute format('revoke all on %s from kamd_app, kamd_worker', part);
    end loop;
end $$;
