/* Flat parameters: every suffix on every type, every error, the canonical text, the limits. */
#include "filter_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct flat_case {
    const char *name;
    const char *value;
    const char *expected;
};

static void check_cases(const struct flat_case *cases, size_t n) {
    CLEANUP(buf_release) struct buf said;

    buf_init(&said, 1 << 16);
    for (size_t i = 0; i < n; i++) {
        ask_flat(cases[i].name, str_of(cases[i].value), &said);
        if (strcmp(said.ptr, cases[i].expected) != 0)
            fail_msg("%s=%s\n  gave     %s\n  expected %s", cases[i].name, cases[i].value, said.ptr,
                     cases[i].expected);
    }
}

static void equality(void **state) {
    static const struct flat_case cases[] = {
        {"id", UUID, "t.id = $1::uuid | " UUID},
        {"id", "018F3C5E-7A10-7C3E-9D0A-2F4B6C8D0E1F", "t.id = $1::uuid | " UUID},
        {"name", "Smith", "t.name = $1::text | Smith"},
        {"name", "Smith,Jones", "t.name = any($1::text[]) | {\"Jones\",\"Smith\"}"},
        {"name", "it's \"x\\y\"", "t.name = $1::text | it's \"x\\y\""},
        {"name", "a\"b,c\\d", "t.name = any($1::text[]) | {\"a\\\"b\",\"c\\\\d\"}"},
        {"name", "{},NULL", "t.name = any($1::text[]) | {\"NULL\",\"{}\"}"},
        {"email", "a@b.co", "t.email = $1::text | a@b.co"},
        {"size", "5", "t.size = $1::bigint | 5"},
        {"size", "-5,7", "t.size = any($1::bigint[]) | {\"-5\",\"7\"}"},
        {"active", "true", "t.active = $1::boolean | true"},
        {"score", "12.50", "s.score = $1::numeric | 12.50"},
        {"odd", "1", "(" COLUMN_EXPRESSION ") = $1::numeric | 1"},
        {"start_on", "2026-01-31", "t.start_on = $1::date | 2026-01-31"},
        {"due_at", "2026-01-31T01:00:00+01:00",
         "t.due_at = $1::timestamptz | 2026-01-31T00:00:00.000000Z"},
        {"tier", "A", "t.tier = $1::text | A"},
        {"tier", "C,A", "t.tier = any($1::text[]) | {\"A\",\"C\"}"},
        {"tags", "vip", "t.tags && $1::text[] | {\"vip\"}"},
        {"tags", "vip,new", "t.tags && $1::text[] | {\"new\",\"vip\"}"},
        {"channels", "web", "t.channels && $1::text[] | {\"web\"}"},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

static void suffixes(void **state) {
    static const struct flat_case cases[] = {
        {"size_gte", "5", "t.size >= $1::bigint | 5"},
        {"size_gt", "5", "t.size > $1::bigint | 5"},
        {"size_lte", "5", "t.size <= $1::bigint | 5"},
        {"size_lt", "-5", "t.size < $1::bigint | -5"},
        {"score_gte", "70.5", "s.score >= $1::numeric | 70.5"},
        {"start_on_lt", "2026-01-31", "t.start_on < $1::date | 2026-01-31"},
        {"start_since", "2026-01-31", "t.start_on >= $1::date | 2026-01-31"},
        {"start_after", "2026-01-31", "t.start_on > $1::date | 2026-01-31"},
        {"start_before", "2026-01-31", "t.start_on < $1::date | 2026-01-31"},
        {"updated_since", "2026-01-31T00:00:00Z",
         "t.updated_at >= $1::timestamptz | 2026-01-31T00:00:00.000000Z"},
        {"updated_at_gte", "2026-01-31T00:00:00.5Z",
         "t.updated_at >= $1::timestamptz | 2026-01-31T00:00:00.500000Z"},
        /* due_at and due_on: the time wins, and the date has its full name. */
        {"due_before", "2026-01-31T00:00:00Z",
         "t.due_at < $1::timestamptz | 2026-01-31T00:00:00.000000Z"},
        {"due_on_lt", "2026-01-31", "t.due_on < $1::date | 2026-01-31"},
        {"name_is_null", "true", "t.name is null"},
        {"name_is_null", "false", "(t.name is null) is not true"},
        {"tags_is_null", "true", "t.tags is null"},
        {"score_is_null", "true", "s.score is null"},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

static void custom_fields(void **state) {
    static const struct flat_case cases[] = {
        {"custom.remark", "x", "t.custom @> any($1::jsonb[]) | {\"{\\\"remark\\\":\\\"x\\\"}\"}"},
        {"custom.remark", "x,y",
         "t.custom @> any($1::jsonb[]) | "
         "{\"{\\\"remark\\\":\\\"x\\\"}\",\"{\\\"remark\\\":\\\"y\\\"}\"}"},
        {"custom.seats", "5", "t.custom @> any($1::jsonb[]) | {\"{\\\"seats\\\":5}\"}"},
        {"custom.vip", "true", "t.custom @> any($1::jsonb[]) | {\"{\\\"vip\\\":true}\"}"},
        {"custom.signed", "2026-01-31",
         "t.custom @> any($1::jsonb[]) | {\"{\\\"signed\\\":\\\"2026-01-31\\\"}\"}"},
        {"custom.region", "EMEA",
         "t.custom @> any($1::jsonb[]) | {\"{\\\"region\\\":\\\"EMEA\\\"}\"}"},
        {"custom.region", "it's \"odd\"",
         "t.custom @> any($1::jsonb[]) | {\"{\\\"region\\\":\\\"it's \\\\\\\"odd\\\\\\\"\\\"}\"}"},
        {"custom.seats_gte", "5",
         "case when jsonb_typeof(t.custom->$1::text) = 'number' then "
         "(t.custom->>$2::text)::numeric "
         ">= $3::numeric end | seats | seats | 5"},
        /* The name as it stands comes before the suffix. */
        {"custom.seats_gt", "5", "t.custom @> any($1::jsonb[]) | {\"{\\\"seats_gt\\\":5}\"}"},
        {"custom.signed_lt", "2026-01-31",
         "(t.custom->>$1::text) collate \"C\" < $2::text | signed | 2026-01-31"},
        {"custom.vip_is_null", "true", "(t.custom->>$1::text) is null | vip"},
        {"custom.x'); drop--_lt", "1",
         "case when jsonb_typeof(t.custom->$1::text) = 'number' then "
         "(t.custom->>$2::text)::numeric "
         "< $3::numeric end | x'); drop-- | x'); drop-- | 1"},
        {"custom.seats", "many",
         "invalid_value@custom.seats: custom.seats must be a plain decimal number, such as "
         "1250.50."},
        {"custom.region", "APAC",
         "invalid_value@custom.region: custom.region must be one of EMEA, it's \"odd\"."},
        {"custom.elsewhere", "x",
         "unknown_parameter@custom.elsewhere: custom.elsewhere is no parameter here."},
        {"custom.none", "x", "unknown_parameter@custom.none: custom.none is no parameter here."},
        {"custom.", "x", "unknown_parameter@custom.: custom. is no parameter here."},
        {"custom", "{}", "unknown_parameter@custom: custom is no parameter here."},
        {"custom.remark_gte", "x",
         "unknown_parameter@custom.remark_gte: custom.remark_gte is no parameter here."},
        {"custom.signed_since", "2026-01-31",
         "unknown_parameter@custom.signed_since: custom.signed_since is no parameter here."},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

static void search(void **state) {
    static const struct flat_case cases[] = {
        {"q", "smith",
         "((lower(t.name) like lower($1::text) or lower(t.note) like lower($2::text))) | %smith% | "
         "%smith%"},
        {"q", " Ann  50%_\\ ",
         "((lower(t.name) like lower($1::text) or lower(t.note) like lower($2::text)) and "
         "(lower(t.name) like lower($3::text) or lower(t.note) like lower($4::text))) | %Ann% | "
         "%Ann% | %50\\%\\_\\\\% | %50\\%\\_\\\\%"},
        {"q", "", "invalid_value@q: q must not be empty."},
        {"q", "   ", "invalid_value@q: q must not be empty."},
        {"q", "1 2 3 4 5 6 7 8 9", "too_many@q: q takes at most 8 words."},
        {"q", "\xFF", "invalid_value@q: q must be text of at most 200 characters."},
    };
    char text[202];
    CLEANUP(buf_release) struct buf said;

    (void)state;
    check_cases(cases, COUNT_OF(cases));
    buf_init(&said, 1 << 16);
    memset(text, 'x', sizeof(text));
    ask_flat("q", (struct str){text, 200}, &said);
    assert_non_null(strstr(said.ptr, "like"));
    ask_flat("q", (struct str){text, 201}, &said);
    assert_non_null(strstr(said.ptr, "invalid_value"));
}

static void unknown_names(void **state) {
    static const char *const names[] = {
        "nothing",
        "",
        "NAME",
        "secret",
        "secret_is_null",
        "note",
        "seen_at",
        "seen_since",
        "address",
        "lines",
        "address_is_null",
        "name_gte",
        "tier_gt",
        "active_lt",
        "tags_gte",
        "id_gt",
        "name_since",
        "_since",
        "_gte",
        "_is_null",
        "size_since",
        "active_before",
        "name_contains",
        "size_gtee",
        "size__gte",
        "owner.name",
        "tags.0",
        "t.name",
        "name;--",
        "name_is_null_is_null",
        "page_size",
        "filter",
        "order_by",
        "deleted_at",
    };
    CLEANUP(buf_release) struct buf said;
    CLEANUP(buf_release) struct buf expected;

    (void)state;
    buf_init(&said, 1 << 16);
    buf_init(&expected, 1 << 16);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        ask_flat(names[i], STR("true"), &said);
        buf_reset(&expected);
        buf_format(&expected, "unknown_parameter@%s: %s is no parameter here.", names[i], names[i]);
        assert_string_equal(said.ptr, expected.ptr);
    }
}

static void long_names_are_cut(void **state) {
    char name[400];
    CLEANUP(buf_release) struct buf said;

    (void)state;
    buf_init(&said, 1 << 16);
    for (size_t i = 0; i + 2 < sizeof(name); i += 2)
        memcpy(name + i, "\xC3\xA4", 2);
    memcpy(name + sizeof(name) - 8, "_since", 7);
    ask_flat(name, STR("x"), &said);
    assert_true(str_starts(buf_str(&said), "unknown_parameter@\xC3\xA4"));
    assert_true(str_is_utf8(buf_str(&said)));
}

static void bad_values(void **state) {
    static const struct flat_case cases[] = {
        {"name", "", "invalid_value@name: name must not be empty."},
        {"name", "a,,b", "invalid_value@name: name must not be empty."},
        {"name", "a,", "invalid_value@name: name must not be empty."},
        {"name", "\xC3", "invalid_value@name: name must be UTF-8 without NUL."},
        {"name", "abcdefghijklmnopqrstu",
         "invalid_value@name: name must have at most 20 characters."},
        {"email", "nobody",
         "invalid_value@email: email must be an e-mail address, such as name@example.com."},
        {"id", "5",
         "invalid_value@id: id must be an id, such as 018f3c5e-7a10-7c3e-9d0a-2f4b6c8d0e1f."},
        {"size", "5.0", "invalid_value@size: size must be a whole number."},
        {"size", "99999999999999999999", "invalid_value@size: size must be a whole number."},
        {"size_gte", "1,2", "invalid_value@size_gte: size_gte must be a whole number."},
        {"size", "", "invalid_value@size: size must be a whole number."},
        {"active", "yes", "invalid_value@active: active must be true or false."},
        {"active", "TRUE", "invalid_value@active: active must be true or false."},
        {"score", "1e3",
         "invalid_value@score: score must be a plain decimal number, such as 1250.50."},
        {"score", "NaN",
         "invalid_value@score: score must be a plain decimal number, such as 1250.50."},
        {"start_on", "2026-02-30",
         "invalid_value@start_on: start_on must be a date YYYY-MM-DD of the years 1900 to 2999, "
         "such as 2026-11-21."},
        {"updated_since", "2026-01-31",
         "invalid_value@updated_since: updated_since must be a time of RFC 3339 with an offset and "
         "at most six decimals, such as 2026-11-21T23:56:00Z."},
        {"tier", "D", "invalid_value@tier: tier must be one of A, B, C."},
        {"tier", "A,a", "invalid_value@tier: tier must be one of A, B, C."},
        {"tier", "", "invalid_value@tier: tier must not be empty."},
        {"channels", "fax", "invalid_value@channels: channels must be one of web, phone."},
        {"name_is_null", "1", "invalid_value@name_is_null: name_is_null must be true or false."},
        {"name_is_null", "", "invalid_value@name_is_null: name_is_null must be true or false."},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

static void lists_have_a_limit(void **state) {
    CLEANUP(buf_release) struct buf list;
    CLEANUP(buf_release) struct buf said;

    (void)state;
    buf_init(&list, 1 << 16);
    buf_init(&said, 1 << 16);
    for (int i = 0; i < FILTER_VALUES; i++)
        buf_text(&list, i == 0 ? "1" : ",1");
    ask_flat("size", buf_str(&list), &said);
    assert_true(str_starts(buf_str(&said), "t.size = any("));
    buf_text(&list, ",1");
    ask_flat("size", buf_str(&list), &said);
    assert_string_equal(said.ptr, "too_many@size: size takes at most 200 values.");
}

/* A long list of choices is cut to a sentence. */
static void many_choices(void **state) {
    static const char *const choices[] = {"competitive_environment",
                                          "contacts_and_decisions",
                                          "negotiations",
                                          "leader_perceptions",
                                          "values_beliefs",
                                          "capabilities",
                                          "strategies",
                                          "internal_processes",
                                          "interaction_history",
                                          NULL};
    const struct field field = {
        .name = "section", .type = FIELD_ENUM, .flags = F_FILTER, .values = choices};
    const struct resource resource = {.name = "x", .fields = &field, .n_fields = 1};
    struct arena arena;
    struct cond *cond = NULL;
    struct err err = ERR_INIT;

    (void)state;
    arena_init(&arena, 1 << 16);
    assert_false(filter_flat(&(struct filter){&resource, NULL, &arena},
                             &(struct param){STR("section"), STR("other")}, &cond, &err));
    assert_null(cond);
    assert_int_equal(err.problem, PROBLEM_INVALID_REQUEST);
    assert_int_equal(err.items[0].at, ERR_AT_PARAMETER);
    assert_true(str_starts(str_of(err.items[0].detail), "section must be one of competitive_"));
    assert_true(str_ends(str_of(err.items[0].detail), ", ...."));
    err_release(&err);
    /* No search fields here, so that `q` is unknown. */
    assert_false(filter_flat(&(struct filter){&resource, NULL, &arena},
                             &(struct param){STR("q"), STR("x")}, &cond, &err));
    assert_string_equal(err.items[0].code, "unknown_parameter");
    err_release(&err);
    arena_release(&arena);
}

/* Every allocation fails once: an answer each time, and nothing is lost. */
static void memory_runs_out(void **state) {
    static const char *const names[] = {"name", "q", "owner_id_is_null", "custom.region"};
    static const char *const values[] = {"Smith,Jones", "Ann Smith", "false", "EMEA"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        bool ok = false;

        for (size_t limit = 0; !ok; limit += 8) {
            struct arena arena;
            struct cond *cond = NULL;
            struct err err = ERR_INIT;

            assert_true(limit < 100000);
            arena_init(&arena, limit);
            ok = filter_flat(&(struct filter){&thing, &thing_customs, &arena},
                             &(struct param){str_of(names[i]), str_of(values[i])}, &cond, &err);
            assert_int_equal(err.problem, ok ? PROBLEM_NONE : PROBLEM_OVERLOADED);
            assert_true(ok == (cond != NULL));
            err_release(&err);
            arena_release(&arena);
        }
    }
}

static void parameters_have_a_limit(void **state) {
    struct arena arena;
    struct cond *cond = NULL;
    struct err err = ERR_INIT;
    struct str params[3] = {STR("mine")};
    CLEANUP(buf_release) struct buf sql;
    struct filter_sql into = {.sql = &sql,
                              .params = params,
                              .n_params = 1,
                              .max_params = COUNT_OF(params),
                              .arena = &arena,
                              .err = &err};

    (void)state;
    buf_init(&sql, 1 << 16);
    arena_init(&arena, 1 << 16);
    assert_true(filter_parse(&(struct filter){&thing, NULL, &arena}, STR("size eq 1 and size ne 2"),
                             &cond, &err));
    assert_true(filter_sql(cond, &into));
    assert_string_equal(sql.ptr, "(t.size = $2::bigint and t.size is distinct from $3::bigint)");
    assert_int_equal(into.n_params, 3);
    assert_true(str_is(params[0], "mine") && str_is(params[1], "1") && str_is(params[2], "2"));
    into.n_params = 2;
    assert_false(filter_sql(cond, &into));
    assert_int_equal(into.n_params, 2);
    assert_string_equal(err.items[0].code, "too_many");
    err_release(&err);
    buf_reset(&sql);
    assert_true(filter_sql(NULL, &into));
    assert_string_equal(sql.ptr, "true");
    CLEANUP(buf_release) struct buf small;
    buf_init(&small, 8);
    into.n_params = 0;
    into.sql = &small;
    assert_false(filter_sql(cond, &into));
    assert_int_equal(err.problem, PROBLEM_OVERLOADED);
    err_release(&err);
    arena_release(&arena);
}

static void several_become_one(void **state) {
    struct arena arena;
    struct cond *parts[2] = {NULL, NULL};
    struct cond *all = NULL;
    struct err err = ERR_INIT;
    CLEANUP(buf_release) struct buf said;

    (void)state;
    buf_init(&said, 1 << 16);
    arena_init(&arena, 1 << 16);
    assert_true(filter_flat(&(struct filter){&thing, NULL, &arena},
                            &(struct param){STR("tier"), STR("A")}, &parts[0], &err));
    assert_true(filter_flat(&(struct filter){&thing, NULL, &arena},
                            &(struct param){STR("size_gte"), STR("5")}, &parts[1], &err));
    assert_true(filter_all(parts, 2, &arena, &all, &err));
    show_sql(all, &arena, &said);
    assert_string_equal(said.ptr, "(t.tier = $1::text and t.size >= $2::bigint) | A | 5");
    assert_true(filter_all(parts, 1, &arena, &all, &err));
    assert_ptr_equal(all, parts[0]);
    assert_true(filter_all(NULL, 0, &arena, &all, &err));
    assert_null(all);
    arena_release(&arena);
    arena_init(&arena, 8);
    assert_false(filter_all(parts, 2, &arena, &all, &err));
    assert_int_equal(err.problem, PROBLEM_OVERLOADED);
    err_release(&err);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality),
        cmocka_unit_test(suffixes),
        cmocka_unit_test(custom_fields),
        cmocka_unit_test(search),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(lists_have_a_limit),
        cmocka_unit_test(many_choices),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(parameters_have_a_limit),
        cmocka_unit_test(several_become_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
