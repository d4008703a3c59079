/* Recurrence rules of follow-ups: which of RFC 5545's RRULE (3.3.10) kamd takes. The days
 * themselves are worked out by PostgreSQL (recurrence_next() in recurrence.sql), in the statement
 * that makes the next occurrence. */
#ifndef KAMD_DOMAIN_RECURRENCE_H
#define KAMD_DOMAIN_RECURRENCE_H

#include "core/str.h"

/* FREQ=DAILY|WEEKLY|MONTHLY|YEARLY, INTERVAL, BYDAY (with ordinals where it is MONTHLY or YEARLY),
 * BYMONTHDAY (not where it is WEEKLY), BYMONTH, COUNT or UNTIL, WKST; each once, in any order and
 * case. NULL when it is fine, else a sentence for people. */
const char *check_recurrence(struct str text);

#endif
