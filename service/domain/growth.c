/* What an account could become: its needs, our answers to them, what was invested, major projects,
 * allied organisations. */
#include "domain/check.h"
#include "fields.h"

#include <stdio.h>

/* clang-format off */
#define SOLUTIONS_SQL "array(select s.id::text from solution s where s.account_id = t.account_id and s.deleted_at is null and t.id::text = any (s.need_ids) order by s.id)"
static const struct field need_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = VALUES("problem", "growth", "expectation", "challenge"), .about = "(000-35, 002-13)"},
    {.name = "depth", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("stated", "real", "unstated", "delight", "secret"), .preset = "\"stated\"",
     .about = "What they say, what they mean, what they take for granted, what would delight them, what they do not say (003-11, 003-15)."},
    {.name = "horizon", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("now", "future"), .preset = "\"now\"", .about = "(000-39)"},
    {.name = "in_scope", .type = FIELD_BOOL, .flags = F_NOT_NULL | F_FILTER, .preset = "true", .about = "Whether our products can meet it. What they cannot is still tracked and answered (001-16)."},
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 300, .about = "In a few words."},
    {.name = "description", .type = FIELD_TEXT, .max = 10000, .about = "More about it."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("stated", "diagnosed", "prescribed", "resolved"), .preset = "\"stated\"",
     .about = "Only forward, and prescribed only after diagnosed (003-10)."},
    {.name = "contact_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "contact", .about = "Whose need it is; who works on it with us."},
    {.name = "owner_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who of us answers for it."},
    {.name = "tags", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER, .max = 50, .check = check_slug, .preset = "[]", .about = "Words to find it by."},
    {.name = "is_open", .type = FIELD_BOOL, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .column = "(t.status <> 'resolved')", .about = "Not resolved (000-38)."},
    {.name = "diagnosed_at", .type = FIELD_TIME, .flags = F_READ_ONLY, .about = "When it was diagnosed."},
    {.name = "prescribed_at", .type = FIELD_TIME, .flags = F_READ_ONLY, .about = "When a solution was prescribed."},
    {.name = "resolved_at", .type = FIELD_TIME, .flags = F_READ_ONLY, .about = "When it was resolved."},
    {.name = "solution_ids", .type = FIELD_TEXTS, .flags = F_READ_ONLY | F_NOT_NULL, .max = 10000, .column = SOLUTIONS_SQL, .about = "The solutions that answer it (000-38)."},
};
static const struct expansion need_expansions[] = {
    {.name = "contact", .target = RES_CONTACT, .field = "contact_id"},
    {.name = "owner", .target = RES_USER, .field = "owner_id"},
};
const struct resource need_resource = {
    .id = RES_NEED, .name = "need", .path = "needs", .table = "need", FIELDS(need_fields), EXPANSIONS(need_expansions), .area = AREA_INTERACTIONS,
    .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .about = "What a customer needs, also outside of what we sell (001-16, 002-13).",
};

static const struct field component_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 200},
    {.name = "kind", .type = FIELD_ENUM, .values = VALUES("product", "service", "training", "other")},
    {.name = "note", .type = FIELD_TEXT, .max = 2000},
};
static const struct field vendor_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 200},
    {.name = "contribution", .type = FIELD_TEXT, .max = 2000, .about = "What it is responsible for."},
    {.name = "lead", .type = FIELD_BOOL, .about = "Accountable for the whole; exactly one is."},
    {.name = "internal", .type = FIELD_BOOL, .about = "One of our own units."},
};
static const struct field value_fields[] = {
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = VALUES("revenue_gain", "cost_saving", "improve_function")},
    {.name = "amount", .type = FIELD_DECIMAL, .about = "As measured at the customer; null while nobody has."},
    {.name = "currency_code", .type = FIELD_TEXT, .max = 3, .check = check_currency},
    {.name = "quality_parity", .type = FIELD_BOOL, .about = "Whether the quality stays equal to competitors'; null: unknown."},
};
static const struct field solution_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 300, .about = "In a few words."},
    {.name = "need_ids", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER | F_SAME_ACCOUNT, .max = 50, .ref = "need", .check = check_uuid, .preset = "[]", .about = "The account's needs that it answers (000-38)."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("proposed", "agreed", "delivered", "dropped"), .preset = "\"proposed\"",
     .about = "Delivering it resolves no need by itself: that is for the customer to say."},
    {.name = "components", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(component_fields), .preset = "[]", .about = "The bundle of products and services (003-02)."},
    {.name = "end_state", .type = FIELD_TEXT, .max = 4000, .about = "How it is for the customer when all is done (003-08)."},
    {.name = "agreed_with", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_SAME_ACCOUNT, .max = 50, .ref = "contact", .check = check_uuid, .preset = "[]", .about = "The account's contacts who agreed; needed once it is agreed or delivered (002-21)."},
    {.name = "vendors", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(vendor_fields), .preset = "[]",
     .about = "Who takes part where our own resources are not enough, with exactly one lead (004-34)."},
    {.name = "not_possible_alone", .type = FIELD_TEXT, .max = 2000, .about = "Why our own resources cannot do it (004-34)."},
    {.name = "value", .type = FIELD_DOC, .shape = SHAPE(value_fields), .about = "What the customer gains (000-10, 003-03)."},
    {.name = "outcome", .type = FIELD_TEXT, .max = 4000, .about = "What came of it (000-38)."},
    {.name = "owner_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who of us answers for it."},
};
static const struct expansion solution_expansions[] = {
    {.name = "owner", .target = RES_USER, .field = "owner_id"},
};
static bool given(const jv *doc, const char *name) { return jv_text(jv_get(doc, name)).ptr != NULL; }
static void wrong(struct err *err, const char *at, const char *place, const char *code, const char *why)
{
    char where[128];
    snprintf(where, sizeof where, "%s/%s", at, place);
    err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, code, "%s", why);
}
static void solution_check(const jv *doc, const char *at, struct err *err)
{
    const jv *vendors = jv_get(doc, "vendors"), *value = jv_get(doc, "value");
    struct str status = jv_text(jv_get(doc, "status"));
    size_t leads = 0;
    for (size_t i = 0; i < jv_len(vendors); i++)
        leads += jv_bool(jv_get(jv_at(vendors, i), "lead"));
    if (jv_len(vendors) > 0 && leads != 1)
        wrong(err, at, "vendors", "one_lead", "Exactly one of the vendors is the accountable lead.");
    if ((str_is(status, "agreed") || str_is(status, "delivered")) && jv_len(jv_get(doc, "agreed_with")) == 0)
        wrong(err, at, "agreed_with", "required", "Name the contacts with whom it was agreed.");
    if (given(value, "amount") && !given(value, "currency_code"))
        wrong(err, at, "value/currency_code", "required", "An amount needs its currency_code.");
}
const struct resource solution_resource = {
    .id = RES_SOLUTION, .name = "solution", .path = "solutions", .table = "solution", FIELDS(solution_fields), EXPANSIONS(solution_expansions), .area = AREA_INTERACTIONS,
    .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .check = solution_check, .about = "Our answer to needs of a customer, made with them (002-21).",
};

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
    .id = RES_INVESTMENT, .name = "investment", .path = "investments", .table = "investment", FIELDS(investment_fields), .area = AREA_ECONOMICS,
    .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .check = investment_check, .about = "An investment into the relationship, ours, theirs or both (000-18, 002-05).",
};

static const struct field milestone_fields[] = {
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 300},
    {.name = "due_on", .type = FIELD_DATE},
    {.name = "done_on", .type = FIELD_DATE},
};
static const struct field risk_fields[] = {
    {.name = "level", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = VALUES("low", "medium", "high")},
    {.name = "text", .type = FIELD_TEXT, .max = 4000},
};
/* A date has no zone here: nothing is late while it is still that day anywhere. */
#define TODAY_SQL "((now() at time zone 'UTC') - interval '12 hours')::date::text"
#define OPEN_MILESTONES_SQL "jsonb_array_elements(t.milestones) m where m ->> 'done_on' is null"
#define LATE_SQL \
    "(t.status in ('planned', 'active') and (coalesce(t.due_on::text < " TODAY_SQL ", false)" \
    " or exists (select 1 from " OPEN_MILESTONES_SQL " and m ->> 'due_on' < " TODAY_SQL ")))"
#define NEXT_SQL "(case when t.status in ('planned', 'active') then (select min(m ->> 'due_on') from " OPEN_MILESTONES_SQL ")::date end)"
static const struct field project_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 300, .about = "Name of the project."},
    {.name = "description", .type = FIELD_TEXT, .max = 10000, .about = "More about it."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("planned", "active", "done", "cancelled"), .preset = "\"planned\"", .about = "planned, active, done or cancelled."},
    {.name = "owner_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who answers for it."},
    {.name = "plan_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "plan", .about = "The account's plan that it belongs to."},
    {.name = "starts_on", .type = FIELD_DATE, .flags = F_FILTER, .about = "First day."},
    {.name = "due_on", .type = FIELD_DATE, .flags = F_FILTER | F_SORT, .about = "Day by which it is done."},
    {.name = "milestones", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(milestone_fields), .preset = "[]", .about = "(004-29)"},
    {.name = "risk", .type = FIELD_DOC, .shape = SHAPE(risk_fields), .about = "What could go wrong; null: nobody has looked."},
    {.name = "late", .type = FIELD_BOOL, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .column = LATE_SQL, .about = "Planned or active, and it or a milestone that is not done is past its day."},
    {.name = "next_due_on", .type = FIELD_DATE, .flags = F_READ_ONLY, .column = NEXT_SQL, .about = "Of the milestones that are not done, the earliest day."},
};
static const struct expansion project_expansions[] = {
    {.name = "owner", .target = RES_USER, .field = "owner_id"},
    {.name = "plan", .target = RES_PLAN, .field = "plan_id"},
};
static void project_check(const jv *doc, const char *at, struct err *err)
{
    rule_ordered(doc, "starts_on", "due_on", at, err);
}
const struct resource project_resource = {
    .id = RES_PROJECT, .name = "project", .path = "projects", .table = "project", FIELDS(project_fields), EXPANSIONS(project_expansions), .area = AREA_PLAN,
    .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .check = project_check, .about = "A major project with the customer (002-22, 004-29).",
};

static const struct field link_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 200, .about = "The organisation."},
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = VALUES("allied_of_customer", "allied_of_supplier"), .about = "Allied with the customer, or with us."},
    {.name = "linked_account_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "account", .about = "Its account, where it has one; then it is a unit of the whitespace."},
    {.name = "note", .type = FIELD_TEXT, .max = 2000, .about = "What the alliance is, and what could come of it."},
};
static const struct expansion link_expansions[] = {
    {.name = "linked_account", .target = RES_ACCOUNT, .field = "linked_account_id"},
};
static void link_check(const jv *doc, const char *at, struct err *err)
{
    struct str linked = jv_text(jv_get(doc, "linked_account_id"));
    if (linked.ptr && str_eq(linked, jv_text(jv_get(doc, "account_id"))))
        wrong(err, at, "linked_account_id", "itself", "An account is not allied with itself.");
}
const struct resource link_resource = {
    .id = RES_LINK, .name = "link", .path = "links", .table = "link", FIELDS(link_fields), EXPANSIONS(link_expansions), .area = AREA_PROFILE,
    .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .check = link_check, .about = "An allied organisation, theirs or ours, over which business can grow (000-06).",
};
/* clang-format on */
