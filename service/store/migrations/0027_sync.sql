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

-- The change feed is the event log, read by other eyes: what an event says happened to its record; null where it is no change of one.
create function change_op(type text, resource text) returns text immutable parallel safe language sql as $$
    select case when type like 'account.key\_status.%' or type = 'account.tier_changed' then 'updated'
                when left(type, length(resource) + 1) = resource || '.' then
                    case substr(type, length(resource) + 2) when 'created' then 'created' when 'updated' then 'updated' when 'deleted' then 'deleted'
                         when 'restored' then 'undeleted' when 'merged' then 'merged' end end
$$;

-- The position after which a time begins, or a little before: by halving, since positions are dense and times grow with them but for transactions
-- that were open for long.
create function change_position(since timestamptz) returns bigint stable language plpgsql as $$
declare
    low bigint := (select min(position) from event_position);
    high bigint := (select max(position) + 1 from event_position);
    middle bigint;
begin
    while low < high loop
        middle := (low + high) / 2;
        if exists (select from event_position p where p.position = middle and p.at < since - interval '1 minute') then
            low := middle + 1;
        else
            high := middle;
        end if;
    end loop;
    return low - 1;
end $$;
