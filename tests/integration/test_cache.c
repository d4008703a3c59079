/* The cache's protocol against a real Redis: who may fill when, and what a reader gets. */
#include "cache_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/metrics.h"

static void a_fill_is_hit_until_it_is_invalidated(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    OPEN(other) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 1, "one");
    expect_hit(cache, "account:a", "one");
    expect_hit(other, "account:a", "one");
    assert_true(cache_touch_one(other, "account:a", 2));
    cache_put(cache, "account:a", 2, "two");
    expect_hit(other, "account:a", "two");
}

static void values_may_be_empty_or_a_mebibyte(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "empty", 1, "");
    expect_hit(cache, "empty", "");
    for (size_t len = (1U << 20) - 1; len <= (1U << 20) + 1; len++) {
        char name[32];
        char text[VALUE_TEXT];
        struct cache_lease lease;
        char *large = malloc(len);
        snprintf(name, sizeof(name), "large:%zu", len);
        memset(large, 'x', len);
        assert_int_equal(cache_read(cache, name, text, &lease), CACHE_LEASE);
        cache_fill(cache, &lease, 1, (struct str){large, len});
        free(large);
        expect_outcome(cache, name, len <= 1U << 20 ? CACHE_HIT : CACHE_BUSY);
    }
}

static void names_have_at_most_80_bytes(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    char name[82];
    memset(name, 'n', sizeof(name));
    name[81] = '\0';
    expect_outcome(cache, name, CACHE_OFF);
    name[80] = '\0';
    cache_put(cache, name, 1, "long name");
    expect_hit(cache, name, "long name");
    assert_true(cache_touch_one(cache, name, 2));
    expect_outcome(cache, name, CACHE_LEASE);
}

static void one_reader_fills_the_others_do_not(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    OPEN(other) = cache_fixture_open(&options);
    char text[VALUE_TEXT];
    struct cache_lease lease;
    assert_int_equal(cache_read(cache, "account:a", text, &lease), CACHE_LEASE);
    expect_outcome(other, "account:a", CACHE_BUSY);
    expect_outcome(cache, "account:a", CACHE_BUSY);
    cache_fill(cache, &lease, 3, STR("three"));
    expect_hit(other, "account:a", "three");
    cache_fill(cache, &lease, 4, STR("a lease is good for one fill"));
    expect_hit(other, "account:a", "three");
}

static void a_lease_is_taken_over_after_half_a_second(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    char text[VALUE_TEXT];
    struct cache_lease slow;
    assert_int_equal(cache_read(cache, "account:a", text, &slow), CACHE_LEASE);
    int64_t start = now_ms();
    struct cache_lease lease;
    while (cache_read(cache, "account:a", text, &lease) == CACHE_BUSY && now_ms() < start + 3000)
        sleep_ms(5);
    assert_true(now_ms() - start >= 490);
    cache_fill(cache, &slow, 1, STR("too late"));
    expect_outcome(cache, "account:a", CACHE_BUSY);
    cache_fill(cache, &lease, 1, STR("in time"));
    expect_hit(cache, "account:a", "in time");
}

/* What the server's clock said when the lease was given is part of the entry. */
static void a_lease_is_as_old_as_its_entry_says(void **state) {
    (void)state;
    static const struct {
        int age_ms;
        enum cache_outcome outcome;
    } cases[] = {{0, CACHE_BUSY},    {100, CACHE_BUSY},    {600, CACHE_LEASE},
                 {-300, CACHE_BUSY}, {-1000, CACHE_LEASE}, {86400000, CACHE_LEASE}};
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    char key[96];
    char command[192];
    cache_key(cache, "account:a", key);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t since = clock_wall(&clock_system) / 1000 - cases[i].age_ms;
        snprintf(command, sizeof(command), "SET %s L|0|aa|%lld", key, (long long)since);
        assert_true(redis_server_answers(&cache_redis, command, "OK"));
        expect_outcome(cache, "account:a", cases[i].outcome);
    }
}

static void a_fill_below_the_floor_is_refused(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    assert_true(cache_touch_one(cache, "account:a", 5));
    assert_true(cache_touch_one(cache, "account:a", 3)); /* late: the floor stays */
    char text[VALUE_TEXT];
    struct cache_lease lease;
    assert_int_equal(cache_read(cache, "account:a", text, &lease), CACHE_LEASE);
    cache_fill(cache, &lease, 4, STR("four"));
    expect_outcome(cache, "account:a", CACHE_BUSY);
    cache_fill(cache, &lease, 5, STR("five"));
    expect_hit(cache, "account:a", "five");
    assert_true(cache_touch_one(cache, "account:a", 5)); /* again: what is cached is not older */
    expect_hit(cache, "account:a", "five");
    assert_true(cache_touch_one(cache, "account:a", 6));
    expect_outcome(cache, "account:a", CACHE_LEASE);
}

static void versions_are_exact_up_to_2_to_the_53(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    const int64_t top = INT64_C(1) << 53;
    char text[VALUE_TEXT];
    struct cache_lease lease;
    assert_true(cache_touch_one(cache, "account:a", top));
    assert_int_equal(cache_read(cache, "account:a", text, &lease), CACHE_LEASE);
    cache_fill(cache, &lease, top - 1, STR("old"));
    expect_outcome(cache, "account:a", CACHE_BUSY);
    cache_fill(cache, &lease, top, STR("new"));
    expect_hit(cache, "account:a", "new");
}

/* What can take a tombstone or a lease away between a reader's miss and its fill. */
static void late_fill(const char *meanwhile) {
    struct cache_options options = cache_fixture_options();
    OPEN(reader) = cache_fixture_open(&options);
    OPEN(writer) = cache_fixture_open(&options);
    char text[VALUE_TEXT];
    struct cache_lease lease;
    assert_int_equal(cache_read(reader, "account:a", text, &lease), CACHE_LEASE);
    assert_true(cache_touch_one(writer, "account:a", 2));
    if (meanwhile != NULL)
        assert_true(redis_server_answers(&cache_redis, meanwhile, "OK"));
    cache_fill(reader, &lease, 1, STR("one"));
    expect_outcome(writer, "account:a", CACHE_LEASE);
}

static void a_late_fill_is_refused(void **state) {
    (void)state;
    late_fill(NULL);
}

static void a_late_fill_is_refused_after_flushall(void **state) {
    (void)state;
    late_fill("FLUSHALL");
}

static void a_late_fill_is_refused_after_script_flush(void **state) {
    (void)state;
    late_fill("SCRIPT FLUSH");
}

static void a_late_fill_is_refused_after_eviction_and_a_new_lease(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(reader) = cache_fixture_open(&options);
    OPEN(other) = cache_fixture_open(&options);
    char text[VALUE_TEXT];
    struct cache_lease late;
    struct cache_lease lease;
    assert_int_equal(cache_read(reader, "account:a", text, &late), CACHE_LEASE);
    assert_true(cache_touch_one(other, "account:a", 2));
    char command[128];
    snprintf(command, sizeof(command), "DEL %s", late.key);
    assert_true(redis_server_answers(&cache_redis, command, "1"));
    assert_int_equal(cache_read(other, "account:a", text, &lease), CACHE_LEASE);
    cache_fill(reader, &late, 1, STR("one"));
    cache_fill(other, &lease, 2, STR("two"));
    expect_hit(reader, "account:a", "two");
}

static void scripts_may_be_flushed_at_any_moment(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    for (int64_t version = 1; version <= 5; version++) {
        char text[VALUE_TEXT];
        struct cache_lease lease;
        assert_true(redis_server_answers(&cache_redis, "SCRIPT FLUSH", "OK"));
        assert_int_equal(cache_read(cache, "account:a", text, &lease), CACHE_LEASE);
        assert_true(redis_server_answers(&cache_redis, "SCRIPT FLUSH", "OK"));
        cache_fill(cache, &lease, version, STR("value"));
        expect_hit(cache, "account:a", "value");
        assert_true(redis_server_answers(&cache_redis, "SCRIPT FLUSH", "OK"));
        assert_true(cache_touch_one(cache, "account:a", version + 1));
    }
}

static void values_do_not_outlive_value_ms_from_the_lease_on(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    options.value_ms = 1000;
    OPEN(cache) = cache_fixture_open(&options);
    char text[VALUE_TEXT];
    struct cache_lease lease;
    char command[128];
    int64_t start = now_ms();
    assert_int_equal(cache_read(cache, "account:a", text, &lease), CACHE_LEASE);
    sleep_ms(300);
    cache_fill(cache, &lease, 1, STR("one"));
    expect_hit(cache, "account:a", "one");
    snprintf(command, sizeof(command), "PTTL %s", lease.key);
    redis_server_say(&cache_redis, command, text, sizeof(text));
    assert_in_range(atoi(text), 1, 700);
    while (cache_read(cache, "account:a", text, &lease) == CACHE_HIT)
        sleep_ms(2);
    int64_t lived = now_ms() - start;
    assert_true(lived >= 990);
    assert_true(lived < 2000);
}

/* 3,000 names: more than one exchange; 200: more than one call of the script. */
static void many_are_invalidated_at_once(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    static struct cache_touch touches[3000];
    for (size_t i = 0; i < COUNT_OF(touches); i++) {
        snprintf(touches[i].name, sizeof(touches[i].name), "many:%zu", i);
        touches[i].version = 2;
        if (i % 100 == 0 || i + 1 == COUNT_OF(touches))
            cache_put(cache, touches[i].name, 1, "one");
    }
    assert_true(cache_invalidate(cache, touches, 0));
    uint64_t before = metrics_value(METRIC_CACHE_INVALIDATIONS, 0);
    assert_true(redis_server_answers(&cache_redis, "SCRIPT FLUSH", "OK"));
    assert_true(cache_invalidate(cache, touches, COUNT_OF(touches)));
    assert_int_equal(metrics_value(METRIC_CACHE_INVALIDATIONS, 0) - before, COUNT_OF(touches));
    assert_true(redis_server_answers(&cache_redis, "DBSIZE", "3000"));
    for (size_t i = 0; i < COUNT_OF(touches); i += 100)
        expect_outcome(cache, touches[i].name, CACHE_LEASE);
    expect_outcome(cache, touches[COUNT_OF(touches) - 1].name, CACHE_LEASE);
}

/* ---- what is in Redis ---- */

static void values_are_sealed(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 7, "secret revenue");
    char key[96];
    char command[128];
    char entry[256];
    cache_key(cache, "account:a", key);
    snprintf(command, sizeof(command), "GET %s", key);
    redis_server_say(&cache_redis, command, entry, sizeof(entry));
    assert_int_equal(strncmp(entry, "V|7|", 4), 0);
    snprintf(command, sizeof(command), "STRLEN %s", key);
    assert_true(redis_server_answers(&cache_redis, command, "63")); /* 4 + 14 + 5 + 40 */
    assert_null(strstr(entry, "revenue"));
}

static void a_value_of_another_name_or_version_does_not_open(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    char a[96];
    char b[96];
    char command[256];
    const uint64_t before = metrics_value(METRIC_CACHE_READS, (size_t)CACHE_OFF + 1);
    cache_put(cache, "account:a", 1, "one");
    cache_key(cache, "account:a", a);
    cache_key(cache, "account:b", b);
    snprintf(command, sizeof(command), "COPY %s %s REPLACE", a, b);
    assert_true(redis_server_answers(&cache_redis, command, "1"));
    expect_outcome(cache, "account:b", CACHE_BUSY);
    snprintf(command, sizeof(command), "SETRANGE %s 2 2", a);
    assert_true(redis_server_answers(&cache_redis, command, "52"));
    expect_outcome(cache, "account:a", CACHE_BUSY);
    snprintf(command, sizeof(command), "SET %s V|", a);
    assert_true(redis_server_answers(&cache_redis, command, "OK"));
    expect_outcome(cache, "account:a", CACHE_BUSY);
    assert_int_equal(metrics_value(METRIC_CACHE_READS, (size_t)CACHE_OFF + 1) - before, 3);
    assert_true(cache_touch_one(cache, "account:a", 2));
    cache_put(cache, "account:a", 2, "two");
    expect_hit(cache, "account:a", "two");
}

static void entries_that_make_no_sense_are_misses(void **state) {
    (void)state;
    static const char *const entries[] = {"SET %s rubbish", "SET %s L|", "SET %s T|x",
                                          "SET %s L|1|zz|5", "SET %s 1"};
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    char key[96];
    char command[128];
    cache_key(cache, "account:a", key);
    for (size_t i = 0; i < COUNT_OF(entries); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(command, sizeof(command), entries[i], key);
#pragma GCC diagnostic pop
        assert_true(redis_server_answers(&cache_redis, command, "OK"));
        expect_outcome(cache, "account:a", CACHE_LEASE);
        assert_true(redis_server_answers(&cache_redis, command, "OK"));
        assert_true(cache_touch_one(cache, "account:a", 2));
        cache_put(cache, "account:a", 2, "two");
    }
}

static void a_key_of_another_type_is_a_miss_and_can_be_invalidated(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    char key[96];
    char command[128];
    cache_key(cache, "account:a", key);
    snprintf(command, sizeof(command), "DEL %s", key);
    assert_true(redis_server_answers(&cache_redis, command, "1"));
    snprintf(command, sizeof(command), "LPUSH %s x", key);
    assert_true(redis_server_answers(&cache_redis, command, "1"));
    for (int i = 0; i < 20; i++)
        expect_outcome(cache, "account:a", CACHE_OFF);
    cache_put(cache, "account:b", 1, "the breaker is closed");
    assert_true(cache_touch_one(cache, "account:a", 2));
    cache_put(cache, "account:a", 2, "two");
    expect_hit(cache, "account:a", "two");
}

/* ---- without Redis, without leases ---- */

static void no_url_means_always_off(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    options.url = "";
    OPEN(cache) = cache_fixture_open(&options);
    struct cache_lease lease = {.key = "k"};
    expect_outcome(cache, "account:a", CACHE_OFF);
    cache_fill(cache, &lease, 1, STR("one"));
    assert_true(cache_touch_one(cache, "account:a", 1)); /* nothing can be stale */
    assert_false(cache_ping(cache));
}

static void without_leases_a_late_fill_is_stale(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    options.lease = false;
    OPEN(cache) = cache_fixture_open(&options);
    char text[VALUE_TEXT];
    struct cache_lease lease;
    assert_int_equal(cache_read(cache, "account:a", text, &lease), CACHE_LEASE);
    assert_true(cache_touch_one(cache, "account:a", 2));
    cache_fill(cache, &lease, 1, STR("one"));
    expect_hit(cache, "account:a", "one");
    assert_true(cache_touch_one(cache, "account:a", 2));
    expect_outcome(cache, "account:a", CACHE_LEASE);
}

static void it_answers_a_ping(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    assert_true(cache_ping(cache));
}

static void reads_are_counted_by_outcome(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    uint64_t before[4];
    for (size_t i = 0; i < 4; i++)
        before[i] = metrics_value(METRIC_CACHE_READS, i);
    cache_put(cache, "account:a", 1, "one");
    expect_hit(cache, "account:a", "one");
    expect_hit(cache, "account:a", "one");
    expect_outcome(cache, "account:b", CACHE_LEASE);
    expect_outcome(cache, "account:b", CACHE_BUSY);
    const uint64_t wanted[4] = {
        [CACHE_HIT] = 2, [CACHE_LEASE] = 2, [CACHE_BUSY] = 1, [CACHE_OFF] = 0};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(metrics_value(METRIC_CACHE_READS, i) - before[i], wanted[i]);
}

static void a_bucket_is_shared_and_never_emptier_than_empty(void **state) {
    (void)state;
    struct cache_options options = cache_fixture_options();
    OPEN(cache) = cache_fixture_open(&options);
    OPEN(other) = cache_fixture_open(&options);
    const struct cache_bucket bucket = {.rate = 1, .burst = 10};
    struct cache_taken taken;
    char key[96];
    char command[192];
    assert_true(cache_take(cache, "limit:a", &bucket, 4, &taken) && taken.granted);
    assert_int_equal(taken.debt_us, 4000000);
    assert_true(cache_take(other, "limit:a", &bucket, 5, &taken) && taken.granted);
    assert_true(taken.debt_us > 4000000 && taken.debt_us <= 9000000);
    /* All or none. */
    assert_true(cache_take(cache, "limit:a", &bucket, 10, &taken) && !taken.granted);
    assert_true(cache_take(cache, "limit:a", &bucket, 1, &taken) && taken.granted);
    assert_true(cache_take(cache, "limit:b", &bucket, 10, &taken) && taken.granted);
    assert_true(cache_take(cache, "limit:b", &bucket, 11, &taken) && !taken.granted);
    /* Redis's clock was set back by a day. */
    cache_key(cache, "limit:c", key);
    snprintf(command, sizeof(command), "SET %s %lld", key,
             (long long)clock_wall(&clock_system) + 86400000000LL);
    assert_true(redis_server_answers(&cache_redis, command, "OK"));
    assert_true(cache_take(cache, "limit:c", &bucket, 1, &taken) && !taken.granted);
    assert_int_equal(taken.debt_us, 10000000);
    snprintf(command, sizeof(command), "SET %s nonsense", key);
    assert_true(redis_server_answers(&cache_redis, command, "OK"));
    assert_true(cache_take(cache, "limit:c", &bucket, 1, &taken) && taken.granted);
    /* It lives no longer than it takes to be full. */
    snprintf(command, sizeof(command), "PTTL %s", key);
    assert_false(redis_server_answers(&cache_redis, command, "-1"));
}

#define TEST(name) cmocka_unit_test_setup(name, cache_fixture_clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_fill_is_hit_until_it_is_invalidated),
        TEST(values_may_be_empty_or_a_mebibyte),
        TEST(names_have_at_most_80_bytes),
        TEST(one_reader_fills_the_others_do_not),
        TEST(a_lease_is_taken_over_after_half_a_second),
        TEST(a_lease_is_as_old_as_its_entry_says),
        TEST(a_fill_below_the_floor_is_refused),
        TEST(versions_are_exact_up_to_2_to_the_53),
        TEST(a_late_fill_is_refused),
        TEST(a_late_fill_is_refused_after_flushall),
        TEST(a_late_fill_is_refused_after_script_flush),
        TEST(a_late_fill_is_refused_after_eviction_and_a_new_lease),
        TEST(scripts_may_be_flushed_at_any_moment),
        TEST(values_do_not_outlive_value_ms_from_the_lease_on),
        TEST(many_are_invalidated_at_once),
        TEST(values_are_sealed),
        TEST(a_value_of_another_name_or_version_does_not_open),
        TEST(entries_that_make_no_sense_are_misses),
        TEST(a_key_of_another_type_is_a_miss_and_can_be_invalidated),
        TEST(no_url_means_always_off),
        TEST(without_leases_a_late_fill_is_stale),
        TEST(a_bucket_is_shared_and_never_emptier_than_empty),
        TEST(it_answers_a_ping),
        TEST(reads_are_counted_by_outcome),
    };
    return cmocka_run_group_tests_name("cache", tests, cache_fixture_start, cache_fixture_stop);
}
