/* What came out, and how things are, as webhook_settle(), webhook_claim() and webhook_doubt() want
 * it told. */
#ifndef KAMD_WORKER_RESULTS_H
#define KAMD_WORKER_RESULTS_H

#include "outbox.h"

/* JSON: outbox->settled. */
void results_write(const struct outbox *outbox, struct buf *ret);
/* JSON: the endpoints that something happened to, and those that have nothing left. Their news
 * counts as told from now on. */
void results_endpoints(struct outbox *outbox, struct buf *ret);
/* An array: endpoints that have enough to do, or have trouble. */
void results_busy(const struct outbox *outbox, struct buf *ret);
/* An array: all deliveries that are queued or under way. */
void results_known(const struct outbox *outbox, struct buf *ret);

#endif
