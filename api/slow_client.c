/* Runs the thread (the reaper) that shuts down connections whose deadline has passed, so that slow
 * clients cannot hold them. The table of connections is split into shards, each with a lock of its
 * own, so that the server's threads seldom wait for each other. */
#include "slow_client.h"

#include "core/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define SHARDS 16
#define ROUND_MS 500
#define BYTES_PER_SECOND 65536
#define NEVER INT64_MAX
#define FRESH_US 300000 /* who has just connected is about to send something */
#define LARGE_BODY ((size_t)4 << 20)
#define SMALL_BODY ((size_t)16 << 10)

struct shard {
    pthread_mutex_t lock;
    struct reaped *first;
} __attribute__((aligned(64)));

struct reaper {
    struct shard shards[SHARDS];
    void (*on_cut)(void *context);
    void *context;
    pthread_t thread;
    pthread_mutex_t lock; /* of `stopping` */
    pthread_cond_t wake;
    bool stopping;
    atomic_uint next_shard;
    size_t held;  /* the reaper's thread's: bytes of all bodies */
    size_t floor; /* the reaper's thread's: bodies above this are cut while held is too much */
};

static int64_t now_us(void) { return clock_mono(&clock_system); }

static bool is_late(const struct reaped *reaped, int64_t now) {
    if (now > atomic_load_explicit(&reaped->due, memory_order_relaxed))
        return true;
    return reaped->awaiting_head != NULL &&
           now > atomic_load_explicit(&reaped->head_due, memory_order_relaxed) &&
           __atomic_load_n(reaped->awaiting_head, __ATOMIC_RELAXED) != 0;
}

static void cut(struct reaper *reaper, struct reaped *reaped) {
    reaped->cut = true;
    shutdown(reaped->fd, SHUT_RDWR);
    reaper->on_cut(reaper->context);
}

static void each(struct reaper *reaper, void (*visit)(struct reaper *, struct reaped *, int64_t)) {
    int64_t now = now_us();
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &reaper->shards[i];
        pthread_mutex_lock(&shard->lock);
        for (struct reaped *at = shard->first; at != NULL; at = at->next)
            visit(reaper, at, now);
        pthread_mutex_unlock(&shard->lock);
    }
}

static size_t received(const struct reaped *reaped) {
    return reaped->received == NULL ? 0 : __atomic_load_n(reaped->received, __ATOMIC_RELAXED);
}

static void look(struct reaper *reaper, struct reaped *reaped, int64_t now) {
    if (reaped->cut)
        return;
    if (is_late(reaped, now))
        cut(reaper, reaped);
    else
        reaper->held += received(reaped);
}

static void cut_if_large(struct reaper *reaper, struct reaped *reaped, int64_t now) {
    (void)now;
    size_t bytes = received(reaped);
    bool arriving = atomic_load_explicit(&reaped->due, memory_order_relaxed) != NEVER;
    if (reaped->cut || !arriving || bytes < reaper->floor || reaper->held <= REAPER_BODIES_MAX)
        return;
    cut(reaper, reaped);
    reaper->held -= bytes;
}

static void look_at_all(struct reaper *reaper) {
    reaper->held = 0;
    each(reaper, look);
    for (reaper->floor = LARGE_BODY; reaper->floor >= SMALL_BODY; reaper->floor /= 4) {
        if (reaper->held > REAPER_BODIES_MAX)
            each(reaper, cut_if_large);
    }
}

static void retire_if_idle(struct reaper *reaper, struct reaped *reaped, int64_t now) {
    (void)reaper;
    int64_t accepted = atomic_load_explicit(&reaped->accepted, memory_order_relaxed);
    bool fresh = accepted != 0 && now - accepted < FRESH_US;
    if (!fresh && !atomic_load_explicit(&reaped->busy, memory_order_relaxed))
        shutdown(reaped->fd, SHUT_RD);
}

static void cut_now(struct reaper *reaper, struct reaped *reaped, int64_t now) {
    (void)reaper;
    (void)now;
    shutdown(reaped->fd, SHUT_RDWR);
}

void reaper_retire_idle(struct reaper *reaper) { each(reaper, retire_if_idle); }

void reaper_cut_all(struct reaper *reaper) { each(reaper, cut_now); }

static void *run(void *argument) {
    struct reaper *reaper = argument;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&reaper->lock);
    while (!reaper->stopping) {
        next.tv_nsec += ROUND_MS * 1000000L;
        if (next.tv_nsec >= 1000000000L) {
            next.tv_nsec -= 1000000000L;
            next.tv_sec++;
        }
        while (!reaper->stopping &&
               pthread_cond_timedwait(&reaper->wake, &reaper->lock, &next) != ETIMEDOUT) {
        }
        pthread_mutex_unlock(&reaper->lock);
        look_at_all(reaper);
        pthread_mutex_lock(&reaper->lock);
    }
    pthread_mutex_unlock(&reaper->lock);
    return NULL;
}

bool reaper_start(void (*on_cut)(void *context), void *context, struct reaper **ret) {
    struct reaper *reaper = aligned_alloc(64, (sizeof *reaper + 63) / 64 * 64);
    if (reaper == NULL)
        return false;
    *reaper = (struct reaper){.on_cut = on_cut, .context = context};
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&reaper->shards[i].lock, NULL);
    pthread_mutex_init(&reaper->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&reaper->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&reaper->thread, NULL, run, reaper) != 0) {
        free(reaper);
        return false;
    }
    pthread_setname_np(reaper->thread, "reaper");
    *ret = reaper;
    return true;
}

void reaper_stop(struct reaper *reaper) {
    if (reaper == NULL)
        return;
    pthread_mutex_lock(&reaper->lock);
    reaper->stopping = true;
    pthread_cond_signal(&reaper->wake);
    pthread_mutex_unlock(&reaper->lock);
    pthread_join(reaper->thread, NULL);
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&reaper->shards[i].lock);
    pthread_cond_destroy(&reaper->wake);
    pthread_mutex_destroy(&reaper->lock);
    free(reaper);
}

static void set_due(struct reaped *reaped, int64_t due) {
    atomic_store_explicit(&reaped->due, due, memory_order_relaxed);
}

void reaper_add(struct reaper *reaper, struct reaped *reaped, int fd,
                const struct reaper_limits *limits) {
    int64_t now = now_us();
    *reaped = (struct reaped){
        .fd = fd,
        .shard = atomic_fetch_add_explicit(&reaper->next_shard, 1, memory_order_relaxed) % SHARDS,
        .limits = limits,
        .accepted = now,
        .due = now + limits->header_us,
        .head_due = NEVER,
    };
    struct shard *shard = &reaper->shards[reaped->shard];
    pthread_mutex_lock(&shard->lock);
    reaped->next = shard->first;
    if (shard->first != NULL)
        shard->first->previous = reaped;
    shard->first = reaped;
    pthread_mutex_unlock(&shard->lock);
}

void reaper_remove(struct reaper *reaper, struct reaped *reaped) {
    struct shard *shard = &reaper->shards[reaped->shard];
    pthread_mutex_lock(&shard->lock);
    if (reaped->previous != NULL)
        reaped->previous->next = reaped->next;
    else
        shard->first = reaped->next;
    if (reaped->next != NULL)
        reaped->next->previous = reaped->previous;
    pthread_mutex_unlock(&shard->lock);
}

void reaper_request(struct reaper *reaper, struct reaped *reaped, const int *awaiting_head,
                    const size_t *bytes_received) {
    int64_t accepted = atomic_exchange_explicit(&reaped->accepted, 0, memory_order_relaxed);
    int64_t from = accepted != 0 ? accepted : now_us();
    struct shard *shard = &reaper->shards[reaped->shard];
    pthread_mutex_lock(&shard->lock);
    atomic_store_explicit(&reaped->busy, true, memory_order_relaxed);
    atomic_store_explicit(&reaped->head_due, from + reaped->limits->header_us,
                          memory_order_relaxed);
    set_due(reaped, from + reaped->limits->body_us);
    reaped->awaiting_head = awaiting_head;
    reaped->received = bytes_received;
    pthread_mutex_unlock(&shard->lock);
}

void reaper_work(struct reaped *reaped) { set_due(reaped, NEVER); }

void reaper_answer(struct reaped *reaped, size_t bytes) {
    int64_t sending = (int64_t)(bytes / BYTES_PER_SECOND) * 1000000;
    set_due(reaped, now_us() + reaped->limits->body_us + sending);
}

void reaper_done(struct reaper *reaper, struct reaped *reaped) {
    struct shard *shard = &reaper->shards[reaped->shard];
    pthread_mutex_lock(&shard->lock);
    reaped->awaiting_head = NULL;
    reaped->received = NULL;
    atomic_store_explicit(&reaped->busy, false, memory_order_relaxed);
    set_due(reaped, now_us() + reaped->limits->idle_us);
    pthread_mutex_unlock(&shard->lock);
}
