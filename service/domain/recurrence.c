/* Checks a recurrence rule (RRULE of RFC 5545): the parts that kamd supports, the values of each
 * part, and which parts may stand together. PostgreSQL computes the dates. */
#include "domain/recurrence.h"

#include "core/cleanup.h"
#include "domain/calendar.h"

/* An optional sign and one to `digits` digits without superfluous zeros, of lowest..highest without
 * sign. Takes it off `rest`. */
static bool take_number(struct str *rest, bool may_be_negative, int64_t highest, int64_t *ret) {
    bool negative = rest->len > 0 && rest->ptr[0] == '-';
    size_t at = negative || (may_be_negative && rest->len > 0 && rest->ptr[0] == '+');
    size_t begin = at;
    int64_t value = 0;

    if (negative && !may_be_negative)
        return false;
    for (; at < rest->len && rest->ptr[at] >= '0' && rest->ptr[at] <= '9'; at++) {
        value = value * 10 + (rest->ptr[at] - '0');
        if (value > highest)
            return false;
    }
    if (at == begin || rest->ptr[begin] == '0')
        return false;
    *rest = (struct str){rest->ptr + at, rest->len - at};
    *ret = negative ? -value : value;
    return true;
}

static bool number(struct str text, bool may_be_negative, int64_t highest) {
    int64_t value;

    return take_number(&text, may_be_negative, highest, &value) && text.len == 0;
}

static bool numbers(struct str list, bool may_be_negative, int64_t highest) {
    struct str one;

    while (str_split(&list, ',', &one))
        if (!number(one, may_be_negative, highest))
            return false;
    return true;
}

static bool weekday(struct str text) {
    static const char *const names[] = {"MO", "TU", "WE", "TH", "FR", "SA", "SU"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_case_is(text, names[i]))
            return true;
    return false;
}

/* "MO", "2TU", "-1FR"; *ret_ordinal: was there one with a number? */
static bool weekdays(struct str list, bool *ret_ordinal) {
    struct str one;

    *ret_ordinal = false;
    while (str_split(&list, ',', &one)) {
        int64_t nth;
        bool plain = weekday(one);
        if (!plain && (!take_number(&one, true, 53, &nth) || !weekday(one)))
            return false;
        *ret_ordinal = *ret_ordinal || !plain;
    }
    return true;
}

/* 20261231, 20261231T235959 or 20261231T235959Z. */
static bool until(struct str text) {
    char date[DATE_TEXT] = "0000-00-00";
    struct date day;

    if (text.len != 8 && text.len != 15 && text.len != 16)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool fine = i == 8    ? c == 'T' || c == 't'
                    : i == 15 ? c == 'Z' || c == 'z'
                              : c >= '0' && c <= '9';
        if (!fine)
            return false;
        if (i < 8)
            date[i + (i >= 4) + (i >= 6)] = c;
    }
    if (text.len > 8 && ((text.ptr[9] - '0') * 10 + text.ptr[10] - '0' > 23 || text.ptr[11] > '5' ||
                         text.ptr[13] > '5'))
        return false;
    return date_parse(str_of(date), &day);
}

enum part {
    PART_FREQ,
    PART_INTERVAL,
    PART_BYDAY,
    PART_BYMONTHDAY,
    PART_BYMONTH,
    PART_COUNT,
    PART_UNTIL,
    PART_WKST,
    PART_NONE
};
static const char *const part_names[PART_NONE] = {
    [PART_FREQ] = "FREQ",       [PART_INTERVAL] = "INTERVAL",
    [PART_BYDAY] = "BYDAY",     [PART_BYMONTHDAY] = "BYMONTHDAY",
    [PART_BYMONTH] = "BYMONTH", [PART_COUNT] = "COUNT",
    [PART_UNTIL] = "UNTIL",     [PART_WKST] = "WKST",
};

static bool frequency(struct str text) {
    return str_case_is(text, "DAILY") || str_case_is(text, "WEEKLY") ||
           str_case_is(text, "MONTHLY") || str_case_is(text, "YEARLY");
}

static const char *check_value(enum part part, struct str value, bool *ordinal) {
    switch (part) {
    case PART_FREQ:
        return frequency(value) ? NULL : "FREQ must be DAILY, WEEKLY, MONTHLY or YEARLY";
    case PART_INTERVAL:
        return number(value, false, 1000) ? NULL : "INTERVAL must be 1 to 1000";
    case PART_BYDAY:
        return weekdays(value, ordinal)
                   ? NULL
                   : "BYDAY must be MO, TU, WE, TH, FR, SA, SU, or such as 2TU or -1FR";
    case PART_BYMONTHDAY:
        return numbers(value, true, 31) ? NULL : "BYMONTHDAY must be 1 to 31 or -1 to -31";
    case PART_BYMONTH:
        return numbers(value, false, 12) ? NULL : "BYMONTH must be 1 to 12";
    case PART_COUNT:
        return number(value, false, 10000) ? NULL : "COUNT must be 1 to 10000";
    case PART_UNTIL:
        return until(value) ? NULL : "UNTIL must be such as 20261231 or 20261231T170000Z";
    case PART_WKST:
        return weekday(value) ? NULL : "WKST must be MO, TU, WE, TH, FR, SA or SU";
    case PART_NONE:
        break;
    }
    return "takes FREQ, INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, COUNT, UNTIL and WKST of RFC 5545, "
           "each as NAME=value, with semicolons between them";
}

static enum part part_of(struct str name) {
    enum part part = PART_FREQ;

    while (part < PART_NONE && !str_case_is(name, part_names[part]))
        part++;
    return part;
}

static const char *check_together(const struct str values[PART_NONE], bool ordinal) {
    struct str freq = values[PART_FREQ];

    if (!freq.ptr)
        return "needs FREQ, as in FREQ=MONTHLY;BYMONTHDAY=-1";
    if (values[PART_COUNT].ptr && values[PART_UNTIL].ptr)
        return "may have COUNT or UNTIL, not both";
    if (ordinal && (str_case_is(freq, "DAILY") || str_case_is(freq, "WEEKLY")))
        return "may count weekdays (2TU, -1FR) only with FREQ=MONTHLY or FREQ=YEARLY";
    if (values[PART_BYMONTHDAY].ptr && str_case_is(freq, "WEEKLY"))
        return "may not have BYMONTHDAY with FREQ=WEEKLY";
    return NULL;
}

const char *check_recurrence(struct str text) {
    struct str values[PART_NONE] = {{NULL, 0}};
    struct str rest = text, value;
    bool ordinal = false;

    while (str_split(&rest, ';', &value)) {
        struct str name;
        enum part part = str_split(&value, '=', &name) ? part_of(name) : PART_NONE;
        const char *wrong = check_value(part, value.ptr ? value : STR(""), &ordinal);
        if (wrong)
            return wrong;
        if (values[part].ptr)
            return "may have each part once";
        values[part] = value;
    }
    return check_together(values, ordinal);
}
