/* Descriptor of the wallet: what a customer spends in all, and how much of it with us (002-29). */
#include "domain/check.h"
#include "fields.h"

#include <string.h>

/* clang-format off */
static const struct field wallet_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "category", .type = FIELD_TEXT, .flags = F_REQUIRED | F_FILTER | F_SEARCH, .min = 1, .max = 100, .about = "What they buy, in their words or ours."},
    {.name = "period", .type = FIELD_TEXT, .flags = F_REQUIRED | F_FILTER, .min = 4, .max = 7, .check = check_period, .about = "A year, half, quarter or month: 2026, 2026-H1, 2026-Q3, 2026-11. One row for each category and period."},
    {.name = "customer_spend", .type = FIELD_DECIMAL, .flags = F_MIN | F_FILTER, .min = 0, .about = "What the customer spent on it with everybody. Unknown stays null; it is not zero (002-29)."},
    {.name = "our_revenue", .type = FIELD_DECIMAL, .flags = F_MIN | F_FILTER, .min = 0, .about = "What of it was spent with us; never more than customer_spend."},
    {.name = "currency_code", .type = FIELD_TEXT, .flags = F_FILTER, .max = 3, .check = check_currency, .about = "ISO 4217, of both amounts."},
    {.name = "source", .type = FIELD_TEXT, .max = 500, .about = "Who says so."},
    {.name = "confidence", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("low", "medium", "high"), .about = "How sure it is."},
    {.name = "share", .type = FIELD_DECIMAL, .flags = F_READ_ONLY | F_FILTER, .max = 4, .about = "Share of wallet: our_revenue / customer_spend; null while one is unknown, or nothing was spent."},
};
/* Both as decode writes them: not negative, four places, no superfluous zeros. */
static bool exceeds(struct str a, struct str b) {
    return a.len != b.len ? a.len > b.len : memcmp(a.ptr, b.ptr, a.len) > 0;
}
static void wallet_check(const jv *doc, const char *at, struct err *err) {
    struct str spend = jv_text(jv_get(doc, "customer_spend"));
    struct str ours = jv_text(jv_get(doc, "our_revenue"));
    if (spend.ptr && ours.ptr && exceeds(ours, spend))
        rule_broken(at, "our_revenue", "share_over_100",
                    "is more than the customer spent with everybody", err);
    if ((spend.ptr || ours.ptr) && !jv_text(jv_get(doc, "currency_code")).ptr)
        rule_broken(at, "currency_code", "required", "An amount needs its currency_code.", err);
}
const struct resource wallet_resource = {
    .id = RES_WALLET,
    .name = "wallet",
    .path = "wallet",
    .table = "wallet",
    FIELDS(wallet_fields),
    OF_ACCOUNT(AREA_ECONOMICS, R_NESTED | R_SYNC),
    .check = wallet_check,
    .about = "What a customer spends on a category in a period, and our share of it (002-29).",
};
/* clang-format on */
