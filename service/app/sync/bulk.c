/* Writes many records in one call, by kamd's ids or by another system's. */
#include "sync/bulk.h"

#include "app/bulk.h"
#include "base/write_once.h"

#include <stdio.h>
#include <string.h>

static bool set_account(const struct bulk *bulk, struct entry *entry, jv *given) {
    const jv *said = jv_get(given, "account_id");
    if (!bulk->account_id.ptr || entry->kind != ENTRY_CREATE)
        return true;
    if (said && !str_eq(jv_text(said), bulk->account_id))
        return bad_record(entry, "account_id", "contradiction", "The path names another account.");
    return jv_set(given, "account_id", jv_new_text(bulk->account_id));
}

/* ---- by our ids ---- */

static void bulk_entry(struct action *action, const struct bulk *bulk, struct entry *entry,
                       const jv *record, jv **given) {
    static const char *const message_members[] = {"id", NULL};
    struct uuid id;
    if (jv_kind(record) != JV_OBJECT) {
        bad_record(entry, "", "wrong_type", "must be an object");
        return;
    }
    const jv *said = jv_get(record, "id");
    entry->kind = said && !jv_is_null(said) ? ENTRY_CHANGE : ENTRY_CREATE;
    entry->given = *given = payload(record, message_members);
    if (entry->kind == ENTRY_CREATE) {
        set_account(bulk, entry, *given);
        return;
    }
    char text[UUID_TEXT];
    if (!uuid_parse(jv_text(said), &id)) {
        bad_record(entry, "id", "malformed_id", "must be a UUID");
        return;
    }
    uuid_text(&id, text);
    entry->id = arena_str(action->arena, str_of(text));
}

/* PUT: what a GET of the record would say; 201 when it is new. DELETE: nothing. */
static bool one_answer(struct action *action, const struct bulk *bulk, struct entry *entry,
                       struct outcome *outcome, struct err *err) {
    struct record_key key = {.resource = bulk->resource};
    struct view view;
    if (!entry->row || (row_deleted(entry->row) && !bulk->del))
        return not_found(&key, err);
    if (bulk->del) {
        outcome->status = 204;
        return true;
    }
    view_init(&view);
    view_write(action, &view, entry->row, &outcome->body, outcome->etag);
    if (entry->kind != ENTRY_CREATE)
        return true;
    struct str account =
        (bulk->resource->flags & R_NESTED) != 0 ? row_value(entry->row, "account_id") : STR_ABSENT;
    outcome->status = 201;
    if (account.ptr)
        snprintf(outcome->location, sizeof outcome->location, "/v1/accounts/%.*s/%s/%.*s",
                 STR_ARG(account), bulk->resource->path, STR_ARG(entry->id));
    else
        snprintf(outcome->location, sizeof outcome->location, "/v1/%s/%.*s", bulk->resource->path,
                 STR_ARG(entry->id));
    return true;
}

/* By our ids. */
static bool id_run(struct action *action, const struct bulk *bulk, struct tx *tx,
                   struct bulk_run *run, struct err *err) {
    if (!bulk_run_start(action, bulk, run, err))
        return false;
    for (size_t i = 0; i < run->batch->n; i++)
        bulk_entry(action, bulk, &run->batch->entries[i], jv_at(bulk->records, i), &run->given[i]);
    refuse_repeats(run->batch);
    return batch_write(action, tx, run->batch, err);
}

bool bulk_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
               struct err *err) {
    const struct bulk *bulk = arg;
    CLEANUP(bulk_run_release) struct bulk_run run = {0};
    if (!(bulk->system.ptr ? sync_run : id_run)(action, bulk, tx, &run, err))
        return false;
    if (bulk->system.ptr && !run.batch->rolled_back &&
        !(sync_defer(action, bulk, tx, &run, err) && sync_arrived(action, bulk, tx, &run, err)))
        return false;
    if (bulk->one)
        return one_answer(action, bulk, &run.batch->entries[0], outcome, err);
    batch_results(action, run.batch, &outcome->body);
    outcome->rolled_back = run.batch->rolled_back;
    return !outcome->rolled_back;
}

static bool known_members(const jv *request, const char *const *names, struct err *err) {
    if (jv_kind(request) != JV_OBJECT)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER(""), "wrong_type",
                       "must be an object with records[]");
    for (void *it = jv_first(request); it; it = jv_next(request, it)) {
        bool known = false;
        for (const char *const *name = names; *name; name++)
            known = known || strcmp(*name, jv_key(it)) == 0;
        char where[128];
        snprintf(where, sizeof where, "/%.100s", jv_key(it));
        if (!known)
            err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER(where), "unknown_field",
                    "There is no such field here.");
    }
    return !err_is_set(err);
}

static bool read_flag(const jv *request, const char *name, struct err *err) {
    const jv *flag = jv_get(request, name);
    char where[64];
    snprintf(where, sizeof where, "/%s", name);
    if (flag && jv_kind(flag) != JV_BOOL)
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER(where), "wrong_type",
                "must be true or false");
    return jv_bool(flag);
}

static bool read_request(const jv *request, const char *const *names, struct bulk *bulk,
                         struct err *err) {
    if (!known_members(request, names, err))
        return false;
    const jv *records = jv_get(request, "records");
    bulk->all_or_none = read_flag(request, "all_or_none", err);
    bulk->defer = read_flag(request, "defer_missing_parents", err);
    if (jv_kind(records) != JV_ARRAY || jv_len(records) == 0)
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER("/records"), "required",
                "must be an array of 1 to %d records", BULK_MAX);
    else if (jv_len(records) > BULK_MAX)
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/records"), "too_many",
                "at most %d records in one call", BULK_MAX);
    bulk->records = records;
    return !err_is_set(err);
}

bool record_bulk(struct action *action, struct outcome *outcome, struct err *err) {
    static const char *const names[] = {"all_or_none", "records", NULL};
    struct bulk bulk = {.resource = action->resource,
                        .account_id = action_arg(action, "account_id")};
    return read_request(action->doc, names, &bulk, err) &&
           write_once(action, bulk_work, &bulk, outcome, err);
}

static bool read_policy(const jv *request, struct bulk *bulk, struct err *err) {
    const jv *policy = jv_get(request, "conflict_policy");
    bulk->policy = jv_text(policy);
    if (policy && check_conflict_policy(bulk->policy) != NULL)
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER("/conflict_policy"), "invalid_value",
                "%s", check_conflict_policy(bulk->policy));
    return !err_is_set(err);
}

static const struct resource *synced(const struct action *action, struct err *err) {
    const struct resource *resource = resource_by_path(action_arg(action, "resource"));
    if (resource && (resource->flags & R_SYNC) != 0)
        return resource;
    err_set(err, PROBLEM_NOT_FOUND, "There is no such resource to sync.");
    return NULL;
}

bool sync_bulk(struct action *action, struct outcome *outcome, struct err *err) {
    static const char *const names[] = {"all_or_none", "conflict_policy", "defer_missing_parents",
                                        "records", NULL};
    struct bulk bulk = {.resource = synced(action, err), .system = action_arg(action, "system")};
    action->origin = bulk.system;
    return bulk.resource && read_request(action->doc, names, &bulk, err) &&
           read_policy(action->doc, &bulk, err) &&
           write_once(action, bulk_work, &bulk, outcome, err);
}

/* ---- one record by another system's id ---- */

static bool sync_one(struct action *action, struct bulk *bulk, const jv *doc,
                     struct outcome *outcome, struct err *err) {
    CLEANUP(jv_unref) jv *records = jv_new_array();
    if (!records || !jv_push(records, jv_copy(doc)))
        return err_memory(err);
    bulk->one = true;
    bulk->records = records;
    action->origin = bulk->system;
    return write_once(action, bulk_work, bulk, outcome, err);
}

bool sync_put(struct action *action, struct outcome *outcome, struct err *err) {
    struct bulk bulk = {.resource = synced(action, err),
                        .system = action_arg(action, "system"),
                        .external_id = action_arg(action, "external_id")};
    return bulk.resource && sync_one(action, &bulk, action->doc, outcome, err);
}

bool sync_delete(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(jv_unref) jv *nothing = jv_new_object();
    struct bulk bulk = {.resource = synced(action, err),
                        .system = action_arg(action, "system"),
                        .external_id = action_arg(action, "external_id"),
                        .del = true};
    if (!bulk.resource)
        return false;
    return nothing ? sync_one(action, &bulk, nothing, outcome, err) : err_memory(err);
}
