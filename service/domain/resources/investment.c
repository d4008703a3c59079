/* Descriptor of investments: what we, they or both put into an account. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
static const struct field investment_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = VALUES("ours", "theirs", "joint"), .about = "Whose it is; ours and joint ones are to pay back."},
    {.name = "description", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 2000, .about = "What it is for."},
    {.name = "amount", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN | F_FILTER, .min = 0, .about = "Of a joint one, our part."},
    {.name = "currency_code", .type = FIELD_TEXT, .flags = F_REQUIRED | F_FILTER, .max = 3, .check = check_currency, .about = "ISO 4217."},
    {.name = "invested_on", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "The day it was made."},
    {.name = "payback_on", .type = FIELD_DATE, .flags = F_FILTER, .about = "The day by which it is planned to have paid back (000-18)."},
};
static void investment_check(const jv *doc, const char *at, struct err *err)
{
    rule_ordered(doc, "invested_on", "payback_on", at, err);
}
const struct resource investment_resource = {
    .id = RES_INVESTMENT, .name = "investment", .path = "investments", .table = "investment", FIELDS(investment_fields), OF_ACCOUNT(AREA_ECONOMICS, R_NESTED | R_SYNC), .check = investment_check, .about = "An investment into the relationship, ours, theirs or both (000-18, 002-05).",
};
/* clang-format on */
