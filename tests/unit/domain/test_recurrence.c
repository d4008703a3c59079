/* Which recurrence rules are taken. That their days are right is compared with another
 * implementation in tests/e2e/follow-up-series.test.mjs. */
#include "core/cleanup.h"
#include "domain/recurrence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void taken(void **state) {
    static const char *const rules[] = {
        "FREQ=DAILY",
        "freq=weekly;byday=mo,TH;wkst=su",
        "INTERVAL=1000;FREQ=MONTHLY",
        "FREQ=MONTHLY;BYDAY=-1FR,+2TU,MO",
        "FREQ=MONTHLY;BYMONTHDAY=-1,31,+15,-31",
        "FREQ=YEARLY;BYMONTH=1,12;BYMONTHDAY=29",
        "FREQ=YEARLY;BYDAY=53MO,-53SU",
        "FREQ=DAILY;COUNT=10000",
        "FREQ=DAILY;UNTIL=20280229",
        "FREQ=DAILY;UNTIL=20261231T235959Z",
        "FREQ=DAILY;UNTIL=20261231t000000",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if (check_recurrence(str_of(rules[i])) != NULL)
            fail_msg("%s: %s", rules[i], check_recurrence(str_of(rules[i])));
}

static void refused(void **state) {
    static const struct {
        const char *rule;
        const char *why; /* a word of the sentence */
    } rules[] = {
        {"", "takes"},
        {"DAILY", "takes"},
        {"FREQ", "FREQ must"},
        {"FREQ=", "FREQ must"},
        {"FREQ=SECONDLY", "FREQ must"},
        {"FREQ=DAILY;", "takes"},
        {"FREQ=DAILY;;COUNT=2", "takes"},
        {"FREQ=DAILY;FREQ=DAILY", "once"},
        {"FREQ=DAILY;freq=WEEKLY", "once"},
        {"FREQ=DAILY;BYSETPOS=1", "takes"},
        {"FREQ=DAILY; COUNT=2", "takes"},
        {"INTERVAL=2", "needs FREQ"},
        {"FREQ=DAILY;INTERVAL=0", "INTERVAL"},
        {"FREQ=DAILY;INTERVAL=-1", "INTERVAL"},
        {"FREQ=DAILY;INTERVAL=+1", "INTERVAL"},
        {"FREQ=DAILY;INTERVAL=1001", "INTERVAL"},
        {"FREQ=DAILY;INTERVAL=01", "INTERVAL"},
        {"FREQ=DAILY;INTERVAL=99999999999999999999", "INTERVAL"},
        {"FREQ=DAILY;COUNT=10001", "COUNT"},
        {"FREQ=DAILY;COUNT=2;UNTIL=20300101", "not both"},
        {"FREQ=DAILY;BYDAY=", "BYDAY"},
        {"FREQ=DAILY;BYDAY=MO,", "BYDAY"},
        {"FREQ=DAILY;BYDAY=MON", "BYDAY"},
        {"FREQ=MONTHLY;BYDAY=0MO", "BYDAY"},
        {"FREQ=MONTHLY;BYDAY=54MO", "BYDAY"},
        {"FREQ=MONTHLY;BYDAY=--1MO", "BYDAY"},
        {"FREQ=WEEKLY;BYDAY=MO,2TU", "only with"},
        {"FREQ=DAILY;BYDAY=1MO", "only with"},
        {"FREQ=WEEKLY;BYMONTHDAY=1", "WEEKLY"},
        {"FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY"},
        {"FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"},
        {"FREQ=MONTHLY;BYMONTHDAY=-32", "BYMONTHDAY"},
        {"FREQ=DAILY;BYMONTH=13", "BYMONTH"},
        {"FREQ=DAILY;BYMONTH=-1", "BYMONTH"},
        {"FREQ=DAILY;UNTIL=2030010", "UNTIL"},
        {"FREQ=DAILY;UNTIL=20300231", "UNTIL"},
        {"FREQ=DAILY;UNTIL=20300101T240000Z", "UNTIL"},
        {"FREQ=DAILY;UNTIL=20300101T006000Z", "UNTIL"},
        {"FREQ=DAILY;UNTIL=20300101T000000X", "UNTIL"},
        {"FREQ=DAILY;UNTIL=20300101 000000", "UNTIL"},
        {"FREQ=DAILY;WKST=MO,TU", "WKST"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        const char *why = check_recurrence(str_of(rules[i].rule));
        if (why == NULL || strstr(why, rules[i].why) == NULL)
            fail_msg("\"%s\": %s", rules[i].rule, why ? why : "was taken");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
