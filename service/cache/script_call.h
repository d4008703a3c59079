/* The five things that are said to Redis, each one round trip on a connected link; a get that
 * misses takes two. */
#ifndef KAMD_SERVICE_CACHE_SCRIPT_CALL_H
#define KAMD_SERVICE_CACHE_SCRIPT_CALL_H

#include "cache/cache.h"
#include "link.h"

/* Part of every key: a kamd that writes its values in another way uses other keys. */
#define EXCHANGE_FORMAT 1
#define EXCHANGE_TOUCHES 1024 /* the most invalidations of one exchange */

/* What all of them need. */
struct exchange {
    int value_ms;
    deadline when;
};

struct exchange_get {
    const char *name;
    struct cache_lease *lease; /* key set; its token, too, when there is no entry */
    redisReply *ret_entry;     /* a hit: "V|version|sealed", the caller's to free; or NULL: */
    bool ret_granted;          /* was the lease granted? */
};
enum link_result exchange_get(struct link *link, const struct exchange *exchange,
                              struct exchange_get *get);

struct exchange_fill {
    const struct cache_lease *lease;
    int64_t version;
    struct str sealed;
};
enum link_result exchange_fill(struct link *link, const struct exchange *exchange,
                               const struct exchange_fill *fill);

struct exchange_touch {
    const struct cache_touch *touches;
    size_t n; /* at most EXCHANGE_TOUCHES */
};
/* LINK_OK: all are confirmed. */
enum link_result exchange_touch(struct link *link, const struct exchange *exchange,
                                const struct exchange_touch *touch);

struct exchange_take {
    const char *name;
    const struct cache_bucket *bucket;
    struct cache_taken taken; /* `wanted` is set */
};
enum link_result exchange_take(struct link *link, const struct exchange *exchange,
                               struct exchange_take *take);

enum link_result exchange_ping(struct link *link, const struct exchange *exchange);

#endif
