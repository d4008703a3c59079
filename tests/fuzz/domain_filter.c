/* filter= expressions and flat parameters over real resources. What is accepted becomes SQL without
 * a word of the input in it, the same each time, and a canonical text. */

/* Input: one byte for the resource, then the expression; or name=value. */
#include "domain/filter.h"

#include <stdlib.h>
#include <string.h>

#define PARAMS 600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds)
        abort();
}

/* Bytes that none of our own SQL has, and without which nobody leaves a parameter. */
static void check_sql(struct str sql) {
    for (size_t i = 0; i < sql.len; i++)
        must(sql.ptr[i] >= ' ' && sql.ptr[i] <= '~' && strchr(";\\%#`!?", sql.ptr[i]) == NULL);
    must(strstr(sql.ptr, "--") == NULL && strstr(sql.ptr, "/*") == NULL);
}

static void use(const struct cond *cond, struct arena *arena) {
    struct str params[PARAMS];
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct buf sql CLEANUP(buf_release) = {0};
    struct buf text CLEANUP(buf_release) = {0};
    struct filter_sql into = {
        .sql = &sql, .params = params, .max_params = PARAMS, .arena = arena, .err = &err};

    buf_init(&sql, 1 << 22);
    buf_init(&text, 1 << 22);
    if (!filter_sql(cond, &into)) {
        must(err_is_set(&err));
        return;
    }
    check_sql(buf_str(&sql));
    for (size_t i = 0; i < into.n_params; i++)
        must(str_is_utf8(params[i]));
    filter_canonical(cond, &text);
    must(buf_ok(&text) && str_is_utf8(buf_str(&text)) && text.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct str choices[] = {{"a", 1}, {"b\"c", 3}};
    static const struct custom_field list[] = {
        {.resource = RES_ACCOUNT, .name = {"t", 1}, .kind = CUSTOM_TEXT},
        {.resource = RES_ACCOUNT, .name = {"n", 1}, .kind = CUSTOM_NUMBER},
        {.resource = RES_ACCOUNT, .name = {"d", 1}, .kind = CUSTOM_DATE},
        {.resource = RES_ACCOUNT, .name = {"b", 1}, .kind = CUSTOM_BOOLEAN},
        {.resource = RES_ACCOUNT,
         .name = {"c", 1},
         .kind = CUSTOM_CHOICE,
         .choices = choices,
         .n_choices = 2},
    };
    const struct custom_fields customs = {.list = list, .n = COUNT_OF(list)};
    struct arena arena CLEANUP(arena_release) = {.limit = 8 << 20};
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct cond *cond = NULL;

    if (size == 0)
        return 0;
    const struct resource *resource = resource_of(RES_USER + data[0] % (RES_COUNT - RES_USER));
    struct str rest = {(const char *)data + 1, size - 1};
    struct str name;
    if (filter_parse(&(struct filter){resource, &customs, &arena}, rest, &cond, &err))
        use(cond, &arena);
    else
        must(err_is_set(&err) && cond == NULL);
    if (!str_split(&rest, '=', &name) || rest.ptr == NULL)
        return 0;
    if (filter_flat(&(struct filter){resource, &customs, &arena}, &(struct param){name, rest},
                    &cond, &err))
        use(cond, &arena);
    else
        must(err_is_set(&err));
    return 0;
}
