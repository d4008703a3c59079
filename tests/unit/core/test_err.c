/* Errors: the text for clients and the private cause, the cut of long texts between characters,
 * and the table of problems. */
#include "unit.h"

#include <stdlib.h>

static void setting(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    assert_false(err_is_set(&err));
    assert_false(err_set(&err, PROBLEM_CONFLICT, "State is %s.", "open"));
    assert_true(err_is_set(&err));
    assert_string_equal(err.detail, "State is open.");
    assert_false(
        err_set(&err, PROBLEM_NOT_FOUND, "Not %s", err.detail)); /* its own text as argument */
    assert_string_equal(err.detail, "Not State is open.");
    assert_int_equal(err.problem, PROBLEM_NOT_FOUND);
    assert_false(err_cause(&err, "%s", "first"));
    assert_false(err_cause(&err, "second %d", 2));
    assert_string_equal(err.cause, "first; second 2");
    for (int i = 0; i < 100; i++)
        err_cause(&err, "gr\xC3\xBC\xC3\x9F");
    assert_true(str_is_utf8(str_of(err.cause)));
    assert_true(strlen(err.cause) > 300);
    assert_false(err_memory(&err));
    assert_int_equal(err.problem, PROBLEM_OVERLOADED);
    assert_int_equal(err.retry_after, 1);
    err.extra = strdup("\"a\":1");
    err_release(&err);
    assert_false(err_is_set(&err));
    assert_null(err.extra);
}

static void absent(void **state) {
    (void)state;
    assert_false(err_set(NULL, PROBLEM_CONFLICT, "x"));
    assert_false(err_cause(NULL, "x"));
    assert_false(err_memory(NULL));
    assert_false(err_add(NULL, PROBLEM_CONFLICT, ERR_HEADER("x"), "y", "z"));
}

/* Text of every length around the limits stays well-formed. */
static void cut_between_characters(void **state) {
    (void)state;
    char text[700];
    for (size_t len = 0; len < 650; len++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        memset(text, 'a', len);
        memcpy(text + len, "\xF0\x9F\x98\x80\xF0\x9F\x98\x80", 9);
        err_set(&err, PROBLEM_CONFLICT, "%s", text);
        err_add(&err, PROBLEM_CONFLICT, ERR_POINTER(text), "c", "%s", text);
        assert_true(str_is_utf8(str_of(err.detail)));
        assert_true(str_is_utf8(str_of(err.items[0].where)));
        assert_true(str_is_utf8(str_of(err.items[0].detail)));
        assert_true(strlen(err.detail) + 4 >= (len + 8 < 319 ? len + 8 : 319));
    }
}

static void violations(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    err_add(&err, PROBLEM_VALIDATION, ERR_POINTER("/name"), "too_long", "At most %d.", 5);
    assert_int_equal(err.problem, PROBLEM_VALIDATION);
    assert_string_equal(err.detail, "At most 5.");
    err_add(&err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("limit"), "wrong_type", "A number.");
    assert_int_equal(err.problem, PROBLEM_INVALID_REQUEST); /* 400 wins over 422 */
    err_add(&err, PROBLEM_VALIDATION, ERR_POINTER("/x"), "required", "Missing.");
    assert_int_equal(err.problem, PROBLEM_INVALID_REQUEST);
    assert_int_equal(err.n_items, 3);
    assert_string_equal(err.items[1].where, "limit");
    assert_int_equal(err.items[1].at, ERR_AT_PARAMETER);
    assert_string_equal(err.items[2].code, "required");
    for (int i = 0; i < 200; i++)
        err_add(&err, PROBLEM_VALIDATION, ERR_POINTER("/y"), "n", "%d", i);
    assert_int_equal(err.n_items, ERR_ITEMS_MAX);
    assert_string_equal(err.items[99].detail, "96");
}

static void problems(void **state) {
    (void)state;
    for (unsigned i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++) {
        const struct problem_info *info = problem_info((enum problem)i);
        assert_true(info->status >= 400 && info->status < 600);
        assert_int_equal(problem_by_code(info->code), i); /* so codes are unique */
        assert_true(info->title[0] != '\0' && info->meaning[0] != '\0');
    }
    assert_int_equal(problem_by_code("no_such_code"), PROBLEM_NONE);
    assert_int_equal(problem_by_code("none"), PROBLEM_NONE);
    assert_int_equal(problem_info(PROBLEM_COUNT)->status, 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting),
        cmocka_unit_test(absent),
        cmocka_unit_test(cut_between_characters),
        cmocka_unit_test(violations),
        cmocka_unit_test(problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
