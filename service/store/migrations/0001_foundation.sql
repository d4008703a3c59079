-- Roles, context, and the two functions by which every later table is protected.
-- kamd_owner runs this and owns everything; kamd_app serves the API and owns nothing; kamd_worker runs the loops.
-- The roles themselves come from deploy/sql/roles.sql, since only a superuser can make them.

-- What later migrations create is readable and writable for both roles; nobody but the owner deletes or truncates, unless it is granted by name.
alter default privileges in schema public grant select, insert, update on tables to kamd_app, kamd_worker;
alter default privileges in schema public grant usage, select on sequences to kamd_app, kamd_worker;
alter default privileges in schema public revoke execute on functions from public;
alter default privileges in schema public grant execute on functions to kamd_app, kamd_worker;

-- A transaction-local setting of the caller; NULL when unset (after a local set, PostgreSQL leaves '' behind).
create function context(name text) returns text stable parallel safe language sql
as $$ select nullif(current_setting('kamd.' || name, true), '') $$;

-- Which accounts a user may see, and which information areas of them (a bit mask; issue of access). Filled by acl_refresh().
create table acl (
    user_id uuid not null,
    account_id uuid not null,
    reason text not null check (reason in ('manager', 'sponsor', 'delegate', 'above', 'team', 'grant')),
    areas bigint not null default -1,
    visible_from timestamptz not null default '-infinity',
    visible_until timestamptz not null default 'infinity',
    primary key (user_id, account_id, reason)
);
create index acl_account_id_idx on acl (account_id);
grant delete on acl to kamd_worker;
alter table acl enable row level security;
alter table acl force row level security;
create policy own on acl to kamd_app using (
    (select current_setting('kamd.scope', true)) = 'all'
    or user_id = (select nullif(current_setting('kamd.user_id', true), '')::uuid));
create policy worker on acl to kamd_worker using (true) with check (true);
create policy owner on acl to kamd_owner using (true) with check (true);

-- Row level security of a table whose rows belong to an account. Uncorrelated sub-selects: evaluated once per statement, and not at all
-- for callers with scope 'all' (measured: a correlated EXISTS turns a 0.3 ms search into 1.5 s).
create procedure protect(tab regclass, account_column name) language plpgsql as $$
declare
    visible text := format(
        '(select current_setting(''kamd.scope'', true)) = ''all'' or %I = any (array(select a.account_id from acl a'
        ' where a.user_id = (select nullif(current_setting(''kamd.user_id'', true), '''')::uuid)'
        ' and a.visible_from <= now() and a.visible_until > now()))', account_column);
begin
    execute format('alter table %s enable row level security', tab);
    execute format('alter table %s force row level security', tab);
    execute format('create policy visible on %s to kamd_app using (%s) with check (%s)', tab, visible, visible);
    execute format('create policy worker on %s to kamd_worker using (true) with check (true)', tab);
    execute format('create policy owner on %s to kamd_owner using (true) with check (true)', tab);
end $$;
