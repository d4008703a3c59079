-- An order of an imported file is whole, wherever its lines stand: the file is read once for which orders stand in
-- several places; the lines of those are kept aside until all are there, the others are written as they come.
-- min-binary: 29
alter table import
    add column scan_byte bigint not null default 0, -- how far it was read for that
    add column scan_line bigint not null default 0,
    add column scan_orders bigint not null default 0, -- what import_scan has
    add column scan_chunks int not null default 0,    -- how many chunks of them were looked through
    add column scattered boolean not null default false, -- some order stands in several places
    add column joined_to text not null default '';       -- of those, the ones up to this are written

-- They refer to nothing: they are written in the transaction that holds the import's row, and go when it has ended.
create table import_scan (
    import_id uuid not null, at_byte bigint not null,
    ids text[] not null, -- the orders from there on, each as often as it begins
    primary key (import_id, at_byte)
);
create table import_order ( -- those that stand in several places
    import_id uuid not null, external_id text collate "C" not null,
    primary key (import_id, external_id)
);
create table import_line ( -- of those
    import_id uuid not null, external_id text collate "C" not null, line bigint not null,
    record json not null,
    refused json, -- {field, code, detail}: why its order cannot be written
    primary key (import_id, external_id, line)
);
-- The next of them, by order: `most` rows of `most_bytes` together, but one at least. `ends`: it is its order's last.
-- By the index, whatever the statistics say: each call would sort all that are left.
create function import_lines_next(import uuid, after text, most int, most_bytes bigint)
    returns table (external_id text, line bigint, record json, refused json, ends boolean) language sql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
    select x.external_id, x.line, x.record, x.refused, x.ends from (
        select l.*, lead(l.external_id) over w is distinct from l.external_id as ends, row_number() over w as nth,
               sum(octet_length(l.record::text)) over w as bytes
          from (select * from import_line i where i.import_id = import and i.external_id > after
                 order by i.external_id, i.line limit most + 1) l
        window w as (order by l.external_id, l.line)) x
     where x.nth = 1 or (x.nth <= most and x.bytes <= most_bytes) order by x.nth
$$;

create function import_ended() returns trigger language plpgsql security definer
    set search_path = public, pg_temp as $$
begin
    delete from import_scan s where s.import_id = new.id;
    delete from import_order o where o.import_id = new.id;
    delete from import_line l where l.import_id = new.id;
    return null;
end $$;
create trigger import_ended after update of status on import for each row
    when (new.status in ('succeeded', 'failed')) execute function import_ended();
