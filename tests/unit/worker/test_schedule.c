/* Retries: spread over their slots of the schedule, which takes as long as it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/err.h"
#include "core/str.h"
#include "schedule.h"

#include <stdio.h>

#define DELIVERIES 20000

static const int64_t pauses[] = {5000, 30000, 120000, 600000, 1800000};
static const int64_t whole = 5000 + 30000 + 120000 + 600000 + 1800000;

/* As ids of deliveries are: the position of the event, and the number of the endpoint. */
static void id_of(int i, char *ret, size_t size) {
    snprintf(ret, size, "00000000-%04x-8%03x-8000-00000000000%x", i >> 12, i & 0xfff, i % 3);
}

static void each_in_its_slot(void **state) {
    (void)state;
    char id[64];

    for (int i = 0; i < DELIVERIES; i++) {
        int64_t at = 0, start = 0;
        id_of(i, id, sizeof(id));
        for (int retry = 1; retry <= (int)COUNT_OF(pauses); retry++) {
            int64_t pause = schedule_pause(pauses, COUNT_OF(pauses), id, retry);
            assert_true(pause >= 0);
            at += pause;
            assert_true(at >= start - 10 && at <= start + pauses[retry - 1]);
            start += pauses[retry - 1];
        }
        /* Less what divisions cut off. */
        assert_true(at > whole - 10 && at <= whole);
    }
}

/* Many that failed together do not come back together: each tenth of a slot has its share. */
static void spread(void **state) {
    (void)state;
    char id[64];

    for (size_t retry = 1; retry < COUNT_OF(pauses); retry++) {
        int tenths[10] = {0};
        for (int i = 0; i < DELIVERIES; i++) {
            int64_t at = 0, start = 0;
            id_of(i, id, sizeof(id));
            for (size_t r = 1; r <= retry; r++)
                at += schedule_pause(pauses, COUNT_OF(pauses), id, (int)r);
            for (size_t r = 0; r + 1 < retry; r++)
                start += pauses[r];
            int64_t tenth = (at < start ? 0 : at - start) * 10 / pauses[retry - 1];
            tenths[tenth > 9 ? 9 : tenth]++;
        }
        for (size_t i = 0; i < COUNT_OF(tenths); i++)
            assert_in_range(tenths[i], DELIVERIES / 10 * 8 / 10, DELIVERIES / 10 * 12 / 10);
    }
}

static void beyond_the_schedule(void **state) {
    (void)state;

    assert_int_equal(schedule_pause(pauses, COUNT_OF(pauses), "x", 99), 1800000);
    assert_int_equal(schedule_pause(pauses, 1, "x", 1), 5000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_in_its_slot), cmocka_unit_test(spread),
                                       cmocka_unit_test(beyond_the_schedule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
