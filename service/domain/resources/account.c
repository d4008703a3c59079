/* Descriptor of accounts: customers, and units of customers. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
#define LEVELS VALUES("global", "regional", "national", "sub_regional")
static const struct field division_fields[] = {
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = VALUES("geographic", "cultural", "market", "potential")},
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 200},
};
static const struct field customer_plan_fields[] = {
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = VALUES("expansion", "relocation", "direction", "other")},
    {.name = "text", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 4000},
    {.name = "learned_on", .type = FIELD_DATE},
    {.name = "source_contact_id", .type = FIELD_ID, .ref = "contact"},
};
static const struct field cadence_fields[] = {
    {.name = "channel", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = CHANNELS},
    {.name = "every", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = VALUES("monthly", "quarterly", "semiannual", "annual")},
    {.name = "note", .type = FIELD_TEXT, .max = 500},
};
static const struct field address_fields[] = {
    {.name = "street", .type = FIELD_TEXT, .max = 300},
    {.name = "city", .type = FIELD_TEXT, .max = 200},
    {.name = "region", .type = FIELD_TEXT, .max = 200},
    {.name = "postal_code", .type = FIELD_TEXT, .max = 40},
};
#define ABOUT_STATUS "Derived: see /v1/accounts/{id}/key-status."
static const struct field standalone_fields[] = {
    {.name = "reason", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000, .about = "Why it is treated as a customer of its own."},
};
static const struct field account_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS,
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED | F_FILTER | F_SORT | F_SEARCH, .min = 1, .max = 200, .about = "What the customer is called."},
    {.name = "account_number", .type = FIELD_TEXT, .flags = F_FILTER | F_SEARCH, .min = 1, .max = 64, .about = "Unique among accounts."},
    {.name = "domain", .type = FIELD_TEXT, .flags = F_FILTER, .max = 253, .check = check_domain, .about = "Internet domain; recognises callers by their address (001-04)."},
    {.name = "phones", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER, .max = 20, .check = check_phone, .preset = "[]", .about = "E.164."},
    {.name = "emails", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER, .max = 20, .check = check_email, .preset = "[]", .about = "Shared addresses of the customer."},
    {.name = "industry", .type = FIELD_TEXT, .flags = F_FILTER, .max = 100, .about = "Line of business."},
    {.name = "currency_code", .type = FIELD_TEXT, .max = 3, .check = check_currency, .about = "ISO 4217."},
    {.name = "country_code", .type = FIELD_TEXT, .flags = F_FILTER, .max = 2, .check = check_country, .about = "ISO 3166-1 alpha-2."},
    {.name = "address", .type = FIELD_DOC, .shape = SHAPE(address_fields), .about = "Where the customer is."},
    {.name = "lifecycle", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("prospect", "customer", "former"), .preset = "\"customer\"",
     .about = "Only an existing customer can become a key account (002-11)."},
    {.name = "custom", .type = FIELD_MAP, .flags = F_NOT_NULL, .preset = "{}", .max = 100, .about = "Typed custom fields, defined at /v1/custom-fields; `custom.<name>` filters."},
    {.name = "parent_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "account", .about = "The account above; levels strictly descend (004-05)."},
    {.name = "level", .type = FIELD_ENUM, .flags = F_FILTER, .values = LEVELS, .about = "Place in the customer's own organisation (004-05)."},
    {.name = "division", .type = FIELD_DOC, .shape = SHAPE(division_fields), .about = "How the customer divides itself; not always by geography (004-09)."},
    {.name = "standalone", .type = FIELD_DOC, .shape = SHAPE(standalone_fields), .about = "Set by a director: it, and what is below it, is a customer of its own, though it lies below another account."},
    {.name = "manager_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Exactly one accountable key account manager (003-05)."},
    {.name = "sponsor_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Executive sponsor (000-14)."},
    {.name = "delegate_id", .type = FIELD_ID, .ref = "user", .about = "Covers during absence (003-09)."},
    {.name = "delegate_until", .type = FIELD_TIME, .about = "When the cover ends."},
    {.name = "sales_cycle", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("relational", "mixed", "transactional"), .about = "Where it is transactional, key account management does not work (000-02)."},
    {.name = "business_model", .type = FIELD_TEXT, .max = 10000, .about = "What they do (001-14)."},
    {.name = "revenue_model", .type = FIELD_TEXT, .max = 10000, .about = "How they make money (001-14)."},
    {.name = "our_contribution", .type = FIELD_TEXT, .max = 10000, .about = "How we help them do it (001-14)."},
    {.name = "customer_plans", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(customer_plan_fields), .preset = "[]", .about = "Expanding, moving, changing direction (001-15)."},
    {.name = "contact_preference", .type = FIELD_DOC, .shape = &contact_preference_shape, .about = "Their wish beats our cadence (001-11)."},
    {.name = "cadence", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 10, .shape = SHAPE(cadence_fields), .preset = "[]", .about = "What was promised (001-10)."},
    {.name = "tier", .type = FIELD_ENUM, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .column = "s.tier", .values = VALUES("A", "B", "C"), .about = ABOUT_STATUS},
    {.name = "key_status", .type = FIELD_ENUM, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .column = "s.key_status",
     .values = VALUES("none", "candidate", "key", "at_risk", "divesting", "divested"), .about = ABOUT_STATUS},
    {.name = "score", .type = FIELD_DECIMAL, .flags = F_READ_ONLY | F_FILTER | F_SORT, .column = "s.score", .area = AREA_ECONOMICS, .max = 4, .about = ABOUT_STATUS},
    {.name = "score_rank", .type = FIELD_INT, .flags = F_READ_ONLY, .column = "s.score_rank", .area = AREA_ECONOMICS, .about = "As of the last full evaluation."},
    {.name = "customer_id", .type = FIELD_ID, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .column = "s.customer_id",
     .about = "The account at the top of the customer that this one is a unit of; its own id where it is no unit. A customer is scored, ranked and counted once, with all its units, and they show its tier and key_status."},
    {.name = "key_account_id", .type = FIELD_ID, .flags = F_READ_ONLY | F_FILTER, .column = "(case when s.key_status in ('key', 'at_risk') then s.customer_id end)",
     .about = "The key account that it is, or is a unit of; null: none."},
    {.name = "key_since", .type = FIELD_TIME, .flags = F_READ_ONLY, .column = "s.key_since", .about = "Since when it is a key account."},
    {.name = "health", .type = FIELD_INT, .flags = F_READ_ONLY, .column = "s.health", .area = AREA_ECONOMICS, .about = "0 to 100; null until it is known."},
};
static const struct expansion account_expansions[] = {
    {.name = "contacts", .target = RES_CONTACT, .field = "account_id", .reverse = true, .many = true},
    {.name = "plan", .target = RES_PLAN, .field = "account_id", .reverse = true, .where = "t.status = 'active'"},
    {.name = "manager", .target = RES_USER, .field = "manager_id"},
    {.name = "sponsor", .target = RES_USER, .field = "sponsor_id"},
    {.name = "parent", .target = RES_ACCOUNT, .field = "parent_id"},
};
static void account_check(const jv *doc, const char *at, struct err *err)
{
    if (jv_kind(jv_get(doc, "delegate_until")) == JV_TEXT && jv_is_null(jv_get(doc, "delegate_id")))
        rule_broken(at, "delegate_until", "incomplete", "Cover needs a delegate_id.", err);
}
const struct resource account_resource = {
    .id = RES_ACCOUNT, .name = "account", .path = "accounts", .table = "account", .join = "join account_status s on s.account_id = t.id",
    .join_id = "s.account_id", .derived_version = "s.version", FIELDS(account_fields), EXPANSIONS(account_expansions), .area = AREA_PROFILE,
    .flags = R_CACHED | R_SYNC | R_CUSTOM, .check = account_check, .about = "An existing customer, or one unit of it.",
};
/* clang-format on */
