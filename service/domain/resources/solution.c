/* Descriptor of solutions: our answers to a customer's needs. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
static const struct field component_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 200},
    {.name = "kind", .type = FIELD_ENUM, .values = VALUES("product", "service", "training", "other")},
    {.name = "note", .type = FIELD_TEXT, .max = 2000},
};
static const struct field vendor_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 200},
    {.name = "contribution", .type = FIELD_TEXT, .max = 2000, .about = "What it is responsible for."},
    {.name = "lead", .type = FIELD_BOOL, .about = "Accountable for the whole; exactly one is."},
    {.name = "internal", .type = FIELD_BOOL, .about = "One of our own units."},
};
static const struct field value_fields[] = {
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = VALUES("revenue_gain", "cost_saving", "improve_function")},
    {.name = "amount", .type = FIELD_DECIMAL, .about = "As measured at the customer; null while nobody has."},
    {.name = "currency_code", .type = FIELD_TEXT, .max = 3, .check = check_currency},
    {.name = "quality_parity", .type = FIELD_BOOL, .about = "Whether the quality stays equal to competitors'; null: unknown."},
};
static const struct field solution_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED | F_SEARCH, .min = 1, .max = 300, .about = "In a few words."},
    {.name = "need_ids", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_FILTER | F_SAME_ACCOUNT, .max = 50, .ref = "need", .check = check_uuid, .preset = "[]", .about = "The account's needs that it answers (000-38)."},
    {.name = "status", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("proposed", "agreed", "delivered", "dropped"), .preset = "\"proposed\"",
     .about = "Delivering it resolves no need by itself: that is for the customer to say."},
    {.name = "components", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 100, .shape = SHAPE(component_fields), .preset = "[]", .about = "The bundle of products and services (003-02)."},
    {.name = "end_state", .type = FIELD_TEXT, .max = 4000, .about = "How it is for the customer when all is done (003-08)."},
    {.name = "agreed_with", .type = FIELD_TEXTS, .flags = F_NOT_NULL | F_SAME_ACCOUNT, .max = 50, .ref = "contact", .check = check_uuid, .preset = "[]", .about = "The account's contacts who agreed; needed once it is agreed or delivered (002-21)."},
    {.name = "vendors", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(vendor_fields), .preset = "[]",
     .about = "Who takes part where our own resources are not enough, with exactly one lead (004-34)."},
    {.name = "not_possible_alone", .type = FIELD_TEXT, .max = 2000, .about = "Why our own resources cannot do it (004-34)."},
    {.name = "value", .type = FIELD_DOC, .shape = SHAPE(value_fields), .about = "What the customer gains (000-10, 003-03)."},
    {.name = "outcome", .type = FIELD_TEXT, .max = 4000, .about = "What came of it (000-38)."},
    {.name = "owner_id", .type = FIELD_ID, .flags = F_FILTER, .ref = "user", .about = "Who of us answers for it."},
};
static const struct expansion solution_expansions[] = {
    {.name = "owner", .target = RES_USER, .field = "owner_id"},
};
static bool given(const jv *doc, const char *name) { return jv_text(jv_get(doc, name)).ptr != NULL; }
static void solution_check(const jv *doc, const char *at, struct err *err)
{
    const jv *vendors = jv_get(doc, "vendors"), *value = jv_get(doc, "value");
    struct str status = jv_text(jv_get(doc, "status"));
    size_t leads = 0;
    for (size_t i = 0; i < jv_len(vendors); i++)
        leads += jv_bool(jv_get(jv_at(vendors, i), "lead"));
    if (jv_len(vendors) > 0 && leads != 1)
        rule_broken(at, "vendors", "one_lead", "Exactly one of the vendors is the accountable lead.", err);
    if ((str_is(status, "agreed") || str_is(status, "delivered")) && jv_len(jv_get(doc, "agreed_with")) == 0)
        rule_broken(at, "agreed_with", "required", "Name the contacts with whom it was agreed.", err);
    if (given(value, "amount") && !given(value, "currency_code"))
        rule_broken(at, "value/currency_code", "required", "An amount needs its currency_code.", err);
}
const struct resource solution_resource = {
    .id = RES_SOLUTION, .name = "solution", .path = "solutions", .table = "solution", FIELDS(solution_fields), EXPANSIONS(solution_expansions), OF_ACCOUNT(AREA_INTERACTIONS, R_NESTED | R_SYNC), .check = solution_check, .about = "Our answer to needs of a customer, made with them (002-21).",
};
/* clang-format on */
