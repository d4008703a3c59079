/* A hash table of fixed size, under a lock, of the invalidations that did not reach Redis. Readers
 * do not take the lock while the table is empty. */
#include "pending.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024
#define NONE UINT16_MAX
_Static_assert(PENDING_MAX < NONE, "an index fits");

struct entry {
    struct cache_touch touch;
    int64_t at;
    uint16_t next; /* in its bucket, or of the free entries */
};

struct pending {
    pthread_mutex_t lock;
    int64_t live_us;
    atomic_size_t n;
    _Atomic int64_t blind_until; /* 0 = never */
    uint16_t free;
    uint16_t buckets[BUCKETS];
    struct entry entries[PENDING_MAX];
};

struct pending *pending_new(int64_t live_us) {
    struct pending *pending = calloc(1, sizeof(*pending));
    if (pending == NULL)
        return NULL;
    pthread_mutex_init(&pending->lock, NULL);
    pending->live_us = live_us;
    for (size_t i = 0; i < BUCKETS; i++)
        pending->buckets[i] = NONE;
    for (uint16_t i = 0; i < PENDING_MAX; i++)
        pending->entries[i].next = i + 1 < PENDING_MAX ? (uint16_t)(i + 1) : NONE;
    return pending;
}

void pending_free(struct pending *pending) {
    if (pending == NULL)
        return;
    pthread_mutex_destroy(&pending->lock);
    free(pending);
}

/* Where the index of the name's entry stands, or NONE at the end of its bucket. */
static uint16_t *find(struct pending *pending, const char *name) {
    uint16_t *at = &pending->buckets[str_hash(str_of(name)) % BUCKETS];
    while (*at != NONE && strcmp(pending->entries[*at].touch.name, name) != 0)
        at = &pending->entries[*at].next;
    return at;
}

static void drop(struct pending *pending, uint16_t *at) {
    uint16_t index = *at;
    *at = pending->entries[index].next;
    pending->entries[index].next = pending->free;
    pending->free = index;
    atomic_fetch_sub(&pending->n, 1);
}

void pending_add(struct pending *pending, const struct cache_touch *touch, int64_t now) {
    pthread_mutex_lock(&pending->lock);
    uint16_t *at = find(pending, touch->name);
    if (*at == NONE && pending->free != NONE) {
        *at = pending->free;
        struct entry *entry = &pending->entries[*at];
        pending->free = entry->next;
        *entry = (struct entry){.touch = *touch, .at = now, .next = NONE};
        atomic_fetch_add(&pending->n, 1);
    } else if (*at == NONE) {
        atomic_store(&pending->blind_until, now + pending->live_us);
    } else {
        struct entry *entry = &pending->entries[*at];
        entry->at = now;
        if (entry->touch.version < touch->version)
            entry->touch.version = touch->version;
    }
    pthread_mutex_unlock(&pending->lock);
}

void pending_done(struct pending *pending, const struct cache_touch *touch) {
    if (!pending_any(pending))
        return;
    pthread_mutex_lock(&pending->lock);
    uint16_t *at = find(pending, touch->name);
    if (*at != NONE && pending->entries[*at].touch.version <= touch->version)
        drop(pending, at);
    pthread_mutex_unlock(&pending->lock);
}

bool pending_blocks(struct pending *pending, const char *name, int64_t now) {
    if (atomic_load(&pending->blind_until) > now)
        return true;
    if (!pending_any(pending))
        return false;
    pthread_mutex_lock(&pending->lock);
    bool found = *find(pending, name) != NONE;
    pthread_mutex_unlock(&pending->lock);
    return found;
}

size_t pending_list(struct pending *pending, struct cache_touch *ret, size_t room, int64_t now) {
    size_t n = 0;
    pthread_mutex_lock(&pending->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (uint16_t *at = &pending->buckets[i]; *at != NONE;) {
            struct entry *entry = &pending->entries[*at];
            if (entry->at + pending->live_us < now) {
                drop(pending, at);
                continue;
            }
            if (n < room)
                ret[n++] = entry->touch;
            at = &entry->next;
        }
    pthread_mutex_unlock(&pending->lock);
    return n;
}

bool pending_any(struct pending *pending) { return atomic_load(&pending->n) > 0; }
