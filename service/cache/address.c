/* Looks up the addresses of Redis in a thread of its own, because getaddrinfo() has no timeout. The
 * cache and the thread own the list together: the last of them frees it, so that closing never
 * waits for a lookup that hangs. */
#include "address.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_WAIT_MS 1000
#define REFRESH_MS 5000
#define RETRY_MS 1000

struct address {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    atomic_uint generation;
    struct address_list list;
    int owners; /* the cache, and the thread while it runs */
    bool stop;
    bool asked; /* the first lookup has ended */
    char host[];
};

static void release_locked(struct address *address) {
    bool last = --address->owners == 0;
    pthread_mutex_unlock(&address->lock);
    if (!last)
        return;
    pthread_cond_destroy(&address->changed);
    pthread_mutex_destroy(&address->lock);
    free(address);
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

/* Sorted, so that a resolver that turns its answers round changes nothing; without duplicates. */
static void look_up(const char *host, int flags, struct address_list *ret) {
    struct addrinfo hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return;
    for (const struct addrinfo *at = found; at != NULL && ret->n < ADDRESS_MAX; at = at->ai_next)
        if (getnameinfo(at->ai_addr, at->ai_addrlen, ret->text[ret->n], ADDRESS_TEXT, NULL, 0,
                        NI_NUMERICHOST) == 0)
            ret->n++;
    freeaddrinfo(found);
    qsort(ret->text, ret->n, ADDRESS_TEXT, by_text);
}

static bool same(const struct address_list *a, const struct address_list *b) {
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->text[i], b->text[i]) != 0)
            return false;
    return true;
}

static void publish_locked(struct address *address, const struct address_list *found) {
    address->asked = true;
    if (found->n > 0 && !same(found, &address->list)) {
        unsigned generation = address->list.generation + 1;
        address->list = *found;
        address->list.generation = generation;
        atomic_store_explicit(&address->generation, generation, memory_order_release);
    }
    pthread_cond_broadcast(&address->changed);
}

static struct timespec in_ms(long ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    long ns = at.tv_nsec + ms % 1000 * 1000000;
    at.tv_sec += ms / 1000 + ns / 1000000000;
    at.tv_nsec = ns % 1000000000;
    return at;
}

static void *refresh(void *self) {
    struct address *address = self;
    pthread_mutex_lock(&address->lock);
    while (!address->stop) {
        struct address_list found = {.n = 0};
        pthread_mutex_unlock(&address->lock);
        look_up(address->host, 0, &found);
        pthread_mutex_lock(&address->lock);
        publish_locked(address, &found);
        struct timespec until = in_ms(found.n > 0 ? REFRESH_MS : RETRY_MS);
        while (!address->stop &&
               pthread_cond_timedwait(&address->changed, &address->lock, &until) == 0)
            continue;
    }
    release_locked(address);
    return NULL;
}

static bool start_thread(struct address *address, struct err *err) {
    pthread_t thread;
    pthread_mutex_lock(&address->lock);
    address->owners++;
    if (pthread_create(&thread, NULL, refresh, address) != 0) {
        address->owners--;
        pthread_mutex_unlock(&address->lock);
        err_memory(err);
        return err_cause(err, "no thread for looking up the address of Redis");
    }
    pthread_detach(thread);
    struct timespec until = in_ms(FIRST_WAIT_MS);
    while (!address->asked &&
           pthread_cond_timedwait(&address->changed, &address->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&address->lock);
    return true;
}

bool address_open(const char *host, struct address **ret, struct err *err) {
    size_t len = strlen(host) + 1;
    struct address *address = calloc(1, sizeof(*address) + len);
    if (address == NULL)
        return err_memory(err);
    memcpy(address->host, host, len);
    address->owners = 1;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&address->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&address->lock, NULL);

    struct address_list found = {.n = 0};
    look_up(host, AI_NUMERICHOST, &found);
    pthread_mutex_lock(&address->lock);
    if (found.n > 0)
        publish_locked(address, &found);
    pthread_mutex_unlock(&address->lock);
    if (found.n == 0 && !start_thread(address, err)) {
        address_close(address);
        return false;
    }
    *ret = address;
    return true;
}

void address_close(struct address *address) {
    if (address == NULL)
        return;
    pthread_mutex_lock(&address->lock);
    address->stop = true;
    pthread_cond_broadcast(&address->changed);
    release_locked(address);
}

void address_read(struct address *address, struct address_list *ret) {
    pthread_mutex_lock(&address->lock);
    *ret = address->list;
    pthread_mutex_unlock(&address->lock);
}

unsigned address_generation(const struct address *address) {
    return atomic_load_explicit(&address->generation, memory_order_acquire);
}
