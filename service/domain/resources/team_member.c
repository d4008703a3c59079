/* Descriptor of team members: who works on an account, in which role, and what they may see. */
#include "domain/check.h"
#include "fields.h"

#include <stdio.h>

/* clang-format off */
static const struct field grant_fields[] = {
    {.name = "areas", .type = FIELD_TEXTS, .flags = F_REQUIRED, .min = 1, .max = AREA_COUNT, .values = area_names, .about = "Information areas of the account; see /v1/roles."},
    {.name = "effect", .type = FIELD_ENUM, .values = VALUES("add", "remove"), .about = "Absent: add. What is removed is taken from the role's areas and from other grants."},
    {.name = "visible_from", .type = FIELD_TIME, .about = "Not too soon: absent, at once."},
    {.name = "visible_until", .type = FIELD_TIME, .about = "Absent: as long as the membership."},
    {.name = "needed_by", .type = FIELD_DATE, .about = "Not too late: access that begins after this day is reported."},
    {.name = "reason", .type = FIELD_TEXT, .max = 500},
};
static const struct field team_member_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "user_id", .type = FIELD_ID, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .ref = "user"},
    {.name = "role", .type = FIELD_TEXT, .flags = F_REQUIRED | F_FILTER, .min = 1, .max = 64, .check = check_slug,
     .about = "account_manager, category_manager, intelligence, market_research, controlling, customer_support, product_development, or one of your own (004-13)."},
    {.name = "function", .type = FIELD_TEXT, .flags = F_FILTER, .max = 100, .about = "The function that the person speaks for."},
    {.name = "allocation_pct", .type = FIELD_INT, .min = 0, .max = 100, .about = "A person's sum over all accounts is at most 100 (004-08)."},
    {.name = "active_from", .type = FIELD_DATE, .about = "First day in the team."},
    {.name = "active_until", .type = FIELD_DATE, .about = "Last day in the team."},
    {.name = "grants", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = SHAPE(grant_fields), .preset = "[]",
     .about = "What this member sees beyond the role's areas, or does not see (004-25, 004-27)."},
};
static const struct expansion team_member_expansions[] = {
    {.name = "user", .target = RES_USER, .field = "user_id"},
};
static void grant_check(const jv *grant, const char *at, struct err *err)
{
    char where[160];
    snprintf(where, sizeof where, "%s/areas", at);
    if (jv_len(jv_get(grant, "areas")) == 0)
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "required", "Name an area at least.");
    for (size_t i = 0; i < jv_len(jv_get(grant, "areas")); i++)
        if (str_is(jv_text(jv_at(jv_get(grant, "areas"), i)), "profile") && str_is(jv_text(jv_get(grant, "effect")), "remove"))
            err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "not_allowed", "Whoever is in the team sees the profile.");
    rule_ordered(grant, "visible_from", "visible_until", at, err);
}
static void team_member_check(const jv *doc, const char *at, struct err *err)
{
    const jv *grants = jv_get(doc, "grants");
    rule_ordered(doc, "active_from", "active_until", at, err);
    for (size_t i = 0; i < jv_len(grants); i++) {
        char where[128];
        snprintf(where, sizeof where, "%s/grants/%zu", at, i);
        grant_check(jv_at(grants, i), where, err);
    }
}
const struct resource team_member_resource = {
    .id = RES_TEAM_MEMBER, .name = "team_member", .path = "team", .table = "team_member", FIELDS(team_member_fields), EXPANSIONS(team_member_expansions),
    OF_ACCOUNT(AREA_PROFILE, R_NESTED | R_SYNC), .check = team_member_check, .about = "A member of the account's matrix team (004-12).",
};
/* clang-format on */
