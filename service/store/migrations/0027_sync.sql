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

-- Who wins where we and another system changed the same field of a record, and what lost.

alter table sync_state
    add column version bigint,                    -- of our record, after the system's last word
    add column said jsonb not null default '{}';  -- {field: digest} of its last values: a change of ours is told from one of theirs, and nothing personal is left here

create table sync_policy (
    system text primary key,
    conflict_policy text not null check (conflict_policy in ('source_wins', 'kamd_wins', 'latest_wins')),
    fields jsonb not null default '[]', -- [{resource, field, rule}]
    updated_at timestamptz not null default now(), updated_by text
);

create table sync_conflict (
    id uuid primary key default gen_random_uuid(), created_at timestamptz not null default now(),
    system text not null, resource text not null, external_id text not null,
    account_id uuid, record_id uuid not null,
    field text not null, kamd_value jsonb, system_value jsonb,
    rule text not null, winner text not null check (winner in ('kamd', 'source')),
    system_modstamp timestamptz, request_id text,
    resolution text check (resolution in ('kamd', 'source')), resolved_at timestamptz, resolved_by text
);
create unique index sync_conflict_open_key on sync_conflict (system, resource, external_id, field) where resolved_at is null;
create index sync_conflict_system_idx on sync_conflict (system, created_at desc, id desc);
create index sync_conflict_record_id_idx on sync_conflict (record_id);
call protect('sync_conflict', 'account_id');
call protect_areas('sync_conflict', 'resource_area(resource)');
create policy everybody on sync_conflict to kamd_app using (account_id is null) with check (account_id is null);

-- Keeps what lost. Where we won, the other system has a value that is not ours: our record is told of once more, as by nobody else but us, so that it hears of it.
create function sync_conflicts_put(conflicts jsonb) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
    origin text := coalesce(current_setting('kamd.origin', true), '');
begin
    insert into sync_conflict as c (system, resource, external_id, account_id, record_id, field, kamd_value, system_value, rule, winner, system_modstamp, request_id)
    select w.system, w.resource, w.external_id, w.account_id, w.record_id, w.field, w.kamd_value, w.system_value, w.rule, w.winner, w.system_modstamp, context('request_id')
      from jsonb_populate_recordset(null::sync_conflict, conflicts) w order by w.external_id, w.field
    on conflict (system, resource, external_id, field) where resolved_at is null do update
       set created_at = now(), account_id = excluded.account_id, record_id = excluded.record_id, kamd_value = excluded.kamd_value, system_value = excluded.system_value,
           rule = excluded.rule, winner = excluded.winner, system_modstamp = excluded.system_modstamp, request_id = excluded.request_id;
    select array_agg(row (w.resource || case w.gone when true then '.deleted' when false then '.restored' else '.updated' end, w.account_id, w.resource, w.record_id, w.version, gen_random_uuid()::text,
               jsonb_strip_nulls(jsonb_build_object('account_id', w.account_id, w.resource || '_id', w.record_id, 'version', w.version, 'changed_fields', w.fields)),
               jsonb_build_object('version', w.version))::event_in order by w.record_id)
      into evs
      from (select e ->> 'resource' as resource, (e ->> 'account_id')::uuid as account_id, (e ->> 'record_id')::uuid as record_id, max((e ->> 'version')::bigint) as version,
                   jsonb_agg(e -> 'field' order by e ->> 'field') as fields,
                   bool_or((e ->> 'kamd_value')::boolean) filter (where e ->> 'field' = 'deleted_at') as gone
              from jsonb_array_elements(conflicts) e where e ->> 'winner' = 'kamd' group by 1, 2, 3) w;
    perform set_config('kamd.origin', 'kamd', true);
    perform emit(evs);
    perform set_config('kamd.origin', origin, true);
end $$;
