/* Finds the records that a document refers to by another system's ids. */
#include "domain/salesforce_id.h"
#include "sync/bulk.h"

#include <string.h>

/* A name "x_external_id" that stands for the reference field "x_id"; NULL if it does not. */
static const struct field *reference_for(const struct bulk *bulk, struct action *action,
                                         const char *name) {
    struct str text = str_of(name);
    static const char suffix[] = "_external_id";
    if (!str_ends(text, suffix) || resource_field(bulk->resource, text))
        return NULL;
    char *id = arena_format(action->arena, "%.*s_id", (int)(text.len - strlen(suffix)), name);
    const struct field *field = id ? resource_field(bulk->resource, str_of(id)) : NULL;
    return field && field->type == FIELD_ID && field->ref ? field : NULL;
}

size_t sync_references(struct action *action, const struct bulk *bulk, const struct bulk_run *run,
                       struct reference **ret) {
    size_t most = 0, n = 0;
    for (size_t i = 0; i < run->batch->n; i++)
        most += jv_len(run->given[i]);
    *ret = arena_array(action->arena, most + 1, sizeof **ret);
    for (size_t i = 0; *ret && i < run->batch->n; i++) {
        const struct entry *entry = &run->batch->entries[i];
        if (entry->kind == ENTRY_DELETE || entry->settled)
            continue; /* what it says of its parents does not matter any more */
        for (void *it = jv_first(run->given[i]); it; it = jv_next(run->given[i], it)) {
            const struct field *field = reference_for(bulk, action, jv_key(it));
            char *name = field ? arena_copy(action->arena, str_of(jv_key(it))) : NULL;
            if (!name)
                continue;
            struct str id = jv_text(jv_value(it));
            char whole[SALESFORCE_ID_TEXT];
            if (str_is(bulk->system, "salesforce") && id.ptr && salesforce_id_parse(id, whole))
                id = str_of(whole);
            (*ret)[n++] = (struct reference){i, field, name, arena_str(action->arena, id)};
        }
    }
    return n;
}

struct str sync_key(struct arena *arena, const char *resource, struct str external_id) {
    return str_of(arena_format(arena, "%s|%.*s", resource, STR_ARG(external_id)));
}
