/* Descriptor of the sections of a plan, which follow its template. */
#include "fields.h"

#include <stdio.h>

/* clang-format off */
static const struct field contributor_fields[] = {
    {.name = "function", .type = FIELD_TEXT, .min = 1, .max = 100},
    {.name = "user_id", .type = FIELD_ID, .ref = "user"},
    {.name = "due_on", .type = FIELD_DATE},
};
/* Without a day nobody is late. */
static const struct field overdue_fields[] = {
    {.name = "function", .type = FIELD_TEXT, .min = 1, .max = 100},
    {.name = "user_id", .type = FIELD_ID, .ref = "user"},
    {.name = "due_on", .type = FIELD_DATE, .flags = F_REQUIRED},
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
    {.name = "overdue", .type = FIELD_DOCS, .flags = F_READ_ONLY | F_NOT_NULL, .max = 50, .shape = SHAPE(overdue_fields), .column = OVERDUE_SQL, .about = "Contributors whose day is over while the section is not complete."},
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
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "required", "Give a function or a user_id.");
    }
}
const struct resource plan_section_resource = {
    .id = RES_PLAN_SECTION, .name = "plan_section", .path = "sections", .table = "plan_section", FIELDS(plan_section_fields), OF_ACCOUNT(AREA_PLAN, 0), .check = plan_section_check, .about = "One of the sections a to h of a plan's single template (004-15 to 004-23).",
};
/* clang-format on */
