/* What the descriptors share. Private to the domain layer. */
#ifndef KAMD_DOMAIN_FIELDS_H
#define KAMD_DOMAIN_FIELDS_H

#include "domain/resource.h"

#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SHAPE(name) (&(const struct shape){name, COUNT_OF(name)})
#define FIELDS(name) .fields = (name), .n_fields = COUNT_OF(name)
#define EXPANSIONS(name) .expansions = (name), .n_expansions = COUNT_OF(name)

/* Records below an account lie in one of its information areas: without one this does not compile.
 */
#define OF_ACCOUNT(area_, flags_) .area = (area_), .flags = R_ACCOUNT_SCOPED | (flags_)

#define CHANNELS VALUES("web", "in_person", "phone", "email", "video")

/* clang-format off */
#define FIELDS_COMMON                                                                              \
    {.name = "id", .type = FIELD_ID, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER | F_SORT, .about = "UUIDv7, given by kamd."}, \
    {.name = "version", .type = FIELD_INT, .flags = F_READ_ONLY | F_NOT_NULL, .about = "Counts typed edits."},  \
    {.name = "created_at", .type = FIELD_TIME, .flags = F_READ_ONLY | F_NOT_NULL},                              \
    {.name = "updated_at", .type = FIELD_TIME, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER | F_SORT, .about = "Of the last typed edit."}

#define FIELD_EXTERNAL_IDS                                                                         \
    {.name = "external_ids", .type = FIELD_MAP, .flags = F_NOT_NULL, .preset = "{}", .max = 20, .check = check_external_id, \
     .about = "Ids of this record in other systems: system to id. Unique per system and resource (004-30, 004-31)."}

#define FIELD_ACCOUNT                                                                              \
    {.name = "account_id", .type = FIELD_ID, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .ref = "account", .about = "The account it belongs to."}
/* clang-format on */

const char *check_external_id(struct str text);
const char *check_event_type(struct str text);

extern const struct resource user_resource, account_resource, contact_resource, plan_resource,
    plan_section_resource, review_resource, follow_up_resource, interaction_resource,
    problem_resource, order_resource, team_member_resource, webhook_endpoint_resource,
    custom_field_resource, wallet_resource, nomination_resource, commitment_resource, need_resource,
    solution_resource, investment_resource, project_resource, link_resource;

/* By which channels, and how often, somebody wants to be contacted. */
extern const struct shape contact_preference_shape;

/* Rules that several descriptors use. `at` is the pointer of the document. */
void rule_broken(const char *at, const char *place, const char *code, const char *why,
                 struct err *err);
void rule_ordered(const jv *doc, const char *first, const char *second, const char *at,
                  struct err *err);

#endif
