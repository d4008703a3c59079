/* Starts the redis-server that the tests of the cache share, opens caches on it with the tests'
 * settings, and waits until they are connected. */
#include "cache_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"

#define PUT_MS 5000

struct redis_server cache_redis;
struct keyring cache_keyring;

int64_t now_ms(void) { return deadline_in_ms(0) / 1000; }

int cache_fixture_start(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (!crypto_start() ||
        !keyring_init(&cache_keyring, STR("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), NULL))
        return -1;
    if (!redis_server_start(&cache_redis, 0))
        print_message("no redis-server here: skipped\n");
    return 0;
}

int cache_fixture_stop(void **state) {
    (void)state;
    redis_server_kill(&cache_redis);
    return 0;
}

int cache_fixture_clean(void **state) {
    (void)state;
    if (cache_redis.pid == 0)
        return 0;
    bool done = redis_server_answers(&cache_redis, "CONFIG SET maxmemory 0", "OK") &&
                redis_server_answers(&cache_redis, "FLUSHALL", "OK");
    return done ? 0 : -1;
}

struct cache_options cache_fixture_options(void) {
    return (struct cache_options){.url = cache_redis.url,
                                  .keyring = &cache_keyring,
                                  .value_ms = 30000,
                                  .timeout_ms = 1000,
                                  .lease = true};
}

struct cache *cache_fixture_open(const struct cache_options *options) {
    struct cache *cache = NULL;
    if (cache_redis.pid == 0)
        skip();
    assert_true(cache_open(options, &cache, NULL));
    return cache;
}

void cache_fixture_close(struct cache **cache) { cache_close(*cache); }

enum cache_outcome cache_read(struct cache *cache, const char *name,
                              char ret_value[static VALUE_TEXT], struct cache_lease *ret_lease) {
    struct arena arena;
    struct str value = STR_ABSENT;
    arena_init(&arena, 4U << 20);
    enum cache_outcome outcome = cache_get(cache, name, &arena, &value, ret_lease);
    snprintf(ret_value, VALUE_TEXT, "%.*s", outcome == CACHE_HIT ? (int)value.len : 0,
             outcome == CACHE_HIT ? value.ptr : "");
    arena_release(&arena);
    return outcome;
}

void cache_put(struct cache *cache, const char *name, int64_t version, const char *value) {
    char text[VALUE_TEXT];
    struct cache_lease lease;
    /* An answer that came too late may have left a lease, which nobody else gets until it is over.
     */
    int64_t end = now_ms() + PUT_MS;
    while (cache_read(cache, name, text, &lease) != CACHE_LEASE) {
        assert_true(now_ms() < end);
        sleep_ms(10);
    }
    cache_fill(cache, &lease, version, str_of(value));
}

bool cache_touch_one(struct cache *cache, const char *name, int64_t version) {
    struct cache_touch touch = {.version = version};
    snprintf(touch.name, sizeof(touch.name), "%s", name);
    return cache_invalidate(cache, &touch, 1);
}

void expect_hit(struct cache *cache, const char *name, const char *value) {
    char text[VALUE_TEXT];
    struct cache_lease lease;
    assert_int_equal(cache_read(cache, name, text, &lease), CACHE_HIT);
    assert_string_equal(text, value);
}

void expect_outcome(struct cache *cache, const char *name, enum cache_outcome outcome) {
    char text[VALUE_TEXT];
    struct cache_lease lease;
    assert_int_equal(cache_read(cache, name, text, &lease), outcome);
}

bool outcome_within(struct cache *cache, const char *name, enum cache_outcome outcome, int ms) {
    char text[VALUE_TEXT];
    struct cache_lease lease;
    for (int64_t end = now_ms() + ms; now_ms() < end; sleep_ms(10))
        if (cache_read(cache, name, text, &lease) == outcome)
            return true;
    return false;
}

void cache_key(struct cache *cache, const char *name, char ret[static 96]) {
    char text[VALUE_TEXT];
    struct cache_lease lease;
    cache_read(cache, name, text, &lease);
    snprintf(ret, 96, "%s", lease.key);
}
