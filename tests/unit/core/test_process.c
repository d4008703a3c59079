/* How many CPUs a container's quota allows: texts of cgroups, and never less than one. */
#include "unit.h"

#include "process.h"

static void quotas(void **state) {
    (void)state;
    assert_int_equal(process_quota("max 100000"), 0);
    assert_int_equal(process_quota("-1 100000"), 0);
    assert_int_equal(process_quota(""), 0);
    assert_int_equal(process_quota("100000 0"), 0);
    assert_int_equal(process_quota("50000 100000"), 1);
    assert_int_equal(process_quota("150000 100000"), 2);
    assert_int_equal(process_quota("400000 100000"), 4);
    assert_int_equal(process_quota("9223372036854775807 1"), 4096);
}

static void at_least_one(void **state) {
    (void)state;
    assert_true(process_cpus() >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(quotas), cmocka_unit_test(at_least_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
