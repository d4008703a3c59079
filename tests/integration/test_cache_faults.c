/* The cache when Redis, or the way to it, is ill: it costs speed only, and of that little.
 * Deadlines are asserted loosely (a second where Redis has half of one): the test machine may be
 * busy.
 */
#include "cache_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/metrics.h"
#include "tcp_proxy.h"

#define RECOVERY_MS 5000

static struct cache_options short_options(void) {
    struct cache_options options = cache_fixture_options();
    options.timeout_ms = 500;
    return options;
}

static const char *proxy_url(const struct tcp_proxy *proxy, char ret[static 64]) {
    snprintf(ret, 64, "redis://127.0.0.1:%d", proxy->port);
    return ret;
}

/* Runs many reads and returns the slowest, in milliseconds. */
static int64_t slowest_of(struct cache *cache, int n, int64_t *ret_all) {
    int64_t slowest = 0;
    int64_t start = now_ms();
    for (int i = 0; i < n; i++) {
        int64_t before = now_ms();
        expect_outcome(cache, "account:none", CACHE_OFF);
        if (now_ms() - before > slowest)
            slowest = now_ms() - before;
    }
    *ret_all = now_ms() - start;
    return slowest;
}

/* ---- frozen, killed ---- */

static void a_frozen_redis_costs_one_deadline(void **state) {
    (void)state;
    struct cache_options options = short_options();
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 1, "one");
    redis_server_signal(&cache_redis, SIGSTOP);
    int64_t all;
    int64_t slowest = slowest_of(cache, 10000, &all);
    int64_t start = now_ms();
    assert_false(cache_touch_one(cache, "account:a", 2));
    int64_t invalidation = now_ms() - start;
    redis_server_signal(&cache_redis, SIGCONT);
    start = now_ms();
    assert_true(outcome_within(cache, "account:b", CACHE_LEASE, RECOVERY_MS));
    print_message("10000 reads of a frozen Redis: %d ms, the slowest %d ms; an invalidation: %d "
                  "ms; back after %d ms\n",
                  (int)all, (int)slowest, (int)invalidation, (int)(now_ms() - start));
    assert_true(slowest < 1000);
    assert_true(all < 2000);
    assert_true(invalidation < 1000);
    assert_true(outcome_within(cache, "account:a", CACHE_LEASE, RECOVERY_MS));
}

struct slow_reads {
    struct cache *cache;
    int slow;
};

static void *count_slow_reads(void *self) {
    struct slow_reads *reads = self;
    char text[VALUE_TEXT];
    struct cache_lease lease;
    for (int i = 0; i < 500; i++) {
        int64_t start = now_ms();
        cache_read(reads->cache, "account:a", text, &lease);
        reads->slow += now_ms() - start > 20;
        sleep_ms(1);
    }
    return NULL;
}

static void a_frozen_redis_costs_each_thread_one_deadline(void **state) {
    (void)state;
    struct cache_options options = short_options();
    OPEN(cache) = cache_fixture_open(&options);
    struct slow_reads reads[8];
    pthread_t threads[8];
    int slow = 0;
    redis_server_signal(&cache_redis, SIGSTOP);
    int64_t start = now_ms();
    for (size_t i = 0; i < 8; i++) {
        reads[i] = (struct slow_reads){.cache = cache};
        assert_int_equal(pthread_create(&threads[i], NULL, count_slow_reads, &reads[i]), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        slow += reads[i].slow;
    }
    redis_server_signal(&cache_redis, SIGCONT);
    print_message("8 threads, 4000 reads of a frozen Redis: %d slow ones, %d ms\n", slow,
                  (int)(now_ms() - start));
    assert_true(slow <= 40);
    assert_true(outcome_within(cache, "account:b", CACHE_LEASE, RECOVERY_MS));
}

static void a_late_reply_is_nobody_elses_answer(void **state) {
    (void)state;
    struct cache_options options = short_options();
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 1, "value of a");
    cache_put(cache, "account:b", 1, "value of b");
    const uint64_t unsealed = metrics_value(METRIC_CACHE_READS, (size_t)CACHE_OFF + 1);
    for (int i = 0; i < 3; i++) {
        expect_hit(cache, "account:a", "value of a");
        redis_server_signal(&cache_redis, SIGSTOP);
        expect_outcome(cache, "account:a", CACHE_OFF);
        redis_server_signal(&cache_redis, SIGCONT);
        assert_true(outcome_within(cache, "account:b", CACHE_HIT, RECOVERY_MS));
        expect_hit(cache, "account:b", "value of b");
    }
    assert_int_equal(metrics_value(METRIC_CACHE_READS, (size_t)CACHE_OFF + 1), unsealed);
}

static void a_killed_redis_comes_back_empty_in_a_new_namespace(void **state) {
    (void)state;
    struct cache_options options = short_options();
    OPEN(cache) = cache_fixture_open(&options);
    char before[96];
    char after[96];
    char text[VALUE_TEXT];
    struct cache_lease late;
    cache_put(cache, "account:a", 1, "one");
    assert_int_equal(cache_read(cache, "account:b", text, &late), CACHE_LEASE);
    cache_key(cache, "account:a", before);
    redis_server_kill(&cache_redis);
    int64_t all;
    assert_true(slowest_of(cache, 1000, &all) < 1000);
    assert_false(cache_touch_one(cache, "account:a", 2));
    assert_true(redis_server_start(&cache_redis, cache_redis.port));
    int64_t start = now_ms();
    assert_true(outcome_within(cache, "account:c", CACHE_LEASE, RECOVERY_MS));
    print_message("back %d ms after a restart\n", (int)(now_ms() - start));
    cache_key(cache, "account:a", after);
    assert_string_not_equal(before, after);
    cache_fill(cache, &late, 1, STR("late"));
    expect_outcome(cache, "account:b", CACHE_LEASE);
}

static void a_closed_idle_connection_is_made_anew_at_once(void **state) {
    (void)state;
    struct cache_options options = short_options();
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 1, "one");
    char text[32];
    for (int64_t version = 2; version < 20; version++) {
        redis_server_say(&cache_redis, "CLIENT KILL TYPE normal", text, sizeof(text));
        expect_hit(cache, "account:a", "one");
        redis_server_say(&cache_redis, "CLIENT KILL TYPE normal", text, sizeof(text));
        assert_true(cache_touch_one(cache, "account:a", version));
        redis_server_say(&cache_redis, "CLIENT KILL TYPE normal", text, sizeof(text));
        cache_put(cache, "account:a", version, "one");
    }
}

static void *read_once(void *cache) {
    char text[VALUE_TEXT];
    struct cache_lease lease;
    cache_read(cache, "account:a", text, &lease);
    return NULL;
}

static int clients_of_redis(void) {
    static char text[8192];
    redis_server_say(&cache_redis, "INFO clients", text, sizeof(text));
    const char *at = strstr(text, "connected_clients:");
    return at != NULL ? atoi(at + 18) : -1;
}

static void threads_take_their_connections_with_them(void **state) {
    (void)state;
    struct cache_options options = short_options();
    struct cache *cache = cache_fixture_open(&options);
    expect_outcome(cache, "account:b", CACHE_LEASE);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, read_once, cache), 0);
        pthread_join(thread, NULL);
    }
    sleep_ms(50);
    assert_true(clients_of_redis() <= 4);
    cache_close(cache);
    sleep_ms(50);
    assert_true(clients_of_redis() <= 2);
}

/* ---- a writer that is cut off ---- */

static void failed_invalidation(enum proxy_mode mode) {
    struct cache_options options = short_options();
    static struct tcp_proxy proxy;
    char url[64];
    OPEN(reader) = cache_fixture_open(&options);
    tcp_proxy_start(&proxy, cache_redis.port);
    options.url = proxy_url(&proxy, url);
    struct cache *writer = cache_fixture_open(&options);
    cache_put(reader, "account:a", 1, "one");
    cache_put(reader, "account:b", 1, "other");
    expect_hit(writer, "account:a", "one");
    const uint64_t failed = metrics_value(METRIC_CACHE_INVALIDATIONS_FAILED, 0);

    tcp_proxy_set(&proxy, mode);
    assert_false(cache_touch_one(writer, "account:a", 2));
    assert_false(cache_touch_one(writer, "account:a", 3));
    assert_int_equal(metrics_value(METRIC_CACHE_INVALIDATIONS_FAILED, 0) - failed, 2);
    expect_hit(reader, "account:a",
               "one"); /* the bounded staleness that is promised for this case */
    expect_outcome(writer, "account:a", CACHE_OFF);

    int64_t start = now_ms();
    tcp_proxy_set(&proxy, PROXY_PASS);
    assert_true(outcome_within(reader, "account:a", CACHE_LEASE, RECOVERY_MS));
    print_message("replayed %d ms after the way was free\n", (int)(now_ms() - start));
    assert_true(outcome_within(writer, "account:b", CACHE_HIT, RECOVERY_MS));
    assert_true(outcome_within(writer, "account:a", CACHE_LEASE, RECOVERY_MS));
    cache_close(writer);
    tcp_proxy_stop(&proxy);
}

static void a_failed_invalidation_is_replayed_after_a_cut(void **state) {
    (void)state;
    failed_invalidation(PROXY_CUT);
}

static void a_failed_invalidation_is_replayed_after_a_stall(void **state) {
    (void)state;
    failed_invalidation(PROXY_HOLD);
}

static void staleness_is_bounded_by_value_ms(void **state) {
    (void)state;
    struct cache_options options = short_options();
    static struct tcp_proxy proxy;
    char url[64];
    char text[VALUE_TEXT];
    struct cache_lease lease;
    options.value_ms = 1000;
    OPEN(reader) = cache_fixture_open(&options);
    tcp_proxy_start(&proxy, cache_redis.port);
    options.url = proxy_url(&proxy, url);
    struct cache *writer = cache_fixture_open(&options);
    /* The worst case: the reader has its lease before the write, and fills after it. */
    assert_int_equal(cache_read(reader, "account:a", text, &lease), CACHE_LEASE);
    tcp_proxy_set(&proxy, PROXY_CUT);
    assert_false(cache_touch_one(writer, "account:a", 2));
    int64_t start = now_ms();
    sleep_ms(300);
    cache_fill(reader, &lease, 1, STR("one"));
    expect_hit(reader, "account:a", "one");
    while (cache_read(reader, "account:a", text, &lease) == CACHE_HIT)
        sleep_ms(2);
    print_message("stale for %d of 1000 ms\n", (int)(now_ms() - start));
    assert_true(now_ms() - start < 1500);
    cache_close(writer);
    tcp_proxy_stop(&proxy);
}

static void a_breaker_that_is_open_does_not_stop_an_invalidation(void **state) {
    (void)state;
    struct cache_options options = short_options();
    static struct tcp_proxy proxy;
    char url[64];
    OPEN(reader) = cache_fixture_open(&options);
    tcp_proxy_start(&proxy, cache_redis.port);
    options.url = proxy_url(&proxy, url);
    struct cache *writer = cache_fixture_open(&options);
    cache_put(reader, "account:a", 1, "one");
    expect_hit(writer, "account:a", "one");
    tcp_proxy_set(&proxy, PROXY_HOLD);
    expect_outcome(writer, "account:a", CACHE_OFF); /* opens it */
    tcp_proxy_set(&proxy, PROXY_PASS);
    expect_outcome(writer, "account:a", CACHE_OFF);
    assert_true(cache_touch_one(writer, "account:a", 2));
    expect_outcome(reader, "account:a", CACHE_LEASE);
    cache_close(writer);
    tcp_proxy_stop(&proxy);
}

/* More names than are remembered: no name is trusted until all that was cached then has expired. */
static void too_many_failed_invalidations_switch_reading_off(void **state) {
    (void)state;
    struct cache_options options = short_options();
    static struct tcp_proxy proxy;
    char url[64];
    static struct cache_touch touches[5000];
    options.value_ms = 2000;
    OPEN(reader) = cache_fixture_open(&options);
    tcp_proxy_start(&proxy, cache_redis.port);
    options.url = proxy_url(&proxy, url);
    struct cache *writer = cache_fixture_open(&options);
    for (size_t i = 0; i < COUNT_OF(touches); i++) {
        snprintf(touches[i].name, sizeof(touches[i].name), "many:%zu", i);
        touches[i].version = 2;
    }
    tcp_proxy_set(&proxy, PROXY_CUT);
    assert_false(cache_invalidate(writer, touches, COUNT_OF(touches)));
    tcp_proxy_set(&proxy, PROXY_PASS);
    int64_t start = now_ms();
    assert_true(outcome_within(reader, "account:a", CACHE_LEASE, RECOVERY_MS));
    while (now_ms() - start < 1500) {
        expect_outcome(writer, "account:never-written", CACHE_OFF);
        sleep_ms(20);
    }
    assert_true(outcome_within(writer, "account:never-written", CACHE_LEASE, RECOVERY_MS));
    assert_true(now_ms() - start >= 1990);
    cache_close(writer);
    tcp_proxy_stop(&proxy);
}

/* ---- a Redis that says no ---- */

static void without_memory_there_are_hits_and_invalidations_but_no_fills(void **state) {
    (void)state;
    struct cache_options options = short_options();
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 1, "one");
    assert_true(redis_server_answers(&cache_redis, "CONFIG SET maxmemory-policy noeviction", "OK"));
    assert_true(redis_server_answers(&cache_redis, "CONFIG SET maxmemory 1", "OK"));
    for (int i = 0; i < 20; i++)
        expect_outcome(cache, "account:b", CACHE_OFF);
    expect_hit(cache, "account:a", "one"); /* and the breaker is closed */
    assert_true(cache_touch_one(cache, "account:a", 2));
    expect_outcome(cache, "account:a", CACHE_OFF);
    assert_true(redis_server_answers(&cache_redis, "CONFIG SET maxmemory 0", "OK"));
    expect_outcome(cache, "account:a", CACHE_LEASE);
}

static void a_replica_is_not_used(void **state) {
    (void)state;
    struct cache_options options = short_options();
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 1, "one");
    cache_put(cache, "account:c", 1, "one");
    assert_true(redis_server_answers(&cache_redis, "REPLICAOF 127.0.0.1 1", "OK"));
    assert_false(cache_touch_one(cache, "account:a", 2));
    expect_outcome(cache, "account:a", CACHE_OFF);
    expect_outcome(cache, "account:b", CACHE_OFF);
    expect_outcome(cache, "account:c", CACHE_OFF); /* although it could be read there */
    assert_true(redis_server_answers(&cache_redis, "REPLICAOF NO ONE", "OK"));
    assert_true(outcome_within(cache, "account:b", CACHE_LEASE, RECOVERY_MS));
    assert_true(outcome_within(cache, "account:a", CACHE_LEASE, RECOVERY_MS));
}

/* The rights that deploy/ must give: no more are needed. */
static void it_logs_in_with_few_rights_and_uses_its_database(void **state) {
    (void)state;
    struct cache_options options = short_options();
    if (cache_redis.pid == 0)
        skip();
    assert_true(redis_server_answers(
        &cache_redis,
        "ACL SETUSER kamd reset on >s:cr@t ~c:* +info +select +ping +script|load "
        "+evalsha +eval +get +set +del +time",
        "OK"));
    char url[96];
    char text[8192];
    snprintf(url, sizeof(url), "redis://kamd:s%%3Acr%%40t@127.0.0.1:%d/3", cache_redis.port);
    options.url = url;
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 1, "one");
    expect_hit(cache, "account:a", "one");
    assert_true(cache_touch_one(cache, "account:a", 2));
    assert_true(cache_ping(cache));
    redis_server_say(&cache_redis, "INFO keyspace", text, sizeof(text));
    assert_non_null(strstr(text, "db3:keys=1"));
    snprintf(url, sizeof(url), "redis://kamd:wrong@127.0.0.1:%d", cache_redis.port);
    OPEN(wrong) = cache_fixture_open(&options);
    expect_outcome(wrong, "account:a", CACHE_OFF);
    assert_false(cache_ping(wrong));
    assert_true(redis_server_answers(&cache_redis, "ACL DELUSER kamd", "1"));
}

static void names_are_looked_up_beside_the_requests(void **state) {
    (void)state;
    struct cache_options options = short_options();
    char url[96];
    snprintf(url, sizeof(url), "redis://localhost:%d", cache_redis.port);
    options.url = url;
    OPEN(cache) = cache_fixture_open(&options);
    cache_put(cache, "account:a", 1, "one");
    expect_hit(cache, "account:a", "one");
    options.url = "redis://no-such-host.invalid";
    int64_t start = now_ms();
    struct cache *lost = cache_fixture_open(&options);
    int64_t opened = now_ms();
    expect_outcome(lost, "account:a", CACHE_OFF);
    assert_false(cache_touch_one(lost, "account:a", 2));
    cache_close(lost);
    print_message("a host without an address: open %d ms, all else %d ms\n", (int)(opened - start),
                  (int)(now_ms() - opened));
    assert_true(opened - start < 3000);
    assert_true(now_ms() - opened < 1000);
}

static void a_wrong_url_is_an_error(void **state) {
    (void)state;
    struct cache_options options = short_options();
    struct cache *cache = NULL;
    struct err err CLEANUP(err_release) = ERR_INIT;
    options.url = "redis:/nonsense";
    assert_false(cache_open(&options, &cache, &err));
    assert_true(err_is_set(&err));
    assert_null(cache);
}

#define TEST(name) cmocka_unit_test_setup(name, cache_fixture_clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_frozen_redis_costs_one_deadline),
        TEST(a_frozen_redis_costs_each_thread_one_deadline),
        TEST(a_late_reply_is_nobody_elses_answer),
        TEST(a_killed_redis_comes_back_empty_in_a_new_namespace),
        TEST(a_closed_idle_connection_is_made_anew_at_once),
        TEST(threads_take_their_connections_with_them),
        TEST(a_failed_invalidation_is_replayed_after_a_cut),
        TEST(a_failed_invalidation_is_replayed_after_a_stall),
        TEST(staleness_is_bounded_by_value_ms),
        TEST(a_breaker_that_is_open_does_not_stop_an_invalidation),
        TEST(too_many_failed_invalidations_switch_reading_off),
        TEST(without_memory_there_are_hits_and_invalidations_but_no_fills),
        TEST(a_replica_is_not_used),
        TEST(it_logs_in_with_few_rights_and_uses_its_database),
        TEST(names_are_looked_up_beside_the_requests),
        TEST(a_wrong_url_is_an_error),
    };
    return cmocka_run_group_tests_name("cache faults", tests, cache_fixture_start,
                                       cache_fixture_stop);
}
