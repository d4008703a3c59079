/* Dates: against every day of 1,100 years, and the month ends of the product description. */
#include "core/cleanup.h"
#include "domain/calendar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct date date_of(const char *text) {
    struct date date = {0};

    if (!date_parse(str_of(text), &date))
        fail_msg("\"%s\" is no date", text);
    return date;
}

static void days_and_dates_agree(void **state) {
    int64_t days = -25567; /* 1900-01-01 */

    (void)state;
    for (int year = YEAR_FIRST; year <= YEAR_LAST; year++)
        for (int month = 1; month <= 12; month++)
            for (int day = 1; day <= days_in_month(year, month); day++, days++) {
                struct date date = {year, month, day};
                struct date back = civil_from_days(days);

                if (days_from_civil(date) != days || date_compare(date, back) != 0)
                    fail_msg("%d-%d-%d", year, month, day);
            }
    assert_int_equal(days_from_civil(date_of("1970-01-01")), 0);
    assert_int_equal(days_from_civil(date_of("2026-11-21")), 20778);
    assert_int_equal(days, days_from_civil((struct date){3000, 1, 1}));
    struct date before_christ = civil_from_days(-800000);
    assert_int_equal(days_from_civil(before_christ), -800000);
}

static void months_have_their_days(void **state) {
    (void)state;
    assert_int_equal(days_in_month(2023, 2), 28);
    assert_int_equal(days_in_month(2024, 2), 29);
    assert_int_equal(days_in_month(2100, 2), 28);
    assert_int_equal(days_in_month(2400, 2), 29);
    assert_int_equal(days_in_month(2024, 0), 0);
    assert_int_equal(days_in_month(2024, 13), 0);
    assert_int_equal(days_in_month(2024, -1), 0);
}

static void texts(void **state) {
    static const char *const bad[] = {"",           "2026-02-29",  "2026-13-01", "2026-00-10",
                                      "2026-01-00", "1899-12-31",  "3000-01-01", "2026-1-01",
                                      "2026-01-1",  "2026-01-011", "x026-01-01", "2026-x1-01",
                                      "2026-01-x1", "2026.01.01",  "2026-01.01"};
    struct date date = {1, 2, 3};
    char text[DATE_TEXT];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (date_parse(str_of(bad[i]), &date))
            fail_msg("\"%s\" was accepted", bad[i]);
    assert_false(date_parse(STR_ABSENT, &date));
    assert_int_equal(date.year, 1);
    date_format(date_of("2024-02-29"), text);
    assert_string_equal(text, "2024-02-29");
    date_format((struct date){1900, 1, 9}, text);
    assert_string_equal(text, "1900-01-09");
}

static void dates_compare(void **state) {
    static const char *const ordered[] = {"1900-01-01", "2025-12-31", "2026-01-01", "2026-01-31",
                                          "2026-02-01", "2026-02-02", "2999-12-31"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ordered); i++)
        for (size_t j = 0; j < COUNT_OF(ordered); j++) {
            int order = date_compare(date_of(ordered[i]), date_of(ordered[j]));

            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

static void months_are_added(void **state) {
    static const struct {
        const char *anchor;
        int months;
        const char *expected;
    } cases[] = {
        {"2026-01-31", 0, "2026-01-31"},   {"2026-01-31", 1, "2026-02-28"},
        {"2026-01-31", 2, "2026-03-31"},   {"2026-01-31", 3, "2026-04-30"},
        {"2024-01-31", 1, "2024-02-29"},   {"2024-02-29", 12, "2025-02-28"},
        {"2024-02-29", 48, "2028-02-29"},  {"2026-12-31", 1, "2027-01-31"},
        {"2026-11-30", 3, "2027-02-28"},   {"2026-03-31", -1, "2026-02-28"},
        {"2026-01-15", -1, "2025-12-15"},  {"2026-01-31", -13, "2024-12-31"},
        {"2026-05-15", 120, "2036-05-15"},
    };
    struct date date = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_true(date_add_months(date_of(cases[i].anchor), cases[i].months, &date));
        if (date_compare(date, date_of(cases[i].expected)) != 0)
            fail_msg("%s + %d", cases[i].anchor, cases[i].months);
    }
    assert_true(date_add_months(date_of("2999-11-30"), 1, &date));
    assert_false(date_add_months(date_of("2999-12-01"), 1, &date));
    assert_true(date_add_months(date_of("1900-02-01"), -1, &date));
    assert_false(date_add_months(date_of("1900-01-31"), -1, &date));
    assert_false(date_add_months(date_of("2026-01-31"), INT64_MAX, &date));
    assert_false(date_add_months(date_of("2026-01-31"), INT64_MIN, &date));
    assert_int_equal(date.year, 1900);
}

static void cadences(void **state) {
    static const struct {
        enum cadence cadence;
        const char *name;
        int months;
        const char *third; /* review after 2026-08-31 */
    } cases[] = {
        {CADENCE_MONTHLY, "monthly", 1, "2026-11-30"},
        {CADENCE_QUARTERLY, "quarterly", 3, "2027-05-31"},
        {CADENCE_SEMIANNUAL, "semiannual", 6, "2028-02-29"},
        {CADENCE_ANNUAL, "annual", 12, "2029-08-31"},
    };
    enum cadence cadence = CADENCE_COUNT;
    struct date date;

    (void)state;
    assert_int_equal(COUNT_OF(cases), CADENCE_COUNT);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_true(cadence_parse(str_of(cases[i].name), &cadence));
        assert_int_equal(cadence, cases[i].cadence);
        assert_string_equal(cadence_name(cadence), cases[i].name);
        assert_int_equal(cadence_months(cadence), cases[i].months);
        assert_true(next_review(date_of("2026-08-31"), cadence, 3, &date));
        assert_int_equal(date_compare(date, date_of(cases[i].third)), 0);
        assert_true(next_review(date_of("2026-08-31"), cadence, 0, &date));
        assert_int_equal(date_compare(date, date_of("2026-08-31")), 0);
        assert_false(next_review(date_of("2026-08-31"), cadence, INT64_MAX, &date));
    }
    cadence = CADENCE_COUNT;
    assert_false(cadence_parse(STR("weekly"), &cadence));
    assert_false(cadence_parse(STR("Monthly"), &cadence));
    assert_false(cadence_parse(STR_ABSENT, &cadence));
    assert_int_equal(cadence, CADENCE_COUNT);
}

/* A monthly review anchored on the 31st keeps its day over years of short months. */
static void a_cadence_does_not_drift(void **state) {
    struct date anchor = date_of("2024-01-31");
    struct date date;

    (void)state;
    for (int n = 0; n < 600; n++) {
        assert_true(next_review(anchor, CADENCE_MONTHLY, n, &date));
        assert_int_equal(date.month, n % 12 + 1);
        assert_int_equal(date.day, days_in_month(date.year, date.month));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_and_dates_agree),
        cmocka_unit_test(months_have_their_days),
        cmocka_unit_test(texts),
        cmocka_unit_test(dates_compare),
        cmocka_unit_test(months_are_added),
        cmocka_unit_test(cadences),
        cmocka_unit_test(a_cadence_does_not_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
