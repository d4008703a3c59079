/* Absolute deadlines for connections. libmicrohttpd's own timeout is for silence only: a client
 * that sends one byte every two seconds holds its connection for ever. A thread looks at all
 * connections twice a second and shuts down those whose deadline has passed.
 *
 * Safe against reuse of descriptors: a connection is in the table from before its first byte until
 * before its descriptor is closed, and is only shut down (not closed) under the lock that taking it
 * out needs. */
#ifndef API_SLOW_CLIENT_H
#define API_SLOW_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reaper;

struct reaper_limits {
    int64_t header_us;
    int64_t body_us;
    int64_t idle_us;
};

/* Part of the server's connection; only the functions below touch it. */
struct reaped {
    struct reaped *next, *previous;
    int fd;
    unsigned shard;
    bool cut;
    const struct reaper_limits *limits;
    atomic_bool busy;         /* between the first line of a request and the end of its answer */
    _Atomic int64_t due;      /* monotonic µs: cut after this */
    _Atomic int64_t head_due; /* cut after this while *awaiting_head */
    /* Both under the shard's lock, NULL between requests. */
    const int *awaiting_head;
    const size_t *received;
    _Atomic int64_t accepted; /* 0 once the first request has come */
};

/* Bodies are held in memory before anyone has asked who sends them. While all of them together are
 * more than this, those that are still arriving are cut, the largest first. */
#define REAPER_BODIES_MAX ((size_t)256 << 20)

/* `on_cut` is called from the reaper's thread for each connection it cuts. */
bool reaper_start(void (*on_cut)(void *context), void *context, struct reaper **ret);
void reaper_stop(struct reaper *reaper); /* NULL is allowed; all connections must be out */

/* The connection was accepted; its first head is due in header_us. `limits` must outlive it. */
void reaper_add(struct reaper *reaper, struct reaped *reaped, int fd,
                const struct reaper_limits *limits);
void reaper_remove(struct reaper *reaper, struct reaped *reaped);
/* A request line has arrived. *awaiting_head is non-zero until the rest of the head has; *received
 * counts the bytes of the body that are held; both must live until reaper_done. */
void reaper_request(struct reaper *reaper, struct reaped *reaped, const int *awaiting_head,
                    const size_t *received);
/* The whole request has arrived and is being worked on: no deadline here. */
void reaper_work(struct reaped *reaped);
/* The answer of so many bytes is being sent: body_us, and a second for each 64 KiB. */
void reaper_answer(struct reaped *reaped, size_t bytes);
/* The request is over; the next one may wait idle_us. */
void reaper_done(struct reaper *reaper, struct reaped *reaped);
/* No more input for connections without a request, unless they are new; what has arrived is still
 * read. They then close. */
void reaper_retire_idle(struct reaper *reaper);
void reaper_cut_all(struct reaper *reaper);

#endif
