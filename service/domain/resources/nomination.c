/* Descriptor of nominations: how a region or a manager asks for a place on the list of key
 * accounts (001-08). */
#include "fields.h"

/* clang-format off */
static const struct field nomination_fields[] = {
    FIELDS_COMMON, FIELD_ACCOUNT,
    {.name = "region", .type = FIELD_TEXT, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .min = 1, .max = 100, .about = "Who nominates: a region, division or country. One open nomination for each account and region."},
    {.name = "reason", .type = FIELD_TEXT, .flags = F_REQUIRED | F_CREATE_ONLY, .min = 1, .max = 2000, .about = "Why the account should be key, by the one set of criteria or beyond it."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .values = VALUES("open", "accepted", "declined", "withdrawn"), .about = "accepted: the account became a key account."},
    {.name = "nominated_by", .type = FIELD_TEXT, .flags = F_READ_ONLY, .max = 64, .about = "Who sent it."},
    {.name = "decided_at", .type = FIELD_TIME, .flags = F_READ_ONLY, .about = "When it was accepted, declined or withdrawn."},
    {.name = "decided_by", .type = FIELD_TEXT, .flags = F_READ_ONLY, .max = 64, .about = "Who accepted, declined or withdrew it."},
    {.name = "decision_reason", .type = FIELD_TEXT, .flags = F_READ_ONLY, .max = 2000, .about = "Why it was declined."},
};
static const struct expansion nomination_expansions[] = {
    {.name = "account", .target = RES_ACCOUNT, .field = "account_id"},
};
const struct resource nomination_resource = {
    .id = RES_NOMINATION,
    .name = "nomination",
    .path = "program/nominations",
    .table = "nomination",
    FIELDS(nomination_fields),
    EXPANSIONS(nomination_expansions),
    OF_ACCOUNT(AREA_PROFILE, 0),
    .about = "A region's or manager's proposal of a key account (001-08).",
};
/* clang-format on */
