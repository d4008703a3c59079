/* Reads the system's clocks, computes deadlines, and writes times as RFC 3339. A deadline or time
 * that is out of range becomes the nearest one in range; nothing wraps around. */
#include "core/clock.h"

#include <limits.h>
#include <time.h>

static int64_t read_clock(clockid_t id) {
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_wall(void *self) {
    (void)self;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_mono(void *self) {
    (void)self;
    return read_clock(CLOCK_MONOTONIC);
}

const struct clock clock_system = {.wall_us = system_wall, .mono_us = system_mono};

deadline deadline_in_ms(int64_t ms) {
    int64_t us;
    deadline when;

    if (__builtin_mul_overflow(ms, 1000, &us) ||
        __builtin_add_overflow(us, read_clock(CLOCK_MONOTONIC), &when))
        return ms < 0 ? INT64_MIN : INT64_MAX;
    return when;
}

int deadline_left_ms(deadline when) {
    int64_t now = read_clock(CLOCK_MONOTONIC);

    if (when <= now)
        return 0;
    int64_t ms = (when - now - 1) / 1000 + 1;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Writes `width` decimal digits and returns where to go on. */
static char *digits(char *at, int64_t value, int width) {
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + width;
}

static char *put(char *at, char c) {
    *at = c;
    return at + 1;
}

void time_text(int64_t wall_us, char ret[static TIME_TEXT]) {
    /* RFC 3339 has years of four digits: 0000-01-01 to 9999-12-31. */
    const int64_t first = -62167219200000000;
    const int64_t last = 253402300799999999;
    int64_t us = wall_us < first ? first : wall_us > last ? last : wall_us;
    int64_t part = us % 1000000 < 0 ? us % 1000000 + 1000000 : us % 1000000;
    time_t seconds = (time_t)((us - part) / 1000000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    char *at = put(digits(ret, tm.tm_year + 1900, 4), '-');
    at = put(digits(at, tm.tm_mon + 1, 2), '-');
    at = put(digits(at, tm.tm_mday, 2), 'T');
    at = put(digits(at, tm.tm_hour, 2), ':');
    at = put(digits(at, tm.tm_min, 2), ':');
    at = put(digits(at, tm.tm_sec, 2), '.');
    at = put(digits(at, part, 6), 'Z');
    *at = '\0';
}
