/* Descriptor of problems that a customer has with us. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
static const struct field problem_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "category", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = VALUES("missed_delivery", "delay", "quality", "billing", "other"), .about = "What went wrong."},
    {.name = "severity", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("low", "medium", "high", "revenue_loss"), .preset = "\"medium\"",
     .about = "revenue_loss: an emergency while it is open (001-04, 001-06)."},
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 300, .about = "In a few words."},
    {.name = "description", .type = FIELD_TEXT, .max = 10000, .about = "More about it."},
    {.name = "loss_per_hour", .type = FIELD_DECIMAL, .flags = F_MIN, .min = 0, .about = "What it costs the customer (001-06)."},
    {.name = "currency_code", .type = FIELD_TEXT, .max = 3, .check = check_currency, .about = "ISO 4217, of loss_per_hour."},
    {.name = "opened_at", .type = FIELD_TIME, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "When it began."},
    {.name = "handled_at", .type = FIELD_TIME, .about = "When help began (001-05)."},
    {.name = "resolved_at", .type = FIELD_TIME, .flags = F_FILTER, .about = "When it was over."},
    {.name = "contact_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "contact", .about = "Who told us."},
};
static void problem_check(const jv *doc, const char *at, struct err *err)
{
    rule_ordered(doc, "opened_at", "handled_at", at, err);
    rule_ordered(doc, "opened_at", "resolved_at", at, err);
    if (jv_kind(jv_get(doc, "loss_per_hour")) == JV_TEXT && jv_kind(jv_get(doc, "currency_code")) != JV_TEXT)
        rule_broken(at, "currency_code", "required", "An amount needs its currency_code.", err);
}
const struct resource problem_resource = {
    .id = RES_PROBLEM, .name = "problem", .path = "problems", .table = "problem", FIELDS(problem_fields), OF_ACCOUNT(AREA_PROBLEMS, R_NESTED | R_SYNC), .check = problem_check, .about = "A service problem, also outside sales (001-17).",
};
/* clang-format on */
