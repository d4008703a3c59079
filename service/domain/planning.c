/* Plans with their sections, reviews, follow-ups. */
#include "domain/check.h"
#include "domain/recurrence.h"
#include "fields.h"

#include <stdio.h>

#define EXPECTATIONS                                                                               \
    VALUES("responsible_for_results", "understands_business", "on_our_side", "right_applications", \
           "accessible", "solves_problems", "creative")
#define CADENCES VALUES("monthly", "quarterly", "semiannual", "annual")

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
    {.name = "period_start", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "First day of the period."},
    {.name = "period_end", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER, .about = "Last day of the period."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .values = VALUES("draft", "active", "closed"), .about = "Moves by actions only."},
    {.name = "version_no", .type = FIELD_INT, .flags = F_READ_ONLY | F_NOT_NULL, .about = "Number of the last version, made by an activation or an adaptation; 0: none yet."},
    {.name = "changed_since_version", .type = FIELD_BOOL, .flags = F_READ_ONLY | F_NOT_NULL, .about = "The working copy was changed since the last version."},
    {.name = "template_version", .type = FIELD_INT, .flags = F_READ_ONLY | F_NOT_NULL, .about = "Version of the single template that the sections are in (004-15)."},
    {.name = "company_strategy", .type = FIELD_TEXT, .max = 20000, .about = "Each company's overall strategy the plan builds on (004-10)."},
    {.name = "client_strategy", .type = FIELD_TEXT, .max = 20000, .about = "The client's own strategy that the plan builds on (004-10)."},
    {.name = "objectives", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(objective_fields), .preset = "[]", .about = "(004-02)"},
    {.name = "win_win", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(win_win_fields), .preset = "[]", .about = "(000-08)"},
    {.name = "opportunities", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 200, .shape = SHAPE(opportunity_fields), .preset = "[]", .about = "(000-03, 000-04, 000-05)"},
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
    .id = RES_PLAN, .name = "plan", .path = "plans", .table = "plan", .derived_version = "t.derived_version", FIELDS(plan_fields), EXPANSIONS(plan_expansions), .area = AREA_PLAN,
    .flags = R_ACCOUNT_SCOPED | R_CACHED | R_SYNC, .check = plan_check, .about = "The strategic plan of one account for a period (004-10).",
};

static const struct field contributor_fields[] = {
    {.name = "function", .type = FIELD_TEXT, .min = 1, .max = 100},
    {.name = "user_id", .type = FIELD_ID, .ref = "user"},
    {.name = "due_on", .type = FIELD_DATE},
};
/* A due date has no zone here: nobody is late while it is still that day anywhere. */
#define OVERDUE_SQL \
    "(select coalesce(jsonb_agg(c order by c ->> 'due_on'), '[]') from jsonb_array_elements(t.contributors) c" \
    " where t.state <> 'complete' and c ->> 'due_on' < ((now() at time zone 'UTC') - interval '12 hours')::date::text)"
#define STALE_SQL "(t.updated_at < now() - make_interval(days => (select section_stale_days from program_settings)))"
static const struct field plan_section_fields[] = {
    FIELDS_COMMON, FIELD_ACCOUNT,
    {.name = "plan_id", .type = FIELD_ID, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .ref = "plan"},
    {.name = "section", .type = FIELD_ENUM, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER,
     .values = VALUES("competitive_environment", "contacts_and_decisions", "negotiations", "leader_perceptions", "values_beliefs", "capabilities", "strategies", "internal_processes"), .about = "Which of the eight."},
    {.name = "state", .type = FIELD_ENUM, .flags = F_NOT_NULL, .values = VALUES("empty", "in_progress", "complete"), .preset = "\"empty\"", .about = "How far it is filled in."},
    {.name = "content", .type = FIELD_MAP, .flags = F_NOT_NULL | F_UNCHECKED, .max = 200, .preset = "{}", .about = "What the section holds. Members that the template names have its type; others are free. `other` keeps what vanished from the template."},
    {.name = "contributors", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(contributor_fields), .preset = "[]", .about = "Who fills it, a person or a function, by when (004-11)."},
    {.name = "overdue", .type = FIELD_DOCS, .flags = F_READ_ONLY | F_NOT_NULL, .max = 50, .shape = SHAPE(contributor_fields), .column = OVERDUE_SQL, .about = "Contributors whose day is over while the section is not complete."},
    {.name = "stale", .type = FIELD_BOOL, .flags = F_READ_ONLY | F_NOT_NULL, .column = STALE_SQL, .about = "Not written for the program's section_stale_days."},
};
static void plan_section_check(const jv *doc, const char *at, struct err *err)
{
    const jv *contributors = jv_get(doc, "contributors");
    for (size_t i = 0; i < jv_len(contributors); i++) {
        const jv *one = jv_at(contributors, i);
        char where[128];
        if (jv_text(jv_get(one, "function")).ptr || jv_text(jv_get(one, "user_id")).ptr)
            continue;
        snprintf(where, sizeof where, "%s/contributors/%zu/function", at, i);
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "required", "Give a function or a user_id.");
    }
}
const struct resource plan_section_resource = {
    .id = RES_PLAN_SECTION, .name = "plan_section", .path = "sections", .table = "plan_section", FIELDS(plan_section_fields), .area = AREA_PLAN,
    .flags = R_ACCOUNT_SCOPED, .check = plan_section_check, .about = "One of the sections a to h of a plan's single template (004-15 to 004-23).",
};

static const struct field participant_fields[] = {
    {.name = "user_id", .type = FIELD_ID, .ref = "user"},
    {.name = "contact_id", .type = FIELD_ID, .ref = "contact"},
    {.name = "name", .type = FIELD_TEXT, .max = 200},
};
static const struct field finding_fields[] = {
    {.name = "text", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 4000},
    {.name = "owner_id", .type = FIELD_ID, .ref = "user"},
};
static const struct field decision_fields[] = {
    {.name = "text", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 4000},
    {.name = "customer_impact", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = VALUES("positive", "neutral", "negative")},
    {.name = "note", .type = FIELD_TEXT, .max = 2000},
};
static const struct field expectation_fields[] = {
    {.name = "expectation", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = EXPECTATIONS},
    {.name = "customer", .type = FIELD_INT, .min = 1, .max = 5},
    {.name = "internal", .type = FIELD_INT, .min = 1, .max = 5},
};
static const struct field expectation_gap_fields[] = {
    {.name = "expectation", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = EXPECTATIONS},
    {.name = "customer", .type = FIELD_INT, .min = 1, .max = 5, .about = "The customer's rating."},
    {.name = "internal", .type = FIELD_INT, .min = 1, .max = 5, .about = "Our own."},
    {.name = "gap", .type = FIELD_INT, .min = -4, .max = 4, .about = "Ours less theirs: above zero, we think better of ourselves than they do."},
    {.name = "customer_before", .type = FIELD_INT, .min = 1, .max = 5},
    {.name = "gap_before", .type = FIELD_INT, .min = -4, .max = 4},
    {.name = "trend", .type = FIELD_INT, .min = -4, .max = 4, .about = "Of the customer's rating, against the one before."},
};
#define RESULT_SQL "expectation_result(t.account_id, t.expectations, t.id, t.held_at)"
#define FOLLOW_UPS_SQL "array(select f.id::text from follow_up f where f.review_id = t.id and f.deleted_at is null order by f.id)"
static const struct field review_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "plan_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "plan", .about = "The plan that is reviewed."},
    {.name = "cadence", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = CADENCES, .about = "(004-32)"},
    {.name = "due_on", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "A date of the local calendar of time_zone."},
    {.name = "time_zone", .type = FIELD_TEXT, .flags = F_NOT_NULL, .min = 1, .max = 64, .check = check_zone, .preset = "\"UTC\"", .about = "IANA name."},
    {.name = "held_at", .type = FIELD_TIME, .about = "When it took place."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("scheduled", "held", "missed", "cancelled"), .preset = "\"scheduled\"", .about = "scheduled, held, missed or cancelled."},
    {.name = "participants", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(participant_fields), .preset = "[]", .about = "Who takes part, of ours and of theirs."},
    {.name = "findings", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(finding_fields), .preset = "[]", .about = "(002-26)"},
    {.name = "decisions", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(decision_fields), .preset = "[]", .about = "Impact on the customer is mandatory (000-30)."},
    {.name = "expectations", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 7, .shape = SHAPE(expectation_fields), .preset = "[]", .about = "The seven buyer expectations (003-12)."},
    {.name = "outcome", .type = FIELD_ENUM, .values = VALUES("keep", "adapt", "replace"), .about = "(004-33)"},
    {.name = "notes", .type = FIELD_TEXT, .max = 20000, .about = "Free text."},
    {.name = "expectation_gaps", .type = FIELD_DOCS, .flags = F_READ_ONLY | F_NOT_NULL, .max = 7, .shape = SHAPE(expectation_gap_fields), .column = "(case when t.expectations = '[]' then '[]' else " RESULT_SQL " -> 'items' end)", .about = "All seven with gap and trend; empty without ratings (003-12)."},
    {.name = "weakest_expectation", .type = FIELD_ENUM, .flags = F_READ_ONLY, .values = EXPECTATIONS, .column = "(case when t.expectations <> '[]' then " RESULT_SQL " ->> 'weakest' end)", .about = "The lowest rating by the customer; of equal ones that with the widest gap."},
    {.name = "anchor_on", .type = FIELD_DATE, .flags = F_READ_ONLY, .about = "The series counts its dates from here, so that the 31st is not forgotten in February."},
    {.name = "previous_review_id", .type = FIELD_ID, .flags = F_READ_ONLY, .ref = "review", .about = "The review before in the series."},
    {.name = "next_review_id", .type = FIELD_ID, .flags = F_READ_ONLY, .ref = "review", .column = "(select n.id from review n where n.previous_review_id = t.id and n.deleted_at is null)", .about = "The next one; made when this one is held or missed."},
    {.name = "plan_version_no", .type = FIELD_INT, .flags = F_READ_ONLY, .column = "(select v.version_no from plan_version v where v.review_id = t.id)", .about = "The version of the plan that this review made, when it adapted it (004-33)."},
    {.name = "follow_up_ids", .type = FIELD_TEXTS, .flags = F_READ_ONLY | F_NOT_NULL, .max = 10000, .column = FOLLOW_UPS_SQL, .about = "Its follow-ups."},
};
static const struct expansion review_expansions[] = {
    {.name = "account", .target = RES_ACCOUNT, .field = "account_id"},
    {.name = "plan", .target = RES_PLAN, .field = "plan_id"},
};
const struct resource review_resource = {
    .id = RES_REVIEW, .name = "review", .path = "reviews", .table = "review", FIELDS(review_fields), EXPANSIONS(review_expansions), .area = AREA_REVIEWS,
    .flags = R_ACCOUNT_SCOPED | R_SYNC, .about = "The regular follow-up of an account.",
};

static const struct field follow_up_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 300, .about = "What is to be done."},
    {.name = "description", .type = FIELD_TEXT, .max = 10000, .about = "More about it."},
    {.name = "assignee_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who does it."},
    {.name = "due_at", .type = FIELD_TIME, .flags = F_FILTER | F_SORT | F_MADE, .about = "When it falls due. Given, or made from due_on and time_zone."},
    {.name = "due_on", .type = FIELD_DATE, .about = "Due when this day begins in time_zone."},
    {.name = "time_zone", .type = FIELD_TEXT, .min = 1, .max = 64, .check = check_zone, .about = "IANA name, for due_on."},
    {.name = "priority", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("low", "normal", "high"), .preset = "\"normal\"", .about = "How urgent it is."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("open", "done", "cancelled"), .preset = "\"open\"", .about = "open, done or cancelled."},
    {.name = "review_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "review", .about = "The review that it came from."},
    {.name = "plan_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "plan", .about = "The plan that it serves."},
    {.name = "contact_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "contact", .about = "Whom it concerns."},
    {.name = "need_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "need", .about = "The need that it is about (000-35)."},
    {.name = "project_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "project", .about = "The project that it belongs to (004-29)."},
    {.name = "recurrence", .type = FIELD_TEXT, .max = 300, .check = check_recurrence,
     .about = "How it comes again: an RRULE of RFC 5545, by the wall clock of time_zone, counted from the due time. BYMONTHDAY=-1 is the last day of a month (004-32)."},
    {.name = "kind", .type = FIELD_ENUM, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .values = VALUES("task", "stay_in_touch"),
     .about = "stay_in_touch: made by kamd from the account's cadence, and moved by each real interaction in that channel (001-10, 001-11)."},
    {.name = "channel", .type = FIELD_ENUM, .flags = F_READ_ONLY, .values = VALUES("web", "in_person", "phone", "email", "video"), .about = "Of stay_in_touch."},
    {.name = "completed_at", .type = FIELD_TIME, .flags = F_READ_ONLY, .about = "When it was done."},
    {.name = "completed_by", .type = FIELD_TEXT, .flags = F_READ_ONLY, .about = "Who said that it was done."},
    {.name = "completion_note", .type = FIELD_TEXT, .flags = F_READ_ONLY, .about = "What was said when it was done."},
    {.name = "revision", .type = FIELD_INT, .flags = F_READ_ONLY | F_NOT_NULL, .about = "Counts due times; each makes one follow_up.due event."},
    {.name = "series_id", .type = FIELD_ID, .flags = F_READ_ONLY | F_FILTER, .about = "The same for all occurrences of a series."},
    {.name = "occurrence_no", .type = FIELD_INT, .flags = F_READ_ONLY | F_NOT_NULL, .about = "Counts the occurrences of a series."},
};
static const struct expansion follow_up_expansions[] = {
    {.name = "account", .target = RES_ACCOUNT, .field = "account_id"},
    {.name = "assignee", .target = RES_USER, .field = "assignee_id"},
    {.name = "contact", .target = RES_CONTACT, .field = "contact_id"},
};
static void follow_up_check(const jv *doc, const char *at, struct err *err)
{
    const jv *due_at = jv_get(doc, "due_at"), *due_on = jv_get(doc, "due_on"), *zone = jv_get(doc, "time_zone");
    char where[128];
    if (jv_kind(due_at) != JV_TEXT && jv_kind(due_on) != JV_TEXT) {
        snprintf(where, sizeof where, "%s/due_at", at);
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "required", "Give due_at, or due_on with time_zone.");
    }
    if (jv_kind(due_on) == JV_TEXT && jv_kind(zone) != JV_TEXT) {
        snprintf(where, sizeof where, "%s/time_zone", at);
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "required", "due_on needs the time_zone in which the day begins.");
    }
}
const struct resource follow_up_resource = {
    .id = RES_FOLLOW_UP, .name = "follow_up", .path = "follow-ups", .table = "follow_up", FIELDS(follow_up_fields), EXPANSIONS(follow_up_expansions),
    .area = AREA_REVIEWS, .flags = R_ACCOUNT_SCOPED | R_SYNC, .check = follow_up_check, .about = "Something to do at a time; its due time makes exactly one event.",
};

static const struct field commitment_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "text", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 2000, .about = "What was promised (000-15)."},
    {.name = "made_to_contact_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "contact", .about = "Whom it was promised to."},
    {.name = "made_by_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who of us promised it."},
    {.name = "due_on", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "The day by which it is to be kept, of the calendar of time_zone."},
    {.name = "time_zone", .type = FIELD_TEXT, .flags = F_NOT_NULL, .min = 1, .max = 64, .check = check_zone, .preset = "\"UTC\"", .about = "IANA name."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("open", "kept", "broken", "renegotiated"), .preset = "\"open\"",
     .about = "Still open when the day and the grace days are over, it becomes broken by itself. renegotiated needs new_due_on, and makes the promise that takes its place."},
    {.name = "new_due_on", .type = FIELD_DATE, .about = "Of renegotiated: the day agreed instead, after due_on."},
    {.name = "note", .type = FIELD_TEXT, .max = 2000, .about = "How it went."},
    {.name = "settled_at", .type = FIELD_TIME, .flags = F_READ_ONLY, .about = "When it ceased to be open."},
    {.name = "renegotiated_from_id", .type = FIELD_ID, .flags = F_READ_ONLY | F_FILTER, .about = "The promise that this one took the place of."},
};
static const struct expansion commitment_expansions[] = {
    {.name = "made_to_contact", .target = RES_CONTACT, .field = "made_to_contact_id"},
    {.name = "made_by", .target = RES_USER, .field = "made_by_id"},
};
static void commitment_check(const jv *doc, const char *at, struct err *err)
{
    bool renegotiated = str_is(jv_text(jv_get(doc, "status")), "renegotiated");
    struct str day = jv_text(jv_get(doc, "new_due_on"));
    char where[128];
    snprintf(where, sizeof where, "%s/new_due_on", at);
    if (renegotiated && !day.ptr)
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "required", "renegotiated needs the day that was agreed instead.");
    else if (!renegotiated && day.ptr)
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "not_here", "belongs to status renegotiated only");
    else if (renegotiated)
        rule_ordered(doc, "due_on", "new_due_on", at, err);
}
const struct resource commitment_resource = {
    .id = RES_COMMITMENT, .name = "commitment", .path = "commitments", .table = "commitment", FIELDS(commitment_fields), EXPANSIONS(commitment_expansions),
    .area = AREA_INTERACTIONS, .flags = R_ACCOUNT_SCOPED | R_NESTED | R_SYNC, .check = commitment_check, .about = "A promise to the customer, and what became of it (000-15).",
};
/* clang-format on */
