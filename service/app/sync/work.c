/* What bulk and sync do with each record of a call, before it is written. */
#include "sync/bulk.h"

#include <stdio.h>

bool bad_record(struct entry *entry, const char *name, const char *code, const char *detail) {
    char where[128];
    snprintf(where, sizeof where, "%s/%s", entry->at, name);
    return err_add(&entry->err, PROBLEM_INVALID_REQUEST, ERR_AT_POINTER, where, code, "%s", detail);
}

jv *payload(const jv *record, const char *const *without) {
    jv *copy = jv_copy(record);
    for (; copy && *without; without++)
        jv_remove(copy, *without);
    return copy;
}

void work_release(struct work *work) {
    for (size_t i = 0; work->batch && work->given && i < work->batch->n; i++)
        jv_unref(&work->given[i]);
    for (size_t i = 0; work->batch && work->steering && i < work->batch->n; i++) {
        jv_unref(&work->steering[i].said);
        jv_unref(&work->steering[i].changed_at);
        jv_unref(&work->steering[i].says);
        jv_unref(&work->steering[i].conflicts);
    }
    jv_unref(&work->field_rules);
    batch_release(&work->batch);
}

bool work_start(struct action *action, const struct bulk *bulk, struct work *work,
                struct err *err) {
    size_t n = jv_len(bulk->records);
    work->batch = batch_new(action, bulk->resource, n, err);
    work->given = arena_array(action->arena, n + 1, sizeof *work->given);
    work->steering = arena_array(action->arena, n + 1, sizeof *work->steering);
    if (!work->batch || !work->given || !work->steering)
        return err_memory(err);
    work->batch->all_or_none = bulk->all_or_none;
    work->batch->single = bulk->one;
    if (bulk->late)
        work->batch->admin = bulk->admin;
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = &work->batch->entries[i];
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
