/* A made-up resource with a field of every type, and the functions by which the tests of filters
 * parse an expression and compare the SQL. */
#include "filter_fixture.h"

#include "domain/check.h"

#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PARAMS 400

static const struct field fields[] = {
    {.name = "id", .type = FIELD_ID, .flags = F_FILTER},
    {.name = "owner_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user"},
    {.name = "name", .type = FIELD_TEXT, .flags = F_FILTER | F_SEARCH, .max = 20},
    {.name = "note", .type = FIELD_TEXT, .flags = F_SEARCH, .max = 100},
    {.name = "email", .type = FIELD_TEXT, .flags = F_FILTER, .max = 254, .check = check_email},
    {.name = "secret", .type = FIELD_TEXT, .max = 100},
    {.name = "size", .type = FIELD_INT, .flags = F_FILTER},
    {.name = "active", .type = FIELD_BOOL, .flags = F_FILTER},
    {.name = "score", .type = FIELD_DECIMAL, .flags = F_FILTER, .column = "s.score"},
    {.name = "odd", .type = FIELD_DECIMAL, .flags = F_FILTER, .column = COLUMN_EXPRESSION},
    {.name = "start_on", .type = FIELD_DATE, .flags = F_FILTER},
    {.name = "due_at", .type = FIELD_TIME, .flags = F_FILTER},
    {.name = "due_on", .type = FIELD_DATE, .flags = F_FILTER},
    {.name = "updated_at", .type = FIELD_TIME, .flags = F_FILTER},
    {.name = "seen_at", .type = FIELD_TIME},
    {.name = "tier", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("A", "B", "C")},
    {.name = "tags", .type = FIELD_TEXTS, .flags = F_FILTER, .max = 5},
    {.name = "channels", .type = FIELD_TEXTS, .flags = F_FILTER, .values = VALUES("web", "phone")},
    {.name = "address", .type = FIELD_DOC, .flags = F_FILTER},
    {.name = "lines", .type = FIELD_DOCS, .flags = F_FILTER},
    {.name = "custom", .type = FIELD_MAP, .flags = F_FILTER},
};
static const struct expansion expansions[] = {
    {.name = "owner", .target = RES_USER, .field = "owner_id"},
    {.name = "plan",
     .target = RES_PLAN,
     .field = "thing_id",
     .reverse = true,
     .where = "t.x = 1 or t.y = 2"},
    {.name = "account", .target = RES_ACCOUNT, .field = "account_id"},
};
const struct resource thing = {
    .id = RES_CONTACT,
    .name = "thing",
    .path = "things",
    .table = "thing",
    .flags = R_CUSTOM,
    .fields = fields,
    .n_fields = COUNT_OF(fields),
    .expansions = expansions,
    .n_expansions = COUNT_OF(expansions),
};

static const struct str regions[] = {{"EMEA", 4}, {"it's \"odd\"", 10}};
static const struct custom_field customs[] = {
    {.resource = RES_ACCOUNT, .name = {"elsewhere", 9}, .kind = CUSTOM_TEXT},
    {.resource = RES_CONTACT, .name = {"remark", 6}, .kind = CUSTOM_TEXT},
    {.resource = RES_CONTACT, .name = {"seats", 5}, .kind = CUSTOM_NUMBER},
    {.resource = RES_CONTACT, .name = {"seats_gt", 8}, .kind = CUSTOM_NUMBER},
    {.resource = RES_CONTACT, .name = {"signed", 6}, .kind = CUSTOM_DATE},
    {.resource = RES_CONTACT, .name = {"vip", 3}, .kind = CUSTOM_BOOLEAN},
    {.resource = RES_CONTACT,
     .name = {"region", 6},
     .kind = CUSTOM_CHOICE,
     .choices = regions,
     .n_choices = COUNT_OF(regions)},
    {.resource = RES_CONTACT, .name = {"x'); drop--", 11}, .kind = CUSTOM_NUMBER},
};
const struct custom_fields thing_customs = {.list = customs, .n = COUNT_OF(customs)};

void show_sql(const struct cond *cond, struct arena *arena, struct buf *ret) {
    struct str params[PARAMS];
    struct err err = ERR_INIT;
    struct filter_sql into = {
        .sql = ret, .params = params, .max_params = PARAMS, .arena = arena, .err = &err};

    if (!filter_sql(cond, &into))
        buf_format(ret, "failed: %s", err.detail);
    for (size_t i = 0; i < into.n_params; i++) {
        buf_text(ret, " | ");
        buf_put(ret, params[i]);
    }
    err_release(&err);
}

static void show(bool ok, const struct cond *cond, struct arena *arena, struct err *err,
                 struct buf *ret) {
    buf_reset(ret);
    if (ok)
        show_sql(cond, arena, ret);
    else if (err->n_items != 1)
        buf_format(ret, "%zu errors", err->n_items);
    else
        buf_format(ret, "%s@%s: %s", err->items[0].code, err->items[0].where, err->items[0].detail);
    err_release(err);
}

void ask_flat(const char *name, struct str value, struct buf *ret) {
    struct arena arena;
    struct cond *cond = NULL;
    struct err err = ERR_INIT;

    arena_init(&arena, 1 << 20);
    bool ok = filter_flat(&(struct filter){&thing, &thing_customs, &arena},
                          &(struct param){str_of(name), value}, &cond, &err);
    show(ok, cond, &arena, &err, ret);
    arena_release(&arena);
}

void ask_filter(struct str expression, struct buf *ret) {
    struct arena arena;
    struct cond *cond = NULL;
    struct err err = ERR_INIT;

    arena_init(&arena, 1 << 20);
    bool ok =
        filter_parse(&(struct filter){&thing, &thing_customs, &arena}, expression, &cond, &err);
    show(ok, cond, &arena, &err, ret);
    arena_release(&arena);
}
