/* Remembers what each system last said of each record, so that an older message is recognised,
 * also where the record was deleted or never came. */
#include "store/array.h"
#include "sync/bulk.h"

#include <string.h>

/* The keys of the call's records, and of their parents where they may wait for them: who brings
 * a parent meanwhile is waited for, so that nobody waits for what is here. */
static struct str locks_of(struct action *action, const struct bulk *bulk,
                           const struct bulk_run *run) {
    struct reference *refs = NULL;
    size_t n_refs = bulk->defer ? sync_references(action, bulk, run, &refs) : 0, n = 0;
    struct str *keys = arena_array(action->arena, run->batch->n + n_refs + 1, sizeof *keys);
    if (!keys || (bulk->defer && !refs))
        return STR_ABSENT;
    for (size_t i = 0; i < run->batch->n; i++)
        if (run->batch->entries[i].external_id.ptr)
            keys[n++] =
                sync_key(action->arena, bulk->resource->name, run->batch->entries[i].external_id);
    for (size_t i = 0; i < n_refs; i++)
        if (refs[i].external_id.ptr)
            keys[n++] = sync_key(action->arena, refs[i].field->ref, refs[i].external_id);
    return pg_array_param(action->arena, keys, n);
}

static bool read_json(struct str text, jv **ret, struct err *err) {
    return !text.ptr || json_read(text, JSON_TOKENS * 10, ret, err);
}

/* When we changed which field last, for a policy that looks at that; of what came by this system
 * itself, nothing. */
static bool our_changes(struct action *action, const struct bulk *bulk, struct tx *tx,
                        struct bulk_run *run, struct err *err) {
    struct str *ids = arena_array(action->arena, run->batch->n + 1, sizeof *ids);
    bool looks = str_is(run->policy, "latest_wins");
    for (size_t i = 0; i < jv_len(run->field_rules) && !looks; i++)
        looks = str_is(jv_text(jv_get(jv_at(run->field_rules, i), "rule")), "latest_wins");
    if (!ids)
        return err_memory(err);
    for (size_t i = 0; i < run->batch->n; i++)
        ids[i] = run->batch->entries[i].id.ptr ? run->batch->entries[i].id : STR("");
    struct str params[] = {bulk->system, pg_array_param(action->arena, ids, run->batch->n)};
    if (!looks)
        return true;
    size_t slot = tx_query(
        tx,
        "select (select jsonb_object_agg(l.k, to_char(l.at at time zone 'UTC', "
        "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')) from (select k, max(h.at) as at from (select r.* "
        "from "
        "history r where r.record_id = nullif(w.id, '')::uuid order by r.id desc limit 100) h, "
        "jsonb_object_keys(h.changes) k where h.origin is distinct from $1 group by k) l)"
        " from unnest($2::text[]) with ordinality w(id, nth) order by w.nth",
        params, 2);
    if (!params[1].ptr || !tx_flush(tx, err))
        return params[1].ptr ? false : err_memory(err);
    for (size_t i = 0; i < run->batch->n; i++)
        if (!read_json(tx_value(tx, slot, i, 0), &run->messages[i].changed_at, err))
            return false;
    return true;
}

static bool known(struct action *action, struct bulk_run *run, size_t i, struct str id,
                  bool stale) {
    struct entry *entry = &run->batch->entries[i];
    if (stale)
        entry->settled = OUTCOME_STALE;
    if (!id.ptr)
        return true;
    entry->id = arena_str(action->arena, id);
    entry->kind = entry->kind == ENTRY_DELETE ? ENTRY_DELETE : ENTRY_CHANGE;
    entry->upsert = true;
    return entry->id.ptr != NULL;
}

/* Looked up one by one, whatever the statistics say: while a system's first records come in they
 * know nothing of them, and a join by the first two columns grows with their square. */
#define FIND_SQL                                                                                   \
    "select x.record_id, coalesce(s.system_modstamp > nullif(w.stamp, '')::timestamptz, false),"   \
    " s.system is not null, s.is_deleted, s.version, s.said, $2 = 'contact' and"                   \
    " erasure_contact_of_id($1, w.external_id) is not null"                                        \
    " from unnest($3::text[], $4::text[]) with ordinality w(external_id, stamp, nth)"              \
    " left join lateral (select e.record_id from external_id e where e.system = $1"                \
    " and e.resource = $2 and e.external_id = w.external_id offset 0) x on true"                   \
    " left join lateral (select * from sync_state t where t.system = $1 and t.resource = $2"       \
    " and t.external_id = w.external_id offset 0) s on true order by w.nth"
enum {
    FOUND_RECORD,
    FOUND_STALE,
    FOUND_KNOWN,
    FOUND_DELETED,
    FOUND_VERSION,
    FOUND_SAID,
    FOUND_ERASED
};

bool sync_find(struct action *action, const struct bulk *bulk, struct tx *tx, struct bulk_run *run,
               struct err *err) {
    size_t n = run->batch->n;
    struct str *ids = arena_array(action->arena, n + 1, sizeof *ids),
               *stamps = arena_array(action->arena, n + 1, sizeof *stamps);
    struct str lock[] = {bulk->system, locks_of(action, bulk, run)};
    if (!ids || !stamps || !lock[1].ptr)
        return err_memory(err);
    for (size_t i = 0; i < n; i++) {
        ids[i] =
            run->batch->entries[i].external_id.ptr ? run->batch->entries[i].external_id : STR("");
        stamps[i] = run->messages[i].stamp;
    }
    struct str params[] = {bulk->system, str_of(bulk->resource->name),
                           pg_array_param(action->arena, ids, n),
                           pg_array_param(action->arena, stamps, n)};
    tx_query(tx,
             "select pg_advisory_xact_lock(k) from (select distinct hashtextextended($1 || '|' || "
             "e, 11) as k from unnest($2::text[]) e order by 1) keys",
             lock, 2);
    size_t waiting =
        tx_query(tx, "select exists (select from sync_deferred where system = $1)", params, 1);
    size_t policy = tx_query(
        tx, "select conflict_policy, fields from sync_policy where system = $1", params, 1);
    size_t slot = tx_query(tx, FIND_SQL, params, 4);
    if (!tx_flush(tx, err))
        return false;
    run->waiting = tx_bool(tx, waiting, 0, 0);
    run->policy = bulk->policy.ptr          ? bulk->policy
                  : tx_rows(tx, policy) > 0 ? tx_value(tx, policy, 0, 0)
                                            : STR("source_wins");
    if (!read_json(tx_value(tx, policy, 0, 1), &run->field_rules, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct sync_message *message = &run->messages[i];
        if (run->batch->entries[i].external_id.ptr &&
            !known(action, run, i, tx_value(tx, slot, i, FOUND_RECORD),
                   tx_bool(tx, slot, i, FOUND_STALE)))
            return err_memory(err);
        message->known = tx_bool(tx, slot, i, FOUND_KNOWN);
        message->was_deleted = tx_bool(tx, slot, i, FOUND_DELETED);
        message->version = tx_int(tx, slot, i, FOUND_VERSION);
        message->erased = tx_bool(tx, slot, i, FOUND_ERASED);
        if (message->erased && run->batch->entries[i].kind != ENTRY_DELETE)
            err_set(&run->batch->entries[i].err, PROBLEM_CONTACT_ERASED,
                    "The person with this id was erased and is not coming back.");
        if (!read_json(tx_value(tx, slot, i, FOUND_SAID), &message->previous_digests, err))
            return false;
    }
    return our_changes(action, bulk, tx, run, err);
}

/* Whether the message counts: one that is stale, or waits for a parent, leaves the stored digests
 * as they are. */
static bool message_counts(const struct entry *entry) {
    return !err_is_set(&entry->err) && entry->settled != OUTCOME_STALE &&
           entry->settled != OUTCOME_DEFERRED;
}

/* Our version of the record after this message; the one before where the message did not count. */
static long long version_after(const struct bulk_run *run, size_t i) {
    const struct entry *entry = &run->batch->entries[i];
    return entry->settled ? run->messages[i].version : entry->row ? row_version(entry->row) : 0;
}

static struct str states_of(struct action *action, const struct bulk_run *run) {
    struct str ret = STR_ABSENT;
    struct buf text;
    buf_init(&text, (size_t)8 << 20);
    for (size_t i = 0; i < run->batch->n; i++) {
        const struct entry *entry = &run->batch->entries[i];
        if (!message_counts(entry) || run->messages[i].erased)
            continue;
        buf_text(&text, text.len == 0 ? "[{\"external_id\":" : ",{\"external_id\":");
        buf_json(&text, entry->external_id);
        buf_text(&text, ",\"stamp\":");
        buf_json(&text, run->messages[i].stamp.len > 0 ? run->messages[i].stamp : STR_ABSENT);
        buf_format(&text, ",\"is_deleted\":%s,\"version\":%lld,\"said\":",
                   entry->kind == ENTRY_DELETE ? "true" : "false", version_after(run, i));
        if (run->messages[i].digests)
            jv_write(run->messages[i].digests, &text);
        else
            buf_text(&text, "{}");
        buf_char(&text, '}');
    }
    buf_text(&text, text.len == 0 ? "[]" : "]");
    if (buf_ok(&text))
        ret = arena_str(action->arena, buf_str(&text));
    buf_release(&text);
    return ret;
}

bool sync_remember(struct action *action, const struct bulk *bulk, struct tx *tx,
                   struct bulk_run *run, struct err *err) {
    struct str params[] = {bulk->system, str_of(bulk->resource->name), states_of(action, run)};
    if (!params[2].ptr)
        return err_memory(err);
    if (params[2].len > strlen("[]"))
        tx_query(
            tx,
            "insert into sync_state as s (system, resource, external_id, system_modstamp, "
            "is_deleted, version, said) select $1, $2, w.external_id, w.stamp, w.is_deleted, "
            "w.version, w.said"
            " from jsonb_to_recordset($3::jsonb) w(external_id text, stamp timestamptz, is_deleted "
            "boolean, version bigint, said jsonb) where $2 <> 'order' or w.stamp is not null"
            " order by w.external_id"
            " on conflict (system, resource, external_id) do update"
            " set system_modstamp = coalesce(excluded.system_modstamp, s.system_modstamp),"
            " is_deleted = excluded.is_deleted, version = excluded.version,"
            " said = s.said || excluded.said"
            " where (s.system_modstamp, s.is_deleted, s.version, s.said) is distinct from"
            " (coalesce(excluded.system_modstamp, s.system_modstamp), excluded.is_deleted,"
            " excluded.version, s.said || excluded.said)",
            params, 3);
    if (run->waiting && params[2].len > strlen("[]"))
        tx_query(tx,
                 "delete from sync_deferred d using jsonb_to_recordset($3::jsonb) w(external_id "
                 "text, stamp timestamptz) where d.system = $1 and d.resource = $2"
                 " and d.external_id = w.external_id"
                 " and (d.system_modstamp is null or w.stamp is null or d.system_modstamp <= "
                 "w.stamp)",
                 params, 3);
    return true;
}
