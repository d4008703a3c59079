/* Checks the parameters of a query against their route's table, and finds their values. */
#include "app/query.h"

#include "domain/check.h"
#include "store/array.h"

#include <stdio.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX 200
#define LIST_MAX 64 /* items of a comma list */

/* ---- one value ---- */

static bool wrong(struct err *err, const char *name, const char *code, const char *why) {
    return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER(name), code, "%s", why);
}

static bool is_choice(const struct query_param *param, struct str value) {
    for (size_t i = 0; param->choices[i]; i++)
        if (str_is(value, param->choices[i]))
            return true;
    return false;
}

static bool not_a_choice(const struct query_param *param, const char *what, struct err *err) {
    char list[256] = "";
    for (size_t i = 0, len = 0; param->choices[i] && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? ", " : "",
                                param->choices[i]);
    return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER(param->name), "invalid_value",
                   "must be %s %s", what, list);
}

static bool check_list(const struct query_param *param, struct str list, struct err *err) {
    struct str one;
    size_t n = 0;
    for (; str_split(&list, ',', &one); n++)
        if (!is_choice(param, one))
            return not_a_choice(param, "of", err);
    return n > 0 || not_a_choice(param, "of", err);
}

static bool check_id(const struct query_param *param, struct arena *arena, struct str *value,
                     struct err *err) {
    struct uuid id;
    char text[UUID_TEXT];
    if (!uuid_parse(*value, &id))
        return wrong(err, param->name, "malformed_id", "must be a UUID");
    uuid_text(&id, text);
    *value = arena_str(arena, str_of(text));
    return value->ptr || err_memory(err);
}

static bool check_instant(const struct query_param *param, struct arena *arena, struct str *value,
                          struct err *err) {
    char text[TIME_TEXT];
    if (!time_parse(*value, text))
        return wrong(err, param->name, "malformed_time", check_time(*value));
    *value = arena_str(arena, str_of(text));
    return value->ptr || err_memory(err);
}

static bool is_month(struct str text) {
    return text.len == 7 && text.ptr[5] >= '0' && text.ptr[5] <= '9' && !check_period(text);
}

static bool check_number(const struct query_param *param, struct str value, struct err *err) {
    int64_t number;
    if (str_to_i64(value, &number) && number >= param->min && number <= param->max)
        return true;
    return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER(param->name), "out_of_range",
                   "must be between %lld and %lld", (long long)param->min, (long long)param->max);
}

static bool check_page_size(const struct query_param *param, struct str value, struct err *err) {
    int64_t size;
    if (str_to_i64(value, &size) && size > 0)
        return true;
    return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER(param->name), "invalid_value",
                   "must be a number from 1 to %d", PAGE_MAX);
}

bool query_check_value(const struct query_param *param, struct arena *arena, struct str *value,
                       struct err *err) {
    const char *why;
    switch (param->type) {
    case QUERY_TEXT:
        return true;
    case QUERY_ID:
        return check_id(param, arena, value, err);
    case QUERY_DATE:
        return !(why = check_date(*value)) || wrong(err, param->name, "malformed_date", why);
    case QUERY_MONTH:
        return is_month(*value) || wrong(err, param->name, "malformed_month",
                                         "must be a month YYYY-MM, such as 2026-11");
    case QUERY_TIME:
        return check_instant(param, arena, value, err);
    case QUERY_NUMBER:
        return check_number(param, *value, err);
    case QUERY_CHOICE:
        return is_choice(param, *value) || not_a_choice(param, "one of", err);
    case QUERY_LIST:
        return check_list(param, *value, err);
    case QUERY_PAGE_SIZE:
        return check_page_size(param, *value, err);
    }
    return false;
}

/* ---- a query ---- */

void unknown_parameter(struct arena *arena, struct str name, struct err *err) {
    const char *where = arena_copy(arena, name);
    wrong(err, where ? where : "", "unknown_parameter", "There is no such parameter here.");
}

bool query_check(const struct query_param *table, struct arena *arena, struct param *params,
                 size_t n_params, struct err *err) {
    for (size_t i = 0; i < n_params; i++) {
        const struct query_param *row = table;
        while (row && row->name && !str_is(params[i].name, row->name))
            row++;
        if (row && row->name)
            query_check_value(row, arena, &params[i].value, err);
        else
            unknown_parameter(arena, params[i].name, err);
    }
    return !err_is_set(err);
}

/* ---- values ---- */

struct str action_query(const struct action *action, const char *name) {
    for (size_t i = 0; i < action->n_params; i++)
        if (str_is(action->params[i].name, name))
            return action->params[i].value;
    return STR_ABSENT;
}

int64_t action_query_number(const struct action *action, const char *name, int64_t preset) {
    struct str value = action_query(action, name);
    int64_t number;
    return value.ptr && str_to_i64(value, &number) ? number : preset;
}

size_t action_page_size(const struct action *action) {
    int64_t size = action_query_number(action, "page_size", PAGE_DEFAULT);
    return size > PAGE_MAX ? PAGE_MAX : (size_t)size;
}

struct str action_query_list(struct action *action, const char *name, struct err *err) {
    struct str items[LIST_MAX], one, rest = action_query(action, name), list;
    size_t n = 0;
    if (!rest.ptr)
        return STR_ABSENT;
    while (n < COUNT_OF(items) && str_split(&rest, ',', &one))
        items[n++] = one;
    list = pg_array_param(action->arena, items, n);
    if (!list.ptr)
        err_memory(err);
    return list;
}
