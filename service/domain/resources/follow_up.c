/* Descriptor of follow-ups: what somebody has to do by a day. */
#include "domain/check.h"
#include "domain/recurrence.h"
#include "fields.h"

/* clang-format off */
static const struct field follow_up_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 300, .about = "What is to be done."},
    {.name = "description", .type = FIELD_TEXT, .max = 10000, .about = "More about it."},
    {.name = "assignee_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who does it."},
    {.name = "due_at", .type = FIELD_TIME, .flags = F_FILTER | F_SORT | F_MADE, .about = "When it falls due. Given, or made of due_on and time_zone; beside due_on it must say the same (422, contradiction)."},
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
    {.name = "missed_occurrences", .type = FIELD_INT, .flags = F_READ_ONLY | F_NOT_NULL, .about = "Occurrences just before this one that passed without being opened: of several, only the latest one is."},
};
static const struct expansion follow_up_expansions[] = {
    {.name = "account", .target = RES_ACCOUNT, .field = "account_id"},
    {.name = "assignee", .target = RES_USER, .field = "assignee_id"},
    {.name = "contact", .target = RES_CONTACT, .field = "contact_id"},
};
static void follow_up_check(const jv *doc, const char *at, struct err *err)
{
    const jv *due_at = jv_get(doc, "due_at"), *due_on = jv_get(doc, "due_on"), *zone = jv_get(doc, "time_zone");
    if (jv_kind(due_at) != JV_TEXT && jv_kind(due_on) != JV_TEXT)
        rule_broken(at, "due_at", "required", "Give due_at, or due_on with time_zone.", err);
    if (jv_kind(due_on) == JV_TEXT && jv_kind(zone) != JV_TEXT)
        rule_broken(at, "time_zone", "required", "due_on needs the time_zone in which the day begins.", err);
}
static bool said(const jv *doc, const char *name) { return jv_kind(jv_get(doc, name)) == JV_TEXT; }
/* Of the date and the instant, what a change does not say is made of the other, which it moves: the one that says no longer when is null. */
static void follow_up_follow(const jv *current, const jv *given, jv *doc)
{
    bool moved_at = !jv_equal(jv_get(current, "due_at"), jv_get(doc, "due_at"));
    bool moved_on = !jv_equal(jv_get(current, "due_on"), jv_get(doc, "due_on"));
    bool moved_zone = !jv_equal(jv_get(current, "time_zone"), jv_get(doc, "time_zone"));
    if (!said(doc, "due_on"))
        return;
    if (said(given, "due_at") && !said(given, "due_on") && (moved_at || moved_zone))
        jv_set(doc, "due_on", jv_new_null());
    else if (!said(given, "due_at") && (moved_on || moved_zone))
        jv_set(doc, "due_at", jv_new_null());
}
const struct resource follow_up_resource = {
    .id = RES_FOLLOW_UP, .name = "follow_up", .path = "follow-ups", .table = "follow_up", FIELDS(follow_up_fields), EXPANSIONS(follow_up_expansions),
    OF_ACCOUNT(AREA_REVIEWS, R_SYNC), .check = follow_up_check, .follow = follow_up_follow, .about = "Something to do at a time; its due time makes exactly one event.",
};
/* clang-format on */
