/* Records for endpoints with payload "full": read in the transaction that claims, so that what
 * cannot be read is not claimed either. */
#ifndef KAMD_WORKER_FULL_PAYLOAD_H
#define KAMD_WORKER_FULL_PAYLOAD_H

#include "core/buf.h"
#include "domain/resource.h"
#include "store/store.h"

struct full {
    bool any;
    size_t wanted;             /* slot: delivery, resource, record, areas */
    size_t records[RES_COUNT]; /* slots; SIZE_MAX: none of this kind */
};

/* After the claim and its endpoints were queued: flushes, and queues what full ones need. */
bool full_query(struct full *full, struct tx *tx, size_t claim, size_t endpoints, struct err *err);
/* Appends the record of a delivery, `null` when it is deleted or not for the endpoint's owner, and
 * nothing when the endpoint is a thin one. */
void full_record(const struct full *full, struct tx *tx, struct str delivery_id, struct buf *ret);

#endif
