/* Descriptor of commitments: what we promised a customer. */
#include "domain/check.h"
#include "fields.h"

#include <stdio.h>

/* clang-format off */
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
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "required", "renegotiated needs the day that was agreed instead.");
    else if (!renegotiated && day.ptr)
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "not_here", "belongs to status renegotiated only");
    else if (renegotiated)
        rule_ordered(doc, "due_on", "new_due_on", at, err);
}
const struct resource commitment_resource = {
    .id = RES_COMMITMENT, .name = "commitment", .path = "commitments", .table = "commitment", FIELDS(commitment_fields), EXPANSIONS(commitment_expansions),
    OF_ACCOUNT(AREA_INTERACTIONS, R_NESTED | R_SYNC), .check = commitment_check, .about = "A promise to the customer, and what became of it (000-15).",
};
/* clang-format on */
