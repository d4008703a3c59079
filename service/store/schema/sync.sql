-- Synchronization with other systems: what became of values that both sides had changed.

-- Keeps the values that lost, one row for each field. `conflicts`: a list of rows of sync_conflict, each with the
-- record's version. Where kamd won, the other system has a value that is not kamd's: the record is told of once more,
-- in an event of its own with the origin 'kamd', so that the system, which leaves out events of its own origin, hears
-- of it.
create or replace function sync_conflicts_put(conflicts jsonb) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
    origin text := coalesce(current_setting('kamd.origin', true), '');
begin
    insert into sync_conflict as c
           (system, resource, external_id, account_id, record_id, field, kamd_value, system_value, rule, winner,
            system_modstamp, request_id)
    select w.system, w.resource, w.external_id, w.account_id, w.record_id, w.field, w.kamd_value, w.system_value,
           w.rule, w.winner, w.system_modstamp, session_setting('request_id')
      from jsonb_populate_recordset(null::sync_conflict, conflicts) w
     order by w.external_id, w.field
    on conflict (system, resource, external_id, field) where resolved_at is null do update
        set created_at = now(), account_id = excluded.account_id, record_id = excluded.record_id,
            kamd_value = excluded.kamd_value, system_value = excluded.system_value,
            rule = excluded.rule, winner = excluded.winner, system_modstamp = excluded.system_modstamp,
            request_id = excluded.request_id;
    select array_agg(row (w.resource || case w.gone when true then '.deleted' when false then '.restored'
                                                    else '.updated' end,
                          w.account_id, w.resource, w.record_id, w.version, gen_random_uuid()::text,
                          jsonb_strip_nulls(jsonb_build_object(
                              'account_id', w.account_id, w.resource || '_id', w.record_id, 'version', w.version,
                              'changed_fields', w.fields)),
                          jsonb_build_object('version', w.version))::event_in
                     order by w.record_id)
      into evs
      from (select e ->> 'resource' as resource, (e ->> 'account_id')::uuid as account_id,
                   (e ->> 'record_id')::uuid as record_id, max((e ->> 'version')::bigint) as version,
                   jsonb_agg(e -> 'field' order by e ->> 'field') as fields,
                   bool_or((e ->> 'kamd_value')::boolean) filter (where e ->> 'field' = 'deleted_at') as gone
              from jsonb_array_elements(conflicts) e
             where e ->> 'winner' = 'kamd'
             group by 1, 2, 3) w;
    perform set_config('kamd.origin', 'kamd', true);
    perform event_write(evs);
    perform set_config('kamd.origin', origin, true);
end $$;
