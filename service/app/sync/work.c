/* What bulk and sync have in common: they take the records of a call apart and refuse the bad
 * and the repeated ones before any is written. */
#include "sync/bulk.h"

#include <stdio.h>

bool bad_record(struct entry *entry, const char *name, const char *code, const char *detail) {
    char where[128];
    snprintf(where, sizeof where, "%s/%s", entry->at, name);
    return err_add(&entry->err, PROBLEM_INVALID_REQUEST, ERR_POINTER(where), code, "%s", detail);
}

jv *payload(const jv *record, const char *const *without) {
    jv *copy = jv_copy(record);
    for (; copy && *without; without++)
        jv_remove(copy, *without);
    return copy;
}

void bulk_run_release(struct bulk_run *run) {
    for (size_t i = 0; run->batch && run->given && i < run->batch->n; i++)
        jv_unref(&run->given[i]);
    for (size_t i = 0; run->batch && run->messages && i < run->batch->n; i++) {
        jv_unref(&run->messages[i].previous_digests);
        jv_unref(&run->messages[i].changed_at);
        jv_unref(&run->messages[i].digests);
        jv_unref(&run->messages[i].conflicts);
    }
    jv_unref(&run->field_rules);
    batch_release(&run->batch);
}

bool bulk_run_start(struct action *action, const struct bulk *bulk, struct bulk_run *run,
                    struct err *err) {
    size_t n = jv_len(bulk->records);
    run->batch = batch_new(action, bulk->resource, n, err);
    run->given = arena_array(action->arena, n + 1, sizeof *run->given);
    run->messages = arena_array(action->arena, n + 1, sizeof *run->messages);
    if (!run->batch || !run->given || !run->messages)
        return err_memory(err);
    run->batch->all_or_none = bulk->all_or_none;
    run->batch->single = bulk->one;
    if (bulk->late)
        run->batch->admin = bulk->admin;
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = &run->batch->entries[i];
        entry->at = bulk->one ? "" : arena_format(action->arena, "/records/%zu", i);
        entry->unconditional = !bulk->one;
        entry->account_id = bulk->account_id;
        if (!entry->at)
            return err_memory(err);
    }
    return true;
}

void refuse_repeats(struct batch *batch) {
    for (size_t i = 0; i < batch->n; i++)
        for (size_t k = 0; k < i; k++) {
            const struct entry *a = &batch->entries[k];
            struct entry *b = &batch->entries[i];
            bool same = (a->id.ptr && str_eq(a->id, b->id)) ||
                        (a->external_id.ptr && str_eq(a->external_id, b->external_id));
            if (same && !err_is_set(&b->err))
                bad_record(b, b->external_id.ptr ? "external_id" : "id", "duplicate",
                           "An earlier record of this call is the same one.");
        }
}
