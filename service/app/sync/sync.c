/* Creates, updates and deletes records by another system's ids, in the order in which that
 * system changed them. */
#include "base/write_once.h"
#include "domain/decode.h"
#include "domain/salesforce_id.h"
#include "store/array.h"
#include "sync/bulk.h"

#include <stdio.h>

/* Nobody knows it yet: the record waits, or fails. */
static void unknown_parent(struct action *action, const struct bulk *bulk, struct bulk_run *run,
                           const struct reference *ref) {
    struct entry *entry = &run->batch->entries[ref->entry];
    struct sync_message *message = &run->messages[ref->entry];
    if (bulk->defer && ref->external_id.ptr && !err_is_set(&entry->err)) {
        struct str key = sync_key(action->arena, ref->field->ref, ref->external_id);
        struct str one = key.ptr ? pg_array_param(action->arena, &key, 1) : STR_ABSENT;
        if (one.ptr && message->parents.ptr) /* "{a}" and "{b}" make "{a,b}" */
            one = str_of(arena_format(action->arena, "%.*s,%s", (int)message->parents.len - 1,
                                      message->parents.ptr, one.ptr + 1));
        message->parents = one;
        entry->settled = OUTCOME_DEFERRED;
        return;
    }
    char where[128];
    snprintf(where, sizeof where, "%s/%s", entry->at, ref->name);
    err_add(&entry->err, PROBLEM_VALIDATION, ERR_POINTER(where), "unknown_reference",
            "System %.*s has no %s with the id %.*s here.", STR_ARG(bulk->system), ref->field->ref,
            ref->external_id.len > 60 ? 60 : STR_ARG(ref->external_id));
}

/* Parents by external id: all references of all records in one query. */
static bool resolve_references(struct action *action, const struct bulk *bulk, struct tx *tx,
                               struct bulk_run *run, struct err *err) {
    struct reference *refs;
    size_t n = sync_references(action, bulk, run, &refs);
    struct str *kinds = arena_array(action->arena, n + 1, sizeof *kinds),
               *ids = arena_array(action->arena, n + 1, sizeof *ids);
    if (!refs || !kinds || !ids)
        return err_memory(err);
    if (n == 0)
        return true;
    for (size_t i = 0; i < n; i++) {
        kinds[i] = str_of(refs[i].field->ref);
        ids[i] = refs[i].external_id.ptr ? refs[i].external_id : STR("");
    }
    struct str params[] = {bulk->system, pg_array_param(action->arena, kinds, n),
                           pg_array_param(action->arena, ids, n)};
    size_t slot = tx_query(tx,
                           "select coalesce(x.record_id, case when w.resource = 'contact' then "
                           "erasure_contact_of_id($1, w.external_id) end) from unnest($2::text[], "
                           "$3::text[]) with ordinality "
                           "w(resource, external_id, nth)"
                           " left join lateral (select e.record_id from external_id e where "
                           "e.system = $1 and e.resource = w.resource and e.external_id = "
                           "w.external_id offset 0) x on true order by w.nth",
                           params, 3);
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        jv *given = run->given[refs[i].entry];
        struct str found = tx_value(tx, slot, i, 0);
        if (found.ptr)
            jv_set(given, refs[i].field->name, jv_new_text(found));
        else if (!refs[i].external_id.ptr && jv_is_null(jv_get(given, refs[i].name)))
            jv_set(given, refs[i].field->name, jv_new_null());
        else
            unknown_parent(action, bulk, run, &refs[i]);
        jv_remove(given, refs[i].name);
    }
    return true;
}

/* The record carries the system's id from now on. */
static void put_external_id(const struct bulk *bulk, struct entry *entry, jv *given) {
    char system[80];
    jv *ids = jv_kind(jv_get(given, "external_ids")) == JV_OBJECT
                  ? jv_copy(jv_get(given, "external_ids"))
                  : jv_new_object();
    snprintf(system, sizeof system, "%.*s", STR_ARG(bulk->system));
    jv_set(ids, system, jv_new_text(entry->external_id));
    jv_set(given, "external_ids", ids);
    const struct field *own = resource_field(bulk->resource, STR("external_id"));
    if (own && entry->kind == ENTRY_CREATE && !jv_get(given, "external_id"))
        jv_set(given, "external_id", jv_new_text(entry->external_id));
}

/* system_modstamp and is_deleted. */
static bool read_message(struct action *action, struct entry *entry, const jv *record,
                         struct sync_message *ret) {
    static const struct field fields[] = {
        {.name = "system_modstamp", .type = FIELD_TIME},
        {.name = "is_deleted", .type = FIELD_BOOL},
    };
    static const struct shape shape = {fields, COUNT_OF(fields)};
    CLEANUP(jv_unref) jv *said = jv_new_object();
    CLEANUP(jv_unref) jv *clean = NULL;
    for (size_t i = 0; said && i < COUNT_OF(fields); i++)
        if (jv_get(record, fields[i].name))
            jv_set(said, fields[i].name, jv_ref(jv_get(record, fields[i].name)));
    if (!said || !decode_shape(&shape, said, entry->at, &clean, &entry->err))
        return said ? false : err_memory(&entry->err);
    struct str stamp = jv_text(jv_get(clean, "system_modstamp"));
    ret->stamp = stamp.ptr ? arena_str(action->arena, stamp) : STR("");
    entry->kind = jv_bool(jv_get(clean, "is_deleted")) ? ENTRY_DELETE : ENTRY_CREATE;
    return ret->stamp.ptr || err_memory(&entry->err);
}

static void sync_entry(struct action *action, const struct bulk *bulk, struct bulk_run *run,
                       size_t i) {
    static const char *const message_members[] = {"external_id", "system_modstamp", "is_deleted",
                                                  NULL};
    static const char *const one[] = {"system_modstamp", NULL};
    struct entry *entry = &run->batch->entries[i];
    const jv *record = jv_at(bulk->records, i);
    run->messages[i].stamp = STR("");
    if (jv_kind(record) != JV_OBJECT) {
        bad_record(entry, "", "wrong_type", "must be an object");
        return;
    }
    struct str id = bulk->one ? bulk->external_id : jv_text(jv_get(record, "external_id"));
    const jv *refused = jv_at(bulk->refused, i);
    if (jv_kind(refused) == JV_OBJECT) {
        entry->external_id = id.ptr ? arena_str(action->arena, id) : STR_ABSENT;
        bad_record(entry, jv_text(jv_get(refused, "field")).ptr,
                   jv_text(jv_get(refused, "code")).ptr, jv_text(jv_get(refused, "detail")).ptr);
        return;
    }
    if (!id.ptr || id.len == 0 || id.len > 255) {
        bad_record(entry, "external_id", "required", "must be a text of 1 to 255 characters");
        return;
    }
    char whole[SALESFORCE_ID_TEXT];
    if (str_is(bulk->system, "salesforce")) {
        if (!salesforce_id_parse(id, whole)) {
            bad_record(entry, "external_id", "invalid", check_salesforce_id(id));
            return;
        }
        id = str_of(whole);
    }
    entry->external_id = arena_str(action->arena, id);
    if (!read_message(action, entry, record, &run->messages[i]))
        return;
    entry->kind = bulk->del ? ENTRY_DELETE : entry->kind;
    entry->given = run->given[i] = payload(record, bulk->one ? one : message_members);
}

/* Of a record that is not here there is nothing to delete; that it is gone is remembered, so that
 * an older message does not make it. */
static void deleted_already(const struct bulk *bulk, struct entry *entry) {
    struct record_key key = {.resource = bulk->resource};
    if (bulk->del)
        not_found(&key, &entry->err);
    else
        entry->settled = OUTCOME_UNCHANGED;
}

bool sync_run(struct action *action, const struct bulk *bulk, struct tx *tx, struct bulk_run *run,
              struct err *err) {
    if (!bulk_run_start(action, bulk, run, err))
        return false;
    for (size_t i = 0; i < run->batch->n; i++)
        sync_entry(action, bulk, run, i);
    refuse_repeats(run->batch);
    if (!sync_find(action, bulk, tx, run, err) || !resolve_references(action, bulk, tx, run, err))
        return false;
    for (size_t i = 0; i < run->batch->n; i++) {
        struct entry *entry = &run->batch->entries[i];
        if (err_is_set(&entry->err) || entry->settled)
            continue;
        if (entry->kind == ENTRY_DELETE && !entry->id.ptr)
            deleted_already(bulk, entry);
        else if (entry->kind != ENTRY_DELETE)
            put_external_id(bulk, entry, run->given[i]);
    }
    /* PUT and DELETE honour If-Match when there is one; upserts need none. */
    if (bulk->one)
        run->batch->entries[0].unconditional = !action->if_match.ptr;
    /* The other system may not know yet that a record was deleted here. */
    run->batch->references.deleted = true;
    run->batch->review = sync_resolve_conflicts;
    run->batch->review_arg = run;
    return batch_write(action, tx, run->batch, err) &&
           (run->batch->rolled_back || (sync_remember(action, bulk, tx, run, err) &&
                                        sync_conflicts_keep(action, bulk, tx, run, err)));
}
