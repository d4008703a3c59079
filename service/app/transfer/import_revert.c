/* Takes back what an import created and changed, except where somebody has changed it since. */
#include "base/json.h"
#include "transfer/import_run.h"

#include <string.h>

/* Not as the import has left it: somebody has worked on it, and it stays. */
static bool unchanged_since(struct action *action, struct batch *batch, struct entry *entry,
                            const struct row *row, const jv *current) {
    const int64_t *versions = batch->review_arg; /* that the import left, entry by entry */
    size_t i = (size_t)(entry - batch->entries);
    (void)action;
    (void)current;
    if (!row || row_version(row) != versions[i])
        entry->settled = OUTCOME_STALE;
    return false;
}

/* What its fields were before, of those that can be written. */
static jv *patch_of(const struct resource *resource, const jv *before) {
    jv *patch = jv_new_object();
    for (void *it = jv_first(before); it; it = jv_next(before, it)) {
        const struct field *field = resource_field(resource, str_of(jv_key(it)));
        struct str text = jv_text(jv_value(it));
        int64_t number;
        if (!field || !field_writable(field) || (field->flags & F_CREATE_ONLY) != 0 ||
            strcmp(field->name, "external_ids") == 0)
            continue;
        if (field->type == FIELD_INT && text.ptr && str_to_i64(text, &number))
            jv_set(patch, field->name, jv_new_int(number));
        else
            jv_set(patch, field->name, jv_copy(jv_value(it)));
    }
    return patch;
}

#define NEXT_SQL                                                                                   \
    "select r.record_id, r.made, r.version, (select jsonb_object_agg(f.k, case "                   \
    "jsonb_typeof(f.v) when 'number' then to_jsonb(f.v #>> '{}') else f.v end) from (select "      \
    "distinct on (c.key) c.key as k, c.value -> 0 as v from history h, jsonb_each(h.changes) c "   \
    "where h.record_id = r.record_id and h.request_id = $2 order by c.key, h.id) f)"               \
    " from (select record_id, bool_or(outcome = 'created') as made, max(version) as version, "     \
    "max(n) as n from import_record where import_id = $1::uuid and reverted is null group by "     \
    "record_id order by max(n) desc limit 200) r"
enum { NEXT_RECORD_ID, NEXT_MADE, NEXT_VERSION, NEXT_BEFORE };

static bool undo_all(struct import *import, struct tx *tx, struct batch *batch, size_t slot,
                     struct err *err) {
    size_t n = batch->n;
    int64_t *versions = arena_array(&import->arena, n + 1, sizeof *versions);
    jv **patches = arena_array(&import->arena, n + 1, sizeof *patches);
    bool fine = versions && patches;
    for (size_t i = 0; fine && i < n; i++) {
        CLEANUP(jv_unref) jv *before = NULL;
        struct entry *entry = &batch->entries[i];
        struct str text = tx_value(tx, slot, i, NEXT_BEFORE);
        versions[i] = tx_int(tx, slot, i, NEXT_VERSION);
        fine = !text.ptr || json_read(text, JSON_TOKENS * 10, &before, err);
        patches[i] = fine ? patch_of(import->resource, before) : NULL;
        bool back = jv_text(jv_get(before, "deleted_at")).ptr != NULL;
        entry->id = tx_value(tx, slot, i, NEXT_RECORD_ID);
        entry->kind = tx_bool(tx, slot, i, NEXT_MADE) || back ? ENTRY_DELETE : ENTRY_CHANGE;
        entry->given = patches[i];
        entry->at = "";
        entry->unconditional = entry->upsert = true;
    }
    batch->review = unchanged_since;
    batch->review_arg = versions;
    fine = fine && batch_write(&import->action, tx, batch, err);
    batch->review_arg = NULL;
    for (size_t i = 0; patches && i < n; i++)
        jv_unref(&patches[i]);
    return fine;
}

static bool mark(struct import *import, struct tx *tx, const struct batch *batch, struct err *err) {
    CLEANUP(buf_release) struct buf text;
    buf_init(&text, (size_t)1 << 20);
    for (size_t i = 0; i < batch->n; i++) {
        const struct entry *entry = &batch->entries[i];
        const char *what = err_is_set(&entry->err) ? "refused"
                           : entry->settled        ? "changed since"
                                                   : "reverted";
        const char *name = what[0] == 'c' ? "changed_since" : what;
        jv_set(import->counts, name, jv_new_int(jv_int(jv_get(import->counts, name)) + 1));
        buf_format(&text, "%s{\"record_id\":\"%.*s\",\"reverted\":\"%s\"}", i > 0 ? "," : "[",
                   STR_ARG(entry->id), what);
    }
    buf_char(&text, ']');
    struct str params[] = {import->id, buf_str(&text), json_param(&import->action, import->counts)};
    if (!params[1].ptr || !params[2].ptr)
        return err_memory(err);
    tx_query(tx,
             "with done as (update import_record r set reverted = w.reverted from "
             "jsonb_to_recordset($2::jsonb) w(record_id uuid, reverted text) where r.import_id = "
             "$1::uuid and r.record_id = w.record_id and r.reverted is null) update import set "
             "counts = $3::jsonb, updated_at = now() where id = $1::uuid",
             params, 3);
    return true;
}

static bool step(struct import *import, bool *ret_more, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    CLEANUP(batch_release) struct batch *batch = NULL;
    if (!import_begin(import, &tx, err) || !tx)
        return !err_is_set(err);
    struct str params[] = {import->id, import->action.request_id};
    size_t slot = tx_query(tx, NEXT_SQL, params, 2);
    if (!tx_flush(tx, err))
        return false;
    *ret_more = tx_rows(tx, slot) > 0;
    if (*ret_more) {
        import->action.request_id =
            str_of(arena_format(&import->arena, "revert-%.*s", STR_ARG(import->id)));
        batch = batch_new(&import->action, import->resource, tx_rows(tx, slot), err);
        if (batch)
            batch->admin = import->admin;
        if (!batch || !undo_all(import, tx, batch, slot, err) || !mark(import, tx, batch, err))
            return false;
    } else {
        import_end(import, tx, "reverted", STR_ABSENT);
    }
    return import_commit(import, tx, err);
}

bool import_revert_step(const struct taken_operation *operation, bool *ret_more, struct err *err) {
    CLEANUP(import_close) struct import import;
    bool found = false;
    *ret_more = false;
    return import_open(&import, operation, &found, err) && (!found || step(&import, ret_more, err));
}
