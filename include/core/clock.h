/* Time as a seam: tests give their own. Wall time is for people and ids, monotonic time for
 * deadlines. What must be right across processes (due times, leases, grace, webhook timestamps)
 * uses PostgreSQL's clock instead. */
#ifndef KAMD_CORE_CLOCK_H
#define KAMD_CORE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*wall_us)(void *self); /* microseconds since 1970-01-01T00:00Z */
    int64_t (*mono_us)(void *self); /* microseconds since some start; never goes back */
    void *self;
};

extern const struct clock clock_system;

static inline int64_t clock_wall(const struct clock *clock) { return clock->wall_us(clock->self); }
static inline int64_t clock_mono(const struct clock *clock) { return clock->mono_us(clock->self); }

/* An absolute point on the system's monotonic clock, microseconds. Everything that one request does
 * shares one. */
typedef int64_t deadline;
deadline deadline_in_ms(int64_t ms);
/* Milliseconds left, rounded up; 0 when it has passed. Fit for poll(). */
int deadline_left_ms(deadline when);

#define TIME_TEXT 28 /* "2026-11-21T23:56:00.123456Z" and a NUL */
void time_text(int64_t wall_us, char ret[static TIME_TEXT]); /* RFC 3339, UTC, microseconds */

#endif
