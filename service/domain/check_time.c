/* Checks and parses dates, periods (year, half, quarter, month) and RFC 3339 times; a time with any
 * offset is converted to UTC. */
#include "domain/calendar.h"
#include "domain/check.h"

#define MINUTE_US INT64_C(60000000)

const char *check_date(struct str text) {
    struct date date;

    return date_parse(text, &date)
               ? NULL
               : "must be a date YYYY-MM-DD of the years 1900 to 2999, such as 2026-11-21";
}

/* Two digits and what follows them; false when they are no number up to `most`. */
static bool take_pair(struct str *rest, int most, int *ret) {
    if (rest->len < 2 || rest->ptr[0] < '0' || rest->ptr[0] > '9' || rest->ptr[1] < '0' ||
        rest->ptr[1] > '9')
        return false;
    *ret = (rest->ptr[0] - '0') * 10 + (rest->ptr[1] - '0');
    *rest = (struct str){rest->ptr + 2, rest->len - 2};
    return *ret <= most;
}

const char *check_period(struct str text) {
    static const char wrong[] = "must be a period such as 2026, 2026-H1, 2026-Q3 or 2026-07";
    struct str rest = text;
    int century, year, part = 1;
    bool fine = take_pair(&rest, 29, &century) && take_pair(&rest, 99, &year) && century >= 19;
    if (fine && rest.len == 3 && rest.ptr[0] == '-') {
        char kind = rest.ptr[1], digit = rest.ptr[2];
        rest = (struct str){rest.ptr + 1, 2};
        if (kind == 'H' || kind == 'Q')
            return digit >= '1' && digit <= (kind == 'H' ? '2' : '4') ? NULL : wrong;
        fine = take_pair(&rest, 12, &part) && part >= 1;
    }
    return fine && rest.len == 0 ? NULL : wrong;
}

static bool take_char(struct str *rest, const char *either) {
    if (rest->len == 0 || (rest->ptr[0] != either[0] && rest->ptr[0] != either[1]))
        return false;
    *rest = (struct str){rest->ptr + 1, rest->len - 1};
    return true;
}

/* ".123" as 123000; nothing as 0. */
static bool take_fraction(struct str *rest, int64_t *ret_us) {
    int64_t us = 0;
    int digits = 0;

    *ret_us = 0;
    if (!take_char(rest, ".."))
        return true;
    while (rest->len > 0 && rest->ptr[0] >= '0' && rest->ptr[0] <= '9') {
        us = us * 10 + (rest->ptr[0] - '0');
        if (++digits > 6)
            return false;
        *rest = (struct str){rest->ptr + 1, rest->len - 1};
    }
    if (digits == 0)
        return false;
    for (; digits < 6; digits++)
        us *= 10;
    *ret_us = us;
    return true;
}

/* "Z" or "+hh:mm"; in minutes. */
static bool take_offset(struct str *rest, int64_t *ret) {
    int hours;
    int minutes;

    *ret = 0;
    if (take_char(rest, "Zz"))
        return true;
    bool west = rest->len > 0 && rest->ptr[0] == '-';
    if (!take_char(rest, "+-") || !take_pair(rest, 23, &hours) || !take_char(rest, "::") ||
        !take_pair(rest, 59, &minutes))
        return false;
    *ret = west ? -(hours * 60 + minutes) : hours * 60 + minutes;
    return true;
}

bool time_parse_us(struct str text, int64_t *ret) {
    struct date date;
    struct str rest;
    int hour;
    int minute;
    int second;
    int64_t us;
    int64_t offset;

    if (text.len < DATE_TEXT || !date_parse((struct str){text.ptr, DATE_TEXT - 1}, &date))
        return false;
    rest = (struct str){text.ptr + DATE_TEXT - 1, text.len - (DATE_TEXT - 1)};
    if (!take_char(&rest, "Tt") || !take_pair(&rest, 23, &hour) || !take_char(&rest, "::") ||
        !take_pair(&rest, 59, &minute) || !take_char(&rest, "::") ||
        !take_pair(&rest, 59, &second) || !take_fraction(&rest, &us) ||
        !take_offset(&rest, &offset) || rest.len > 0)
        return false;
    int64_t minutes = (days_from_civil(date) * 24 + hour) * 60 + minute - offset;
    *ret = minutes * MINUTE_US + second * INT64_C(1000000) + us;
    return true;
}

bool time_parse(struct str text, char ret[static TIME_TEXT]) {
    int64_t us;

    if (!time_parse_us(text, &us))
        return false;
    time_text(us, ret);
    return true;
}

const char *check_time(struct str text) {
    int64_t us;

    return time_parse_us(text, &us) ? NULL
                                    : "must be a time of RFC 3339 with an offset and at most six "
                                      "decimals, such as 2026-11-21T23:56:00Z";
}
