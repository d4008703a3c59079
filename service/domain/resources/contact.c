/* Descriptor of contacts: people at a customer. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
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
    {.name = "reports_to_id", .type = FIELD_ID, .flags = F_SAME_ACCOUNT, .ref = "contact", .about = "The person's superior, another contact; nobody is above themselves, at any distance."},
    {.name = "linkedin_url", .type = FIELD_TEXT, .flags = F_PII, .max = 500, .check = check_url_https, .about = "Address of the person's LinkedIn profile (004-30)."},
    {.name = "contact_preference", .type = FIELD_DOC, .shape = &contact_preference_shape, .about = "The person's wish beats our cadence (001-11)."},
    {.name = "active_from", .type = FIELD_DATE, .about = "First day in this role."},
    {.name = "active_until", .type = FIELD_DATE, .about = "Last day in this role."},
    {.name = "mirror_user_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Our counterpart (004-06)."},
    {.name = "influences", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(influence_fields), .preset = "[]", .about = "Whom the person sways, and how much; never themselves (004-17)."},
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
    OF_ACCOUNT(AREA_CONTACTS, R_CACHED | R_SYNC), .check = contact_check, .about = "A person at the customer.",
};
/* clang-format on */
