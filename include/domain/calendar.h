/* Calendar dates without time or zone, in the proleptic Gregorian calendar, years 1900 to 2999: due
 * dates, program years, review cadences. Which day "today" is depends on a zone, and so comes from
 * PostgreSQL. */
#ifndef KAMD_DOMAIN_CALENDAR_H
#define KAMD_DOMAIN_CALENDAR_H

#include "core/str.h"
#include <stdint.h>

#define YEAR_FIRST 1900
#define YEAR_LAST 2999
#define DATE_TEXT 11 /* "2026-11-21" and a NUL */

struct date {
    int year;
    int month; /* 1..12 */
    int day;   /* 1..31 */
};

/* How often an account is reviewed (product: reviews). X(enum, name, months) */
#define CADENCES(X)                                                                                \
    X(MONTHLY, "monthly", 1)                                                                       \
    X(QUARTERLY, "quarterly", 3)                                                                   \
    X(SEMIANNUAL, "semiannual", 6)                                                                 \
    X(ANNUAL, "annual", 12)

enum cadence {
#define X(name, text, months) CADENCE_##name,
    CADENCES(X)
#undef X
        CADENCE_COUNT
};

int days_in_month(int year, int month);
/* A real day, of a year within bounds. */
bool date_is_valid(struct date date);
/* Days since 1970-01-01, negative before, and back (after Howard Hinnant, "chrono-compatible
 * low-level date algorithms"). */
int64_t days_from_civil(struct date date);
struct date civil_from_days(int64_t days);
/* Below, equal to or above 0, as memcmp. */
int date_compare(struct date a, struct date b);
/* Exactly "YYYY-MM-DD", and valid. */
bool date_parse(struct str text, struct date *ret);
void date_format(struct date date, char ret[static DATE_TEXT]);
/* The anchor's day of the month, or that month's last day: 31 January + 1 = 28 or 29 February, + 2
 * = 31 March. Count from the anchor every time, never from the previous result, which has forgotten
 * the 31st. `months` may be negative. False outside the years above. */
bool date_add_months(struct date anchor, int64_t months, struct date *ret);

const char *cadence_name(enum cadence cadence);
int cadence_months(enum cadence cadence);
bool cadence_parse(struct str text, enum cadence *ret);
/* The n-th review after the anchor; n = 0 is the anchor itself. */
bool next_review(struct date anchor, enum cadence cadence, int64_t n, struct date *ret);

#endif
