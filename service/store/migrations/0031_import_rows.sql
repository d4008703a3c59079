-- What each imported row costs, as measured: a third of it was looking up what is known already.
-- min-binary: 29

-- Written in the transaction that holds the import's row: nothing to look up for each of them.
alter table import_record drop constraint import_record_import_id_fkey;
create function import_records_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from import_record r using old_rows o where r.import_id = o.id;
    return null;
end $$;
create trigger import_records_follow after delete on import referencing old table as old_rows for each statement execute function import_records_follow();

-- As external_ids_follow(), for the one table that grows by the million: its account without a document of the whole row, and who is missing only when somebody is.
create function order_external_ids() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    wanted int;
    put int;
    taken record;
begin
    select count(*) into wanted from new_rows n, jsonb_object_keys(n.external_ids) k;
    insert into external_id (system, resource, external_id, record_id, account_id)
    select k.key, 'order', k.value, n.id, n.account_id from new_rows n, jsonb_each_text(n.external_ids) k order by 1, 3
    on conflict (system, resource, external_id) do update set account_id = excluded.account_id where external_id.record_id = excluded.record_id;
    get diagnostics put = row_count;
    if put < wanted then
        select k.key as system, k.value as ext into taken from new_rows n, jsonb_each_text(n.external_ids) k
         where not exists (select from external_id x where x.system = k.key and x.resource = 'order' and x.external_id = k.value and x.record_id = n.id) limit 1;
        raise exception using errcode = 'KD409', message = 'already_exists', column = 'external_ids',
            detail = format('Another record already has the id %s of system %s.', taken.ext, taken.system);
    end if;
    return null;
end $$;
drop trigger external_ids_insert on sales_order;
create trigger external_ids_insert after insert on sales_order referencing new table as new_rows for each statement execute function order_external_ids();
