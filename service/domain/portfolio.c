/* Users, accounts and contacts. */
#include "domain/check.h"
#include "fields.h"

#include <stdio.h>

#define LEVELS VALUES("global", "regional", "national", "sub_regional")
#define CHANNELS VALUES("web", "in_person", "phone", "email", "video")

/* clang-format off */
static const struct field user_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS,
    {.name = "subject", .type = FIELD_TEXT, .flags = F_FILTER | F_ADMIN, .min = 1, .max = 255,
     .about = "The identity provider's `sub` of this person: whoever signs in with it is this person, so only admins set or change it. Others may repeat it."},
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED | F_FILTER | F_SORT | F_SEARCH, .min = 1, .max = 200, .about = "The person's name."},
    {.name = "email", .type = FIELD_TEXT, .flags = F_FILTER, .max = 254, .check = check_email, .about = "Business address."},
    {.name = "title", .type = FIELD_TEXT, .max = 200, .about = "Job title."},
    {.name = "function", .type = FIELD_TEXT, .flags = F_FILTER, .max = 100, .about = "Marketing, finance, production, ... (004-07)."},
    {.name = "manager_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Whom the person reports to."},
    {.name = "capacity", .type = FIELD_INT, .min = 0, .max = 10000, .about = "Key accounts that the person can carry; null: no limit (001-09)."},
    {.name = "visit_days", .type = FIELD_INT, .min = 0, .max = 366, .about = "Days a year that the person can be with customers; null: unknown (001-09)."},
    {.name = "active", .type = FIELD_BOOL, .flags = F_NOT_NULL | F_FILTER, .preset = "true", .about = "False: has left; takes on nothing new."},
};
const struct resource user_resource = {
    .id = RES_USER, .name = "user", .path = "users", .table = "app_user", FIELDS(user_fields), .area = AREA_PROFILE, .flags = R_SYNC,
    .about = "A person of ours: account manager, sponsor, team member.",
};

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
static const struct field contact_preference_fields[] = {
    {.name = "channels", .type = FIELD_TEXTS, .max = 5, .values = CHANNELS},
    {.name = "min_days_between", .type = FIELD_INT, .min = 0, .max = 3660},
    {.name = "max_per_month", .type = FIELD_INT, .min = 0, .max = 100},
    {.name = "do_not_contact_until", .type = FIELD_DATE},
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
    {.name = "manager_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Exactly one accountable key account manager (003-05)."},
    {.name = "sponsor_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Executive sponsor (000-14)."},
    {.name = "delegate_id", .type = FIELD_ID, .ref = "user", .about = "Covers during absence (003-09)."},
    {.name = "delegate_until", .type = FIELD_TIME, .about = "When the cover ends."},
    {.name = "sales_cycle", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("relational", "mixed", "transactional"), .about = "Where it is transactional, key account management does not work (000-02)."},
    {.name = "business_model", .type = FIELD_TEXT, .max = 10000, .about = "What they do (001-14)."},
    {.name = "revenue_model", .type = FIELD_TEXT, .max = 10000, .about = "How they make money (001-14)."},
    {.name = "our_contribution", .type = FIELD_TEXT, .max = 10000, .about = "How we help them do it (001-14)."},
    {.name = "customer_plans", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(customer_plan_fields), .preset = "[]", .about = "Expanding, moving, changing direction (001-15)."},
    {.name = "contact_preference", .type = FIELD_DOC, .shape = SHAPE(contact_preference_fields), .about = "Their wish beats our cadence (001-11)."},
    {.name = "cadence", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 10, .shape = SHAPE(cadence_fields), .preset = "[]", .about = "What was promised (001-10)."},
    {.name = "tier", .type = FIELD_ENUM, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .column = "s.tier", .values = VALUES("A", "B", "C"), .about = ABOUT_STATUS},
    {.name = "key_status", .type = FIELD_ENUM, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .column = "s.key_status",
     .values = VALUES("none", "candidate", "key", "at_risk", "divesting", "divested"), .about = ABOUT_STATUS},
    {.name = "score", .type = FIELD_DECIMAL, .flags = F_READ_ONLY | F_FILTER | F_SORT, .column = "s.score", .area = AREA_ECONOMICS, .max = 4, .about = ABOUT_STATUS},
    {.name = "score_rank", .type = FIELD_INT, .flags = F_READ_ONLY, .column = "s.score_rank", .area = AREA_ECONOMICS, .about = "As of the last full evaluation."},
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
    if (jv_kind(jv_get(doc, "delegate_until")) == JV_TEXT && jv_is_null(jv_get(doc, "delegate_id"))) {
        char where[128];
        snprintf(where, sizeof where, "%s/delegate_until", at);
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "incomplete", "Cover needs a delegate_id.");
    }
}
const struct resource account_resource = {
    .id = RES_ACCOUNT, .name = "account", .path = "accounts", .table = "account", .join = "join standing s on s.account_id = t.id",
    .join_id = "s.account_id", .derived_version = "s.version", FIELDS(account_fields), EXPANSIONS(account_expansions), .area = AREA_PROFILE,
    .flags = R_CACHED | R_SYNC | R_CUSTOM, .check = account_check, .about = "An existing customer, or one unit of it.",
};

static const struct field influence_fields[] = {
    {.name = "contact_id", .type = FIELD_ID, .flags = F_REQUIRED, .ref = "contact"},
    {.name = "strength", .type = FIELD_INT, .flags = F_REQUIRED, .min = 0, .max = 100},
};
static const struct field contact_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "given_name", .type = FIELD_TEXT, .flags = F_PII | F_SEARCH, .max = 100, .about = "First name."},
    {.name = "family_name", .type = FIELD_TEXT, .flags = F_REQUIRED | F_PII | F_FILTER | F_SORT | F_SEARCH, .min = 1, .max = 100, .about = "Last name."},
    {.name = "title", .type = FIELD_TEXT, .max = 200, .about = "Job title."},
    {.name = "department", .type = FIELD_TEXT, .flags = F_FILTER, .max = 200, .about = "Where at the customer."},
    {.name = "email", .type = FIELD_TEXT, .flags = F_PII | F_FILTER, .max = 254, .check = check_email, .about = "Business address."},
    {.name = "phone", .type = FIELD_TEXT, .flags = F_PII | F_FILTER, .max = 20, .check = check_phone, .about = "E.164."},
    {.name = "decision_role", .type = FIELD_ENUM, .flags = F_FILTER,
     .values = VALUES("decision_maker", "influencer", "champion", "gatekeeper", "user", "blocker"), .about = "Part in decisions (004-17)."},
    {.name = "level", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("executive", "manager", "user"), .about = "Business people, not only users (000-36)."},
    {.name = "influence", .type = FIELD_INT, .flags = F_FILTER, .min = 0, .max = 100, .about = "0 to 100: weight in decisions (004-17)."},
    {.name = "disposition", .type = FIELD_ENUM, .flags = F_FILTER, .values = VALUES("advocate", "supporter", "neutral", "critic", "opponent"), .about = "How the person thinks of us."},
    {.name = "reports_to_id", .type = FIELD_ID, .flags = F_SAME_ACCOUNT, .ref = "contact", .about = "The person's superior, another contact."},
    {.name = "linkedin_url", .type = FIELD_TEXT, .flags = F_PII, .max = 500, .check = check_url_https, .about = "(004-30)"},
    {.name = "contact_preference", .type = FIELD_DOC, .shape = SHAPE(contact_preference_fields), .about = "The person's wish beats our cadence (001-11)."},
    {.name = "active_from", .type = FIELD_DATE, .about = "First day in this role."},
    {.name = "active_until", .type = FIELD_DATE, .about = "Last day in this role."},
    {.name = "mirror_user_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Our counterpart (004-06)."},
    {.name = "influences", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(influence_fields), .preset = "[]", .about = "Whom the person sways, and how much (004-17)."},
    {.name = "last_interaction_at", .type = FIELD_TIME, .flags = F_READ_ONLY, .area = AREA_INTERACTIONS, .about = "Derived from interactions."},
};
static const struct expansion contact_expansions[] = {
    {.name = "account", .target = RES_ACCOUNT, .field = "account_id"},
    {.name = "reports_to", .target = RES_CONTACT, .field = "reports_to_id"},
    {.name = "mirror_user", .target = RES_USER, .field = "mirror_user_id"},
};
static void contact_check(const jv *doc, const char *at, struct err *err)
{
    rule_ordered(doc, "active_from", "active_until", at, err);
}
const struct resource contact_resource = {
    .id = RES_CONTACT, .name = "contact", .path = "contacts", .table = "contact", .derived_version = "t.derived_version", FIELDS(contact_fields), EXPANSIONS(contact_expansions),
    .area = AREA_CONTACTS, .flags = R_ACCOUNT_SCOPED | R_CACHED | R_SYNC, .check = contact_check, .about = "A person at the customer.",
};
/* clang-format on */
