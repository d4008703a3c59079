/* Turns the parameters of a list into its SQL statement, and runs the statement for one page. */
#include "record/list_query.h"

#include "app/query.h"
#include "store/record.h"

#include <stdio.h>

#define ORDERS_MAX (LIST_ORDERS - 1) /* that are asked for: the id comes behind them */

/* ---- reading the parameters ---- */

static void take_order(struct list *list, struct str value, struct err *err) {
    struct str name;
    while (str_split(&value, ',', &name)) {
        bool descending = str_starts(name, "-");
        struct str plain = descending ? (struct str){name.ptr + 1, name.len - 1} : name;
        const struct field *field = resource_field(list->key->resource, plain);
        if (!field || (field->flags & F_SORT) == 0)
            err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("order_by"), "unknown_field",
                    "%.*s: lists cannot be ordered by this.", name.len > 60 ? 60 : STR_ARG(name));
        else if (list->n_sorts == ORDERS_MAX)
            err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("order_by"), "too_many",
                    "at most %d fields", ORDERS_MAX);
        else
            list->sorts[list->n_sorts++] = (struct list_sort){field, descending};
    }
}

static const struct query_param size = {.name = "page_size", .type = QUERY_PAGE_SIZE};
static const struct query_param total = QUERY_ONE_OF("include_total", "true", "false");

static bool take_own(struct action *action, struct list *list, const struct param *param,
                     struct err *err) {
    struct str value = param->value;
    bool taken;
    view_param(list->key->resource, param, &list->view, &taken, err);
    if (taken)
        return true;
    if (str_is(param->name, "page_size"))
        query_check_value(&size, action->arena, &value, err);
    else if (str_is(param->name, "cursor"))
        list->cursor = param->value;
    else if (str_is(param->name, "order_by"))
        take_order(list, param->value, err);
    else if (str_is(param->name, "include_total"))
        list->include_total =
            query_check_value(&total, action->arena, &value, err) && str_is(value, "true");
    else
        return false;
    return true;
}

void list_init(const struct action *action, const struct record_key *key, size_t page_size,
               struct list *ret) {
    *ret = (struct list){
        .key = key, .page_size = page_size, .by_access_set = !role_sees_all(action->who->role)};
    view_init(&ret->view);
}

bool list_uses_custom(const struct action *action) {
    if ((action->resource->flags & R_CUSTOM) == 0)
        return false;
    for (size_t i = 0; i < action->n_params; i++)
        if (str_starts(action->params[i].name, "custom.") ||
            str_is(action->params[i].name, "filter"))
            return true;
    return false;
}

static bool is_id(const struct list *list, const struct list_sort *sort) {
    return sort->field == &list->key->resource->fields[0];
}

static bool read_params(struct action *action, struct list *list,
                        const struct custom_fields *customs, struct err *err) {
    const struct filter filter = {list->key->resource, customs, action->arena};
    struct cond **parts = arena_array(action->arena, action->n_params + 1, sizeof *parts);
    size_t n_parts = 0;
    if (!parts)
        return err_memory(err);
    for (size_t i = 0; i < action->n_params; i++) {
        const struct param *param = &action->params[i];
        struct cond *part = NULL;
        if (take_own(action, list, param, err))
            continue;
        if (str_is(param->name, "filter") ? filter_parse(&filter, param->value, &part, err)
                                          : filter_flat(&filter, param, &part, err))
            parts[n_parts++] = part;
    }
    if (err_is_set(err))
        return false;
    bool descending = list->n_sorts > 0 && list->sorts[list->n_sorts - 1].descending;
    list->sorts[list->n_sorts++] = (struct list_sort){&list->key->resource->fields[0], descending};
    for (list->n_order = 1; !is_id(list, &list->sorts[list->n_order - 1]);)
        list->n_order++;
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
    list->after.list = buf_ok(&text) ? arena_str(action->arena, buf_str(&text)) : STR_ABSENT;
    list->after.n = list->n_sorts;
    buf_release(&text);
    return list->after.list.ptr ? true : err_memory(err);
}

bool list_read(struct action *action, struct tx *tx, struct list *list, struct err *err) {
    struct custom_fields customs = {0};
    if (list_uses_custom(action) &&
        !custom_fields_load(action, tx, list->key->resource, &customs, err))
        return false;
    if (!read_params(action, list, &customs, err) || !canonical(action, list, err))
        return false;
    list->follows = list->cursor.ptr != NULL;
    return !list->follows || cursor_read(action, list->cursor, &list->after, err);
}

/* ---- SQL ---- */

struct statement {
    struct buf sql;
    struct buf count;
    struct str params[LIST_PARAMS];
    size_t n_params;
    size_t n_where; /* of these, for the count */
};

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
           (field->flags & (F_REQUIRED | F_NOT_NULL | F_MADE)) == 0;
}

static void write_order(const struct list *list, struct buf *sql) {
    buf_text(sql, " order by ");
    for (size_t i = 0; i < list->n_order; i++) {
        const struct list_sort *sort = &list->sorts[i];
        buf_text(sql, i > 0 ? ", " : "");
        sql_column(sql, sort->field, list->by_access_set);
        buf_text(sql, sort->descending ? " desc" : "");
        if (may_be_null(list->key->resource, sort->field))
            buf_text(sql, " nulls last");
    }
}

static bool uniform(const struct list *list) {
    for (size_t i = 0; i < list->n_order; i++)
        if (list->sorts[i].descending != list->sorts[0].descending ||
            may_be_null(list->key->resource, list->sorts[i].field))
            return false;
    return true;
}

/* The field lies beyond the value of parameter `param`. */
static void beyond(const struct list *list, const struct list_sort *sort, size_t param,
                   struct buf *sql) {
    char comparison = sort->descending ? '<' : '>', value[40];
    snprintf(value, sizeof value, "$%zu::%s", param, cast_of(sort->field));
    if (is_id(list, sort)) {
        resource_beyond_id(list->key->resource, comparison, value, sql);
        return;
    }
    sql_column(sql, sort->field, list->by_access_set);
    buf_format(sql, " %c %s", comparison, value);
}

/* (a, id) > ($1, $2): one index range. */
static void after_row(const struct list *list, size_t first_param, struct buf *sql) {
    buf_text(sql, " and ");
    if (list->n_order == 1) {
        beyond(list, &list->sorts[0], first_param, sql);
        return;
    }
    for (size_t i = 0; i < list->n_order; i++) {
        buf_text(sql, i > 0 ? ", " : "(");
        sql_column(sql, list->sorts[i].field, list->by_access_set);
    }
    buf_format(sql, ") %c (", list->sorts[0].descending ? '<' : '>');
    for (size_t i = 0; i < list->n_order; i++)
        buf_format(sql, "%s$%zu::%s", i > 0 ? ", " : "", first_param + i,
                   cast_of(list->sorts[i].field));
    buf_char(sql, ')');
}

/* Mixed directions or nulls: one alternative per column that is the first to differ. */
static void after_columns(const struct list *list, const struct str *values, size_t first_param,
                          struct buf *sql) {
    if (!may_be_null(list->key->resource, list->sorts[0].field)) {
        /* Said apart, because PostgreSQL finds no index range in alternatives. */
        buf_text(sql, " and ");
        sql_column(sql, list->sorts[0].field, list->by_access_set);
        buf_format(sql, " %c= $%zu::%s", list->sorts[0].descending ? '<' : '>', first_param,
                   cast_of(list->sorts[0].field));
    }
    buf_text(sql, " and (false");
    for (size_t i = 0; i < list->n_order; i++) {
        const struct field *field = list->sorts[i].field;
        if (!values[i].ptr)
            continue; /* nothing comes after null in this column */
        buf_text(sql, " or (");
        for (size_t k = 0; k < i; k++) {
            sql_column(sql, list->sorts[k].field, list->by_access_set);
            if (values[k].ptr)
                buf_format(sql, " = $%zu::%s and ", first_param + k, cast_of(list->sorts[k].field));
            else
                buf_text(sql, " is null and ");
        }
        buf_char(sql, '(');
        beyond(list, &list->sorts[i], first_param + i, sql);
        if (may_be_null(list->key->resource, field)) {
            buf_text(sql, " or ");
            sql_column(sql, field, list->by_access_set);
            buf_text(sql, " is null");
        }
        buf_text(sql, "))");
    }
    buf_char(sql, ')');
    /* A parameter must be used to have a type. */
    for (size_t i = 0; i < list->n_order; i++)
        buf_format(sql, " and ($%zu::text is null or true)", first_param + i);
}

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
    struct filter_sql into = {.by_access_set = list->by_access_set,
                              .sql = sql,
                              .params = st->params,
                              .n_params = st->n_params,
                              .max_params = LIST_PARAMS - 20,
                              .arena = action->arena,
                              .err = err};
    bool fine = filter_sql(list->where, &into);
    st->n_where = st->n_params = into.n_params;
    return fine;
}

/* One row more than the page, so that it is known whether there are more. */
static bool write_statement(struct action *action, const struct list *list, struct statement *st,
                            struct err *err) {
    buf_text(&st->count, "select count(*)");
    buf_format(&st->sql, "select %s", sql_for(action, list->key->resource->id)->columns);
    if (!write_where(action, list, st, &st->count, err) ||
        !write_where(action, list, st, &st->sql, err))
        return false;
    if (list->follows) {
        if (uniform(list))
            after_row(list, st->n_params + 1, &st->sql);
        else
            after_columns(list, list->after.values, st->n_params + 1, &st->sql);
        for (size_t i = 0; i < list->n_order; i++)
            st->params[st->n_params++] = list->after.values[i];
    }
    write_order(list, &st->sql);
    buf_format(&st->sql, " limit %zu", list->page_size + 1);
    return buf_ok(&st->sql) && buf_ok(&st->count) ? true : err_memory(err);
}

static bool query_page(struct action *action, struct tx *tx, struct list *list,
                       struct statement *st, struct err *err) {
    size_t count = 0;
    if (!write_statement(action, list, st, err))
        return false;
    if (list->include_total)
        count = tx_query_once(tx, st->count.ptr, st->params, st->n_where);
    /* The shapes of filters are many; only the bare list and its next page are worth a prepared
     * statement. */
    size_t slot = list->where ? tx_query_once(tx, st->sql.ptr, st->params, st->n_params)
                              : tx_query(tx, st->sql.ptr, st->params, st->n_params);
    if (!tx_flush(tx, err))
        return false;
    list->total = list->include_total ? tx_int(tx, count, 0, 0) : -1;
    list->rows = rows_of(action, list->key->resource, tx, slot);
    return list->rows.list ? true : err_memory(err);
}

bool list_page(struct action *action, struct tx *tx, struct list *list, struct err *err) {
    struct statement *st = arena_alloc(action->arena, sizeof *st);
    if (!st)
        return err_memory(err);
    buf_init(&st->sql, 1 << 18);
    buf_init(&st->count, 1 << 18);
    bool fine = query_page(action, tx, list, st, err);
    list->has_more = list->rows.n > list->page_size;
    if (list->has_more)
        list->rows.n = list->page_size;
    fine = fine && view_expand(action, tx, &list->view, &list->rows, err);
    buf_release(&st->sql);
    buf_release(&st->count);
    return fine;
}

void list_key(const struct list *list, const struct row *row, struct cursor *ret) {
    *ret = (struct cursor){.list = list->after.list, .n = list->n_sorts};
    for (size_t i = 0; i < ret->n; i++)
        ret->values[i] =
            row_shows(row, list->sorts[i].field)
                ? row->values[resource_field_at(list->key->resource, list->sorts[i].field)]
                : STR_ABSENT;
}
