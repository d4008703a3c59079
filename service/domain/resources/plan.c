/* Descriptor of account plans: objectives with actions, what both sides gain, opportunities. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
static const struct field action_fields[] = {
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 300},
    {.name = "owner_id", .type = FIELD_ID, .ref = "user"},
    {.name = "function", .type = FIELD_TEXT, .max = 100},
    {.name = "due_on", .type = FIELD_DATE},
    {.name = "status", .type = FIELD_ENUM, .values = VALUES("open", "in_progress", "done", "cancelled")},
    {.name = "need_id", .type = FIELD_ID, .flags = F_SAME_ACCOUNT, .ref = "need", .about = "The account's need that it serves (000-35)."},
};
static const struct field objective_fields[] = {
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 300},
    {.name = "metric", .type = FIELD_TEXT, .max = 100},
    {.name = "baseline", .type = FIELD_DECIMAL}, {.name = "target", .type = FIELD_DECIMAL}, {.name = "current", .type = FIELD_DECIMAL},
    {.name = "due_on", .type = FIELD_DATE},
    {.name = "owner_id", .type = FIELD_ID, .ref = "user"},
    {.name = "actions", .type = FIELD_DOCS, .max = 100, .shape = SHAPE(action_fields)},
};
static const struct field win_win_fields[] = {
    {.name = "our_gain", .type = FIELD_TEXT, .max = 1000},
    {.name = "their_gain", .type = FIELD_TEXT, .max = 1000},
    {.name = "horizon", .type = FIELD_TEXT, .max = 100},
};
static const struct field opportunity_fields[] = {
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = VALUES("upsell", "cross_sell", "expand")},
    {.name = "product", .type = FIELD_TEXT, .max = 200},
    {.name = "unit_account_id", .type = FIELD_ID, .ref = "account"},
    {.name = "value", .type = FIELD_DECIMAL},
    {.name = "currency_code", .type = FIELD_TEXT, .max = 3, .check = check_currency},
    {.name = "stage", .type = FIELD_TEXT, .max = 100},
};
static const struct field plan_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 200, .about = "Name of the plan."},
    {.name = "copy_from", .type = FIELD_ID, .flags = F_CREATE_ONLY | F_SAME_ACCOUNT, .ref = "plan",
     .about = "The plan that this one goes on from, as next year's does: what is not given comes from there, the sections (to be looked at again), both strategies, the objectives that are not reached with their open actions, and the opportunities; win-win begins anew."},
    {.name = "period_start", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "First day of the period."},
    {.name = "period_end", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER, .about = "Last day of the period."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .values = VALUES("draft", "active", "closed"), .about = "Moves by actions only."},
    {.name = "version_no", .type = FIELD_INT, .flags = F_READ_ONLY | F_NOT_NULL, .about = "Number of the last version, made by an activation or an adaptation; 0: none yet."},
    {.name = "changed_since_version", .type = FIELD_BOOL, .flags = F_READ_ONLY | F_NOT_NULL, .about = "The working copy was changed since the last version."},
    {.name = "template_version", .type = FIELD_INT, .flags = F_READ_ONLY | F_NOT_NULL, .about = "Version of the single template that the sections are in (004-15)."},
    {.name = "company_strategy", .type = FIELD_TEXT, .max = 20000, .about = "Each company's overall strategy the plan builds on (004-10)."},
    {.name = "client_strategy", .type = FIELD_TEXT, .max = 20000, .about = "The client's own strategy that the plan builds on (004-10)."},
    {.name = "objectives", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(objective_fields), .preset = "[]", .about = "What is to be reached, how it is measured, and the actions that lead there (004-02)."},
    {.name = "win_win", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(win_win_fields), .preset = "[]", .about = "What each side gains, and when (000-08)."},
    {.name = "opportunities", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 200, .shape = SHAPE(opportunity_fields), .preset = "[]", .about = "What more could be sold: more of the same, other products, to other units (000-03, 000-04, 000-05)."},
};
static const struct expansion plan_expansions[] = {
    {.name = "account", .target = RES_ACCOUNT, .field = "account_id"},
    {.name = "sections", .target = RES_PLAN_SECTION, .field = "plan_id", .reverse = true, .many = true},
};
static void plan_check(const jv *doc, const char *at, struct err *err)
{
    rule_ordered(doc, "period_start", "period_end", at, err);
}
const struct resource plan_resource = {
    .id = RES_PLAN, .name = "plan", .path = "plans", .table = "plan", .derived_version = "t.derived_version", FIELDS(plan_fields), EXPANSIONS(plan_expansions), OF_ACCOUNT(AREA_PLAN, R_CACHED | R_SYNC), .check = plan_check, .about = "The strategic plan of one account for a period (004-10).",
};
/* clang-format on */
