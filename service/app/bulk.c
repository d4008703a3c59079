/* Many records in one call, by our ids or by another system's. */
#include "app/records.h"

#include "batch.h"
#include "domain/salesforce_id.h"
#include "store/record.h"

#include <stdio.h>
#include <string.h>

struct bulk {
    const struct resource *resource;
    struct str account_id; /* of nested resources: the path's */
    struct str system;     /* of sync; absent for bulk by id */
    const jv *records;
    bool all_or_none;
    bool put; /* PUT of one: the record itself is the answer */
    struct str put_external_id;
};

static bool bad_record(struct entry *entry, const char *name, const char *code,
                       const char *detail) {
    char where[128];
    snprintf(where, sizeof where, "%s/%s", entry->at, name);
    return err_add(&entry->err, PROBLEM_INVALID_REQUEST, ERR_AT_POINTER, where, code, "%s", detail);
}

/* A copy of the record without the members that steer the call. */
static jv *payload(const jv *record, const char *const *without) {
    jv *copy = jv_copy(record);
    for (; copy && *without; without++)
        jv_remove(copy, *without);
    return copy;
}

struct work {
    struct batch *batch;
    jv **given; /* owned copies */
};

static void work_release(struct work *work) {
    for (size_t i = 0; work->batch && work->given && i < work->batch->n; i++)
        jv_unref(&work->given[i]);
    batch_release(&work->batch);
}

static bool work_start(struct action *action, const struct bulk *bulk, struct work *work,
                       struct err *err) {
    size_t n = jv_len(bulk->records);
    work->batch = batch_new(action, bulk->resource, n, err);
    work->given = arena_array(action->arena, n + 1, sizeof *work->given);
    if (!work->batch || !work->given)
        return err_memory(err);
    work->batch->all_or_none = bulk->all_or_none;
    work->batch->single = bulk->put;
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = &work->batch->entries[i];
        entry->at = bulk->put ? "" : arena_format(action->arena, "/records/%zu", i);
        entry->unconditional = !bulk->put;
        entry->account_id = bulk->account_id;
        if (!entry->at)
            return err_memory(err);
    }
    return true;
}

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
    static const char *const steering[] = {"id", NULL};
    struct uuid id;
    if (jv_kind(record) != JV_OBJECT) {
        bad_record(entry, "", "wrong_type", "must be an object");
        return;
    }
    const jv *said = jv_get(record, "id");
    entry->kind = said && !jv_is_null(said) ? ENTRY_CHANGE : ENTRY_CREATE;
    entry->given = *given = payload(record, steering);
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

/* The same record twice in one call has no order that a set-based write could keep. */
static void refuse_repeats(struct batch *batch) {
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

/* ---- by another system's ids ---- */

/* Takes the locks of all external ids in one order, so that twenty identical calls make one record;
 * then finds what is known. */
static bool find_external(struct action *action, const struct bulk *bulk, struct tx *tx,
                          struct batch *batch, struct err *err) {
    struct str *ids = arena_array(action->arena, batch->n + 1, sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; ids && i < batch->n; i++)
        if (batch->entries[i].external_id.ptr)
            ids[n++] = batch->entries[i].external_id;
    struct str params[] = {bulk->system, str_of(bulk->resource->name),
                           ids ? array_param(action->arena, ids, n) : STR_ABSENT};
    if (!params[2].ptr)
        return err_memory(err);
    tx_query(tx,
             "select pg_advisory_xact_lock(k) from (select distinct hashtextextended($1 || '|' || "
             "$2 || '|' || e, 11) as k"
             " from unnest($3::text[]) e order by 1) keys",
             params, 3);
    size_t known = tx_query(
        tx,
        "select external_id, record_id from external_id where system = $1 and resource = $2"
        " and external_id = any ($3::text[])",
        params, 3);
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < batch->n; i++) {
        struct entry *entry = &batch->entries[i];
        for (size_t r = 0; r < tx_rows(tx, known) && entry->external_id.ptr; r++)
            if (str_eq(tx_value(tx, known, r, 0), entry->external_id)) {
                entry->id = arena_str(action->arena, tx_value(tx, known, r, 1));
                entry->kind = entry->kind == ENTRY_DELETE ? ENTRY_DELETE : ENTRY_CHANGE;
                entry->upsert = true;
            }
    }
    return true;
}

/* A name "x_external_id" that stands for the reference field "x_id"; NULL if it does not. */
static const struct field *reference_for(const struct bulk *bulk, struct action *action,
                                         const char *name) {
    struct str text = str_of(name);
    static const char suffix[] = "_external_id";
    if (!str_ends(text, suffix) || resource_field(bulk->resource, text))
        return NULL;
    char *id = arena_format(action->arena, "%.*s_id", (int)(text.len - strlen(suffix)), name);
    const struct field *field = id ? resource_field(bulk->resource, str_of(id)) : NULL;
    return field && field->ref ? field : NULL;
}

struct reference {
    size_t entry;
    const struct field *field;
    const char *name;
    struct str external_id;
};

/* Parents by external id: all references of all records in one query. */
static bool resolve_references(struct action *action, const struct bulk *bulk, struct tx *tx,
                               struct work *work, struct err *err) {
    size_t most = 0, n = 0;
    for (size_t i = 0; i < work->batch->n; i++)
        most += jv_len(work->given[i]);
    struct reference *refs = arena_array(action->arena, most + 1, sizeof *refs);
    struct str *kinds = arena_array(action->arena, most + 1, sizeof *kinds),
               *ids = arena_array(action->arena, most + 1, sizeof *ids);
    if (!refs || !kinds || !ids)
        return err_memory(err);
    for (size_t i = 0; i < work->batch->n; i++)
        for (void *it = jv_first(work->given[i]); it; it = jv_next(work->given[i], it)) {
            const struct field *field = reference_for(bulk, action, jv_key(it));
            char *name = field ? arena_copy(action->arena, str_of(jv_key(it))) : NULL;
            if (!name)
                continue;
            struct str id = jv_text(jv_value(it));
            char whole[SALESFORCE_ID_TEXT];
            if (str_is(bulk->system, "salesforce") && id.ptr && salesforce_id_parse(id, whole))
                id = str_of(whole);
            refs[n] = (struct reference){i, field, name, arena_str(action->arena, id)};
            kinds[n] = str_of(field->ref);
            ids[n] = refs[n].external_id.ptr ? refs[n].external_id : STR("");
            n++;
        }
    if (n == 0)
        return true;
    struct str params[] = {bulk->system, array_param(action->arena, kinds, n),
                           array_param(action->arena, ids, n)};
    size_t slot = tx_query(tx,
                           "select x.record_id from unnest($2::text[], $3::text[]) with ordinality "
                           "w(resource, external_id, nth)"
                           " left join external_id x on x.system = $1 and x.resource = w.resource "
                           "and x.external_id = w.external_id order by w.nth",
                           params, 3);
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        jv *given = work->given[refs[i].entry];
        struct entry *entry = &work->batch->entries[refs[i].entry];
        struct str found = tx_value(tx, slot, i, 0);
        if (found.ptr)
            jv_set(given, refs[i].field->name, jv_new_text(found));
        else if (!refs[i].external_id.ptr && jv_is_null(jv_get(given, refs[i].name)))
            jv_set(given, refs[i].field->name, jv_new_null());
        else {
            char where[128];
            snprintf(where, sizeof where, "%s/%s", entry->at, refs[i].name);
            err_add(&entry->err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "unknown_reference",
                    "System %.*s has no %s with the id %.*s here.", STR_ARG(bulk->system),
                    refs[i].field->ref,
                    refs[i].external_id.len > 60 ? 60 : STR_ARG(refs[i].external_id));
        }
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

static void sync_entry(struct action *action, const struct bulk *bulk, struct entry *entry,
                       const jv *record, jv **given) {
    static const char *const steering[] = {"external_id", "system_modstamp", "is_deleted", NULL};
    static const char *const nothing[] = {NULL};
    if (jv_kind(record) != JV_OBJECT) {
        bad_record(entry, "", "wrong_type", "must be an object");
        return;
    }
    struct str id = bulk->put ? bulk->put_external_id : jv_text(jv_get(record, "external_id"));
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
    entry->kind = jv_bool(jv_get(record, "is_deleted")) ? ENTRY_DELETE : ENTRY_CREATE;
    entry->given = *given = payload(record, bulk->put ? nothing : steering);
}

static bool sync_prepare(struct action *action, const struct bulk *bulk, struct tx *tx,
                         struct work *work, struct err *err) {
    if (!find_external(action, bulk, tx, work->batch, err) ||
        !resolve_references(action, bulk, tx, work, err))
        return false;
    for (size_t i = 0; i < work->batch->n; i++) {
        struct entry *entry = &work->batch->entries[i];
        if (err_is_set(&entry->err))
            continue;
        if (entry->kind == ENTRY_DELETE && !entry->id.ptr)
            bad_record(entry, "external_id", "unknown_reference",
                       "There is no record with this id to delete.");
        else if (entry->kind != ENTRY_DELETE)
            put_external_id(bulk, entry, work->given[i]);
    }
    return true;
}

/* PUT: what a GET of the record would say; 201 when it is new. */
static bool put_answer(struct action *action, const struct bulk *bulk, struct entry *entry,
                       struct outcome *outcome, struct err *err) {
    struct record_key key = {.resource = bulk->resource};
    struct view view;
    if (!entry->row)
        return not_found(&key, err);
    view_init(&view);
    view_write(action, bulk->resource, &view, entry->row, NULL, &outcome->body, outcome->etag);
    if (entry->kind != ENTRY_CREATE)
        return true;
    struct str account = (bulk->resource->flags & R_NESTED) != 0
                             ? row_value(bulk->resource, entry->row, "account_id")
                             : STR_ABSENT;
    outcome->status = 201;
    if (account.ptr)
        snprintf(outcome->location, sizeof outcome->location, "/v1/accounts/%.*s/%s/%.*s",
                 STR_ARG(account), bulk->resource->path, STR_ARG(entry->id));
    else
        snprintf(outcome->location, sizeof outcome->location, "/v1/%s/%.*s", bulk->resource->path,
                 STR_ARG(entry->id));
    return true;
}

static bool bulk_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    const struct bulk *bulk = arg;
    CLEANUP(work_release) struct work work = {0};
    if (!work_start(action, bulk, &work, err))
        return false;
    for (size_t i = 0; i < work.batch->n; i++) {
        struct entry *entry = &work.batch->entries[i];
        const jv *record = jv_at(bulk->records, i);
        if (bulk->system.ptr)
            sync_entry(action, bulk, entry, record, &work.given[i]);
        else
            bulk_entry(action, bulk, entry, record, &work.given[i]);
    }
    refuse_repeats(work.batch);
    if (bulk->system.ptr && !sync_prepare(action, bulk, tx, &work, err))
        return false;
    /* PUT honours If-Match when there is one; upserts need none. */
    if (bulk->put)
        work.batch->entries[0].unconditional = !action->if_match.ptr;
    if (!batch_write(action, tx, work.batch, err))
        return false;
    if (bulk->put)
        return put_answer(action, bulk, &work.batch->entries[0], outcome, err);
    batch_results(action, work.batch, &outcome->body);
    outcome->rolled_back = work.batch->rolled_back;
    return !outcome->rolled_back;
}

static bool known_members(const jv *request, const char *const *names, struct err *err) {
    if (jv_kind(request) != JV_OBJECT)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_POINTER, "", "wrong_type",
                       "must be an object with records[]");
    for (void *it = jv_first(request); it; it = jv_next(request, it)) {
        bool known = false;
        for (const char *const *name = names; *name; name++)
            known = known || strcmp(*name, jv_key(it)) == 0;
        char where[128];
        snprintf(where, sizeof where, "/%.100s", jv_key(it));
        if (!known)
            err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_POINTER, where, "unknown_field",
                    "There is no such field here.");
    }
    return !err_is_set(err);
}

static bool read_request(const jv *request, const char *const *names, struct bulk *bulk,
                         struct err *err) {
    if (!known_members(request, names, err))
        return false;
    const jv *records = jv_get(request, "records"), *all = jv_get(request, "all_or_none");
    if (all && jv_kind(all) != JV_BOOL)
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_POINTER, "/all_or_none", "wrong_type",
                "must be true or false");
    if (jv_kind(records) != JV_ARRAY || jv_len(records) == 0)
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_POINTER, "/records", "required",
                "must be an array of 1 to %d records", BULK_MAX);
    else if (jv_len(records) > BULK_MAX)
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, "/records", "too_many",
                "at most %d records in one call", BULK_MAX);
    bulk->records = records;
    bulk->all_or_none = jv_bool(all);
    return !err_is_set(err);
}

bool record_bulk(struct action *action, const struct record_key *key, const jv *request,
                 struct outcome *outcome, struct err *err) {
    static const char *const names[] = {"all_or_none", "records", NULL};
    struct bulk bulk = {.resource = key->resource, .account_id = key->account_id};
    return read_request(request, names, &bulk, err) &&
           write_once(action, bulk_work, &bulk, outcome, err);
}

bool sync_bulk(struct action *action, struct str system, const struct resource *resource,
               const jv *request, struct outcome *outcome, struct err *err) {
    static const char *const names[] = {"all_or_none", "records", NULL};
    struct bulk bulk = {.resource = resource, .system = system};
    action->origin = system;
    return read_request(request, names, &bulk, err) &&
           write_once(action, bulk_work, &bulk, outcome, err);
}

bool sync_put(struct action *action, struct str system, const struct resource *resource,
              struct str external_id, const jv *doc, struct outcome *outcome, struct err *err) {
    CLEANUP(jv_unref) jv *records = jv_new_array();
    struct bulk bulk = {.resource = resource,
                        .system = system,
                        .put = true,
                        .put_external_id = external_id,
                        .records = records};
    if (!records || !jv_push(records, jv_copy(doc)))
        return err_memory(err);
    action->origin = system;
    return write_once(action, bulk_work, &bulk, outcome, err);
}
