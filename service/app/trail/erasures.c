/* Lists all personal data that is kept about a contact, and erases a contact for good, as an
 * operation of a worker. After a restore of the database, erase_again() erases the contacts who
 * came back. */
#include "app/erasures.h"

#include "app/audit.h"
#include "base/audit_note.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/operation.h"
#include "base/write_once.h"
#include "core/log.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "record/view.h"
#include "store/array.h"

#include <stdio.h>

/* ---- what is kept ---- */

#define PERSONAL_DATA_SQL                                                                          \
    "select kind, document, part, key from personal_data($1::uuid, $2::int,"                       \
    " case when $2::int = 9 then log_place($3::text::bigint)::text else $3::text end, $4::int)"
enum { PERSONAL_KIND, PERSONAL_DOCUMENT, PERSONAL_PART, PERSONAL_KEY };

/* The last row may be one without a document: so far was looked, and there is more. */
static void write_parts(struct action *action, const struct page *page, struct tx *tx, size_t slot,
                        struct outcome *outcome) {
    static const struct field fields[] = {{.name = "kind", .type = FIELD_TEXT},
                                          {.name = "data", .type = FIELD_MAP}};
    struct buf *body = &outcome->body;
    size_t n = tx_rows(tx, slot), shown = n > page->size ? page->size : n;
    bool part = n > 0 && !tx_value(tx, slot, n - 1, PERSONAL_DOCUMENT).ptr,
         has_more = part || n > page->size;
    if (part && shown == n)
        shown--;
    buf_text(body, "{\"data\":[");
    write_rows(tx, slot, shown, &SHAPE_OF(fields), body);
    if (has_more) {
        size_t last = n > page->size ? page->size - 1 : n - 1;
        const struct cursor cursor = {.list = page->list,
                                      .values = {tx_value(tx, slot, last, PERSONAL_PART),
                                                 tx_value(tx, slot, last, PERSONAL_KEY)},
                                      .n = 2};
        cursor_make(action, &cursor, outcome->next, sizeof outcome->next);
    }
    page_end(outcome, has_more, -1);
}

bool personal_data_list(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct record_key key = {.resource = resource_of(RES_CONTACT), .id = id};
    struct str list = str_of(arena_format(action->arena, "personal data|%.*s", STR_ARG(id)));
    struct page page = {.list = list, .n_keys = 2};
    if (!role_sees_all(action->who->role))
        return err_set(err, PROBLEM_FORBIDDEN,
                       "What is kept about a person lies in all areas of an account; it is for "
                       "admins, directors and auditors.");
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {id, page.keys[0], page.keys[1], page_limit(action, &page)};
    size_t there = tx_query(tx, "select account_id from contact where id = $1::uuid", values, 1);
    size_t slot = tx_query(tx, PERSONAL_DATA_SQL, values, 4);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, there) == 0)
        return not_found(&key, err);
    audit_note_always(action, AREA_CONTACTS, "personal_data", tx_value(tx, there, 0, 0), id);
    write_parts(action, &page, tx, slot, outcome);
    return true;
}

/* ---- erasure ---- */

/* clang-format off */
static const struct field erasure_fields[] = {
    {.name = "reason", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 500},
    {.name = "replace_in", .type = FIELD_TEXTS, .max = 200, .check = check_uuid, .preset = "[]"},
};
/* clang-format on */

struct erasure {
    struct str id;
    struct str reason;
    struct str replace_in;
};

#define ERASURE_SQL                                                                                \
    "select erased_at is not null, deleted_at is not null, jsonb_build_object('contact_id', id,"   \
    " 'reason', $2::text, 'replace_in', $3::jsonb, 'actor', $4::text, 'origin', $5::text,"         \
    " 'request_id', $6::text) from contact where id = $1::uuid"
enum { ERASURE_DONE, ERASURE_DELETED, ERASURE_REQUEST };

static bool erasure_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                         struct err *err) {
    const struct erasure *erasure = arg;
    struct record_key key = {.resource = resource_of(RES_CONTACT), .id = erasure->id};
    struct str values[] = {erasure->id,         erasure->reason,
                           erasure->replace_in, str_of(action->who->actor),
                           action->origin,      action->request_id};
    size_t slot = tx_query(tx, ERASURE_SQL, values, COUNT_OF(values));
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return not_found(&key, err);
    if (tx_bool(tx, slot, 0, ERASURE_DONE))
        return err_set(err, PROBLEM_CONTACT_ERASED, "The person was erased already.");
    if (!tx_bool(tx, slot, 0, ERASURE_DELETED) && !view_if_match(action, tx, &key, err))
        return false;
    return operation_queue(
        action, tx,
        &(const struct operation_request){"erasure", tx_value(tx, slot, 0, ERASURE_REQUEST)},
        outcome, err);
}

bool contact_erase(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    static const struct shape shape = {erasure_fields, COUNT_OF(erasure_fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    const jv *places = jv_get(clean, "replace_in");
    struct erasure erasure = {id, jv_text(jv_get(clean, "reason")),
                              places ? json_param(action, places) : STR("[]")};
    return erasure.replace_in.ptr ? write_once(action, erasure_work, &erasure, outcome, err)
                                  : err_memory(err);
}

#define EACH_MS 600000
static const struct tx_context console = {.scope = {"all", 3}, .actor = {"console", 7}};

/* The log outlives a restore: it says whom to erase again. */
static void log_erasure(const struct taken_operation *operation) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    CLEANUP(err_release) struct err err = ERR_INIT;
    if (!(tx = tx_begin(operation->app->store, TX_READ, &console, deadline_in_ms(EACH_MS), &err)))
        return;
    size_t slot = tx_query(tx, "select request ->> 'contact_id' from operation where id = $1::uuid",
                           &operation->id, 1);
    if (tx_flush(tx, &err))
        LOG(LOG_INFO, "contact_erased", LOG_T("contact_id", tx_value(tx, slot, 0, 0)));
}

bool erasure_step(const struct taken_operation *operation, bool *ret_more, struct err *err) {
    bool done;
    *ret_more = false;
    if (!operation_whole(operation, "select erasure_run($1::uuid, $2::uuid)", &done, err))
        return false;
    if (done)
        log_erasure(operation);
    return true;
}

/* ---- after a restore ---- */

static bool erase_one(struct store *store, struct str id, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!(tx = tx_begin(store, TX_WRITE, &console, deadline_in_ms(EACH_MS), err)))
        return false;
    tx_query(tx, "set local statement_timeout = '600s'", NULL, 0);
    tx_query(tx, "select erasure_of_contact($1::uuid, 'Erased again after a restore', '{}')", &id,
             1);
    return tx_commit(tx, err);
}

static bool next_undone(struct store *store, struct str named, char ret[static UUID_TEXT],
                        bool *ret_found, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!(tx = tx_begin(store, TX_READ, &console, deadline_in_ms(EACH_MS), err)))
        return false;
    size_t slot = tx_query(tx, "select erasure_undone($1::uuid[]) limit 1", &named, 1);
    if (!tx_flush(tx, err))
        return false;
    *ret_found = tx_rows(tx, slot) > 0;
    if (*ret_found)
        snprintf(ret, UUID_TEXT, "%s", tx_value(tx, slot, 0, 0).ptr);
    return true;
}

bool erase_again(struct store *store, const struct str *ids, size_t n, size_t *ret_erased,
                 struct err *err) {
    CLEANUP(arena_release) struct arena arena = {0};
    char id[UUID_TEXT];
    bool found = true;
    arena_init(&arena, (size_t)64 << 20);
    struct str named = pg_array_param(&arena, ids, n);
    *ret_erased = 0;
    if (!named.ptr)
        return err_memory(err);
    while (next_undone(store, named, id, &found, err) && found) {
        if (!erase_one(store, str_of(id), err))
            return false;
        ++*ret_erased;
    }
    return !err_is_set(err);
}
