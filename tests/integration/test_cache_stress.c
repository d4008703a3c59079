/* Looks for stale reads while everything happens at once: threads of two processes' worth of caches
 * read, write and fill with random pauses in between; Redis evicts, is flushed, loses its scripts
 * and connections. */

/* The oracle: a hit must not be older than the newest write that was acknowledged before the
 * read began. The same run without leases must find stale reads, or the oracle would prove
 * nothing. */
#include "cache_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "tcp_proxy.h"

#define ROWS 64
#define READERS 6
#define WRITERS 2
#define HITS_WANTED 100000
#define STALE_WANTED 20
#define LIMIT_MS 120000

/* The "database": versions only. A write is committed, invalidated, then acknowledged. */
struct row {
    _Atomic int64_t committed;
    _Atomic int64_t acknowledged;
};

struct run {
    struct row rows[ROWS];
    struct cache *caches[2];
    atomic_bool stop;
    atomic_long hits, stale, fills, busy, off, writes, unconfirmed;
};

struct worker {
    struct run *run;
    uint64_t seed;
    pthread_t thread;
};

static void raise_to(_Atomic int64_t *value, int64_t to) {
    int64_t now = atomic_load(value);
    while (now < to && !atomic_compare_exchange_weak(value, &now, to))
        continue;
}

/* The one by way of the proxy is slower: the other gets more. */
static struct cache *any_cache(struct run *run, const struct randomness *random) {
    return run->caches[random_below(random, 4) == 0];
}

/* Few rows are hot. */
static size_t any_row(const struct randomness *random) {
    return random_below(random, 1 + random_below(random, ROWS));
}

/* Now and then a reader sleeps between its read and its fill: the moment in which naive caches go
 * wrong. */
static void pause_at_times(const struct randomness *random) {
    uint64_t dice = random_below(random, 100);
    if (dice < 30)
        sleep_ms((int)random_below(random, 3));
    else if (dice == 99)
        sleep_ms((int)random_below(random, 40));
}

static void write_one(struct run *run, const struct randomness *random) {
    struct cache_touch touch;
    size_t i = any_row(random);
    snprintf(touch.name, sizeof(touch.name), "row:%zu", i);
    touch.version = atomic_fetch_add(&run->rows[i].committed, 1) + 1;
    pause_at_times(random);
    atomic_fetch_add(&run->writes, 1);
    if (cache_invalidate(any_cache(run, random), &touch, 1))
        raise_to(&run->rows[i].acknowledged, touch.version);
    else
        atomic_fetch_add(&run->unconfirmed, 1);
}

/* A value is its version, and enough more to make Redis evict. */
static struct str value_of(int64_t version, char room[static VALUE_TEXT]) {
    memset(room, 'x', VALUE_TEXT);
    int len = snprintf(room, VALUE_TEXT, "%lld,", (long long)version);
    room[len] = 'x';
    return (struct str){room, VALUE_TEXT - 1};
}

static void read_one(struct run *run, const struct randomness *random) {
    char text[VALUE_TEXT];
    char name[81];
    struct cache_lease lease;
    size_t i = any_row(random);
    struct cache *cache = any_cache(run, random);
    snprintf(name, sizeof(name), "row:%zu", i);
    int64_t acknowledged = atomic_load(&run->rows[i].acknowledged);
    switch (cache_read(cache, name, text, &lease)) {
    case CACHE_HIT:
        atomic_fetch_add(&run->hits, 1);
        if (atoll(text) < acknowledged)
            atomic_fetch_add(&run->stale, 1);
        break;
    case CACHE_LEASE: {
        int64_t version = atomic_load(&run->rows[i].committed);
        pause_at_times(random);
        cache_fill(cache, &lease, version, value_of(version, text));
        atomic_fetch_add(&run->fills, 1);
        break;
    }
    case CACHE_BUSY:
        atomic_fetch_add(&run->busy, 1);
        break;
    case CACHE_OFF:
        atomic_fetch_add(&run->off, 1);
        sleep_ms(1);
        break;
    }
}

static void *read_on(void *self) {
    struct worker *worker = self;
    const struct randomness random = randomness_seeded(&worker->seed);
    while (!atomic_load(&worker->run->stop))
        read_one(worker->run, &random);
    return NULL;
}

static void *write_on(void *self) {
    struct worker *worker = self;
    const struct randomness random = randomness_seeded(&worker->seed);
    while (!atomic_load(&worker->run->stop)) {
        write_one(worker->run, &random);
        sleep_ms((int)random_below(&random, 4));
    }
    return NULL;
}

static void disturb(struct tcp_proxy *proxy, int round) {
    static const char *const commands[] = {"FLUSHALL", "SCRIPT FLUSH", "CLIENT KILL TYPE normal"};
    char text[64];
    if (round % 4 == 3)
        atomic_store(&proxy->cut_once, true);
    else
        redis_server_say(&cache_redis, commands[round % 4], text, sizeof(text));
}

static long evicted(void) {
    static char text[8192];
    redis_server_say(&cache_redis, "INFO stats", text, sizeof(text));
    const char *at = strstr(text, "evicted_keys:");
    return at != NULL ? atol(at + 13) : 0;
}

/* One process is connected directly, the other by way of the proxy. */
static void go(struct run *run, bool lease) {
    struct cache_options options = cache_fixture_options();
    struct tcp_proxy proxy;
    struct worker workers[READERS + WRITERS];
    char url[64];
    options.lease = lease;
    run->caches[0] = cache_fixture_open(&options);
    assert_true(
        redis_server_answers(&cache_redis, "CONFIG SET maxmemory-policy allkeys-lru", "OK"));
    assert_true(redis_server_answers(&cache_redis, "CONFIG SET maxmemory 2mb", "OK"));
    tcp_proxy_start(&proxy, cache_redis.port);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", proxy.port);
    options.url = url;
    run->caches[1] = cache_fixture_open(&options);
    long evicted_before = evicted();
    int64_t start = now_ms();
    for (size_t i = 0; i < COUNT_OF(workers); i++) {
        workers[i] = (struct worker){.run = run, .seed = 1000 + i};
        assert_int_equal(
            pthread_create(&workers[i].thread, NULL, i < READERS ? read_on : write_on, &workers[i]),
            0);
    }
    for (int round = 0; now_ms() - start < LIMIT_MS; round++) {
        sleep_ms(100);
        disturb(&proxy, round);
        if (lease ? atomic_load(&run->hits) >= HITS_WANTED
                  : atomic_load(&run->stale) >= STALE_WANTED)
            break;
    }
    atomic_store(&run->stop, true);
    for (size_t i = 0; i < COUNT_OF(workers); i++)
        pthread_join(workers[i].thread, NULL);
    print_message(
        "%s: %d ms, %ld hits, %ld stale, %ld fills, %ld busy, %ld off, %ld writes, %ld of them "
        "unconfirmed, %ld evicted\n",
        lease ? "leases" : "plain", (int)(now_ms() - start), atomic_load(&run->hits),
        atomic_load(&run->stale), atomic_load(&run->fills), atomic_load(&run->busy),
        atomic_load(&run->off), atomic_load(&run->writes), atomic_load(&run->unconfirmed),
        evicted() - evicted_before);
    cache_close(run->caches[0]);
    cache_close(run->caches[1]);
    tcp_proxy_stop(&proxy);
}

static void no_hit_is_older_than_an_acknowledged_write(void **state) {
    (void)state;
    static struct run run;
    go(&run, true);
    assert_int_equal(atomic_load(&run.stale), 0);
    assert_true(atomic_load(&run.hits) >= HITS_WANTED);
    assert_true(atomic_load(&run.writes) >= 100);
}

static void without_leases_the_same_run_finds_stale_hits(void **state) {
    (void)state;
    static struct run run;
    go(&run, false);
    assert_true(atomic_load(&run.stale) >= STALE_WANTED);
}

#define TEST(name) cmocka_unit_test_setup(name, cache_fixture_clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(no_hit_is_older_than_an_acknowledged_write),
        TEST(without_leases_the_same_run_finds_stale_hits),
    };
    return cmocka_run_group_tests_name("cache stress", tests, cache_fixture_start,
                                       cache_fixture_stop);
}
