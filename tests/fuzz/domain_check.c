/* Checks of single values: what they accept has the shape that the database and other systems rely
 * on. */
#include "domain/calendar.h"
#include "domain/check.h"
#include "domain/recurrence.h"
#include "domain/salesforce_id.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds)
        abort();
}

static void must_be_printable(struct str text) {
    for (size_t i = 0; i < text.len; i++)
        must(text.ptr[i] > ' ' && text.ptr[i] <= '~');
}

static void try_all(struct str text) {
    static const char *(*const checks[])(struct str text) = {
        check_email,    check_phone, check_domain,        check_url_https, check_currency,
        check_country,  check_zone,  check_date,          check_time,      check_slug,
        check_language, check_uuid,  check_salesforce_id, check_recurrence};

    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        if (checks[i](text) == NULL)
            must_be_printable(text);
    if (check_decimal(text, 15, 4) == NULL)
        must(text.len <= 21);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = {size == 0 ? "" : (const char *)data, size};
    char phone[PHONE_TEXT];
    char again[PHONE_TEXT];
    char utc[TIME_TEXT];
    char salesforce_id[SALESFORCE_ID_TEXT];
    char day[DATE_TEXT];
    struct date date;

    try_all(text);
    if (phone_normalise(text, phone))
        must(phone_normalise(str_of(phone), again) && strcmp(phone, again) == 0);
    if (time_parse(text, utc))
        must(strlen(utc) == TIME_TEXT - 1);
    if (salesforce_id_parse(text, salesforce_id))
        must(check_salesforce_id(str_of(salesforce_id)) == NULL);
    if (date_parse(text, &date)) {
        date_format(date, day);
        must(str_is(text, day) && date_compare(civil_from_days(days_from_civil(date)), date) == 0);
    }
    return 0;
}
