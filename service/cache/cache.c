/* Reads, fills and invalidates entries in Redis, so that single records are read faster and never
 * staler than the promise below says. */

/* The promise: no stale hit after an acknowledged write while Redis is healthy, that is: while the
 * tombstone arrives. An invalidation that fails (this process cannot reach a Redis that others
 * reach) does not fail the write. Then
 * - this process reads the names from PostgreSQL until the tombstone has arrived (pending.h), so it
 * sees its own writes;
 * - it sends the tombstone again, at once and then every 250 ms (breaker.h);
 * - other processes may see the old value until then, and at most value_ms: a value's time to live
 * counts from its lease, which was taken before the reader read PostgreSQL (script.c).
 * Invalidations are tried even while the breaker is open, because it opens on what this process has
 * seen, and others may see a healthy Redis. */
#include "cache/cache.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "breaker.h"
#include "core/metrics.h"
#include "pending.h"
#include "script_call.h"

#define NAME_LEN 80
#define VALUE_MAX (1U << 20)
#define REPLAY_BATCH 256
/* Redis rounds times to live to milliseconds, and its clock is not ours. */
#define LIVE_MARGIN_MS 200

/* Cells of kamd_cache_reads_total: the outcomes, and values that did not open. */
#define CELL_UNSEALED ((size_t)CACHE_OFF + 1)
static const char *const cells[] = {
    [CACHE_HIT] = "outcome=\"hit\"",          [CACHE_LEASE] = "outcome=\"lease\"",
    [CACHE_BUSY] = "outcome=\"busy\"",        [CACHE_OFF] = "outcome=\"off\"",
    [CELL_UNSEALED] = "outcome=\"unsealed\"",
};

/* One thread's connection. */
struct seat {
    struct link link;
    struct cache *cache;
    struct seat *next;
    struct seat **at; /* what points here */
};

struct cache {
    const struct keyring *keyring;
    bool on;
    bool lease;
    int value_ms;
    int timeout_ms;
    struct url url;
    struct address *address;
    struct pending *pending;
    struct guard guard;
    struct link watch; /* of the guard's thread */
    pthread_key_t own; /* this thread's seat */
    pthread_mutex_t lock;
    struct seat *seats;
};

/* ---- connections ---- */

static void seat_leave(void *self) {
    struct seat *seat = self;
    struct cache *cache = seat->cache;
    pthread_mutex_lock(&cache->lock);
    *seat->at = seat->next;
    if (seat->next != NULL)
        seat->next->at = seat->at;
    pthread_mutex_unlock(&cache->lock);
    link_close(&seat->link);
    free(seat);
}

static struct link *own_link(struct cache *cache) {
    struct seat *seat = pthread_getspecific(cache->own);
    if (seat != NULL)
        return &seat->link;
    seat = calloc(1, sizeof(*seat));
    if (seat == NULL || pthread_setspecific(cache->own, seat) != 0) {
        free(seat);
        return NULL;
    }
    seat->cache = cache;
    pthread_mutex_lock(&cache->lock);
    seat->next = cache->seats;
    seat->at = &cache->seats;
    if (seat->next != NULL)
        seat->next->at = &seat->next;
    cache->seats = seat;
    pthread_mutex_unlock(&cache->lock);
    return &seat->link;
}

/* One of the exchanges, with its argument. */
typedef enum link_result (*exchange_fn)(struct link *link, const struct exchange *exchange,
                                        void *arg);

static enum link_result say_get(struct link *link, const struct exchange *exchange, void *arg) {
    return exchange_get(link, exchange, arg);
}
static enum link_result say_fill(struct link *link, const struct exchange *exchange, void *arg) {
    return exchange_fill(link, exchange, arg);
}
static enum link_result say_touch(struct link *link, const struct exchange *exchange, void *arg) {
    return exchange_touch(link, exchange, arg);
}
static enum link_result say_take(struct link *link, const struct exchange *exchange, void *arg) {
    return exchange_take(link, exchange, arg);
}
static enum link_result say_ping(struct link *link, const struct exchange *exchange, void *arg) {
    (void)arg;
    return exchange_ping(link, exchange);
}

/* Under one deadline: connects if need be, and once more if a connection from earlier turns out to
 * be dead (Redis closes idle ones). All exchanges may be repeated: a lease that nobody heard of is
 * taken over after a while, tokens that nobody heard of flow back, the rest is idempotent. */
static enum link_result say(struct cache *cache, struct link *link, exchange_fn what, void *arg) {
    const struct exchange exchange = {.value_ms = cache->value_ms,
                                      .when = deadline_in_ms(cache->timeout_ms)};
    const struct link_target target = {
        .url = &cache->url, .address = cache->address, .lease = cache->lease};
    enum link_result result = link_usable(link, &target) ? what(link, &exchange, arg) : LINK_BROKEN;
    if (result == LINK_BROKEN) {
        result = link_open(link, &target, exchange.when);
        if (result == LINK_OK)
            result = what(link, &exchange, arg);
    }
    guard_report(&cache->guard, result);
    return result;
}

/* ---- read and fill ---- */

static enum cache_outcome count(enum cache_outcome outcome) {
    metrics_count(METRIC_CACHE_READS, (size_t)outcome, 1);
    return outcome;
}

/* What a value is sealed with: it opens under no other key and no other version. */
#define CONTEXT_TEXT (sizeof((struct cache_lease){.key = ""}.key) + 24)
static struct str context(const char *key, struct str version, char ret[static CONTEXT_TEXT]) {
    int len = snprintf(ret, CONTEXT_TEXT, "%s|%.*s", key, STR_ARG(version));
    return (struct str){ret, (size_t)len};
}

/* `entry` is "V|version|sealed". */
static bool unseal(const struct cache *cache, const char *key, struct str entry,
                   struct arena *arena, struct str *ret) {
    char text[CONTEXT_TEXT];
    struct str kind;
    struct str version;
    struct str rest = entry;
    return str_split(&rest, '|', &kind) && str_is(kind, "V") && str_split(&rest, '|', &version) &&
           version.len <= 20 && rest.ptr != NULL &&
           keyring_open(cache->keyring, (struct seal){CRYPTO_CACHE, context(key, version, text)},
                        rest, arena, ret);
}

enum cache_outcome cache_get(struct cache *cache, const char *name, struct arena *arena,
                             struct str *ret_value, struct cache_lease *ret_lease) {
    struct exchange_get get = {.name = name, .lease = ret_lease};
    if (!cache->on || guard_is_open(&cache->guard) || strlen(name) > NAME_LEN ||
        pending_blocks(cache->pending, name, deadline_in_ms(0)))
        return count(CACHE_OFF);
    struct link *link = own_link(cache);
    if (link == NULL)
        return count(CACHE_OFF);
    if (say(cache, link, say_get, &get) != LINK_OK)
        return count(CACHE_OFF);
    CLEANUP(reply_release) redisReply *entry = get.ret_entry;
    if (entry == NULL)
        return count(get.ret_granted ? CACHE_LEASE : CACHE_BUSY);
    if (unseal(cache, ret_lease->key, (struct str){entry->str, entry->len}, arena, ret_value))
        return count(CACHE_HIT);
    /* Another key's value, or a forged one. It is gone after value_ms; this connection goes now. */
    metrics_count(METRIC_CACHE_READS, CELL_UNSEALED, 1);
    link_close(link);
    return CACHE_BUSY;
}

void cache_fill(struct cache *cache, const struct cache_lease *lease, int64_t version,
                struct str value) {
    char number[24];
    char text[CONTEXT_TEXT];
    if (!cache->on || guard_is_open(&cache->guard) || value.len > VALUE_MAX)
        return;
    struct link *link = own_link(cache);
    if (link == NULL)
        return;
    CLEANUP(buf_release) struct buf sealed = {0};
    buf_init(&sealed, VALUE_MAX + CRYPTO_MARK + CRYPTO_SEAL_EXTRA);
    snprintf(number, sizeof(number), "%" PRId64, version);
    keyring_seal(cache->keyring,
                 (struct seal){CRYPTO_CACHE, context(lease->key, str_of(number), text)}, value,
                 &sealed);
    struct exchange_fill fill = {.lease = lease, .version = version, .sealed = buf_str(&sealed)};
    if (buf_ok(&sealed))
        say(cache, link, say_fill, &fill);
}

/* ---- invalidate ---- */

static bool touch_group(struct cache *cache, struct link *link, const struct cache_touch *touches,
                        size_t n) {
    struct exchange_touch touch = {.touches = touches, .n = n};
    if (link == NULL || say(cache, link, say_touch, &touch) != LINK_OK)
        return false;
    for (size_t i = 0; i < n; i++)
        pending_done(cache->pending, &touches[i]);
    metrics_count(METRIC_CACHE_INVALIDATIONS, 0, n);
    return true;
}

static bool keep_for_later(struct cache *cache, const struct cache_touch *touches, size_t n) {
    for (size_t i = 0; i < n; i++)
        pending_add(cache->pending, &touches[i], deadline_in_ms(0));
    metrics_count(METRIC_CACHE_INVALIDATIONS_FAILED, 0, n);
    guard_ask(&cache->guard);
    return false;
}

bool cache_invalidate(struct cache *cache, const struct cache_touch *touches, size_t n_touches) {
    if (!cache->on)
        return true;
    struct link *link = own_link(cache);
    for (size_t done = 0; done < n_touches;) {
        size_t n = n_touches - done;
        n = n < EXCHANGE_TOUCHES ? n : EXCHANGE_TOUCHES;
        if (!guard_lets_touch(&cache->guard) || !touch_group(cache, link, touches + done, n))
            return keep_for_later(cache, touches + done, n_touches - done);
        done += n;
    }
    return true;
}

/* The guard's work: a sign of life, then what waits. */
static bool watch_round(void *self) {
    struct cache *cache = self;
    struct cache_touch waiting[REPLAY_BATCH];
    bool done = say(cache, &cache->watch, say_ping, NULL) == LINK_OK;
    while (done) {
        size_t n = pending_list(cache->pending, waiting, REPLAY_BATCH, deadline_in_ms(0));
        if (n == 0)
            break;
        done = touch_group(cache, &cache->watch, waiting, n);
    }
    link_close(&cache->watch);
    return done;
}

bool cache_take(struct cache *cache, const char *name, const struct cache_bucket *bucket, int64_t n,
                struct cache_taken *ret) {
    struct exchange_take take = {.name = name, .bucket = bucket, .taken = {.wanted = n}};
    if (!cache->on || guard_is_open(&cache->guard) || strlen(name) > NAME_LEN)
        return false;
    struct link *link = own_link(cache);
    if (link == NULL || say(cache, link, say_take, &take) != LINK_OK)
        return false;
    *ret = take.taken;
    return true;
}

bool cache_ping(struct cache *cache) {
    if (!cache->on || guard_is_open(&cache->guard))
        return false;
    struct link *link = own_link(cache);
    return link != NULL && say(cache, link, say_ping, NULL) == LINK_OK;
}

/* ---- open and close ---- */

static bool start(struct cache *cache, struct err *err) {
    int64_t live_us = ((int64_t)cache->value_ms + LIVE_MARGIN_MS) * 1000;
    if (!address_open(cache->url.host, &cache->address, err))
        return false;
    cache->pending = pending_new(live_us);
    if (cache->pending == NULL || pthread_key_create(&cache->own, seat_leave) != 0)
        return err_memory(err);
    pthread_mutex_init(&cache->lock, NULL);
    if (guard_start(&cache->guard, (struct guard_work){watch_round, cache}, err))
        return true;
    pthread_mutex_destroy(&cache->lock);
    pthread_key_delete(cache->own);
    return false;
}

static void release(struct cache *cache) {
    pending_free(cache->pending);
    address_close(cache->address);
    free(cache);
}

bool cache_open(const struct cache_options *options, struct cache **ret, struct err *err) {
    struct cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return err_memory(err);
    metrics_labels(LABELS_CACHE, cells, COUNT_OF(cells));
    cache->keyring = options->keyring;
    cache->lease = options->lease;
    cache->value_ms = options->value_ms;
    cache->timeout_ms = options->timeout_ms;
    cache->on = options->url != NULL && options->url[0] != '\0';
    if (cache->on && (!url_parse(options->url, &cache->url, err) || !start(cache, err))) {
        release(cache);
        return false;
    }
    *ret = cache;
    return true;
}

bool cache_check_url(const char *url, struct err *err) {
    struct url parts;
    struct err why = ERR_INIT;

    if (url[0] == '\0' || url_parse(url, &parts, &why))
        return true;
    err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("REDIS_URL"), "malformed", "%s", why.detail);
    err_release(&why);
    return false;
}

/* No other thread may use the cache any more, or be about to end after having used it: main joins
 * its threads first. */
void cache_close(struct cache *cache) {
    if (cache == NULL)
        return;
    if (cache->on) {
        guard_stop(&cache->guard);
        pthread_key_delete(cache->own);
        while (cache->seats != NULL)
            seat_leave(cache->seats);
        pthread_mutex_destroy(&cache->lock);
    }
    release(cache);
}
