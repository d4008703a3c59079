-- Tables, functions and triggers get names that say what they are for. Their texts follow in the schema files, so a
-- program of an earlier version does not work after this.
-- min-binary: 48

do $$
declare
    tab record;
    part name;
begin
    for tab in
        select * from (values
            ('standing', 'account_status'), ('acl', 'account_access'), ('rescore', 'rescore_queue'),
            ('stay_in_touch_mark', 'stay_in_touch_queue'), ('link', 'allied_organisation'),
            ('erased_id', 'erasure_id'), ('erased_id_key', 'erasure_id_key')) n(was, becomes)
    loop
        execute format('alter table %I rename to %I', tab.was, tab.becomes);
        for part in
            select o.conname from pg_constraint o
             where o.conrelid = tab.becomes::regclass and starts_with(o.conname, tab.was || '_')
        loop
            execute format('alter table %I rename constraint %I to %I', tab.becomes, part,
                           tab.becomes || substr(part, length(tab.was) + 1));
        end loop;
        -- The indexes of constraints have their names already.
        for part in
            select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
             where i.indrelid = tab.becomes::regclass and starts_with(c.relname, tab.was || '_')
        loop
            execute format('alter index %I rename to %I', part, tab.becomes || substr(part, length(tab.was) + 1));
        end loop;
    end loop;
end $$;
alter type standing_touch rename to account_status_touch;

alter table webhook_endpoint alter column actor set default session_setting('actor');
drop function context(text);

-- What follows is there in a database of an earlier version only; in a new one, the schema files make it.
alter view if exists standing_why rename to account_status_why;
alter view if exists webhook_interest rename column by_standing to by_status;

do $$
declare
    fn record;
    tr record;
begin
    for fn in
        select p.oid::regprocedure as name, n.becomes
          from (values
            ('acl_refresh', 'account_access_refresh'), ('answers_for', 'access_answers_for'),
            ('standing_view', 'account_status_view'), ('standing_event', 'account_status_event'),
            ('standing_moved', 'account_status_moved'), ('standing_at', 'account_status_at'),
            ('rescore_mark', 'rescore_enqueue'), ('rescore_marked', 'rescore_process'),
            ('changes_mark', 'rescore_follow'), ('stay_in_touch_mark', 'stay_in_touch_enqueue'),
            ('stay_in_touch_marked', 'stay_in_touch_process'), ('cadence_mark', 'cadence_follow'),
            ('standing_cadence_mark', 'cadence_follow_status'), ('visible_link', 'visible_allied_organisation'),
            ('check_references', 'enforce_references'), ('references_check', 'references_exist'),
            ('follow_external_ids', 'track_external_ids'), ('external_ids_follow', 'external_ids_track'),
            ('protect_rows', 'rls_policies'), ('protect', 'rls_by_account'), ('protect_area', 'rls_by_area'),
            ('protect_areas', 'rls_by_row_area'), ('protect_own', 'rls_by_owner'),
            ('touched', 'note_cache_invalidation'), ('emit', 'event_write'),
            ('violation', 'field_violation'), ('is_blank', 'field_is_blank'), ('is_date', 'field_is_date'),
            ('unknown_contacts', 'field_unknown_contacts'), ('says', 'person_words_match'),
            ('words_roughly', 'person_words_roughly'), ('erased_id_digest', 'erasure_id_digest'),
            ('erased_contact', 'erasure_contact_of_id'), ('contact_stays_erased', 'erasure_is_final'),
            ('contact_erased_id', 'erasure_bars_id'), ('erased_json', 'erasure_of_json'),
            ('history_digest', 'erasure_digest'), ('history_overwritten', 'erasure_overwrote'),
            ('history_erase', 'erasure_of_history'), ('record_erase', 'erasure_of_record'),
            ('copies_erase', 'erasure_of_copies'), ('contact_erase', 'erasure_of_contact'),
            ('erasures_undone', 'erasure_undone'), ('audit_history_one', 'audit_append_change'),
            ('audit_history', 'audit_append_changes'), ('audit_read', 'audit_append_read'),
            ('audit_reads', 'audit_append_reads')) n(was, becomes)
          join pg_proc p on p.proname = n.was and p.pronamespace = 'public'::regnamespace
    loop
        execute format('alter routine %s rename to %I', fn.name, fn.becomes);
    end loop;
    for tr in
        select t.tgname as name, t.tgrelid::regclass as tab, n.becomes
          from (values
            ('touched', 'note_cache_invalidation'), ('cadence_mark', 'cadence_follow'),
            ('cadence_mark_insert', 'cadence_follow_insert'), ('changes_mark_insert', 'rescore_follow_insert'),
            ('changes_mark_update', 'rescore_follow_update'), ('audit_history', 'audit_append_changes'),
            ('contact_stays_erased', 'erasure_is_final'), ('contact_erased_id_insert', 'erasure_bars_id_insert'),
            ('contact_erased_id_update', 'erasure_bars_id_update')) n(was, becomes)
          join pg_trigger t on t.tgname = n.was and not t.tgisinternal
    loop
        execute format('alter trigger %I on %s rename to %I', tr.name, tr.tab, tr.becomes);
    end loop;
end $$;
