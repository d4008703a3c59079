-- What migrations call: the functions of defaults, generated columns and first rows. This file is applied before the
-- migrations. Whoever changes a function that feeds a stored column writes a migration that computes the column anew.

-- The roles come from deploy/sql/roles.sql, since only a superuser can make them: kamd_owner runs this and owns
-- everything; kamd_app serves the API, kamd_worker runs the loops, and both own nothing. What kamd_owner makes is
-- readable and writable for both; nobody but the owner deletes or truncates, unless it is granted by name.
alter default privileges in schema public grant select, insert, update on tables to kamd_app, kamd_worker;
alter default privileges in schema public grant usage, select on sequences to kamd_app, kamd_worker;
alter default privileges in schema public grant execute on functions to kamd_app, kamd_worker;
alter default privileges revoke execute on functions from public;
revoke all on schema_migration, schema_file from kamd_app, kamd_worker; -- everybody may read them

-- A transaction-local setting of the caller; null when unset (after a local set, PostgreSQL leaves '' behind).
create or replace function session_setting(name text) returns text
stable parallel safe language sql as $$ select nullif(current_setting('kamd.' || name, true), '') $$;

-- The baseline calls session_setting() by the name that it had before 0048, which drops it.
do $$
begin
    if to_regclass('webhook_endpoint') is null then
        create or replace function context(name text) returns text
        stable parallel safe language sql as 'select session_setting(name)';
    end if;
end $$;

-- Ids of rows that functions make: UUIDs of version 7, as those of the API.
create or replace function uuid_v7() returns uuid volatile parallel safe language sql as $$
    select encode(set_bit(set_bit(
               overlay(uuid_send(gen_random_uuid())
                       placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                       from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- The days of a period: 2026, 2026-H1, 2026-Q3, 2026-07. Null for anything else, and for years before 1000.
create or replace function period_days(period text) returns daterange immutable strict parallel safe language sql as $$
    select case when p.first is not null
                then daterange(p.first, (p.first + make_interval(months => p.months))::date) end
      from (select case when period ~ '^\d{4}$' then 12
                        when period ~ '^\d{4}-H[12]$' then 6
                        when period ~ '^\d{4}-Q[1-4]$' then 3
                        when period ~ '^\d{4}-(0[1-9]|1[0-2])$' then 1 end as months,
                   case when period ~ '^\d{4}$' then make_date(left(period, 4)::int, 1, 1)
                        when period ~ '^\d{4}-H[12]$'
                        then make_date(left(period, 4)::int, right(period, 1)::int * 6 - 5, 1)
                        when period ~ '^\d{4}-Q[1-4]$'
                        then make_date(left(period, 4)::int, right(period, 1)::int * 3 - 2, 1)
                        when period ~ '^\d{4}-(0[1-9]|1[0-2])$'
                        then make_date(left(period, 4)::int, right(period, 2)::int, 1) end as first
             where left(period, 4) >= '1000') p
$$;

-- The amount of an order: the sum of its lines, exact. Orders are facts: they arrive and are corrected whole, so the
-- lines stay with them.
create or replace function lines_amount(lines jsonb) returns numeric
immutable strict parallel safe language sql as
$$ select coalesce(sum((l ->> 'amount')::numeric), 0) from jsonb_array_elements(lines) l $$;

-- What an order cost: the sum of its lines, exact; null where the cost of any line is unknown.
create or replace function lines_cost(lines jsonb) returns numeric
immutable strict parallel safe language sql as $$
    select case when bool_and(l ->> 'cost' is not null) then sum((l ->> 'cost')::numeric) end
      from jsonb_array_elements(lines) l
$$;

-- The version of the plan template that new plans follow.
create or replace function template_in_force() returns int
stable language sql as $$ select version from plan_template where active $$;

-- All that a caller may at most, as one number: the areas to read, above them (from bit 20) those to write, then all
-- accounts (bit 40), and what is for admins (bit 41). The setting kamd.areas holds this number; bit 40 is also set
-- where the setting kamd.scope says 'all'.
create or replace function caller_reach() returns bigint stable parallel safe language sql as $$
    select coalesce(nullif(current_setting('kamd.areas', true), '')::bigint, 0)
           | case when current_setting('kamd.scope', true) = 'all' then 1::bigint << 40 else 0 end
$$;

-- The information areas of an account. An area's number is its place in this list, from 0.
create or replace function area_names() returns text[]
immutable parallel safe language sql as $$
    select array[
        'competitive_environment', 'contacts_and_decisions', 'negotiations', 'leader_perceptions', 'values_beliefs',
        'capabilities', 'strategies', 'internal_processes', 'interaction_history', 'profile', 'contacts', 'sales',
        'economics', 'interactions', 'problems', 'reviews', 'plan', 'divestment']
$$;

-- An area's place in area_names(), from 0; null for a name that is none. It is not STRICT, because strict kept it from
-- becoming a part of the statement around it, and it was planned by itself at each call.
create or replace function area_number(area text) returns int
immutable parallel safe language sql as $$ select array_position(area_names(), area) - 1 $$;

-- The bit mask of all areas.
create or replace function areas_all() returns bigint
immutable parallel safe language sql as $$ select (1::bigint << cardinality(area_names())) - 1 $$;

-- The bit mask of some areas; names that are none count for nothing. It is PL/pgSQL, which keeps its plan, because it
-- cannot become a part of the statement around it.
create or replace function areas_mask(areas text[]) returns bigint immutable parallel safe language plpgsql as $$
declare
    mask bigint := 0;
    area text;
begin
    foreach area in array coalesce(areas, '{}') loop
        mask := mask | coalesce(1::bigint << area_number(area), 0);
    end loop;
    return mask;
end $$;

-- 32 bytes that nobody can guess: a salt for the audit, a key for the digests of erased ids.
create or replace function audit_salt_new() returns bytea
volatile language sql as $$ select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) $$;

-- Which database this is: the cluster, its timeline (another one after a promotion or a recovery to a point in time),
-- and the database in it. Where a provider forbids to ask for one of them, the others must do; see sequence_events().
create or replace function database_identity() returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    cluster text := '?';
    timeline text := '?';
begin
    begin
        cluster := (select c.system_identifier from pg_control_system() c);
    exception when others then
    end;
    begin
        timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    exception when others then
    end;
    return cluster || '/' || timeline || '/' || (select d.oid from pg_database d where d.datname = current_database());
end $$;
revoke execute on function database_identity() from kamd_app;

-- Makes the partitions of events for today and so many days ahead; returns how many it made. The housekeeping calls it;
-- the default partition event_rest is the net below: a day of which it holds events gets no partition. Events are read
-- through their table, whose policies say who sees which; a day's partition by its own name is for nobody.
create or replace function event_partitions(days_ahead int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    d date;
    made int := 0;
begin
    for d in select generate_series(current_date, current_date + days_ahead, interval '1 day')::date loop
        if to_regclass(format('event_%s', to_char(d, 'YYYYMMDD'))) is null
           and not exists (select 1 from only event_rest where at >= d and at < d + 1) then
            execute format('create table event_%s partition of event for values from (%L) to (%L)',
                           to_char(d, 'YYYYMMDD'), d::timestamp at time zone 'UTC',
                           (d + 1)::timestamp at time zone 'UTC');
            execute format('revoke all on event_%s from kamd_app, kamd_worker', to_char(d, 'YYYYMMDD'));
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;
revoke execute on function event_partitions(int) from kamd_app;

-- The last id that was drawn for a row of audit, committed or not; 0 when there is none.
create or replace function audit_drawn() returns bigint
volatile language sql as $$ select case when s.is_called then s.last_value else 0 end from audit_id_seq s $$;
revoke execute on function audit_drawn() from kamd_app, kamd_worker;

-- Who got in touch, where nobody said: the customer, with a complaint, a suggestion, an inquiry or a service call.
create or replace function interaction_direction(kind text) returns text immutable parallel safe language sql as $$
    select case when kind in ('complaint', 'suggestion', 'inquiry', 'service_call') then 'inbound' else 'outbound' end
$$;

-- True of an interaction that is a contact with the customer. Taking an order is none (003-01), nor is trouble that the
-- customer brings: who rings to complain has not been cared for.
create or replace function interaction_is_contact(kind text, direction text, order_taking boolean) returns boolean
immutable parallel safe language sql as $$
    select not order_taking and kind <> 'complaint'
           and not (direction = 'inbound' and kind in ('suggestion', 'inquiry', 'service_call'))
$$;
