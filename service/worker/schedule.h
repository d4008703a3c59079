/* When a delivery is tried again: full jitter, in a schedule that is never shorter than it says. */
#ifndef KAMD_WORKER_SCHEDULE_H
#define KAMD_WORKER_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds before retry `retry` (from 1; beyond `n` as the last). The pauses make up slots, one
 * after the other: a retry falls anywhere into its own, the last at the end of it. Where is known
 * from the delivery's id, so nothing has to be remembered of the slot before. */
int64_t schedule_pause(const int64_t *pauses, size_t n, const char *delivery_id, int retry);

#endif
