/* The table of prepared statements finds a text again, and takes no more than its bound. */
#include "unit.h"

#include "names.h"

#include <stdlib.h>

static void finds_again(void **state) {
    (void)state;
    struct names *names = calloc(1, sizeof(*names));
    size_t a, b, again;

    assert_true(names_find(names, STR("select 1"), &a));
    assert_int_equal(names->states[a], NAME_FORGOTTEN);
    names->states[a] = NAME_PREPARED;
    assert_true(names_find(names, STR("select 2"), &b));
    assert_int_not_equal(a, b);
    assert_int_equal(names->states[b], NAME_FORGOTTEN);
    assert_true(names_find(names, STR("select 1"), &again));
    assert_int_equal(a, again);
    assert_int_equal(names->states[a], NAME_PREPARED);
    free(names);
}

static void is_bounded(void **state) {
    (void)state;
    struct names *names = calloc(1, sizeof(*names));
    char sql[32];
    size_t place;

    for (int i = 0; i < NAMES_MAX; i++) {
        int len = snprintf(sql, sizeof(sql), "select %d", i);
        assert_true(names_find(names, (struct str){sql, (size_t)len}, &place));
    }
    assert_int_equal(names->count, NAMES_MAX);
    assert_false(names_find(names, STR("one more"), &place));
    /* The known ones are still found. */
    for (int i = 0; i < NAMES_MAX; i++) {
        int len = snprintf(sql, sizeof(sql), "select %d", i);
        assert_true(names_find(names, (struct str){sql, (size_t)len}, &place));
    }
    assert_int_equal(names->count, NAMES_MAX);
    free(names);
}

static void name_is_short(void **state) {
    (void)state;
    char name[NAME_TEXT];

    name_text(UINT64_MAX, name);
    assert_string_equal(name, "kffffffffffffffff");
    name_text(1, name);
    assert_string_equal(name, "k0000000000000001");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_again), cmocka_unit_test(is_bounded),
                                       cmocka_unit_test(name_is_short)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
