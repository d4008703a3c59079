/* Lists: filters, order, keyset pages. */
#include "app/records.h"

#include "areas.h"
#include "cursor.h"
#include "domain/filter.h"
#include "notes.h"
#include "store/record.h"
#include "view.h"

#include <stdio.h>
#include <string.h>

#define ORDERS_MAX 5
#define PARAMS_MAX 400

struct sort {
    const struct field *field;
    bool descending;
};

struct list {
    const struct record_key *key;
    struct view view;
    struct sort sorts[ORDERS_MAX + 1];
    size_t n_sorts;
    struct cond *where;
    size_t page_size;
    struct str cursor;
    bool include_total;
    struct str canonical; /* what the cursor is bound to */
    bool narrow;
};

/* ---- reading the parameters ---- */

static void take_order(struct list *list, struct str value, struct err *err) {
    struct str name;
    while (str_split(&value, ',', &name)) {
        bool descending = str_starts(name, "-");
        struct str plain = descending ? (struct str){name.ptr + 1, name.len - 1} : name;
        const struct field *field = resource_field(list->key->resource, plain);
        if (!field || (field->flags & F_SORT) == 0)
            err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_PARAMETER, "order_by", "unknown_field",
                    "%.*s: lists cannot be ordered by this.", name.len > 60 ? 60 : STR_ARG(name));
        else if (list->n_sorts == ORDERS_MAX)
            err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_PARAMETER, "order_by", "too_many",
                    "at most %d fields", ORDERS_MAX);
        else
            list->sorts[list->n_sorts++] = (struct sort){field, descending};
    }
}

static void take_bool(struct str value, const char *name, bool *ret, struct err *err) {
    if (!str_is(value, "true") && !str_is(value, "false"))
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_PARAMETER, name, "invalid_value",
                "must be true or false");
    *ret = str_is(value, "true");
}

static bool take_own(struct list *list, const struct param *param, struct err *err) {
    bool taken;
    view_param(list->key->resource, param, &list->view, &taken, err);
    if (taken)
        return true;
    if (str_is(param->name, "page_size"))
        page_size_read(param->value, &list->page_size, err);
    else if (str_is(param->name, "cursor"))
        list->cursor = param->value;
    else if (str_is(param->name, "order_by"))
        take_order(list, param->value, err);
    else if (str_is(param->name, "include_total"))
        take_bool(param->value, "include_total", &list->include_total, err);
    else
        return false;
    return true;
}

static bool uses_custom(const struct resource *resource, const struct param *params, size_t n) {
    for (size_t i = 0; i < n && (resource->flags & R_CUSTOM) != 0; i++)
        if (str_starts(params[i].name, "custom.") || str_is(params[i].name, "filter"))
            return true;
    return false;
}

static bool read_params(struct action *action, struct list *list,
                        const struct custom_fields *customs, const struct param *params, size_t n,
                        struct err *err) {
    struct cond **parts = arena_array(action->arena, n + 1, sizeof *parts);
    size_t n_parts = 0;
    if (!parts)
        return err_memory(err);
    for (size_t i = 0; i < n; i++) {
        struct cond *part = NULL;
        bool fine;
        if (take_own(list, &params[i], err))
            continue;
        if (str_is(params[i].name, "filter"))
            fine = filter_parse(list->key->resource, customs, params[i].value, action->arena, &part,
                                err);
        else
            fine = filter_flat(list->key->resource, customs, params[i].name, params[i].value,
                               action->arena, &part, err);
        if (fine)
            parts[n_parts++] = part;
    }
    if (err_is_set(err))
        return false;
    bool descending = list->n_sorts > 0 && list->sorts[list->n_sorts - 1].descending;
    list->sorts[list->n_sorts++] = (struct sort){&list->key->resource->fields[0], descending};
    return filter_all(parts, n_parts, action->arena, &list->where, err);
}

static bool canonical(struct action *action, struct list *list, struct err *err) {
    struct buf text;
    buf_init(&text, 1 << 18);
    buf_format(&text, "%s|%.*s|", list->key->resource->path, STR_ARG(list->key->account_id));
    for (size_t i = 0; i < list->n_sorts; i++)
        buf_format(&text, "%c%s,", list->sorts[i].descending ? '-' : '+',
                   list->sorts[i].field->name);
    filter_canonical(list->where, &text);
    list->canonical = buf_ok(&text) ? arena_str(action->arena, buf_str(&text)) : STR_ABSENT;
    buf_release(&text);
    return list->canonical.ptr ? true : err_memory(err);
}

/* ---- SQL ---- */

static const char *cast_of(const struct field *field) {
    switch (field->type) {
    case FIELD_ID:
        return "uuid";
    case FIELD_INT:
        return "bigint";
    case FIELD_BOOL:
        return "boolean";
    case FIELD_DECIMAL:
        return "numeric";
    case FIELD_DATE:
        return "date";
    case FIELD_TIME:
        return "timestamptz";
    case FIELD_TEXT:
    case FIELD_ENUM:
    case FIELD_TEXTS:
    case FIELD_DOC:
    case FIELD_DOCS:
    case FIELD_MAP:
        return "text";
    }
    return "text";
}

/* id, created_at, updated_at and required fields are never null; others sort last in both
 * directions. */
static bool may_be_null(const struct resource *resource, const struct field *field) {
    return resource_field_at(resource, field) > 3 &&
           (field->flags & (F_REQUIRED | F_NOT_NULL)) == 0;
}

static void write_order(const struct list *list, struct buf *sql) {
    buf_text(sql, " order by ");
    for (size_t i = 0; i < list->n_sorts; i++) {
        const struct sort *sort = &list->sorts[i];
        buf_text(sql, i > 0 ? ", " : "");
        sql_column(sql, sort->field, list->narrow);
        buf_text(sql, sort->descending ? " desc" : "");
        if (may_be_null(list->key->resource, sort->field))
            buf_text(sql, " nulls last");
    }
}

static bool uniform(const struct list *list) {
    for (size_t i = 0; i < list->n_sorts; i++)
        if (list->sorts[i].descending != list->sorts[0].descending ||
            may_be_null(list->key->resource, list->sorts[i].field))
            return false;
    return true;
}

/* (a, id) > ($1, $2): one index range. */
static void after_row(const struct list *list, size_t first_param, struct buf *sql) {
    buf_text(sql, " and (");
    for (size_t i = 0; i < list->n_sorts; i++) {
        buf_text(sql, i > 0 ? ", " : "");
        sql_column(sql, list->sorts[i].field, list->narrow);
    }
    buf_format(sql, ") %c (", list->sorts[0].descending ? '<' : '>');
    for (size_t i = 0; i < list->n_sorts; i++)
        buf_format(sql, "%s$%zu::%s", i > 0 ? ", " : "", first_param + i,
                   cast_of(list->sorts[i].field));
    buf_char(sql, ')');
}

/* Mixed directions or nulls: one alternative per column that is the first to differ. */
static void after_columns(const struct list *list, const struct str *values, size_t first_param,
                          struct buf *sql) {
    buf_text(sql, " and (false");
    for (size_t i = 0; i < list->n_sorts; i++) {
        const struct field *field = list->sorts[i].field;
        if (!values[i].ptr)
            continue; /* nothing comes after null in this column */
        buf_text(sql, " or (");
        for (size_t k = 0; k < i; k++) {
            sql_column(sql, list->sorts[k].field, list->narrow);
            if (values[k].ptr)
                buf_format(sql, " = $%zu::%s and ", first_param + k, cast_of(list->sorts[k].field));
            else
                buf_text(sql, " is null and ");
        }
        buf_char(sql, '(');
        sql_column(sql, field, list->narrow);
        buf_format(sql, " %c $%zu::%s", list->sorts[i].descending ? '<' : '>', first_param + i,
                   cast_of(field));
        if (may_be_null(list->key->resource, field)) {
            buf_text(sql, " or ");
            sql_column(sql, field, list->narrow);
            buf_text(sql, " is null");
        }
        buf_text(sql, "))");
    }
    buf_char(sql, ')');
    /* A parameter must be used to have a type. */
    for (size_t i = 0; i < list->n_sorts; i++)
        buf_format(sql, " and ($%zu::text is null or true)", first_param + i);
}

struct statement {
    struct buf sql;
    struct buf count;
    struct str params[PARAMS_MAX];
    size_t n_params;
    size_t n_where; /* of these, for the count */
};

static bool write_where(struct action *action, const struct list *list, struct statement *st,
                        struct buf *sql, struct err *err) {
    buf_format(sql, " from %s where t.deleted_at is null",
               sql_for(action, list->key->resource->id)->from);
    st->n_params = 0;
    if (list->key->account_id.ptr) {
        st->params[st->n_params++] = list->key->account_id;
        buf_text(sql, " and t.account_id = $1::uuid");
    }
    buf_text(sql, " and ");
    if (!filter_sql(list->where, list->narrow, action->arena, sql, st->params, &st->n_params,
                    PARAMS_MAX - 20, err))
        return false;
    st->n_where = st->n_params;
    return true;
}

static bool write_statement(struct action *action, struct list *list, struct statement *st,
                            struct err *err) {
    struct str values[ORDERS_MAX + 1];
    buf_text(&st->count, "select count(*)");
    buf_format(&st->sql, "select %s", sql_for(action, list->key->resource->id)->columns);
    if (!write_where(action, list, st, &st->count, err) ||
        !write_where(action, list, st, &st->sql, err))
        return false;
    if (list->cursor.ptr) {
        if (!cursor_read(action, list->canonical, list->cursor, values, list->n_sorts, err))
            return false;
        if (uniform(list))
            after_row(list, st->n_params + 1, &st->sql);
        else
            after_columns(list, values, st->n_params + 1, &st->sql);
        for (size_t i = 0; i < list->n_sorts; i++)
            st->params[st->n_params++] = values[i];
    }
    write_order(list, &st->sql);
    buf_format(&st->sql, " limit %zu", list->page_size + 1);
    return buf_ok(&st->sql) && buf_ok(&st->count) ? true : err_memory(err);
}

/* ---- answering ---- */

static void make_next(struct action *action, const struct list *list, const struct row *last,
                      struct outcome *outcome) {
    struct str values[ORDERS_MAX + 1];
    for (size_t i = 0; i < list->n_sorts; i++)
        values[i] = row_shows(last, list->sorts[i].field)
                        ? last->values[resource_field_at(list->key->resource, list->sorts[i].field)]
                        : STR_ABSENT;
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
    if (!write_statement(action, list, st, err))
        return false;
    if (list->include_total)
        count_slot = tx_query_once(tx, st->count.ptr, st->params, st->n_where);
    /* The shapes of filters are many; only the bare list and its next page are worth a prepared
     * statement. */
    size_t slot = list->where ? tx_query_once(tx, st->sql.ptr, st->params, st->n_params)
                              : tx_query(tx, st->sql.ptr, st->params, st->n_params);
    return tx_flush(tx, err) && answer(action, list, tx, slot, count_slot, outcome, err);
}

bool record_list(struct action *action, const struct record_key *key, const struct param *params,
                 size_t n_params, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct list list = {.key = key, .page_size = 50, .narrow = !role_sees_all(action->who->role)};
    struct custom_fields customs = {0};
    struct statement *st = arena_alloc(action->arena, sizeof *st);
    view_init(&list.view);
    if (!st)
        return err_memory(err);
    bool custom = uses_custom(key->resource, params, n_params);
    if ((custom || key->account_id.ptr) && !read_begin(action, &tx, err))
        return false;
    if (custom && !custom_fields_load(action, tx, key->resource, &customs, err))
        return false;
    if (!read_params(action, &list, &customs, params, n_params, err) ||
        !canonical(action, &list, err))
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
    buf_init(&st->sql, 1 << 18);
    buf_init(&st->count, 1 << 18);
    bool fine = run(action, &list, tx, st, outcome, err);
    buf_release(&st->sql);
    buf_release(&st->count);
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

bool record_history(struct action *action, const struct record_key *key, const struct param *params,
                    size_t n_params, struct outcome *outcome, struct err *err) {
    static const size_t key_columns[] = {0};
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page;
    struct str list = str_of(arena_format(action->arena, "history|%.*s", STR_ARG(key->id)));
    if (!page_read(action, list, 1, params, n_params, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str ids = array_param(action->arena, &key->id, 1);
    struct str values[] = {key->id, page.keys[0], page_limit(action, &page)};
    size_t there = tx_query(tx, sql_for(action, key->resource->id)->get_any, &ids, 1);
    size_t slot = tx_query(tx,
                           "select id, at, op, version, actor, origin, request_id, changes from "
                           "history where record_id = $1::uuid and ($2::bigint is null or id < "
                           "$2::bigint) order by id desc limit $3::int",
                           values, 3);
    if (!tx_flush(tx, err) || !history_visible(action, key, tx, there, err))
        return false;
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < page_rows(&page, tx_rows(tx, slot)); i++)
        history_entry(tx, slot, i, &outcome->body);
    page_finish(action, &page, tx, slot, key_columns, outcome);
    return true;
}
