/* How the last minute went at each endpoint, as this process saw it: opens the breaker of one that
 * often fails, though never five times in a row. */
#ifndef KAMD_WORKER_BREAKER_H
#define KAMD_WORKER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/id.h"

#define BREAKER_SLOTS 6
#define BREAKER_SLOT_US 10000000
#define BREAKER_ENDPOINTS 512 /* of two with one place only the later is remembered */
#define BREAKER_SENT 20       /* fewer say nothing */

struct breaker_window {
    char id[UUID_TEXT];
    int64_t slot[BREAKER_SLOTS]; /* which ten seconds */
    int sent[BREAKER_SLOTS];
    int failed[BREAKER_SLOTS];
};

struct breaker {
    struct breaker_window windows[BREAKER_ENDPOINTS];
};

/* Counts one result. True for a failure that makes it half or more of at least BREAKER_SENT within
 * the last minute; the count then begins anew. */
bool breaker_count(struct breaker *breaker, const char *endpoint_id, int64_t now_us, bool failed);

#endif
