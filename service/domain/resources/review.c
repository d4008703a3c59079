/* Descriptor of reviews: the regular meetings about an account, with ratings and decisions. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
#define CADENCES VALUES("monthly", "quarterly", "semiannual", "annual")
#define EXPECTATIONS                                                                               \
    VALUES("responsible_for_results", "understands_business", "on_our_side", "right_applications", \
           "accessible", "solves_problems", "creative")
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
    {.name = "customer", .type = FIELD_INT, .flags = F_READ_ONLY, .min = 1, .max = 5, .about = "The customer's rating."},
    {.name = "internal", .type = FIELD_INT, .flags = F_READ_ONLY, .min = 1, .max = 5, .about = "Our own."},
    {.name = "gap", .type = FIELD_INT, .flags = F_READ_ONLY, .min = -4, .max = 4, .about = "Ours less theirs: above zero, we think better of ourselves than they do."},
    {.name = "customer_before", .type = FIELD_INT, .flags = F_READ_ONLY, .min = 1, .max = 5},
    {.name = "gap_before", .type = FIELD_INT, .flags = F_READ_ONLY, .min = -4, .max = 4},
    {.name = "trend", .type = FIELD_INT, .flags = F_READ_ONLY, .min = -4, .max = 4, .about = "Of the customer's rating, against the one before."},
};
#define RESULT_SQL "expectation_result(t.account_id, t.expectations, t.id, t.held_at)"
#define FOLLOW_UPS_SQL "array(select f.id::text from follow_up f where f.review_id = t.id and f.deleted_at is null order by f.id)"
static const struct field review_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "plan_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "plan", .about = "The plan that is reviewed."},
    {.name = "cadence", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = CADENCES, .about = "How often the account is reviewed; the next review falls due by it (004-32)."},
    {.name = "due_on", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "A date of the local calendar of time_zone."},
    {.name = "time_zone", .type = FIELD_TEXT, .flags = F_NOT_NULL, .min = 1, .max = 64, .check = check_zone, .preset = "\"UTC\"", .about = "IANA name."},
    {.name = "held_at", .type = FIELD_TIME, .about = "When it took place."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("scheduled", "held", "missed", "cancelled"), .preset = "\"scheduled\"", .about = "scheduled, held, missed or cancelled."},
    {.name = "participants", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(participant_fields), .preset = "[]", .about = "Who takes part, of ours and of theirs."},
    {.name = "findings", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(finding_fields), .preset = "[]", .about = "What was found, and who takes care of it (002-26)."},
    {.name = "decisions", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(decision_fields), .preset = "[]", .about = "Impact on the customer is mandatory (000-30)."},
    {.name = "expectations", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 7, .shape = SHAPE(expectation_fields), .preset = "[]", .about = "The seven buyer expectations (003-12)."},
    {.name = "outcome", .type = FIELD_ENUM, .values = VALUES("keep", "adapt", "replace"), .about = "What becomes of the plan: kept, adapted, or closed to make room for another one (004-33)."},
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
    .id = RES_REVIEW, .name = "review", .path = "reviews", .table = "review", FIELDS(review_fields), EXPANSIONS(review_expansions), OF_ACCOUNT(AREA_REVIEWS, R_SYNC), .about = "The regular follow-up of an account.",
};
/* clang-format on */
