/* Descriptor of users: our own people. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
static const struct field user_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS,
    {.name = "subject", .type = FIELD_TEXT, .flags = F_FILTER | F_ADMIN, .min = 1, .max = 255,
     .about = "The identity provider's `sub` of this person: whoever signs in with it is this person, so only admins set or change it. Others may repeat it."},
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED | F_FILTER | F_SORT | F_SEARCH, .min = 1, .max = 200, .about = "The person's name."},
    {.name = "email", .type = FIELD_TEXT, .flags = F_FILTER, .max = 254, .check = check_email, .about = "Business address."},
    {.name = "title", .type = FIELD_TEXT, .max = 200, .about = "Job title."},
    {.name = "function", .type = FIELD_TEXT, .flags = F_FILTER, .max = 100, .about = "Marketing, finance, production, ... (004-07)."},
    {.name = "manager_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Whom the person reports to; nobody is above themselves, at any distance."},
    {.name = "capacity", .type = FIELD_INT, .min = 0, .max = 10000, .about = "Key accounts that the person can carry; null: no limit (001-09)."},
    {.name = "visit_days", .type = FIELD_INT, .min = 0, .max = 366, .about = "Days a year that the person can be with customers; null: unknown (001-09)."},
    {.name = "active", .type = FIELD_BOOL, .flags = F_NOT_NULL | F_FILTER, .preset = "true", .about = "False: has left, and takes on nothing new. Who still answers for something is kept from leaving: see POST /v1/users/{id}/deactivate."},
};
const struct resource user_resource = {
    .id = RES_USER, .name = "user", .path = "users", .table = "app_user", FIELDS(user_fields), .area = AREA_PROFILE, .flags = R_SYNC,
    .about = "A person of ours: account manager, sponsor, team member.",
};
/* clang-format on */
