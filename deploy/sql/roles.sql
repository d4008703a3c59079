-- Roles, database and extensions, run by a superuser, and again with a version that has changed it;
-- else running it again changes nothing but the passwords it is given:
--
--   psql -v owner_password=... -v app_password=... -v worker_password=... -f roles.sql
--
-- A variable left out leaves that role's password as it is. kamd_owner owns the schema and runs the
-- migrations; kamd_app is the API's, kamd_worker the workers': both own nothing.
\set ON_ERROR_STOP on
set client_min_messages = warning;
-- A statement with a password must not reach the server's log.
set log_statement = 'none';
set log_min_duration_statement = -1;
set log_min_error_statement = panic;

select format('create role %I', r)
from unnest(array['kamd_owner', 'kamd_app', 'kamd_worker']) r
where not exists (select from pg_roles where rolname = r)
\gexec

alter role kamd_owner  login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
alter role kamd_app    login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
alter role kamd_worker login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

\if :{?owner_password}
alter role kamd_owner password :'owner_password';
\endif
\if :{?app_password}
alter role kamd_app password :'app_password';
\endif
\if :{?worker_password}
alter role kamd_worker password :'worker_password';
\endif

-- Timeouts belong to the roles: poolers refuse them as connection options.
-- Compiling a plan to machine code costs seconds where the planner overestimates a recursive query; short statements never earn it back.
alter role kamd_owner  set jit = off;
alter role kamd_app    set jit = off;
alter role kamd_worker set jit = off;
alter role kamd_owner  set lock_timeout = '2s';
-- Many small requests at once leave no processor for a second process of one; to start it costs more than such a statement.
alter role kamd_app    set max_parallel_workers_per_gather = 0;
-- Below the request's deadline of 2 s: a slow statement fails alone, instead of looking like a lost server.
alter role kamd_app    set statement_timeout = '1500ms';
alter role kamd_app    set lock_timeout = '1s';
alter role kamd_app    set idle_in_transaction_session_timeout = '5s';
alter role kamd_worker set statement_timeout = '30s';
alter role kamd_worker set lock_timeout = '1s';
alter role kamd_worker set idle_in_transaction_session_timeout = '5s';
-- A deadlock must be found before lock_timeout ends the wait: only the former is worth repeating.
alter role kamd_app    set deadlock_timeout = '200ms';
alter role kamd_worker set deadlock_timeout = '200ms';
-- What nobody waits for any more is not worth finishing.
alter role kamd_app    set client_connection_check_interval = '500ms';

select $$create database kamd owner kamd_owner template template0 encoding 'UTF8' locale 'C.UTF-8'$$
where not exists (select from pg_database where datname = 'kamd')
\gexec

revoke all on database kamd from public;
grant connect on database kamd to kamd_app, kamd_worker;

\connect kamd
set client_min_messages = warning;
revoke create on schema public from public;
create extension if not exists "uuid-ossp";
create extension if not exists pg_trgm;
create extension if not exists btree_gin;
