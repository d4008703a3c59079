/* The delivery thread's dealings with the database: what came out goes there, what is next comes
 * back, in one transaction of one round trip. */
#ifndef KAMD_WORKER_EXCHANGE_H
#define KAMD_WORKER_EXCHANGE_H

#include "breaker.h"
#include "message.h"
#include "outbox.h"
#include "worker_state.h"

struct sender {
    struct worker *worker;
    struct outbox outbox;
    struct message message;
    struct breaker breaker;
    struct loop_health health;
    int64_t clock_us; /* the database's clock less our monotonic one */
    bool doubt; /* a claim's outcome was lost: something may be claimed in our name that we never
                   saw */
    deadline claim_at;
    deadline settle_at;
    deadline not_before; /* after a failure */
};

enum exchange_kind { EXCHANGE_SETTLE, EXCHANGE_CLAIM, EXCHANGE_LEAVE };
/* *ret_claimed counts the deliveries that came. After a failure nothing is lost: the same can be
 * tried again. */
bool exchange(struct sender *sender, enum exchange_kind kind, size_t *ret_claimed, struct err *err);

#endif
