/* The delivery thread's dealings with the database: what came out goes there, what is next comes
 * back, in one transaction of one round trip, while sending goes on. */
#ifndef KAMD_WORKER_CLAIM_SETTLE_H
#define KAMD_WORKER_CLAIM_SETTLE_H

#include "breaker.h"
#include "full_payload.h"
#include "message.h"
#include "outbox.h"
#include "worker_state.h"

#define RESULTS_PER_TURN 64 /* of finished requests, taken from libcurl at once */

enum exchange_kind { EXCHANGE_SETTLE, EXCHANGE_CLAIM, EXCHANGE_LEAVE };

/* One transaction. While it is under way it belongs to worker->exchanges. */
struct exchange {
    struct worker *worker;
    struct str me;
    enum exchange_kind kind;
    bool under_way;
    int lapses; /* of the lease, when it began */
    bool claims;
    /* what goes */
    struct buf results;
    struct buf endpoints;
    struct buf busy;
    struct buf known; /* "" unless there is doubt */
    /* what comes */
    struct tx *tx; /* committed; NULL: it failed, see err */
    struct err err;
    size_t settle; /* slots */
    size_t claim;
    size_t claimed;
    size_t secrets;
    size_t keys;
    struct full full;
};

struct sender {
    struct worker *worker;
    struct outbox outbox;
    struct message message;
    struct breaker breaker;
    struct loop_health health;
    struct exchange exchange;
    struct post_result
        results[RESULTS_PER_TURN]; /* not on the stack: there it would be cleared each time */
    int64_t clock_us;              /* the database's clock less our monotonic one */
    bool doubt; /* a claim's outcome was lost: something may be claimed in our name that we never
                   saw */
    int lapses; /* of the lease, that were heard of */
    deadline claim_at;
    deadline settle_at;
    deadline not_before; /* after a failure */
};

/* Nothing else may be under way. False: nothing is, and nothing has changed. */
bool exchange_begin(struct sender *sender, enum exchange_kind kind, struct err *err);
/* Once aside_done() says so. *ret_claimed counts the deliveries that came. After a failure nothing
 * is lost: the same can be tried again. */
bool exchange_end(struct sender *sender, size_t *ret_claimed, struct err *err);

#endif
