/* The results of attempts and the state of endpoints as JSON, for webhook_settle(), webhook_claim()
 * and webhook_doubt(). */
#ifndef KAMD_WORKER_SETTLE_JSON_H
#define KAMD_WORKER_SETTLE_JSON_H

#include "outbox.h"

/* JSON: outbox->settled. */
void results_write(const struct outbox *outbox, struct buf *ret);
/* JSON: the endpoints that something happened to, and those that have nothing left. Their news
 * counts as told from now on. */
void results_endpoints(struct outbox *outbox, struct buf *ret);
/* A text[]: endpoints that get no new work, since they have enough or are failing. */
void results_busy(const struct outbox *outbox, struct buf *ret);
/* A text[]: all deliveries that are queued or under way. */
void results_known(const struct outbox *outbox, struct buf *ret);

#endif
