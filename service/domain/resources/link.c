/* Descriptor of links: organisations that are allied with a customer or with us. */
#include "fields.h"

/* clang-format off */
static const struct field link_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 200, .about = "The organisation."},
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_FILTER, .values = VALUES("allied_of_customer", "allied_of_supplier"), .about = "Allied with the customer, or with us."},
    {.name = "linked_account_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "account", .about = "Its account, where it has one; then it is a unit of the whitespace."},
    {.name = "note", .type = FIELD_TEXT, .max = 2000, .about = "What the alliance is, and what could come of it."},
};
static const struct expansion link_expansions[] = {
    {.name = "linked_account", .target = RES_ACCOUNT, .field = "linked_account_id"},
};
static void link_check(const jv *doc, const char *at, struct err *err)
{
    struct str linked = jv_text(jv_get(doc, "linked_account_id"));
    if (linked.ptr && str_eq(linked, jv_text(jv_get(doc, "account_id"))))
        rule_broken(at, "linked_account_id", "itself", "An account is not allied with itself.", err);
}
const struct resource link_resource = {
    .id = RES_LINK, .name = "link", .path = "links", .table = "allied_organisation", FIELDS(link_fields), EXPANSIONS(link_expansions), OF_ACCOUNT(AREA_PROFILE, R_NESTED | R_SYNC), .check = link_check, .about = "An allied organisation, theirs or ours, over which business can grow (000-06).",
};
/* clang-format on */
