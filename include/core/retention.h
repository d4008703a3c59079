/* How long kamd keeps what is not a record. Each is a length of time as PostgreSQL reads it, and as
 * a sentence says it. */
#ifndef KAMD_CORE_RETENTION_H
#define KAMD_CORE_RETENTION_H

#define EVENTS_KEPT_DAYS "30"
#define EVENTS_KEPT EVENTS_KEPT_DAYS " days" /* and what refers to them: deliveries, attempts */
#define IMPORTS_KEPT "30 days"
#define DEFERRED_KEPT "30 days" /* records of a sync whose parents never came */
#define OPERATIONS_KEPT "7 days"
#define ANSWERS_KEPT "24 hours" /* first answers, by Idempotency-Key */
#define ENDED_KEPT "1 day"      /* what has an end of its own, after that */

/* The beginning of that time. */
#define SINCE(kept) "now() - interval '" kept "'"

#endif
