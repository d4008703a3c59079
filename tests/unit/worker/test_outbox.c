/* What is claimed and settled while a transaction is under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char endpoint_id[] = "01970000-0000-7000-8000-000000000001";

static struct delivery *queued(struct outbox *outbox, struct endpoint *endpoint, int64_t position,
                               const char *account) {
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    assert_non_null(delivery);
    snprintf(delivery->account_id, sizeof(delivery->account_id), "%s", account);
    delivery->position = position;
    delivery->lane = account[0] != '\0';
    outbox_queue(outbox, endpoint, delivery);
    return delivery;
}

static struct delivery *settled(struct outbox *outbox, struct endpoint *endpoint,
                                enum outcome_kind outcome) {
    struct delivery *delivery = outbox_take(outbox, endpoint);

    assert_non_null(delivery);
    outbox_settle(outbox, delivery, outcome);
    return delivery;
}

/* What comes for a lane that failed since the claim was asked for must wait; that of another
 * account, of another endpoint, or of none need not. */
static void a_lane_waits_until_its_failure_is_written(void **state) {
    (void)state;
    struct outbox outbox = {0};
    struct endpoint *one = outbox_add(&outbox, str_of(endpoint_id));
    struct endpoint *two = outbox_add(&outbox, STR("01970000-0000-7000-8000-000000000002"));
    struct delivery other = {.endpoint = one, .lane = true, .account_id = "other"};
    struct delivery next = {.endpoint = one, .lane = true, .account_id = "same"};
    struct delivery elsewhere = {.endpoint = two, .lane = true, .account_id = "same"};
    struct delivery loose = {.endpoint = one, .account_id = "same"};

    queued(&outbox, one, 1, "same");
    settled(&outbox, one, OUTCOME_DELIVERED);
    assert_false(outbox_lane_waits(&outbox, &next));
    queued(&outbox, one, 2, "same");
    settled(&outbox, one, OUTCOME_FAILED);
    assert_true(outbox_lane_waits(&outbox, &next));
    assert_false(outbox_lane_waits(&outbox, &other));
    assert_false(outbox_lane_waits(&outbox, &elsewhere));
    assert_false(outbox_lane_waits(&outbox, &loose));
    /* From now on the database knows, and claims nothing of it. */
    outbox_write(&outbox);
    assert_false(outbox_lane_waits(&outbox, &next));
    outbox_written(&outbox, false);
    assert_true(outbox_lane_waits(&outbox, &next));
    outbox_write(&outbox);
    outbox_written(&outbox, true);
    assert_false(outbox_lane_waits(&outbox, &next));
    queued(&outbox, one, 3, "same");
    outbox_return(&outbox, one, NULL);
    assert_true(outbox_lane_waits(&outbox, &next));
    outbox_release(&outbox);
}

/* What is settled meanwhile is written next; what could not be written is, too. */
static void nothing_settled_is_forgotten(void **state) {
    (void)state;
    struct outbox outbox = {0};
    struct endpoint *endpoint = outbox_add(&outbox, str_of(endpoint_id));

    queued(&outbox, endpoint, 1, "");
    queued(&outbox, endpoint, 2, "");
    queued(&outbox, endpoint, 3, "");
    settled(&outbox, endpoint, OUTCOME_DELIVERED);
    outbox_write(&outbox);
    assert_int_equal(outbox.n_settled, 0);
    assert_int_equal(outbox_settled_to(endpoint), 1);
    settled(&outbox, endpoint, OUTCOME_DELIVERED);
    assert_int_equal(outbox.n_settled, 1);
    outbox_written(&outbox, false);
    assert_int_equal(outbox.n_settled, 2);
    outbox_write(&outbox);
    settled(&outbox, endpoint, OUTCOME_FAILED);
    outbox_written(&outbox, true);
    assert_int_equal(outbox.n_settled, 1);
    assert_int_equal(outbox.settled->position, 3);
    outbox_release(&outbox);
}

/* What an endpoint is told of stays to be told until it is written, and what happens meanwhile
 * does, too. */
static void news_of_an_endpoint_stay_until_written(void **state) {
    (void)state;
    struct outbox outbox = {0};
    struct endpoint *endpoint = outbox_add(&outbox, str_of(endpoint_id));

    endpoint->pause_ms = 5000;
    endpoint->report_in_flight = true;
    outbox_written(&outbox, false);
    assert_true(endpoint->changed_since_report);
    assert_int_equal(endpoint->pause_ms, 5000);
    queued(&outbox, endpoint, 1, "");
    settled(&outbox, endpoint, OUTCOME_FAILED); /* while it is written */
    outbox_written(&outbox, true);
    assert_int_equal(endpoint->pause_ms, 5000);
    endpoint->changed_since_report = false;
    outbox_written(&outbox, true);
    assert_int_equal(endpoint->pause_ms, -1);
    endpoint->returning = true;
    outbox_written(&outbox, false);
    assert_int_equal(outbox.n_endpoints, 1);
    outbox_written(&outbox, true);
    assert_int_equal(outbox.n_endpoints, 0);
    outbox_release(&outbox);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_waits_until_its_failure_is_written),
        cmocka_unit_test(nothing_settled_is_forgotten),
        cmocka_unit_test(news_of_an_endpoint_stay_until_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
