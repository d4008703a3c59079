-- Imports: a file in parts, read from its beginning to its end; how far, and what came of each row, is written in the transaction of the rows.

create table import (
    id uuid primary key, created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    system text not null, resource text not null, format text not null check (format in ('csv', 'ndjson')),
    dry_run boolean not null, presets jsonb not null, -- {columns: {column: field}, values: {field: value}}
    source text,                                      -- where the file comes from, and of when
    status text not null default 'open' check (status in ('open', 'queued', 'running', 'succeeded', 'failed', 'reverting', 'reverted')),
    who text not null, actor text not null, role text not null, user_id text not null,
    at_byte bigint not null default 0, at_line bigint not null default 0, size bigint not null default 0,
    header jsonb, -- the columns of a CSV file
    counts jsonb not null default '{}', failure text
);
create index import_created_at_idx on import (created_at desc, id desc);
create table import_part (
    import_id uuid not null references import on delete cascade, n int not null check (n between 1 and 100000),
    content bytea not null, digest text not null, start_byte bigint,
    primary key (import_id, n)
);
alter table import_part alter column content set storage external; -- read by the slice
create table import_error (
    import_id uuid not null references import on delete cascade, line bigint not null, external_id text, errors jsonb not null,
    primary key (import_id, line)
);
-- What it made or changed, for who wants to undo it.
create table import_record (
    import_id uuid not null references import on delete cascade, n bigint generated always as identity,
    record_id uuid not null, outcome text not null, version bigint not null, reverted text,
    primary key (import_id, n)
);
grant delete on import, import_part, import_error, import_record to kamd_worker;
