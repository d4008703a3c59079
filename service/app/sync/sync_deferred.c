/* Keeps records that came before the records they refer to, and writes them in the transaction
 * that brings the last of those. */
#include "base/cursor.h"
#include "base/json.h"
#include "store/array.h"
#include "sync/bulk.h"

#include <string.h>

/* Chains are as long as the account tree is deep, at most. */
#define ROUNDS 20

static bool waits(const struct entry *entry) {
    return entry->settled == OUTCOME_DEFERRED && !err_is_set(&entry->err);
}

bool sync_defer(struct action *action, const struct bulk *bulk, struct tx *tx, struct bulk_run *run,
                struct err *err) {
    for (size_t i = 0; i < run->batch->n; i++) {
        const struct entry *entry = &run->batch->entries[i];
        if (!waits(entry))
            continue;
        struct str params[] = {bulk->system,
                               str_of(bulk->resource->name),
                               entry->external_id,
                               run->messages[i].stamp,
                               json_param(action, jv_at(bulk->records, i)),
                               run->messages[i].parents,
                               str_of(action->who->actor)};
        if (!params[4].ptr || !params[5].ptr)
            return err_memory(err);
        run->waiting = true;
        /* What is older than what waits already adds nothing. */
        tx_query(tx,
                 "insert into sync_deferred as d (system, resource, external_id, system_modstamp, "
                 "record, waits_for, actor) values ($1, $2, $3, nullif($4, '')::timestamptz, "
                 "$5::jsonb, $6::text[], $7) on conflict (system, resource, external_id) do update"
                 " set system_modstamp = excluded.system_modstamp, record = excluded.record,"
                 " waits_for = excluded.waits_for, actor = excluded.actor, reach = excluded.reach,"
                 " created_at = now(), failure = null where d.system_modstamp is null or "
                 "excluded.system_modstamp is "
                 "null or d.system_modstamp <= excluded.system_modstamp",
                 params, 7);
    }
    return true;
}

static struct str keys_of(struct action *action, const struct bulk *bulk,
                          const struct bulk_run *run) {
    struct str *keys = arena_array(action->arena, run->batch->n + 1, sizeof *keys);
    size_t n = 0;
    for (size_t i = 0; keys && i < run->batch->n; i++)
        if (run->batch->entries[i].id.ptr && !err_is_set(&run->batch->entries[i].err))
            keys[n++] =
                sync_key(action->arena, bulk->resource->name, run->batch->entries[i].external_id);
    return keys ? pg_array_param(action->arena, keys, n) : STR_ABSENT;
}

/* Those of one resource that waited for these keys and miss nothing more. What only admins may set
 * depends on who sent the record, not on who brings its parent. */
#define READY_SQL                                                                                  \
    "with ready as materialized (select d.resource, d.external_id, d.created_at, d.record,"        \
    " d.reach >> 41 & 1 = 1 as admin from sync_deferred d where d.system = $1 and d.waits_for"     \
    " && $2::text[] and d.failure is null"                                                         \
    " and not exists (select from unnest(d.waits_for) k left join external_id x"                   \
    " on x.system = $1 and x.resource = split_part(k, '|', 1)"                                     \
    " and x.external_id = substr(k, strpos(k, '|') + 1) where x.record_id is null))"               \
    " select r.resource, r.record, r.admin from ready r where (r.resource, r.admin) = (select"     \
    " resource, admin from ready order by resource, admin limit 1)"                                \
    " order by r.created_at, r.external_id limit 200"
enum { READY_RESOURCE, READY_RECORD, READY_ADMIN };

/* The records, owned by the caller, and the call that they make; NULL with an error. */
static jv *ready(const struct bulk *bulk, struct tx *tx, struct str keys, struct bulk *ret,
                 struct err *err) {
    struct str params[] = {bulk->system, keys};
    size_t slot = tx_query(tx, READY_SQL, params, 2);
    if (!tx_flush(tx, err))
        return NULL;
    CLEANUP(jv_unref) jv *records = jv_new_array();
    for (size_t i = 0; records && i < tx_rows(tx, slot); i++) {
        jv *record = NULL;
        if (!json_read(tx_value(tx, slot, i, READY_RECORD), JSON_TOKENS, &record, err))
            return NULL;
        jv_push(records, record);
    }
    const char *name =
        tx_rows(tx, slot) > 0 ? tx_value(tx, slot, 0, READY_RESOURCE).ptr : bulk->resource->name;
    *ret = (struct bulk){.resource = resource_by_name(name),
                         .system = bulk->system,
                         .records = records,
                         .late = true,
                         .admin = tx_rows(tx, slot) > 0 && tx_bool(tx, slot, 0, READY_ADMIN)};
    if (!records)
        err_memory(err);
    else if (!ret->resource)
        err_set(err, PROBLEM_INTERNAL, "There is no such resource.");
    return ret->resource ? TAKE(records) : NULL;
}

/* Those that were written are gone from here already; the others say why they were not. */
static void note_failures(struct tx *tx, const struct bulk *bulk, const struct bulk_run *run) {
    for (size_t i = 0; i < run->batch->n; i++) {
        const struct entry *entry = &run->batch->entries[i];
        if (!err_is_set(&entry->err))
            continue;
        struct str params[] = {
            bulk->system, str_of(bulk->resource->name), entry->external_id,
            str_of(entry->err.n_items > 0 ? entry->err.items[0].detail : entry->err.detail)};
        tx_query(tx,
                 "update sync_deferred set failure = $4 where system = $1 and resource = $2 and "
                 "external_id = $3",
                 params, 4);
    }
}

/* Puts what became of deferred records of this call, now written, into the call's results. */
static void tell(struct bulk_run *run, const struct bulk *bulk, const struct bulk_run *late,
                 const struct bulk *what) {
    for (size_t i = 0; what->resource == bulk->resource && i < late->batch->n; i++)
        for (size_t k = 0; k < run->batch->n; k++) {
            struct entry *entry = &run->batch->entries[k], *done = &late->batch->entries[i];
            if (!waits(entry) || err_is_set(&done->err) ||
                !str_eq(entry->external_id, done->external_id))
                continue;
            entry->id = done->id;
            entry->row = done->row;
            entry->settled = entry->outcome = done->outcome;
        }
}

/* Writes records that waited for those of run->arrived, and adds them there: others may wait for
 * them in turn. When none waits, run->arrived is empty. */
static bool round_once(struct action *action, const struct bulk *bulk, struct tx *tx,
                       struct bulk_run *run, struct err *err) {
    CLEANUP(bulk_run_release) struct bulk_run late = {0};
    struct bulk what = {0};
    struct str *keys = &run->arrived;
    CLEANUP(jv_unref) jv *records = ready(bulk, tx, *keys, &what, err);
    if (!records)
        return false;
    if (jv_len(records) == 0) {
        *keys = STR("{}");
        return true;
    }
    if (!sync_run(action, &what, tx, &late, err))
        return false;
    note_failures(tx, &what, &late);
    tell(run, bulk, &late, &what);
    struct str more = keys_of(action, &what, &late);
    if (more.ptr && more.len > strlen("{}"))
        *keys = str_of(
            arena_format(action->arena, "%.*s,%s", (int)keys->len - 1, keys->ptr, more.ptr + 1));
    return keys->ptr != NULL || err_memory(err);
}

bool sync_arrived(struct action *action, const struct bulk *bulk, struct tx *tx,
                  struct bulk_run *run, struct err *err) {
    run->arrived = keys_of(action, bulk, run);
    if (!run->arrived.ptr)
        return err_memory(err);
    for (int i = 0; run->waiting && run->arrived.len > strlen("{}") && i < ROUNDS; i++)
        if (!round_once(action, bulk, tx, run, err))
            return false;
    return true;
}

bool sync_waiting(struct action *action, struct outcome *outcome, struct err *err) {
    struct str system = action_arg(action, "system");
    static const struct field fields[] = {
        {.name = "resource", .type = FIELD_TEXT},
        {.name = "external_id", .type = FIELD_TEXT},
        {.name = "system_modstamp", .type = FIELD_TIME},
        {.name = "waits_for", .type = FIELD_DOCS},
        {.name = "record", .type = FIELD_MAP},
        {.name = "created_at", .type = FIELD_TIME},
        {.name = "failure", .type = FIELD_TEXT},
    };
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str list = str_of(arena_format(action->arena, "deferred|%.*s", STR_ARG(system)));
    struct page page = {
        .list = list, .key_columns = {0, 1}, .n_keys = 2, .shape = &SHAPE_OF(fields)};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {system, page.keys[0], page.keys[1], page_limit(action, &page)};
    size_t slot = tx_query(
        tx,
        "select d.resource, d.external_id, d.system_modstamp,"
        " (select jsonb_agg(jsonb_build_object('resource', split_part(k, '|', 1), 'external_id',"
        " substr(k, strpos(k, '|') + 1))) from unnest(d.waits_for) k), d.record, d.created_at,"
        " d.failure from sync_deferred d where d.system = $1"
        " and ($2::text is null or (d.resource, d.external_id) > ($2, $3))"
        " order by d.resource, d.external_id limit $4::int",
        values, 4);
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}
