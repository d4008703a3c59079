/* Reads, creates, changes, deletes and restores one record of any resource. A read may be answered
 * from the cache in Redis; a write is a batch of one record. */
#include "app/records.h"

#include "app/query.h"
#include "base/write_once.h"
#include "cache/cache.h"
#include "core/trace.h"
#include "record/batch.h"
#include "record/one.h"
#include "record/view.h"
#include "store/array.h"
#include "store/record.h"

#include <stdio.h>
#include <string.h>

/* ---- reading one ---- */

struct record_read {
    const struct record_key *key;
    struct view view;
    struct cache_lease lease;
    bool leased; /* what is read is put into the cache */
};

static bool cacheable(const struct action *action, const struct record_read *read) {
    const struct resource *resource = read->key->resource;
    /* Who is shown what is sensitive is noted where it is read from the database. */
    return (resource->flags & R_CACHED) != 0 && read->view.plain &&
           !area_sensitive(resource->area) && role_sees_all(action->who->role);
}

/* A cached entry is the ETag, a line feed, and the body. */
static bool answer_cached(struct action *action, struct str value, struct outcome *outcome) {
    struct str etag;
    if (!str_split(&value, '\n', &etag) || etag.len >= sizeof outcome->etag || !value.ptr)
        return false;
    memcpy(outcome->etag, etag.ptr, etag.len);
    outcome->etag[etag.len] = '\0';
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, etag);
    buf_put(&outcome->body, value);
    return true;
}

static void fill(struct action *action, const struct cache_lease *lease, const struct row *row,
                 const struct outcome *outcome) {
    struct buf value;
    buf_init(&value, (size_t)1 << 20);
    buf_text(&value, outcome->etag);
    buf_char(&value, '\n');
    buf_put(&value, buf_str(&outcome->body));
    if (buf_ok(&value))
        cache_fill(action->app->cache, lease, row_cache_version(row), buf_str(&value));
    buf_release(&value);
}

static bool get_from_store(struct action *action, struct record_read *read, struct outcome *outcome,
                           struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    const struct record_key *key = read->key;
    struct str ids = pg_array_param(action->arena, &key->id, 1);
    if (!ids.ptr)
        return err_memory(err);
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, sql_for(action, key->resource->id)->get, &ids, 1);
    if (!tx_flush(tx, err))
        return false;
    struct rows rows = rows_of(action, key->resource, tx, slot);
    if (!rows.list)
        return err_memory(err);
    if (rows.n == 0 || !row_below(rows.list, key->account_id))
        return not_found(key, err);
    if (!view_expand(action, tx, &read->view, &rows, err))
        return false;
    view_write(action, &read->view, rows.list, &outcome->body, outcome->etag);
    if (!buf_ok(&outcome->body))
        return err_memory(err);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    if (read->leased)
        fill(action, &read->lease, rows.list, outcome);
    return true;
}

static enum cache_outcome ask_cache(struct action *action, const char *name, struct str *ret_value,
                                    struct cache_lease *ret_lease) {
    static const char *const outcomes[] = {
        [CACHE_HIT] = "hit", [CACHE_LEASE] = "lease", [CACHE_BUSY] = "busy", [CACHE_OFF] = "off"};
    struct trace trace;
    trace_child(&trace, action->traceparent);
    enum cache_outcome cached =
        cache_get(action->app->cache, name, action->arena, ret_value, ret_lease);
    TRACE_END(&trace, SPAN_CLIENT, STR("redis read"), false, SPAN_S("db.system.name", "redis"),
              SPAN_S("kamd.cache.outcome", outcomes[cached]));
    return cached;
}

static bool read_view(struct action *action, struct record_read *read, struct err *err) {
    view_init(&read->view);
    for (size_t i = 0; i < action->n_params; i++) {
        bool taken;
        view_param(read->key->resource, &action->params[i], &read->view, &taken, err);
        if (!taken)
            unknown_parameter(action->arena, action->params[i].name, err);
    }
    return !err_is_set(err);
}

bool one_read(struct action *action, const struct record_key *key, struct outcome *outcome,
              struct err *err) {
    struct record_read read = {.key = key};
    if (!read_view(action, &read, err))
        return false;
    if (!cacheable(action, &read))
        return get_from_store(action, &read, outcome, err);
    char name[81];
    struct str value;
    snprintf(name, sizeof name, "%s:%.*s", key->resource->name, STR_ARG(key->id));
    enum cache_outcome cached = ask_cache(action, name, &value, &read.lease);
    if (cached == CACHE_HIT && answer_cached(action, value, outcome))
        return true;
    read.leased = cached == CACHE_LEASE;
    return get_from_store(action, &read, outcome, err);
}

/* ---- writing one ---- */

struct record_write {
    const struct record_key *key;
    const jv *given;
    enum entry_kind kind;
    bool replace;
};

/* *owner: what the caller releases, if anything was made. */
static const jv *with_account(const struct record_write *write, jv **owner, struct err *err) {
    if (write->kind != ENTRY_CREATE || !write->key->account_id.ptr ||
        jv_kind(write->given) != JV_OBJECT)
        return write->given;
    const jv *said = jv_get(write->given, "account_id");
    if (said && !str_eq(jv_text(said), write->key->account_id)) {
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER("/account_id"), "contradiction",
                "The path names another account.");
        return NULL;
    }
    *owner = jv_copy(write->given);
    if (!*owner || !jv_set(*owner, "account_id", jv_new_text(write->key->account_id))) {
        err_memory(err);
        return NULL;
    }
    return *owner;
}

static void set_location(const struct record_key *key, struct str id, struct outcome *outcome) {
    if (key->account_id.ptr)
        snprintf(outcome->location, sizeof outcome->location, "/v1/accounts/%.*s/%s/%.*s",
                 STR_ARG(key->account_id), key->resource->path, STR_ARG(id));
    else
        snprintf(outcome->location, sizeof outcome->location, "/v1/%s/%.*s", key->resource->path,
                 STR_ARG(id));
}

static bool one_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                     struct err *err) {
    struct record_write *write = arg;
    CLEANUP(jv_unref) jv *owner = NULL;
    CLEANUP(batch_release) struct batch *batch = batch_new(action, write->key->resource, 1, err);
    if (!batch)
        return false;
    batch->single = true;
    struct entry *entry = &batch->entries[0];
    entry->kind = write->kind;
    entry->id = write->kind == ENTRY_CREATE ? STR_ABSENT : write->key->id;
    entry->account_id = write->key->account_id;
    entry->unconditional = write->kind == ENTRY_CREATE || write->kind == ENTRY_RESTORE;
    entry->replace = write->replace;
    entry->given = with_account(write, &owner, err);
    if (err_is_set(err) || !batch_write(action, tx, batch, err))
        return false;
    if (write->kind == ENTRY_DELETE) {
        outcome->status = 204;
        return true;
    }
    if (!entry->row)
        return not_found(write->key, err);
    struct view view;
    view_init(&view);
    view_write(action, &view, entry->row, &outcome->body, outcome->etag);
    if (write->kind == ENTRY_CREATE) {
        outcome->status = 201;
        set_location(write->key, entry->id, outcome);
    }
    return true;
}

bool one_create(struct action *action, const struct record_key *key, const jv *doc,
                struct outcome *outcome, struct err *err) {
    struct record_write write = {.key = key, .given = doc, .kind = ENTRY_CREATE};
    return write_once(action, one_work, &write, outcome, err);
}

bool one_change(struct action *action, const struct record_key *key, const jv *doc,
                struct outcome *outcome, struct err *err) {
    struct record_write write = {.key = key, .given = doc, .kind = ENTRY_CHANGE};
    return write_once(action, one_work, &write, outcome, err);
}

bool one_replace(struct action *action, const struct record_key *key, const jv *doc,
                 struct outcome *outcome, struct err *err) {
    struct record_write write = {.key = key, .given = doc, .kind = ENTRY_CHANGE, .replace = true};
    return write_once(action, one_work, &write, outcome, err);
}

/* ---- by the route ---- */

struct record_key action_key(const struct action *action) {
    return (struct record_key){.resource = action->resource,
                               .id = action_arg(action, "id"),
                               .account_id = action_arg(action, "account_id")};
}

bool record_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct record_key key = action_key(action);
    return one_read(action, &key, outcome, err);
}

bool record_create(struct action *action, struct outcome *outcome, struct err *err) {
    struct record_key key = action_key(action);
    return one_create(action, &key, action->doc, outcome, err);
}

bool record_patch(struct action *action, struct outcome *outcome, struct err *err) {
    struct record_key key = action_key(action);
    return one_change(action, &key, action->doc, outcome, err);
}

bool record_delete(struct action *action, struct outcome *outcome, struct err *err) {
    struct record_key key = action_key(action);
    struct record_write write = {.key = &key, .kind = ENTRY_DELETE};
    return write_once(action, one_work, &write, outcome, err);
}

bool record_restore(struct action *action, struct outcome *outcome, struct err *err) {
    struct record_key key = action_key(action);
    struct record_write write = {.key = &key, .kind = ENTRY_RESTORE};
    return write_once(action, one_work, &write, outcome, err);
}
