/* The list of all resources, looked up by name or path, and the FROM clause that reads their
 * rows. */
#include "domain/resource.h"

#include "domain/access.h"
#include "fields.h"

#include <string.h>

static const struct resource *const resources[RES_COUNT] = {
    [RES_USER] = &user_resource,
    [RES_ACCOUNT] = &account_resource,
    [RES_CONTACT] = &contact_resource,
    [RES_PLAN] = &plan_resource,
    [RES_PLAN_SECTION] = &plan_section_resource,
    [RES_REVIEW] = &review_resource,
    [RES_FOLLOW_UP] = &follow_up_resource,
    [RES_INTERACTION] = &interaction_resource,
    [RES_PROBLEM] = &problem_resource,
    [RES_ORDER] = &order_resource,
    [RES_TEAM_MEMBER] = &team_member_resource,
    [RES_WEBHOOK_ENDPOINT] = &webhook_endpoint_resource,
    [RES_CUSTOM_FIELD] = &custom_field_resource,
    [RES_WALLET] = &wallet_resource,
    [RES_NOMINATION] = &nomination_resource,
    [RES_COMMITMENT] = &commitment_resource,
    [RES_NEED] = &need_resource,
    [RES_SOLUTION] = &solution_resource,
    [RES_INVESTMENT] = &investment_resource,
    [RES_PROJECT] = &project_resource,
    [RES_LINK] = &link_resource,
};

const char *resource_account(const struct resource *resource) {
    return resource->id == RES_ACCOUNT                           ? "id"
           : resource_field(resource, STR("account_id")) != NULL ? "account_id"
                                                                 : NULL;
}

void resource_source(const struct resource *resource, bool by_access_set, struct buf *ret) {
    const char *account = resource_account(resource);
    buf_format(ret, "%s t", resource->table);
    if (resource->join)
        buf_format(ret, " %s", resource->join);
    /* Of a plan's sections each is an area of its own, also for roles that see all accounts. */
    if (resource->id == RES_PLAN_SECTION)
        buf_text(ret, " join lateral areas_of(t.account_id) x(areas) on x.areas >> "
                      "area_number(t.section) & 1 = 1");
    else if (by_access_set && account)
        buf_format(ret, " join my_access() x on x.account_id = t.%s and x.areas & %llu <> 0",
                   account, (unsigned long long)AREA_BIT(resource->area));
    if ((resource->flags & R_OWN) != 0)
        buf_text(ret, " join lateral is_callers(t.actor, t.reach) own(fine) on own.fine");
}

void resource_beyond_id(const struct resource *resource, char comparison, const char *value,
                        struct buf *ret) {
    buf_format(ret, "t.id %c %s", comparison, value);
    if (resource->join_id)
        buf_format(ret, " and %s %c %s", resource->join_id, comparison, value);
}

const struct resource *resource_of(enum resource_id id) { return resources[id]; }

const struct resource *resource_by_path(struct str path) {
    for (enum resource_id i = RES_USER; i < RES_COUNT; i++)
        if (str_is(path, resources[i]->path))
            return resources[i];
    return NULL;
}

const struct resource *resource_by_name(const char *name) {
    for (enum resource_id i = RES_USER; i < RES_COUNT; i++)
        if (strcmp(name, resources[i]->name) == 0)
            return resources[i];
    return NULL;
}

const struct field *resource_field(const struct resource *resource, struct str name) {
    for (size_t i = 0; i < resource->n_fields; i++)
        if (str_is(name, resource->fields[i].name))
            return &resource->fields[i];
    return NULL;
}

size_t resource_field_at(const struct resource *resource, const struct field *field) {
    return (size_t)(field - resource->fields);
}

const struct custom_field *custom_field_find(const struct custom_fields *fields,
                                             enum resource_id resource, struct str name) {
    for (size_t i = 0; fields && i < fields->n; i++)
        if (fields->list[i].resource == resource && str_eq(fields->list[i].name, name))
            return &fields->list[i];
    return NULL;
}
