/* Descriptor of needs: what a customer needs, said or not. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
#define SOLUTIONS_SQL "array(select s.id::text from solution s where s.account_id = t.account_id and s.deleted_at is null and t.id::text = any (s.need_ids) order by s.id)"
static const struct field need_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = VALUES("problem", "growth", "expectation", "challenge"), .about = "What sort of need it is (000-35, 002-13)."},
    {.name = "depth", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("stated", "real", "unstated", "delight", "secret"), .preset = "\"stated\"",
     .about = "What they say, what they mean, what they take for granted, what would delight them, what they do not say (003-11, 003-15)."},
    {.name = "horizon", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("now", "future"), .preset = "\"now\"", .about = "Whether they have it now, or will have it (000-39)."},
    {.name = "in_scope", .type = FIELD_BOOL, .flags = F_NOT_NULL | F_FILTER, .preset = "true", .about = "Whether our products can meet it. What they cannot is still tracked and answered (001-16)."},
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 300, .about = "In a few words."},
    {.name = "description", .type = FIELD_TEXT, .max = 10000, .about = "More about it."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("stated", "diagnosed", "prescribed", "resolved"), .preset = "\"stated\"",
     .about = "Only forward; prescribed and resolved only after diagnosed (003-10)."},
    {.name = "contact_id", .type = FIELD_ID, .flags = F_FILTER | F_SAME_ACCOUNT, .ref = "contact", .about = "Whose need it is; who works on it with us."},
    {.name = "owner_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who of us answers for it."},
    {.name = "tags", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER | F_FOLDED, .max = 50, .check = check_tag, .preset = "[]", .about = "Words to find it by, kept as written. `Larger pallets` is found by `larger-pallets`, too: case, accents and what stands between words make no difference."},
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
    .id = RES_NEED, .name = "need", .path = "needs", .table = "need", FIELDS(need_fields), EXPANSIONS(need_expansions), OF_ACCOUNT(AREA_INTERACTIONS, R_NESTED | R_SYNC), .about = "What a customer needs, also outside of what we sell (001-16, 002-13).",
};
/* clang-format on */
