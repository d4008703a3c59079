/* Descriptor of major projects with a customer. */
#include "fields.h"

/* clang-format off */
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
    {.name = "milestones", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(milestone_fields), .preset = "[]", .about = "Steps of the project, each with the day it is due and the day it was done (004-29)."},
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
    .id = RES_PROJECT, .name = "project", .path = "projects", .table = "project", FIELDS(project_fields), EXPANSIONS(project_expansions), OF_ACCOUNT(AREA_PLAN, R_NESTED | R_SYNC), .check = project_check, .about = "A major project with the customer (002-22, 004-29).",
};
/* clang-format on */
