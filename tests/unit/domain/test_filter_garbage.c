/* Random expressions and parameters: whatever is asked, the SQL consists of words of the
 * descriptors and of filter_sql.c only. */
#include "filter_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The words that SQL made from `thing` may consist of; whatever is left after taking them away
 * would have come from the request. */
static bool is_known_sql(struct str sql) {
    static const char *const known[] = {
        "t.id in (select t.thing_id from plan t where t.deleted_at is null and (t.x = 1 or t.y = "
        "2) and ",
        "t.owner_id in (select t.id from app_user t where t.deleted_at is null and ",
        "t.account_id in (select t.id from account t join account_status s on s.account_id = t.id "
        "where t.deleted_at is null and ",
        "(" COLUMN_EXPRESSION ")",
        "case when jsonb_typeof(t.custom->",
        " = 'number' then ",
        " collate \"C\"",
        " end",
        "t.custom->>",
        "t.custom @> any(",
        " is distinct from ",
        " is not true",
        " is null",
        " like lower(",
        "lower(",
        " = any(",
        " && ",
        " and ",
        " or ",
        " = ",
        " >= ",
        " <= ",
        " > ",
        " < ",
        "::uuid",
        "::text",
        "::bigint",
        "::boolean",
        "::numeric",
        "::date",
        "::timestamptz",
        "::jsonb",
        "[]",
        "t.id",
        "t.owner_id",
        "t.name",
        "t.note",
        "t.email",
        "t.size",
        "t.active",
        "s.score",
        "t.start_on",
        "t.due_at",
        "t.due_on",
        "t.updated_at",
        "t.tier",
        "t.tags",
        "t.channels",
        "t.status",
        "(",
        ")"};

    while (sql.len > 0) {
        size_t skip = 0;

        for (size_t i = 0; i < COUNT_OF(known) && skip == 0; i++)
            skip = str_starts(sql, known[i]) ? strlen(known[i]) : 0;
        if (skip == 0 && sql.ptr[0] == '$')
            for (skip = 1; skip < sql.len && sql.ptr[skip] >= '0' && sql.ptr[skip] <= '9';)
                skip++;
        if (skip == 0)
            return false;
        sql = (struct str){sql.ptr + skip, sql.len - skip};
    }
    return true;
}

/* Words that nearly make sense together, and evil ones. */
static const char *const words[] = {"size",
                                    "name",
                                    "tier",
                                    "tags",
                                    "active",
                                    "score",
                                    "odd",
                                    "due_at",
                                    "start_on",
                                    "id",
                                    "owner.name",
                                    "plan.status",
                                    "account.name",
                                    "custom.remark",
                                    "custom.seats",
                                    "custom.signed",
                                    "custom.region",
                                    "secret",
                                    "eq",
                                    "ne",
                                    "gt",
                                    "le",
                                    "eq 1",
                                    "eq 'A'",
                                    "ne null",
                                    "in ('A','B')",
                                    "in (1,2)",
                                    "eq true",
                                    "ge 2026-01-31",
                                    "contains 'x'",
                                    "startswith 'y'",
                                    "in",
                                    "contains",
                                    "startswith(name,'x')",
                                    "contains(tags,'x')",
                                    "and",
                                    "or",
                                    "and",
                                    "or",
                                    "not",
                                    "(",
                                    ")",
                                    "(",
                                    ")",
                                    ",",
                                    "null",
                                    "true",
                                    "1",
                                    "'A'",
                                    "'EMEA'",
                                    "'; drop table account; --'",
                                    "'\"}'",
                                    "'\\'''",
                                    "$1",
                                    "--",
                                    "/*",
                                    ";",
                                    "\"",
                                    "::text",
                                    "evil",
                                    "\u00E4",
                                    "\xFF",
                                    "'"};

static uint64_t random_next(uint64_t *random) {
    *random = *random * 6364136223846793005U + 1442695040888963407U;
    return *random >> 33;
}

static void random_expression(uint64_t *random, struct buf *ret) {
    size_t n = 1 + random_next(random) % 9;

    buf_reset(ret);
    for (size_t i = 0; i < n; i++) {
        buf_text(ret, words[random_next(random) % COUNT_OF(words)]);
        buf_text(ret, random_next(random) % 16 == 0 ? "" : " ");
    }
}

static void check_sql(const struct cond *cond, struct arena *arena, struct str asked) {
    struct err err = ERR_INIT;
    struct str params[200];
    CLEANUP(buf_release) struct buf sql;
    struct filter_sql into = {
        .sql = &sql, .params = params, .max_params = COUNT_OF(params), .arena = arena, .err = &err};

    buf_init(&sql, 1 << 16);
    assert_true(filter_sql(cond, &into));
    if (!is_known_sql(buf_str(&sql)))
        fail_msg("%.*s\n%s", STR_ARG(asked), sql.ptr);
}

/* Whether it was an expression. Either way the answer is one that a client may see. */
static bool survives(struct str expression) {
    struct arena arena;
    struct cond *cond = NULL;
    struct err err = ERR_INIT;

    arena_init(&arena, 1 << 16);
    bool ok =
        filter_parse(&(struct filter){&thing, &thing_customs, &arena}, expression, &cond, &err);
    if (ok) {
        check_sql(cond, &arena, expression);
    } else {
        assert_int_equal(err.problem, PROBLEM_INVALID_REQUEST);
        assert_int_equal(err.n_items, 1);
        assert_true(str_starts(str_of(err.items[0].detail), "At character "));
    }
    err_release(&err);
    arena_release(&arena);
    return ok;
}

static void garbage_never_becomes_sql(void **state) {
    CLEANUP(buf_release) struct buf text;
    uint64_t random = 7;
    size_t good = 0;

    (void)state;
    buf_init(&text, 1 << 16);
    for (int round = 0; round < 200000; round++) {
        random_expression(&random, &text);
        good += survives(buf_str(&text));
    }
    assert_true(good > 500);
}

/* The same for names and values of flat parameters. */
static void garbage_in_parameters(void **state) {
    static const char *const names[] = {"name",   "size",    "tier",     "tags",  "due",  "start",
                                        "score",  "custom.", "remark",   "seats", "_gte", "_lt",
                                        "_since", "_before", "_is_null", "q",     "id",   "'",
                                        ";--",    " or 1=1", "\"",       "\xFF"};
    CLEANUP(buf_release) struct buf name;
    CLEANUP(buf_release) struct buf value;
    uint64_t random = 11;
    size_t good = 0;

    (void)state;
    buf_init(&name, 1 << 16);
    buf_init(&value, 1 << 16);
    for (int round = 0; round < 100000; round++) {
        struct arena arena;
        struct cond *cond = NULL;
        struct err err = ERR_INIT;

        buf_reset(&name);
        for (size_t n = 1 + random_next(&random) % 3; n > 0; n--)
            buf_text(&name, names[random_next(&random) % COUNT_OF(names)]);
        buf_reset(&value);
        for (size_t n = 1 + random_next(&random) % 2; n > 0; n--)
            buf_text(&value, words[random_next(&random) % COUNT_OF(words)]);
        arena_init(&arena, 1 << 16);
        bool ok = filter_flat(&(struct filter){&thing, &thing_customs, &arena},
                              &(struct param){buf_str(&name), buf_str(&value)}, &cond, &err);
        good += ok;
        if (ok)
            check_sql(cond, &arena, buf_str(&name));
        else
            assert_int_equal(err.problem, PROBLEM_INVALID_REQUEST);
        err_release(&err);
        arena_release(&arena);
    }
    assert_true(good > 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_never_becomes_sql),
        cmocka_unit_test(garbage_in_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
