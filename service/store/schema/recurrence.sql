-- Days that come again: wall clock times as instants, the days of a recurrence rule (RFC 5545), and cadences in months.

-- A wall clock's time as an instant, as RFC 5545 (3.3.5) reads it: a time in the hour that is left out in spring is
-- read with the offset of before, so it moves forward; of two in autumn, the first is meant. (AT TIME ZONE alone takes
-- the second.) `before` is the instant by the offset of the day before; it counts where it shows that wall clock's
-- time.
create or replace function local_instant(wall timestamp, zone text) returns timestamptz
stable strict parallel safe language sql as $$
    select case when b.before at time zone zone = wall then least(b.before, wall at time zone zone)
                else wall at time zone zone end
      from (select (wall - ((d.day_before at time zone zone) - (d.day_before at time zone 'UTC')))
                   at time zone 'UTC' as before
              from (select (wall at time zone zone) - interval '1 day' as day_before) d) b
$$;

-- The days after `after` and up to `to_on` that belong to a rule (RFC 5545, 3.3.10) whose first day is `first_on`, in
-- their order. COUNT, and an UNTIL with a time, are the caller's: that one's date may be another one in the follow-up's
-- time zone. check_recurrence() has let through FREQ, INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, COUNT, UNTIL and WKST. A
-- day belongs to the rule when its day, week, month or year is an INTERVAL-th one counted from the first day's, and
-- every BY part holds; what FREQ needs and no BY part says comes from the first day. So each day is tried, and days
-- that a month does not have are left out by themselves.
create or replace function recurrence_days(rule text, first_on date, after date, to_on date)
returns setof date stable strict parallel safe language plpgsql as $$
declare
    part jsonb := (select jsonb_object_agg(split_part(p, '=', 1), replace(split_part(p, '=', 2), '+', ''))
                     from unnest(string_to_array(upper(rule), ';')) p);
    freq text := part ->> 'FREQ';
    every int := coalesce((part ->> 'INTERVAL')::int, 1);
    months int[] := string_to_array(part ->> 'BYMONTH', ',')::int[];
    days int[] := string_to_array(part ->> 'BYMONTHDAY', ',')::int[];
    weekdays text[] := string_to_array(part ->> 'BYDAY', ',');
    names constant text[] := array ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'];
    until_on date := to_date(left(part ->> 'UNTIL', 8), 'YYYYMMDD');
    last_on date := least(to_on, case when length(part ->> 'UNTIL') > 8 then until_on + 1 else until_on end);
    week_start date := first_on - (extract(isodow from first_on)::int + 7
                                   - array_position(names, coalesce(part ->> 'WKST', 'MO'))) % 7;
begin
    if weekdays is null and days is null and freq <> 'DAILY' then
        if freq = 'WEEKLY' then
            weekdays := array [names[extract(isodow from first_on)]];
        else
            days := array [extract(day from first_on)];
            if freq = 'YEARLY' and months is null then
                months := array [extract(month from first_on)];
            end if;
        end if;
    end if;
    -- o: the year or month in which BYDAY counts its weekdays, from the front (2TU) and from the end (-1FR).
    return query
    select c.d
      from (select after + n as d from generate_series(1, last_on - after) n) c
      cross join lateral (
          select date_trunc('month', c.d)::date as month_on, date_trunc('year', c.d)::date as year_on) p
      cross join lateral (
          select case when freq = 'YEARLY' and months is null then p.year_on else p.month_on end as begins_on,
                 case when freq = 'YEARLY' and months is null then p.year_on + interval '1 year'
                      else p.month_on + interval '1 month' end::date as ends_on) o
     where case freq when 'DAILY' then c.d - first_on
                     when 'WEEKLY' then (c.d - week_start) / 7
                     when 'MONTHLY' then (extract(year from c.d) - extract(year from first_on)) * 12
                                         + extract(month from c.d) - extract(month from first_on)
                     else extract(year from c.d) - extract(year from first_on) end::int % every = 0
       and (months is null or extract(month from c.d) = any (months))
       and (days is null or extract(day from c.d) = any (days)
            or c.d - (p.month_on + interval '1 month')::date = any (days))
       and (weekdays is null
            or weekdays && array [
                   names[extract(isodow from c.d)],
                   (c.d - o.begins_on) / 7 + 1 || names[extract(isodow from c.d)],
                   -((o.ends_on - c.d - 1) / 7 + 1) || names[extract(isodow from c.d)]])
     order by c.d;
end $$;

-- The first day after `after` that belongs to a rule whose first day is `first_on`; null: none before UNTIL, or in a
-- hundred years. 62 days are tried at first, then eight times as many each time.
create or replace function recurrence_next(rule text, first_on date, after date) returns date
stable strict parallel safe language plpgsql as $$
declare
    last_on date := after + 36525;
    from_on date := after;
    reach int := 62;
    found_on date;
begin
    while from_on < last_on loop
        select d into found_on
          from recurrence_days(rule, first_on, from_on, least(from_on + reach, last_on)) d
         limit 1;
        if found then
            return found_on;
        end if;
        from_on := from_on + reach;
        reach := reach * 8;
    end loop;
    return null;
end $$;

-- The months between two reviews of a cadence; null for a name that is no cadence.
create or replace function cadence_months(cadence text) returns int
immutable parallel safe language sql as $$
    select case cadence when 'monthly' then 1 when 'quarterly' then 3 when 'semiannual' then 6 when 'annual' then 12 end
$$;
