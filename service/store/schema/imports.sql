-- Imports of files: statistics while they fill tables, the lines of orders that stand in several places of a file, and
-- what goes when an import ends or is deleted.

-- Analyzes the tables that an import fills. While it fills tables that were empty, plans are made for empty tables, and
-- autovacuum comes after a minute at the earliest. Only tables that have doubled since they were last looked at are
-- analyzed: all of them took seconds each time, in a database of some size.
create or replace function import_statistics() returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    grown regclass;
begin
    for grown in select c.oid from pg_class c
                  where c.oid = any (array [
                            'account', 'account_status', 'external_id', 'sync_state', 'contact', 'interaction',
                            'sales_order', 'day_sales', 'history', 'account_sequence']::regclass[])
                    and pg_relation_size(c.oid) / current_setting('block_size')::int > 2 * greatest(c.relpages, 8) loop
        execute format('analyze %s', grown);
    end loop;
end $$;
revoke execute on function import_statistics() from kamd_app;

-- Deletes the rows of import_record with their import. A foreign key would look the import up for each row written,
-- though the transaction that writes them holds the import's row anyway.
create or replace function import_records_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from import_record r using old_rows o where r.import_id = o.id;
    return null;
end $$;

-- The next lines of an import that were kept aside, of orders after `after`, by order and line: at most `most` lines of
-- `most_bytes` together, but one at least. `ends`: the line is the last of its order. They are read by the index,
-- whatever the statistics say, because each call would else sort all lines that are left: so the settings leave no
-- other way.
create or replace function import_lines_next(import uuid, after text, most int, most_bytes bigint)
returns table (external_id text, line bigint, record json, refused json, ends boolean)
language sql stable set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
    select x.external_id, x.line, x.record, x.refused, x.ends
      from (select l.*, lead(l.external_id) over w is distinct from l.external_id as ends, row_number() over w as nth,
                   sum(octet_length(l.record::text)) over w as bytes
              from (select * from import_line i
                     where i.import_id = import and i.external_id > after
                     order by i.external_id, i.line limit most + 1) l
            window w as (order by l.external_id, l.line)) x
     where x.nth = 1 or (x.nth <= most and x.bytes <= most_bytes)
     order by x.nth
$$;

-- Deletes what an import notes about its file for its own work, once the import has succeeded or failed.
create or replace function import_ended() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from import_scan s where s.import_id = new.id;
    delete from import_order o where o.import_id = new.id;
    delete from import_line l where l.import_id = new.id;
    return null;
end $$;
