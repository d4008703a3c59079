/* Answers lists and histories of records: filters, order, and pages that go by keys. */
#include "app/query.h"
#include "app/records.h"
#include "base/audit_note.h"
#include "base/json.h"
#include "record/area_guard.h"
#include "record/list_query.h"
#include "store/array.h"
#include "store/record.h"

/* ---- answering ---- */

static void make_next(struct action *action, const struct list *list, struct outcome *outcome) {
    struct cursor last;
    list_key(list, &list->rows.list[list->rows.n - 1], &last);
    cursor_make(action, &last, outcome->next, sizeof outcome->next);
}

static bool answer(struct action *action, const struct list *list, struct outcome *outcome,
                   struct err *err) {
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < list->rows.n; i++) {
        char etag[ETAG_TEXT];
        if (i > 0)
            buf_char(&outcome->body, ',');
        view_write(action, &list->view, &list->rows.list[i], &outcome->body, etag);
    }
    /* Over what is shown, and not over a cursor, which is sealed anew each time. */
    if (buf_ok(&outcome->body))
        etag_make(STR(""), 2 * list->total + list->has_more, buf_str(&outcome->body),
                  outcome->etag);
    if (list->has_more)
        make_next(action, list, outcome);
    page_end(outcome, list->has_more, list->total);
    if (!buf_ok(&outcome->body))
        return err_memory(err);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    return true;
}

/* An area that the caller does not read has nothing in it, and says so. */
static void answer_redacted(struct action *action, enum area area, bool with_total,
                            struct outcome *outcome) {
    buf_text(&outcome->body, "{\"data\":[],\"redacted\":");
    write_areas(AREA_BIT(area), &outcome->body);
    page_tail(outcome, false, with_total ? 0 : -1);
    etag_make(STR(""), 0, buf_str(&outcome->body), outcome->etag);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
}

bool record_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    const struct record_key key = action_key(action);
    const enum area area = key.resource->area;
    area_set areas = AREAS_ALL;
    struct list list;
    list_init(action, &key, action_page_size(action), &list);
    if ((list_uses_custom(action) || key.account_id.ptr) && !read_begin(action, &tx, err))
        return false;
    if (!list_read(action, tx, &list, err))
        return false;
    if (key.account_id.ptr && !account_areas(action, tx, key.account_id, &areas, err))
        return false;
    if ((areas & AREA_BIT(area)) == 0) {
        answer_redacted(action, area, list.include_total, outcome);
        return true;
    }
    return (tx || read_begin(action, &tx, err)) && list_page(action, tx, &list, err) &&
           answer(action, &list, outcome, err);
}

/* ---- history ---- */

static bool history_visible(struct action *action, const struct record_key *key, struct tx *tx,
                            size_t slot, struct err *err) {
    struct rows rows = rows_of(action, key->resource, tx, slot);
    if (!rows.list)
        return err_memory(err);
    if (rows.n == 0 || !row_below(rows.list, key->account_id))
        return not_found(key, err);
    note_row(action, rows.list);
    return true;
}

/* For callers who do not see everything, of no record where they do not see it: see ANY_VISIBLE. */
static const char *history_sql(struct action *action, const struct record_key *key) {
    bool by_access_set = !role_sees_all(action->who->role) && resource_account(key->resource);
    const char *id = "$1::uuid";
    if (by_access_set)
        id = arena_format(action->arena, "(select v.id from visible_%s(array[$1::uuid], true) v)",
                          key->resource->table);
    return id ? arena_format(action->arena,
                             "select id, at, op, version, actor, origin, request_id, changes from "
                             "history where record_id = %s and ($2::bigint is null or id < "
                             "$2::bigint) order by id desc limit $3::int",
                             id)
              : NULL;
}

bool record_history(struct action *action, struct outcome *outcome, struct err *err) {
    static const struct field fields[] = {
        {.name = "id", .type = FIELD_TEXT},         {.name = "at", .type = FIELD_TIME},
        {.name = "op", .type = FIELD_TEXT},         {.name = "version", .type = FIELD_INT},
        {.name = "actor", .type = FIELD_TEXT},      {.name = "origin", .type = FIELD_TEXT},
        {.name = "request_id", .type = FIELD_TEXT}, {.name = "changes", .type = FIELD_MAP}};
    const struct record_key route = action_key(action), *key = &route;
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str list = str_of(arena_format(action->arena, "history|%.*s", STR_ARG(key->id)));
    struct page page = {.list = list, .key_columns = {0}, .n_keys = 1, .shape = &SHAPE_OF(fields)};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str ids = pg_array_param(action->arena, &key->id, 1);
    struct str values[] = {key->id, page.keys[0], page_limit(action, &page)};
    const char *sql = history_sql(action, key);
    if (!ids.ptr || !sql)
        return err_memory(err);
    size_t there = tx_query(tx, sql_for(action, key->resource->id)->get_any, &ids, 1);
    size_t slot = tx_query(tx, sql, values, 3);
    if (!tx_flush(tx, err) || !history_visible(action, key, tx, there, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}
