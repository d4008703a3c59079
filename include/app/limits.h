/* How much one client may ask: a token bucket for each API key, and one for each network address
 * that sends none or a wrong one.
 *
 * The bucket is in Redis and all processes share it, but a request seldom asks there: each process
 * counts for itself and settles with Redis once it has counted LIMITS_BATCH of a client's requests.
 * So a client never gets less than its limit, and at most two batches for each process more. The
 * process's own count never passes the limit either, which is all there is while Redis is away. */
#ifndef KAMD_APP_LIMITS_H
#define KAMD_APP_LIMITS_H

#include "app/app.h"

/* A twentieth of a second's requests: 1 for small limits, which are thereby exact. */
#define LIMITS_BATCH(rate) ((rate) / 20 > 1 ? (rate) / 20 : 1)

struct limits; /* thread-safe */

bool limits_open(struct cache *cache, const struct clock *clock, struct limits **ret,
                 struct err *err);
void limits_close(struct limits *limits); /* NULL is allowed */

struct limit {
    int64_t rate; /* a second */
    int64_t burst;
};
struct limit_state {
    int64_t left;    /* tokens */
    int64_t full_s;  /* until the bucket is full again */
    int64_t retry_s; /* until there is a token, when there was none; at least 1 */
};

#define LIMIT_NAME 64
/* Takes a token of the client's bucket; false: there is none. `name` has less than LIMIT_NAME
 * bytes.
 */
bool limits_take(struct limits *limits, const char *name, const struct limit *limit,
                 struct limit_state *ret);
/* The request cost nothing: its token goes back. */
void limits_give_back(struct limits *limits, const char *name, const struct limit *limit);

#endif
