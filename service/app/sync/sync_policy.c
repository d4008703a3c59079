/* Shows and sets, per system and field, whose value stays; lists the conflicts, and resolves one
 * by taking the value that lost after all. */
#include "app/query.h"
#include "app/sync.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/write_once.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "sync/bulk.h"

#include <stdio.h>

const char *const sync_policies[] = {"source_wins", "kamd_wins", "latest_wins", NULL};
const char *const sync_rules[] = {"source_wins", "kamd_wins", "latest_wins",
                                  "source_owns", "kamd_owns", NULL};
const char *const sync_sides[] = {"kamd", "source", NULL};

const char *check_conflict_policy(struct str text) {
    for (const char *const *one = sync_policies; *one; one++)
        if (str_is(text, *one))
            return NULL;
    return "must be one of source_wins, kamd_wins, latest_wins";
}

/* ---- the policy ---- */

static const struct field rule_fields[] = {
    {.name = "resource", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 64},
    {.name = "field", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 64},
    {.name = "rule", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = sync_rules},
};
static const struct shape rule_shape = {rule_fields, COUNT_OF(rule_fields)};
static const struct field policy_fields[] = {
    {.name = "conflict_policy", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = sync_policies},
    {.name = "fields",
     .type = FIELD_DOCS,
     .flags = F_NOT_NULL,
     .max = 500,
     .shape = &rule_shape,
     .preset = "[]"},
};
static const struct shape policy_shape = {policy_fields, COUNT_OF(policy_fields)};

/* Resources may be named as in paths; they are kept as in the feed. */
static void check_rule(jv *one, size_t i, struct err *err) {
    struct str name = jv_text(jv_get(one, "resource"));
    const struct resource *resource = resource_by_path(name);
    char where[64];
    resource = resource ? resource : resource_by_name(name.ptr);
    if (!resource || (resource->flags & R_SYNC) == 0) {
        snprintf(where, sizeof where, "/fields/%zu/resource", i);
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "unknown_resource",
                "There is no such resource to sync.");
        return;
    }
    const struct field *field = resource_field(resource, jv_text(jv_get(one, "field")));
    if (!field || !field_writable(field) || field->type == FIELD_MAP) {
        snprintf(where, sizeof where, "/fields/%zu/field", i);
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "unknown_field",
                "There is no such field that a rule can be given.");
    }
    jv_set(one, "resource", jv_new_text(str_of(resource->name)));
}

static bool policy_answer(struct tx *tx, struct str system, struct outcome *outcome,
                          struct err *err) {
    static const struct field fields[] = {
        {.name = "system", .type = FIELD_TEXT},     {.name = "conflict_policy", .type = FIELD_TEXT},
        {.name = "fields", .type = FIELD_DOCS},     {.name = "updated_at", .type = FIELD_TIME},
        {.name = "updated_by", .type = FIELD_TEXT},
    };
    size_t slot = tx_query(tx,
                           "select $1, coalesce(p.conflict_policy, 'source_wins'), "
                           "coalesce(p.fields, '[]'), p.updated_at, p.updated_by"
                           " from (select) one left join sync_policy p on p.system = $1",
                           &system, 1);
    if (!tx_flush(tx, err))
        return false;
    write_row(tx, slot, 0, &SHAPE_OF(fields), &outcome->body);
    return true;
}

bool sync_policy_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str system = action_arg(action, "system");
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && policy_answer(tx, system, outcome, err);
}

struct policy {
    struct str system;
    const jv *clean;
};

static bool policy_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    const struct policy *policy = arg;
    struct str params[] = {policy->system, jv_text(jv_get(policy->clean, "conflict_policy")),
                           json_param(action, jv_get(policy->clean, "fields")),
                           str_of(action->who->actor)};
    if (!params[2].ptr)
        return err_memory(err);
    tx_query(tx,
             "insert into sync_policy as p (system, conflict_policy, fields, updated_by) values "
             "($1, $2, $3::jsonb, $4) on conflict (system) do update set conflict_policy = "
             "excluded.conflict_policy, fields = excluded.fields, updated_by = "
             "excluded.updated_by, updated_at = now()",
             params, 4);
    return policy_answer(tx, policy->system, outcome, err);
}

bool sync_policy_put(struct action *action, struct outcome *outcome, struct err *err) {
    struct str system = action_arg(action, "system");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    if (check_slug(system) != NULL)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("system"), "invalid_value", "%s",
                       check_slug(system));
    if (!decode_shape(&policy_shape, doc, "", &clean, err))
        return false;
    for (size_t i = 0; i < jv_len(jv_get(clean, "fields")); i++)
        check_rule(jv_at(jv_get(clean, "fields"), i), i, err);
    struct policy policy = {system, clean};
    return !err_is_set(err) && write_once(action, policy_work, &policy, outcome, err);
}

/* ---- the report ---- */

#define CONFLICT_SQL                                                                               \
    "select c.id, c.created_at, c.system, c.resource, c.external_id, c.record_id, c.account_id, "  \
    "c.field, c.kamd_value, c.system_value, c.rule, c.winner, c.system_modstamp, c.resolution, "   \
    "c.resolved_at, c.resolved_by from sync_conflict c where c.system = $1"
static const struct field conflict_fields[] = {
    {.name = "id", .type = FIELD_ID},
    {.name = "created_at", .type = FIELD_TIME},
    {.name = "system", .type = FIELD_TEXT},
    {.name = "resource", .type = FIELD_TEXT},
    {.name = "external_id", .type = FIELD_TEXT},
    {.name = "record_id", .type = FIELD_ID},
    {.name = "account_id", .type = FIELD_ID},
    {.name = "field", .type = FIELD_TEXT},
    {.name = "kamd_value", .type = FIELD_MAP},
    {.name = "system_value", .type = FIELD_MAP},
    {.name = "rule", .type = FIELD_TEXT},
    {.name = "winner", .type = FIELD_TEXT},
    {.name = "system_modstamp", .type = FIELD_TIME},
    {.name = "resolution", .type = FIELD_TEXT},
    {.name = "resolved_at", .type = FIELD_TIME},
    {.name = "resolved_by", .type = FIELD_TEXT},
};
enum { AT_RESOURCE = 3, AT_RECORD = 5, AT_FIELD = 7, AT_KAMD = 8, AT_SOURCE = 9, AT_RESOLVED = 14 };

bool sync_conflict_list(struct action *action, struct outcome *outcome, struct err *err) {
    struct str system = action_arg(action, "system");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str status = action_query(action, "status");
    struct str list = str_of(
        arena_format(action->arena, "conflicts|%.*s|%.*s", STR_ARG(system), STR_ARG(status)));
    struct page page = {
        .list = list, .key_columns = {1, 0}, .n_keys = 2, .shape = &SHAPE_OF(conflict_fields)};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {system, page.keys[0], page.keys[1], page_limit(action, &page), status};
    size_t slot = tx_query(tx,
                           CONFLICT_SQL " and ($2::timestamptz is null or (c.created_at, c.id) < "
                                        "($2::timestamptz, $3::uuid))"
                                        " and ($5::text is null or (c.resolved_at is null) = ($5 = "
                                        "'open')) order by c.created_at desc, c.id desc limit "
                                        "$4::int",
                           values, 5);
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}

struct resolution {
    struct str system, id, take;
};

/* The chosen value is written as anybody's edit would be: by the same rules, with its event. */
static bool write_chosen(struct action *action, struct tx *tx, size_t slot, bool kamd,
                         struct err *err) {
    const struct resource *resource = resource_by_name(tx_value(tx, slot, 0, AT_RESOURCE).ptr);
    struct str field = tx_value(tx, slot, 0, AT_FIELD);
    struct str value = tx_value(tx, slot, 0, kamd ? AT_KAMD : AT_SOURCE);
    CLEANUP(jv_unref) jv *patch = jv_new_object();
    CLEANUP(jv_unref) jv *read = NULL;
    CLEANUP(batch_release)
    struct batch *batch = resource ? batch_new(action, resource, 1, err) : NULL;
    struct str wrapped = str_of(arena_format(action->arena, "[%.*s]", STR_ARG(value)));
    if (!batch || !patch || !wrapped.ptr)
        return err_memory(err);
    if (!json_read(value.ptr ? wrapped : STR("[null]"), JSON_TOKENS * 10, &read, err))
        return false;
    const jv *chosen = jv_at(read, 0);
    struct entry *entry = &batch->entries[0];
    batch->single = true;
    entry->id = tx_value(tx, slot, 0, AT_RECORD);
    entry->unconditional = entry->upsert = true;
    entry->kind = !str_is(field, "deleted_at") ? ENTRY_CHANGE
                  : jv_bool(chosen)            ? ENTRY_DELETE
                                               : ENTRY_RESTORE;
    if (entry->kind == ENTRY_CHANGE)
        jv_set(patch, field.ptr, jv_copy(chosen));
    entry->given = patch;
    return batch_write(action, tx, batch, err);
}

static bool resolve_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                         struct err *err) {
    const struct resolution *what = arg;
    struct str params[] = {what->system, what->id, what->take, str_of(action->who->actor)};
    size_t slot = tx_query(tx, CONFLICT_SQL " and c.id = $2::uuid for update of c", params, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such conflict that you can see.");
    if (tx_value(tx, slot, 0, AT_RESOLVED).ptr)
        return err_set(err, PROBLEM_CONFLICT, "It is resolved already.");
    if (!write_chosen(action, tx, slot, str_is(what->take, "kamd"), err))
        return false;
    tx_query(
        tx,
        "update sync_conflict set resolution = $3, resolved_at = now(), resolved_by = $4 where "
        "system = $1 and id = $2::uuid",
        params, 4);
    size_t now = tx_query(tx, CONFLICT_SQL " and c.id = $2::uuid", params, 2);
    if (!tx_flush(tx, err))
        return false;
    write_row(tx, now, 0, &SHAPE_OF(conflict_fields), &outcome->body);
    return true;
}

bool sync_conflict_resolve(struct action *action, struct outcome *outcome, struct err *err) {
    struct str system = action_arg(action, "system");
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    static const struct field fields[] = {
        {.name = "take", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = sync_sides}};
    static const struct shape shape = {fields, COUNT_OF(fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    struct resolution what = {system, id, jv_text(jv_get(clean, "take"))};
    return write_once(action, resolve_work, &what, outcome, err);
}
