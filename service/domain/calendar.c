/* Arithmetic on Gregorian dates: day numbers, text to date and back, months added, and the days of
 * periodic reviews. */
#include "domain/calendar.h"

#include "core/cleanup.h"

static const struct {
    const char *name;
    int months;
} cadences[] = {
#define X(name, text, months) [CADENCE_##name] = {text, months},
    CADENCES(X)
#undef X
};
_Static_assert(COUNT_OF(cadences) == CADENCE_COUNT, "one row per cadence");

static bool is_leap(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

int days_in_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month < 1 || month > 12)
        return 0;
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

bool date_is_valid(struct date date) {
    return date.year >= YEAR_FIRST && date.year <= YEAR_LAST && date.day >= 1 &&
           date.day <= days_in_month(date.year, date.month);
}

/* Years begin in March here, so that the leap day is the last of its year; an era has 400 years. */
int64_t days_from_civil(struct date date) {
    int64_t year = date.month <= 2 ? (int64_t)date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t month = date.month > 2 ? date.month - 3 : date.month + 9;
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719468;
}

struct date civil_from_days(int64_t days) {
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t of_era = shifted - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t day_of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    int64_t civil_month = month < 10 ? month + 3 : month - 9;

    return (struct date){
        .year = (int)(year + era * 400 + (civil_month <= 2)),
        .month = (int)civil_month,
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
    };
}

int date_compare(struct date a, struct date b) {
    if (a.year != b.year)
        return a.year < b.year ? -1 : 1;
    if (a.month != b.month)
        return a.month < b.month ? -1 : 1;
    return (a.day > b.day) - (a.day < b.day);
}

/* Exactly `count` digits; false otherwise. */
static bool read_digits(const char *at, int count, int *ret) {
    int value = 0;

    for (int i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        value = value * 10 + (at[i] - '0');
    }
    *ret = value;
    return true;
}

bool date_parse(struct str text, struct date *ret) {
    struct date date;

    if (text.len != DATE_TEXT - 1 || text.ptr[4] != '-' || text.ptr[7] != '-' ||
        !read_digits(text.ptr, 4, &date.year) || !read_digits(text.ptr + 5, 2, &date.month) ||
        !read_digits(text.ptr + 8, 2, &date.day) || !date_is_valid(date))
        return false;
    *ret = date;
    return true;
}

static void put_digits(char *at, int value, int count) {
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

void date_format(struct date date, char ret[static DATE_TEXT]) {
    put_digits(ret, date.year, 4);
    put_digits(ret + 5, date.month, 2);
    put_digits(ret + 8, date.day, 2);
    ret[4] = ret[7] = '-';
    ret[DATE_TEXT - 1] = '\0';
}

bool date_add_months(struct date anchor, int64_t months, struct date *ret) {
    int64_t month;

    if (__builtin_add_overflow(months, (int64_t)anchor.year * 12 + anchor.month - 1, &month) ||
        month < YEAR_FIRST * 12 || month >= (YEAR_LAST + 1) * 12)
        return false;
    struct date date = {.year = (int)(month / 12), .month = (int)(month % 12) + 1};
    int last = days_in_month(date.year, date.month);
    date.day = anchor.day < last ? anchor.day : last;
    *ret = date;
    return true;
}

const char *cadence_name(enum cadence cadence) { return cadences[cadence].name; }

int cadence_months(enum cadence cadence) { return cadences[cadence].months; }

bool cadence_parse(struct str text, enum cadence *ret) {
    for (size_t i = 0; i < COUNT_OF(cadences); i++)
        if (str_is(text, cadences[i].name)) {
            *ret = (enum cadence)i;
            return true;
        }
    return false;
}

bool next_review(struct date anchor, enum cadence cadence, int64_t n, struct date *ret) {
    int64_t months;

    return !__builtin_mul_overflow(n, (int64_t)cadences[cadence].months, &months) &&
           date_add_months(anchor, months, ret);
}
