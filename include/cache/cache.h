/* Redis as a cache that never answers with something older than an acknowledged write, while Redis
 * is healthy: while the writer's tombstones arrive. Where they do not (this process is cut off from
 * a Redis that others reach), others may see the old value for value_ms at most; this process sees
 * its own writes all the same, and sends the tombstones again until they arrive.
 *
 * Protocol: an entry is a value `V|version|sealed`, a tombstone `T|version`, or a lease
 * `L|floor|token|since`. A reader that misses takes a lease, reads PostgreSQL's primary and fills;
 * a fill needs the lease it was given and at least the floor's version. A writer, after COMMIT and
 * before it answers, leaves a tombstone with the new version. Keys live in a namespace of the
 * server's run_id, so that a restarted or promoted server is empty. A lease may be taken over after
 * 500 ms. Values live value_ms at most, counted from their lease. Values are sealed (AEAD, key name
 * as context), so a late reply, a swapped key or a tampered value is a miss. Any error of the
 * connection frees it (hiredis keeps no timeout over a reconnect, and a reused context can answer
 * with another key's value). A breaker opens after 5 failures or one timeout, and is probed each
 * second. Redis absent, frozen or flushed costs speed only.
 *
 * Needs Redis 6 or later, SIGPIPE ignored, and of an ACL user no more than:
 * ~c:* +info +select +ping +script|load +evalsha +eval +get +set +del +time */
#ifndef KAMD_CACHE_CACHE_H
#define KAMD_CACHE_CACHE_H

#include "core/arena.h"
#include "core/crypto.h"
#include "core/err.h"

struct cache; /* thread-safe: one connection per calling thread, made on first use */

struct cache_options {
    const char *url; /* "" = a cache that is always off */
    const struct keyring *keyring;
    int value_ms;
    int timeout_ms; /* of a connect and of a command */
    /* False: fill without lease and floor; only for the test that shows the stale reads. */
    bool lease;
};

bool cache_open(const struct cache_options *options, struct cache **ret, struct err *err);
void cache_close(struct cache *cache);
/* Is it a url that cache_open() would take? An item of `err` names REDIS_URL otherwise. */
bool cache_check_url(const char *url, struct err *err);

/* After CACHE_LEASE the primary must be read by a statement that begins after cache_get() returned:
 * an older snapshot may lack the write that took the previous lease away. */
enum cache_outcome {
    CACHE_HIT,   /* *ret_value is set */
    CACHE_LEASE, /* missed; the caller reads the primary and calls cache_fill() with *ret_lease */
    CACHE_BUSY,  /* somebody else is filling: read the primary, do not fill */
    CACHE_OFF    /* no Redis: read the primary, do not fill */
};

struct cache_lease {
    char token[33];
    char key[96];
};

/* `name` is e.g. "account:<uuid>"; at most 80 bytes. One round trip. *ret_value lies in `arena`. */
enum cache_outcome cache_get(struct cache *cache, const char *name, struct arena *arena,
                             struct str *ret_value, struct cache_lease *ret_lease);
/* Fills under the lease, if it still holds and `version` is not below the floor. Best effort; one
 * round trip. */
void cache_fill(struct cache *cache, const struct cache_lease *lease, int64_t version,
                struct str value);

/* What a committed write changed. `version` grows with every change of the entry (at most 2^53). */
struct cache_touch {
    char name[81];
    int64_t version;
};
/* Tombstones, all in one round trip. False when Redis did not confirm all of them (the write is
 * acknowledged all the same: values live value_ms at most). */
bool cache_invalidate(struct cache *cache, const struct cache_touch *touches, size_t n_touches);

/* A token bucket that all processes share: it holds `burst` tokens, and gets `rate` of them a
 * second (each 1 to 1,000,000). It is full when Redis has been restarted or has evicted it. */
struct cache_bucket {
    int64_t rate;
    int64_t burst;
};
struct cache_taken {
    int64_t wanted;  /* so many tokens */
    bool granted;    /* all of them, or none */
    int64_t debt_us; /* how long until the bucket is full again */
};
/* Takes `n` tokens of the bucket `name`, in one round trip. False: no Redis, nothing is known. */
bool cache_take(struct cache *cache, const char *name, const struct cache_bucket *bucket, int64_t n,
                struct cache_taken *ret);

/* One round trip PING, for /readyz?verbose. */
bool cache_ping(struct cache *cache);

#endif
