/* Counts the requests of clients in token buckets, in a hash table of fixed size with 64 locks, and
 * settles the counts with Redis in batches. When a set of the table is full, a new client takes the
 * place of the client whose bucket is fullest, who loses the least by it. */
#include "app/limits.h"

#include "cache/cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETS 4096
#define WAYS 4
#define LOCKS 64
#define SECOND_US INT64_C(1000000)

/* A bucket of tokens, kept as a time, like the one in Redis: each token that is taken puts off the
 * time at which the bucket is full again. */
struct bucket {
    char name[LIMIT_NAME]; /* "": a free place */
    int64_t full_at;       /* when it is full again, by the monotonic clock */
    int64_t unsettled;     /* taken here, and Redis has not been told */
};

struct limits {
    struct cache *cache;
    const struct clock *clock;
    pthread_mutex_t locks[LOCKS]; /* lock i is for the sets with set % LOCKS == i */
    struct bucket sets[SETS][WAYS];
};

bool limits_open(struct cache *cache, const struct clock *clock, struct limits **ret,
                 struct err *err) {
    struct limits *limits = calloc(1, sizeof(*limits));
    if (!limits)
        return err_memory(err);
    limits->cache = cache;
    limits->clock = clock;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&limits->locks[i], NULL);
    *ret = limits;
    return true;
}

void limits_close(struct limits *limits) {
    for (size_t i = 0; limits && i < LOCKS; i++)
        pthread_mutex_destroy(&limits->locks[i]);
    free(limits);
}

/* ---- places ---- */

static size_t set_of(const char *name) { return str_hash(str_of(name)) % SETS; }

static pthread_mutex_t *lock_set(struct limits *limits, size_t set) {
    pthread_mutex_t *lock = &limits->locks[set % LOCKS];
    pthread_mutex_lock(lock);
    return lock;
}

static struct bucket *find(struct limits *limits, size_t set, const char *name) {
    for (size_t way = 0; way < WAYS; way++)
        if (strcmp(limits->sets[set][way].name, name) == 0)
            return &limits->sets[set][way];
    return NULL;
}

/* A new client takes the place of the one whose bucket is fullest: a full one is as good as none.
 */
static struct bucket *find_or_add(struct limits *limits, size_t set, const char *name) {
    struct bucket *found = find(limits, set, name), *fullest = limits->sets[set];
    if (found)
        return found;
    for (size_t way = 1; way < WAYS; way++)
        if (limits->sets[set][way].full_at < fullest->full_at)
            fullest = &limits->sets[set][way];
    *fullest = (struct bucket){.full_at = 0};
    snprintf(fullest->name, sizeof(fullest->name), "%s", name);
    return fullest;
}

/* ---- tokens ---- */

struct flow {
    int64_t now;
    int64_t each; /* what a token costs */
    int64_t most; /* what all of them cost */
};

static struct flow flow_of(const struct limits *limits, const struct limit *limit) {
    int64_t each = SECOND_US / limit->rate;
    return (struct flow){clock_mono(limits->clock), each, each * limit->burst};
}

static int64_t debt_of(const struct bucket *bucket, const struct flow *flow) {
    return bucket->full_at > flow->now ? bucket->full_at - flow->now : 0;
}

static int64_t seconds_up(int64_t us) { return (us + SECOND_US - 1) / SECOND_US; }

static void tell(const struct flow *flow, int64_t debt, int64_t wait, struct limit_state *ret) {
    int64_t left = debt < flow->most ? (flow->most - debt) / flow->each : 0;
    *ret = (struct limit_state){
        .left = left, .full_s = seconds_up(debt), .retry_s = wait > 0 ? seconds_up(wait) : 1};
}

static int64_t batch_of(const struct limit *limit) {
    int64_t batch = LIMITS_BATCH(limit->rate);
    return batch < limit->burst ? batch : limit->burst;
}

/* Takes one here. *ret_settle: so many are to be settled with Redis, by this caller. */
static bool take_here(struct limits *limits, const char *name, const struct limit *limit,
                      int64_t *ret_settle, struct limit_state *ret) {
    const struct flow flow = flow_of(limits, limit);
    size_t set = set_of(name);
    pthread_mutex_t *lock = lock_set(limits, set);
    struct bucket *bucket = find_or_add(limits, set, name);
    int64_t debt = debt_of(bucket, &flow), over = debt + flow.each - flow.most;
    *ret_settle = 0;
    if (over <= 0) {
        debt += flow.each;
        bucket->full_at = flow.now + debt;
        if (++bucket->unsettled >= batch_of(limit)) {
            *ret_settle = bucket->unsettled;
            bucket->unsettled = 0;
        }
    }
    tell(&flow, debt, over, ret);
    pthread_mutex_unlock(lock);
    return over <= 0;
}

/* What Redis knows stands; what has been taken here meanwhile comes on top. When Redis had no room
 * for the batch, this request gets nothing, and none is asked for before there is room. */
static bool settle(struct limits *limits, const char *name, const struct limit *limit,
                   const struct cache_taken *taken, struct limit_state *ret) {
    const struct flow flow = flow_of(limits, limit);
    size_t set = set_of(name);
    pthread_mutex_t *lock = lock_set(limits, set);
    struct bucket *bucket = find_or_add(limits, set, name);
    int64_t wait = taken->granted ? 0 : taken->debt_us + taken->wanted * flow.each - flow.most;
    if (!taken->granted)
        bucket->unsettled += taken->wanted - 1;
    int64_t debt = taken->granted ? taken->debt_us + bucket->unsettled * flow.each
                                  : flow.most - flow.each + wait;
    bucket->full_at = flow.now + (debt > 0 ? debt : 0);
    tell(&flow, debt_of(bucket, &flow), wait, ret);
    pthread_mutex_unlock(lock);
    return taken->granted;
}

bool limits_take(struct limits *limits, const char *name, const struct limit *limit,
                 struct limit_state *ret) {
    const struct cache_bucket bucket = {.rate = limit->rate, .burst = limit->burst};
    char key[LIMIT_NAME + 8];
    struct cache_taken taken;
    int64_t wanted;
    if (!take_here(limits, name, limit, &wanted, ret))
        return false;
    if (wanted == 0)
        return true;
    if (wanted > limit->burst)
        wanted = limit->burst;
    snprintf(key, sizeof(key), "limit:%s", name);
    return !cache_take(limits->cache, key, &bucket, wanted, &taken) ||
           settle(limits, name, limit, &taken, ret);
}

void limits_give_back(struct limits *limits, const char *name, const struct limit *limit) {
    const struct flow flow = flow_of(limits, limit);
    size_t set = set_of(name);
    pthread_mutex_t *lock = lock_set(limits, set);
    struct bucket *bucket = find(limits, set, name);
    if (bucket) {
        bucket->full_at -= bucket->full_at - flow.now < flow.each ? 0 : flow.each;
        bucket->unsettled -= bucket->unsettled > -batch_of(limit);
    }
    pthread_mutex_unlock(lock);
}
