/* Invalidations that did not reach Redis: a bounded set by name that keeps the highest version of
 * each, until they are replayed or too old to matter. While a name is in it, this process does not
 * read it from Redis (it must see its own writes). When the set is full, no name is trusted until
 * everything that was cached at that moment has expired. Thread-safe. */
#ifndef KAMD_SERVICE_CACHE_PENDING_H
#define KAMD_SERVICE_CACHE_PENDING_H

#include "cache/cache.h"

#define PENDING_MAX 4096

struct pending;

/* `live_us`: how long a cached value can live. Times are given, in microseconds of one monotonic
 * clock. */
struct pending *pending_new(int64_t live_us);
void pending_free(struct pending *pending);
void pending_add(struct pending *pending, const struct cache_touch *touch, int64_t now);
/* Redis has got this version: forgets the name unless a higher one has been added since. */
void pending_done(struct pending *pending, const struct cache_touch *touch);
/* Must this name not be read from the cache? One atomic load while nothing is pending. */
bool pending_blocks(struct pending *pending, const char *name, int64_t now);
/* Forgets what is older than live_us; copies up to `room` of the rest. They stay until
 * pending_done(). */
size_t pending_list(struct pending *pending, struct cache_touch *ret, size_t room, int64_t now);
bool pending_any(struct pending *pending);

#endif
