/* Descriptor of interactions: visits, calls and messages between us and a customer. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
static const struct field question_fields[] = {
    {.name = "q", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000},
    {.name = "a", .type = FIELD_TEXT, .max = 4000},
};
static const struct field interaction_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER,
     .values = VALUES("visit", "call", "meeting", "email", "complaint", "suggestion", "inquiry", "service_call"), .about = "What it was."},
    {.name = "channel", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = VALUES("web", "in_person", "phone", "email", "video"), .about = "By which way we were in touch (000-31)."},
    {.name = "direction", .type = FIELD_ENUM, .flags = F_FILTER | F_MADE, .values = VALUES("inbound", "outbound"), .about = "Who got in touch: the customer (inbound) or we. Absent: inbound for a complaint, a suggestion, an inquiry and a service call. A complaint, and the other three when they are inbound, are no contact that we made: attention, cadence, health and last interactions leave them out."},
    {.name = "occurred_at", .type = FIELD_TIME, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "When it happened; at most a day ahead. A planned visit is a follow-up."},
    {.name = "contact_ids", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 50, .ref = "contact", .check = check_uuid, .preset = "[]", .about = "Who of the customer took part."},
    {.name = "user_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who of us took part."},
    {.name = "subject", .type = FIELD_TEXT, .flags = F_SEARCH, .max = 300, .about = "What it was about."},
    {.name = "notes", .type = FIELD_TEXT, .max = 20000, .about = "What was said."},
    {.name = "approach", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("conversation", "presentation"), .about = "Whether we talked with them, or presented to them (000-33)."},
    {.name = "questions", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(question_fields), .preset = "[]", .about = "Asked and answered; nobody asks twice (000-34, 001-12)."},
    {.name = "sentiment", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("positive", "neutral", "negative"), .about = "How it went."},
    {.name = "order_taking", .type = FIELD_BOOL, .flags = F_NOT_NULL | F_FILTER, .preset = "false", .about = "Does not count as attention (003-01)."},
    {.name = "tags", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER | F_FOLDED, .max = 50, .check = check_tag, .preset = "[]", .about = "Words to find it by, kept as written; trends come from them (001-18). `Larger pallets` is found by `larger-pallets`, too: case, accents and what stands between words make no difference."},
    {.name = "need_ids", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER | F_SAME_ACCOUNT, .max = 50, .ref = "need", .check = check_uuid, .preset = "[]", .about = "The account's needs that it was about (000-35)."},
};
static const struct expansion interaction_expansions[] = {
    {.name = "user", .target = RES_USER, .field = "user_id"},
};
const struct resource interaction_resource = {
    .id = RES_INTERACTION, .name = "interaction", .path = "interactions", .table = "interaction", FIELDS(interaction_fields), EXPANSIONS(interaction_expansions),
    OF_ACCOUNT(AREA_INTERACTIONS, R_NESTED | R_SYNC), .about = "A visit, call, meeting, complaint, ...",
};
/* clang-format on */
