/* Lists: filters, order, keyset pages. */
#include "app/query.h"
#include "app/records.h"
#include "base/audit_note.h"
#include "record/area_guard.h"
#include "record/list_query.h"
#include "store/array.h"
#include "store/record.h"

/* ---- answering ---- */

static void make_next(struct action *action, const struct list *list, const struct row *last,
                      struct outcome *outcome) {
    struct str values[LIST_ORDERS];
    list_key(list, last, values);
    cursor_make(action, list->canonical, values, list->n_sorts, outcome->next,
                sizeof outcome->next);
}

static bool answer(struct action *action, struct list *list, struct tx *tx, size_t slot,
                   size_t count_slot, struct outcome *outcome, struct err *err) {
    const struct resource *resource = list->key->resource;
    struct expanded *expanded = NULL;
    size_t n = 0;
    int64_t total = list->include_total ? tx_int(tx, count_slot, 0, 0) : -1;
    const struct row *rows = rows_of(action, resource, tx, slot, &n);
    if (!rows)
        return err_memory(err);
    bool has_more = n > list->page_size;
    n = has_more ? list->page_size : n;
    if (!view_expand(action, resource, &list->view, rows, n, tx, &expanded, err))
        return false;
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < n; i++) {
        char etag[ETAG_TEXT];
        if (i > 0)
            buf_char(&outcome->body, ',');
        view_write(action, resource, &list->view, &rows[i], expanded, &outcome->body, etag);
    }
    /* Over what is shown, and not over a cursor, which is sealed anew each time. */
    if (buf_ok(&outcome->body))
        etag_make(STR(""), 2 * total + has_more, buf_str(&outcome->body), outcome->etag);
    if (has_more)
        make_next(action, list, &rows[n - 1], outcome);
    page_end(outcome, has_more, total);
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

static bool run(struct action *action, struct list *list, struct tx *tx, struct statement *st,
                struct outcome *outcome, struct err *err) {
    size_t count_slot = 0;
    if (!list_statement(action, list, st, err))
        return false;
    if (list->include_total)
        count_slot = tx_query_once(tx, st->count.ptr, st->params, st->n_where);
    /* The shapes of filters are many; only the bare list and its next page are worth a prepared
     * statement. */
    size_t slot = list->where ? tx_query_once(tx, st->sql.ptr, st->params, st->n_params)
                              : tx_query(tx, st->sql.ptr, st->params, st->n_params);
    return tx_flush(tx, err) && answer(action, list, tx, slot, count_slot, outcome, err);
}

bool record_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    const struct record_key route = action_key(action), *key = &route;
    struct list list = {.key = key,
                        .page_size = action_page_size(action),
                        .by_access_set = !role_sees_all(action->who->role)};
    struct statement *st = arena_alloc(action->arena, sizeof *st);
    view_init(&list.view);
    if (!st)
        return err_memory(err);
    bool custom = list_uses_custom(key->resource, action->params, action->n_params);
    if ((custom || key->account_id.ptr) && !read_begin(action, &tx, err))
        return false;
    if (!list_read(action, &list, tx, action->params, action->n_params, err))
        return false;
    area_set areas = AREAS_ALL;
    if (key->account_id.ptr && !account_areas(action, tx, key->account_id, &areas, err))
        return false;
    if ((areas & AREA_BIT(key->resource->area)) == 0) {
        answer_redacted(action, key->resource->area, list.include_total, outcome);
        return true;
    }
    if (!tx && !read_begin(action, &tx, err))
        return false;
    statement_init(st);
    bool fine = run(action, &list, tx, st, outcome, err);
    statement_release(st);
    return fine;
}

/* ---- history ---- */

static void history_entry(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    static const char *const names[] = {"id",    "at",     "op",         "version",
                                        "actor", "origin", "request_id", "changes"};
    static const struct field at = {.type = FIELD_TIME};
    buf_text(ret, row > 0 ? ",{" : "{");
    for (size_t c = 0; c < COUNT_OF(names); c++) {
        struct str value = tx_value(tx, slot, row, c);
        buf_format(ret, "%s\"%s\":", c > 0 ? "," : "", names[c]);
        if (c == 1)
            render_value(&at, value, ret);
        else if (c == 3 || c == 7)
            buf_put(ret, value);
        else
            buf_json(ret, value);
    }
    buf_char(ret, '}');
}

static bool history_visible(struct action *action, const struct record_key *key, struct tx *tx,
                            size_t slot, struct err *err) {
    size_t n = 0;
    const struct row *rows = rows_of(action, key->resource, tx, slot, &n);
    if (!rows)
        return err_memory(err);
    if (n == 0 || (key->account_id.ptr &&
                   !str_eq(row_value(key->resource, rows, "account_id"), key->account_id)))
        return not_found(key, err);
    note_row(action, key->resource, rows);
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
    static const size_t key_columns[] = {0};
    const struct record_key route = action_key(action), *key = &route;
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page;
    struct str list = str_of(arena_format(action->arena, "history|%.*s", STR_ARG(key->id)));
    if (!page_read(action, list, 1, &page, err) || !read_begin(action, &tx, err))
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
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < page_rows(&page, tx_rows(tx, slot)); i++)
        history_entry(tx, slot, i, &outcome->body);
    page_finish(action, &page, tx, slot, key_columns, outcome);
    return true;
}
