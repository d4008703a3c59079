/* What the tests of the cache share: a server, a keyring, caches opened on it as separate processes
 * would. */
#ifndef KAMD_TESTS_INTEGRATION_CACHE_FIXTURE_H
#define KAMD_TESTS_INTEGRATION_CACHE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/cache.h"
#include "redis_server.h"

extern struct redis_server cache_redis;
extern struct keyring cache_keyring;

/* Group setup and teardown. Without a redis-server the tests skip. */
int cache_fixture_start(void **state);
int cache_fixture_stop(void **state);
/* Before each test: an empty Redis with its usual settings. */
int cache_fixture_clean(void **state);

/* Values for 30 s, a deadline that a busy machine keeps, with leases, on the fixture's server. */
struct cache_options cache_fixture_options(void);
struct cache *cache_fixture_open(const struct cache_options *options);
void cache_fixture_close(struct cache **cache);
#define OPEN(name) CLEANUP(cache_fixture_close) struct cache *name

/* One cache_get(). The value's text is copied to `ret_value`, "" unless it hits. */
#define VALUE_TEXT 4096
enum cache_outcome cache_read(struct cache *cache, const char *name,
                              char ret_value[static VALUE_TEXT], struct cache_lease *ret_lease);
/* Expects a lease, and fills. */
void cache_put(struct cache *cache, const char *name, int64_t version, const char *value);
bool cache_touch_one(struct cache *cache, const char *name, int64_t version);
/* Is this what a read comes to? */
void expect_hit(struct cache *cache, const char *name, const char *value);
void expect_outcome(struct cache *cache, const char *name, enum cache_outcome outcome);
/* Reads until the outcome is the wanted one; false after `ms`. */
bool outcome_within(struct cache *cache, const char *name, enum cache_outcome outcome, int ms);
/* The key of `name` as it is in Redis now. */
void cache_key(struct cache *cache, const char *name, char ret[static 96]);

int64_t now_ms(void);

#endif
