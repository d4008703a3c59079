-- Sync: what each other system said last of each record, and the records that wait for their parents.

-- Also where the record was deleted, or never came: a message that is older is known as one.
create table sync_state (
    system text not null, resource text not null, external_id text not null,
    system_modstamp timestamptz, -- the other system's clock, never compared with ours
    is_deleted boolean not null default false,
    primary key (system, resource, external_id)
);

create table sync_deferred (
    system text not null, resource text not null, external_id text not null,
    system_modstamp timestamptz,
    record jsonb not null,      -- as it came
    waits_for text[] not null,  -- "resource|external id" of each parent that was missing
    actor text, created_at timestamptz not null default now(),
    failure text,               -- its parents came, and it was refused all the same
    primary key (system, resource, external_id)
);
create index sync_deferred_waits_for_idx on sync_deferred using gin (waits_for);
create index sync_deferred_created_at_idx on sync_deferred (created_at);
grant delete on sync_deferred to kamd_app, kamd_worker;
