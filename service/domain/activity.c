/* Interactions, problems, orders, team: what happens at an account and who works on it. */
#include "domain/check.h"
#include "fields.h"

#include <stdio.h>

/* clang-format off */
static const struct field question_fields[] = {
    {.name = "q", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000},
    {.name = "a", .type = FIELD_TEXT, .max = 4000},
};
static const struct field interaction_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER,
     .values = VALUES("visit", "call", "meeting", "email", "complaint", "suggestion", "inquiry", "service_call"), .about = "What it was."},
    {.name = "channel", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = VALUES("web", "in_person", "phone", "email", "video"), .about = "(000-31)"},
    {.name = "occurred_at", .type = FIELD_TIME, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "When it happened."},
    {.name = "contact_ids", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 50, .ref = "contact", .check = check_uuid, .preset = "[]", .about = "Who of the customer took part."},
    {.name = "user_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who of us took part."},
    {.name = "subject", .type = FIELD_TEXT, .flags = F_SEARCH, .max = 300, .about = "What it was about."},
    {.name = "notes", .type = FIELD_TEXT, .max = 20000, .about = "What was said."},
    {.name = "approach", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("conversation", "presentation"), .about = "(000-33)"},
    {.name = "questions", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(question_fields), .preset = "[]", .about = "Asked and answered; nobody asks twice (000-34, 001-12)."},
    {.name = "sentiment", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("positive", "neutral", "negative"), .about = "How it went."},
    {.name = "order_taking", .type = FIELD_BOOL, .flags = F_NOT_NULL | F_FILTER, .preset = "false", .about = "Does not count as attention (003-01)."},
    {.name = "tags", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER, .max = 50, .check = check_slug, .preset = "[]", .about = "Words to find it by; trends come from them (001-18)."},
    {.name = "need_ids", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER | F_SAME_ACCOUNT, .max = 50, .ref = "need", .check = check_uuid, .preset = "[]", .about = "The account's needs that it was about (000-35)."},
};
static const struct expansion interaction_expansions[] = {
    {.name = "user", .target = RES_USER, .field = "user_id"},
};
const struct resource interaction_resource = {
    .id = RES_INTERACTION, .name = "interaction", .path = "interactions", .table = "interaction", FIELDS(interaction_fields), EXPANSIONS(interaction_expansions),
    .area = AREA_INTERACTIONS, .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .about = "A visit, call, meeting, complaint, ...",
};

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
    if (jv_kind(jv_get(doc, "loss_per_hour")) == JV_TEXT && jv_kind(jv_get(doc, "currency_code")) != JV_TEXT) {
        char where[128];
        snprintf(where, sizeof where, "%s/currency_code", at);
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "required", "An amount needs its currency_code.");
    }
}
const struct resource problem_resource = {
    .id = RES_PROBLEM, .name = "problem", .path = "problems", .table = "problem", FIELDS(problem_fields), .area = AREA_PROBLEMS,
    .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .check = problem_check, .about = "A service problem, also outside sales (001-17).",
};

static const struct field order_line_fields[] = {
    {.name = "line_no", .type = FIELD_INT, .flags = F_REQUIRED, .min = 1, .max = 100000},
    {.name = "product", .type = FIELD_TEXT, .max = 200},
    {.name = "quantity", .type = FIELD_DECIMAL},
    {.name = "amount", .type = FIELD_DECIMAL, .flags = F_REQUIRED, .about = "At most four places; never rounded."},
    {.name = "cost", .type = FIELD_DECIMAL, .about = "Unknown stays unknown; it is not zero (002-17)."},
};
static const struct field order_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "external_id", .type = FIELD_TEXT, .flags = F_FILTER, .min = 1, .max = 255, .about = "The order's number; unique within the account."},
    {.name = "ordered_on", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "The day that counts for scores."},
    {.name = "currency_code", .type = FIELD_TEXT, .flags = F_REQUIRED, .max = 3, .check = check_currency, .about = "ISO 4217, of all lines."},
    {.name = "lines", .type = FIELD_DOCS, .flags = F_REQUIRED, .min = 1, .max = 1000, .shape = SHAPE(order_line_fields), .about = "What was sold; the order is their sum."},
    {.name = "amount", .type = FIELD_DECIMAL, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .about = "Sum of the lines."},
    {.name = "cost", .type = FIELD_DECIMAL, .flags = F_READ_ONLY, .about = "Sum of the lines; null when the cost of one is unknown."},
};
static void order_check(const jv *doc, const char *at, struct err *err)
{
    const jv *lines = jv_get(doc, "lines");
    for (size_t i = 1; i < jv_len(lines); i++) {
        /* Lines come in order in nearly all feeds; only a line that does not ascend needs the search. */
        int64_t no = jv_int(jv_get(jv_at(lines, i), "line_no"));
        if (no > jv_int(jv_get(jv_at(lines, i - 1), "line_no")))
            continue;
        for (size_t j = 0; j < i; j++) {
            if (jv_int(jv_get(jv_at(lines, j), "line_no")) != no)
                continue;
            char where[128];
            snprintf(where, sizeof where, "%s/lines/%zu/line_no", at, i);
            err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "duplicate", "The order has this line_no already.");
            break;
        }
    }
}
const struct resource order_resource = {
    .id = RES_ORDER, .name = "order", .path = "orders", .table = "sales_order", FIELDS(order_fields), .area = AREA_SALES,
    .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .check = order_check, .about = "A sales fact, sent by integrations in bulk (003-01).",
};

static const struct field grant_fields[] = {
    {.name = "areas", .type = FIELD_TEXTS, .flags = F_REQUIRED, .min = 1, .max = AREA_COUNT, .values = area_names, .about = "Information areas of the account; see /v1/roles."},
    {.name = "effect", .type = FIELD_ENUM, .values = VALUES("add", "remove"), .about = "Absent: add. What is removed is taken from the role's areas and from other grants."},
    {.name = "visible_from", .type = FIELD_TIME, .about = "Not too soon: absent, at once."},
    {.name = "visible_until", .type = FIELD_TIME, .about = "Absent: as long as the membership."},
    {.name = "needed_by", .type = FIELD_DATE, .about = "Not too late: access that begins after this day is reported."},
    {.name = "reason", .type = FIELD_TEXT, .max = 500},
};
static const struct field team_member_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "user_id", .type = FIELD_ID, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .ref = "user"},
    {.name = "role", .type = FIELD_TEXT, .flags = F_REQUIRED | F_FILTER, .min = 1, .max = 64, .check = check_slug,
     .about = "account_manager, category_manager, intelligence, market_research, controlling, customer_support, product_development, or one of your own (004-13)."},
    {.name = "function", .type = FIELD_TEXT, .flags = F_FILTER, .max = 100, .about = "The function that the person speaks for."},
    {.name = "allocation_pct", .type = FIELD_INT, .min = 0, .max = 100, .about = "A person's sum over all accounts is at most 100 (004-08)."},
    {.name = "active_from", .type = FIELD_DATE, .about = "First day in the team."},
    {.name = "active_until", .type = FIELD_DATE, .about = "Last day in the team."},
    {.name = "grants", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(grant_fields), .preset = "[]",
     .about = "What this member sees beyond the role's areas, or does not see (004-25, 004-27)."},
};
static const struct expansion team_member_expansions[] = {
    {.name = "user", .target = RES_USER, .field = "user_id"},
};
static void grant_check(const jv *grant, const char *at, struct err *err)
{
    char where[160];
    snprintf(where, sizeof where, "%s/areas", at);
    if (jv_len(jv_get(grant, "areas")) == 0)
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "required", "Name an area at least.");
    for (size_t i = 0; i < jv_len(jv_get(grant, "areas")); i++)
        if (str_is(jv_text(jv_at(jv_get(grant, "areas"), i)), "profile") && str_is(jv_text(jv_get(grant, "effect")), "remove"))
            err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "not_allowed", "Whoever is in the team sees the profile.");
    rule_ordered(grant, "visible_from", "visible_until", at, err);
}
static void team_member_check(const jv *doc, const char *at, struct err *err)
{
    const jv *grants = jv_get(doc, "grants");
    rule_ordered(doc, "active_from", "active_until", at, err);
    for (size_t i = 0; i < jv_len(grants); i++) {
        char where[128];
        snprintf(where, sizeof where, "%s/grants/%zu", at, i);
        grant_check(jv_at(grants, i), where, err);
    }
}
const struct resource team_member_resource = {
    .id = RES_TEAM_MEMBER, .name = "team_member", .path = "team", .table = "team_member", FIELDS(team_member_fields), EXPANSIONS(team_member_expansions),
    .area = AREA_PROFILE, .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .check = team_member_check, .about = "A member of the account's matrix team (004-12).",
};

static const struct field header_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 64, .check = check_header_name, .about = "None that HTTP or the message itself needs."},
    {.name = "value", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 1000, .check = check_header_value, .about = "Printable ASCII. Kept sealed and never shown again: what is read is `sealed:` and an id, which may be sent back to keep it."},
};
static void webhook_endpoint_check(const jv *doc, const char *at, struct err *err)
{
    const jv *headers = jv_get(doc, "headers");
    for (size_t i = 0; i < jv_len(headers); i++)
        for (size_t k = 0; k < i; k++)
            if (str_case_is(jv_text(jv_get(jv_at(headers, i), "name")), jv_text(jv_get(jv_at(headers, k), "name")).ptr)) {
                char where[128];
                snprintf(where, sizeof where, "%s/headers/%zu/name", at, i);
                err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "repeated", "This header is there already.");
            }
}
static const struct field webhook_endpoint_fields[] = {
    FIELDS_COMMON,
    {.name = "url", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000, .about = "https; the address is checked again at every connection."},
    {.name = "description", .type = FIELD_TEXT, .max = 500, .about = "What it is for."},
    {.name = "event_types", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 100, .check = check_event_type, .preset = "[]", .about = "Empty: all. `account.*` means all that begin so."},
    {.name = "account_ids", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 1000, .ref = "account", .check = check_uuid, .preset = "[]", .about = "Empty: all accounts."},
    {.name = "account_tiers", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 3, .values = VALUES("A", "B", "C"), .preset = "[]",
     .about = "Empty: all. Only events of accounts that are in one of these tiers when the event goes out."},
    {.name = "account_key_statuses", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 6, .values = VALUES("none", "candidate", "key", "at_risk", "divesting", "divested"), .preset = "[]",
     .about = "Empty: all. Only events of accounts that have one of these key statuses when the event goes out."},
    {.name = "changed_fields", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 100, .check = check_slug, .preset = "[]",
     .about = "Empty: all. Events that name `changed_fields` come only when one of these is among them."},
    {.name = "ordering", .type = FIELD_ENUM, .flags = F_NOT_NULL, .values = VALUES("parallel", "account"), .preset = "\"parallel\"", .about = "account: one event of an account at a time, in order."},
    {.name = "payload", .type = FIELD_ENUM, .flags = F_NOT_NULL, .values = VALUES("thin", "full"), .preset = "\"thin\"",
     .about = "thin: ids and versions; the receiver reads the rest. full: also `record`, as the endpoint's maker would read it when it is sent."},
    {.name = "headers", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 10, .shape = SHAPE(header_fields), .preset = "[]",
     .about = "Sent with each message. They are kept and shown as they are: it is the signature that proves where a message comes from."},
    {.name = "state", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("enabled", "disabled"), .preset = "\"enabled\"", .about = "disabled: nothing is sent until it is enabled."},
    {.name = "disabled_reason", .type = FIELD_TEXT, .flags = F_READ_ONLY, .about = "Why it was disabled, when it was not by hand."},
};
const struct resource webhook_endpoint_resource = {
    .id = RES_WEBHOOK_ENDPOINT, .name = "webhook_endpoint", .path = "webhook-endpoints", .table = "webhook_endpoint", FIELDS(webhook_endpoint_fields), .area = AREA_PROFILE,
    .flags = R_OWN, .check = webhook_endpoint_check, .about = "Where events are sent.",
};

static const struct field custom_field_fields[] = {
    FIELDS_COMMON,
    {.name = "resource", .type = FIELD_ENUM, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .values = VALUES("account"), .about = "What carries the field."},
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .min = 1, .max = 40, .check = check_slug, .about = "Its name in `custom`."},
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_CREATE_ONLY, .values = VALUES("text", "number", "date", "boolean", "choice"), .about = "What its values are."},
    {.name = "label", .type = FIELD_TEXT, .max = 200, .about = "What people see."},
    {.name = "choices", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 200, .preset = "[]", .about = "The values of a choice."},
};
const struct resource custom_field_resource = {
    .id = RES_CUSTOM_FIELD, .name = "custom_field", .path = "custom-fields", .table = "custom_field", FIELDS(custom_field_fields), .area = AREA_PROFILE,
    .about = "The definition of a custom field.",
};
/* clang-format on */
