/* The parameters of a query: each type takes what it says, exactly, and gives it its canonical
 * form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/query.h"

#include <string.h>

static const struct query_param table[] = {{.name = "text"},
                                           {.name = "id", .type = QUERY_ID},
                                           {.name = "date", .type = QUERY_DATE},
                                           {.name = "month", .type = QUERY_MONTH},
                                           {.name = "time", .type = QUERY_TIME},
                                           QUERY_FROM_TO("number", 1, 168),
                                           QUERY_ONE_OF("one", "json", "csv"),
                                           QUERY_SOME_OF("some", "draft", "active", "closed"),
                                           QUERY_PAGE,
                                           {.name = NULL}};

/* `code` NULL: the value is taken, and becomes `becomes` (NULL: as it is). */
static const struct {
    const char *name, *value, *code, *becomes;
} cases[] = {
    {"text", "", NULL, NULL},
    {"text", "anything at all", NULL, NULL},
    {"id", "01928F7E-0D3C-7A51-9B1E-0C6A2F5E8D01", NULL, "01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01"},
    {"id", "01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d0", "malformed_id", NULL},
    {"id", "", "malformed_id", NULL},
    {"date", "2026-11-30", NULL, NULL},
    {"date", "2026-11-31", "malformed_date", NULL},
    {"month", "2026-11", NULL, NULL},
    {"month", "2026-13", "malformed_month", NULL},
    {"month", "2026-Q4", "malformed_month", NULL},
    {"month", "2026", "malformed_month", NULL},
    {"time", "2026-11-30T12:00:00+01:00", NULL, "2026-11-30T11:00:00.000000Z"},
    {"time", "2026-11-30", "malformed_time", NULL},
    {"number", "0", "out_of_range", NULL},
    {"number", "1", NULL, NULL},
    {"number", "168", NULL, NULL},
    {"number", "169", "out_of_range", NULL},
    {"number", "1.5", "out_of_range", NULL},
    {"number", "", "out_of_range", NULL},
    {"one", "csv", NULL, NULL},
    {"one", "CSV", "invalid_value", NULL},
    {"one", "json,csv", "invalid_value", NULL},
    {"one", "", "invalid_value", NULL},
    {"some", "draft", NULL, NULL},
    {"some", "closed,draft", NULL, NULL},
    {"some", "closed,", "invalid_value", NULL},
    {"some", "gone", "invalid_value", NULL},
    {"some", "", "invalid_value", NULL},
    {"page_size", "many", "invalid_value", NULL},
    {"cursor", "", NULL, NULL},
    {"other", "1", "unknown_parameter", NULL},
    {"tex", "1", "unknown_parameter", NULL},
};

static void each_type_takes_what_it_says(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena arena;
        struct err err = ERR_INIT;
        struct param param = {str_of(cases[i].name), str_of(cases[i].value)};
        const char *becomes = cases[i].becomes != NULL ? cases[i].becomes : cases[i].value;

        arena_init(&arena, (size_t)1 << 16);
        bool fine = query_check(table, &arena, &param, 1, &err);
        if (fine != (cases[i].code == NULL) || fine == err_is_set(&err))
            fail_msg("%s=%s", cases[i].name, cases[i].value);
        if (fine) {
            assert_true(str_is(param.value, becomes));
        } else {
            assert_int_equal(err.problem, PROBLEM_INVALID_REQUEST);
            assert_int_equal(err.n_items, 1);
            assert_string_equal(err.items[0].where, cases[i].name);
            assert_string_equal(err.items[0].code, cases[i].code);
        }
        err_release(&err);
        arena_release(&arena);
    }
}

static void everything_wrong_is_said(void **state) {
    (void)state;
    struct arena arena;
    struct err err = ERR_INIT;
    struct param params[] = {{STR("number"), STR("0")},
                             {STR("text"), STR("fine")},
                             {STR("other"), STR("")},
                             {STR("one"), STR("svg")}};

    arena_init(&arena, (size_t)1 << 16);
    assert_false(query_check(table, &arena, params, COUNT_OF(params), &err));
    assert_int_equal(err.n_items, 3);
    assert_string_equal(err.items[0].detail, "must be between 1 and 168");
    assert_string_equal(err.items[2].detail, "must be one of json, csv");
    err_release(&err);
    arena_release(&arena);
}

static void a_route_without_a_table_takes_none(void **state) {
    (void)state;
    struct arena arena;
    struct err err = ERR_INIT;
    struct param param = {STR("page_size"), STR("5")};

    arena_init(&arena, (size_t)1 << 16);
    assert_true(query_check(NULL, &arena, &param, 0, &err));
    assert_false(query_check(NULL, &arena, &param, 1, &err));
    assert_string_equal(err.items[0].code, "unknown_parameter");
    err_release(&err);
    arena_release(&arena);
}

/* A page has 200 rows at most; who asks for more gets as many. */
static void page_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size; /* 0: refused */
    } sizes[] = {
        {"1", 1},  {"50", 50}, {"200", 200}, {"201", 200}, {"999999999999", 200},      {"0", 0},
        {"-1", 0}, {"", 0},    {"ten", 0},   {"1.5", 0},   {"99999999999999999999", 0}};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct err err = ERR_INIT;
        struct param param = {STR("page_size"), str_of(sizes[i].text)};
        struct action action = {.params = &param, .n_params = 1};
        bool fine = query_check(table, NULL, &param, 1, &err);
        assert_int_equal(fine, sizes[i].size > 0);
        if (fine)
            assert_int_equal(action_page_size(&action), sizes[i].size);
        err_release(&err);
    }
}

static void values_are_found_by_name(void **state) {
    (void)state;
    struct arena arena;
    struct err err = ERR_INIT;
    const struct param params[] = {{STR("number"), STR("7")},
                                   {STR("some"), STR("draft,closed")},
                                   {STR("page_size"), STR("201")}};

    arena_init(&arena, (size_t)1 << 16);
    struct action action = {.arena = &arena, .params = params, .n_params = COUNT_OF(params)};
    assert_true(str_is(action_query(&action, "number"), "7"));
    assert_null(action_query(&action, "numbe").ptr);
    assert_int_equal(action_query_number(&action, "number", 24), 7);
    assert_int_equal(action_query_number(&action, "hours", 24), 24);
    assert_int_equal(action_page_size(&action), 200);
    assert_true(str_is(action_query_list(&action, "some", &err), "{\"draft\",\"closed\"}"));
    assert_null(action_query_list(&action, "types", &err).ptr);
    assert_false(err_is_set(&err));
    action.n_params = 2;
    assert_int_equal(action_page_size(&action), 50);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_takes_what_it_says),
        cmocka_unit_test(everything_wrong_is_said),
        cmocka_unit_test(a_route_without_a_table_takes_none),
        cmocka_unit_test(page_sizes),
        cmocka_unit_test(values_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
