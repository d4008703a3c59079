/* Times as text, before 1970 too, and deadlines that do not overflow. */
#include "unit.h"

#include "core/clock.h"

#include <limits.h>

static void text(void **state) {
    (void)state;
    static const struct {
        int64_t us;
        const char *want;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {1, "1970-01-01T00:00:00.000001Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {-1000000, "1969-12-31T23:59:59.000000Z"},
        {951782400000000, "2000-02-29T00:00:00.000000Z"},
        {1795305360123456, "2026-11-21T23:56:00.123456Z"},
        {253402300799999999, "9999-12-31T23:59:59.999999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000000Z"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char got[TIME_TEXT];
        time_text(cases[i].us, got);
        assert_string_equal(got, cases[i].want);
    }
}

static void deadlines(void **state) {
    (void)state;
    int left = deadline_left_ms(deadline_in_ms(60000));
    assert_true(left > 59000 && left <= 60000);
    assert_int_equal(deadline_left_ms(deadline_in_ms(0)), 0);
    assert_int_equal(deadline_left_ms(deadline_in_ms(-5)), 0);
    assert_int_equal(deadline_left_ms(deadline_in_ms(INT64_MAX)), INT_MAX);
    assert_int_equal(deadline_left_ms(deadline_in_ms(INT64_MIN)), 0);
    /* Rounded up, so that poll() never wakes before the deadline. */
    assert_int_equal(deadline_left_ms(clock_mono(&clock_system) + 999500), 1000);
}

static void system_clock(void **state) {
    (void)state;
    int64_t before = clock_mono(&clock_system);
    assert_true(clock_mono(&clock_system) >= before);
    assert_true(clock_wall(&clock_system) > 1767225600000000); /* 2026 */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(text), cmocka_unit_test(deadlines),
                                       cmocka_unit_test(system_clock)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
