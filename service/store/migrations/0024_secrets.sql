-- Sealed values outlive the master key that sealed them: `kamd rotate-secrets` seals them anew.

-- Until now a pair followed from the master key and its number, and would have been another one under another master key.
alter table webhook_key add column sealed bytea;
comment on column webhook_key.sealed is 'The seed of the pair, sealed by the program; null until a worker has started once since this came.';

-- Of values that are sealed only the seal may change, and only by the workers' role.
grant update (sealed) on webhook_secret to kamd_worker;

-- Values of an endpoint's own headers, mostly receivers' tokens: the record holds a reference for each, `sealed:<id>`. Only the workers read what is sealed.
create table webhook_header (
    id uuid primary key, endpoint_id uuid not null constraint webhook_header_endpoint_id_fkey references webhook_endpoint,
    sealed bytea not null, created_at timestamptz not null default now()
);
create index webhook_header_endpoint_id_idx on webhook_header (endpoint_id);
revoke select, update on webhook_header from kamd_app;
grant select (id, endpoint_id), delete on webhook_header to kamd_app;
revoke insert, update on webhook_header from kamd_worker;
grant update (sealed), delete on webhook_header to kamd_worker;
