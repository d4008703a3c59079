/* Writes a record as JSON with its ETag: the fields that the client asked for and may see, and the
 * related records that `expand` names. If-Match is checked here, too, against that ETag. */
#include "record/view.h"

#include "base/if_match.h"
#include "cache/cache.h"
#include "store/array.h"
#include "store/record.h"

#include <stdio.h>
#include <string.h>

void view_init(struct view *view) { *view = (struct view){.fields = FIELD_SET_ALL, .plain = true}; }

static void parameter_error(struct err *err, const char *where, const char *code, struct str value,
                            const char *detail) {
    err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_PARAMETER, where, code, "%.*s: %s",
            value.len > 60 ? 60 : STR_ARG(value), detail);
}

static void take_fields(const struct resource *resource, struct str list, struct view *view,
                        struct err *err) {
    struct str name;
    view->fields = 0;
    while (str_split(&list, ',', &name)) {
        const struct field *field = resource_field(resource, str_trim(name));
        if (field)
            view->fields |= (field_set)1 << resource_field_at(resource, field);
        else
            parameter_error(err, "fields", "unknown_field", name, "there is no such field");
    }
    view->fields |= 1; /* the id, always */
    view->plain = false;
}

static void take_expands(const struct resource *resource, struct str list, struct view *view,
                         struct err *err) {
    struct str name;
    while (str_split(&list, ',', &name)) {
        const struct expansion *found = NULL;
        for (size_t i = 0; i < resource->n_expansions; i++)
            if (str_is(str_trim(name), resource->expansions[i].name))
                found = &resource->expansions[i];
        if (!found)
            parameter_error(err, "expand", "unknown_expansion", name,
                            "this cannot be expanded here");
        else if (view->n_expands < EXPANDS_MAX)
            view->expands[view->n_expands++] = found;
    }
    view->plain = false;
}

void view_param(const struct resource *resource, const struct param *param, struct view *view,
                bool *ret_taken, struct err *err) {
    *ret_taken = true;
    if (str_is(param->name, "fields"))
        take_fields(resource, param->value, view, err);
    else if (str_is(param->name, "expand"))
        take_expands(resource, param->value, view, err);
    else
        *ret_taken = false;
}

/* ---- expansion ---- */

struct expanded {
    const struct resource *target[EXPANDS_MAX];
    const struct row *rows[EXPANDS_MAX];
    size_t n_rows[EXPANDS_MAX];
};

#define EXPAND_ROWS 2000

/* The ids to look up: our reference field, or our own id. */
static struct str expand_ids(struct action *action, const struct resource *resource,
                             const struct expansion *expansion, const struct row *rows,
                             size_t n_rows) {
    struct str *ids = arena_array(action->arena, n_rows + 1, sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; ids && i < n_rows; i++) {
        struct str id = expansion->reverse ? rows[i].values[0]
                                           : row_value(resource, &rows[i], expansion->field);
        if (id.ptr)
            ids[n++] = id;
    }
    return ids ? pg_array_param(action->arena, ids, n) : STR_ABSENT;
}

static const char *expand_sql(struct action *action, const struct expansion *expansion) {
    const struct record_sql *sql = sql_for(action, expansion->target);
    return arena_format(action->arena,
                        "select %s from %s where t.%s = " ANY_OF_IDS " and t.deleted_at is "
                        "null%s%s order by t.id limit %d",
                        sql->columns, sql->from, expansion->reverse ? expansion->field : "id",
                        expansion->where ? " and " : "", expansion->where ? expansion->where : "",
                        EXPAND_ROWS);
}

bool view_expand(struct action *action, const struct resource *resource, const struct view *view,
                 const struct row *rows, size_t n_rows, struct tx *tx, struct expanded **ret,
                 struct err *err) {
    *ret = NULL;
    if (view->n_expands == 0 || n_rows == 0)
        return true;
    struct expanded *expanded = arena_alloc(action->arena, sizeof *expanded);
    size_t slots[EXPANDS_MAX];
    for (size_t i = 0; expanded && i < view->n_expands; i++) {
        struct str ids = expand_ids(action, resource, view->expands[i], rows, n_rows);
        const char *sql = expand_sql(action, view->expands[i]);
        if (!ids.ptr || !sql)
            return err_memory(err);
        slots[i] = tx_query(tx, sql, &ids, 1);
    }
    if (!expanded || !tx_flush(tx, err))
        return expanded ? false : err_memory(err);
    for (size_t i = 0; i < view->n_expands; i++) {
        expanded->target[i] = resource_of(view->expands[i]->target);
        expanded->rows[i] =
            rows_of(action, expanded->target[i], tx, slots[i], &expanded->n_rows[i]);
        if (!expanded->rows[i])
            return err_memory(err);
    }
    *ret = expanded;
    return true;
}

/* The etag over what was written since `start`, as the last member. */
static void write_etag(const struct resource *resource, const struct row *row, size_t start,
                       struct buf *ret, char ret_etag[static ETAG_TEXT]) {
    if (resource->id == RES_ACCOUNT && row->hidden != 0) {
        buf_text(ret, ",\"redacted\":");
        write_areas(row->hidden, ret);
    }
    if (!buf_ok(ret))
        return;
    etag_make(row->values[0], row_version(resource, row),
              (struct str){ret->ptr + start, ret->len - start}, ret_etag);
    buf_text(ret, ",\"etag\":");
    buf_json(ret, str_of(ret_etag));
    buf_char(ret, '}');
}

static void write_plain(const struct resource *resource, const struct row *row, struct buf *ret) {
    char etag[ETAG_TEXT];
    size_t start = ret->len;
    buf_char(ret, '{');
    render_fields(resource, row->values, row_fields(resource, row), ret);
    write_etag(resource, row, start, ret, etag);
}

/* What lies below the same account, in an area that the caller does not read, is left out. */
static bool expansion_hidden(const struct resource *target, const struct row *row) {
    return target->id != RES_ACCOUNT && resource_account(target) &&
           (row->hidden & AREA_BIT(target->area)) != 0;
}

static void write_expansion(struct action *action, const struct resource *resource,
                            const struct view *view, size_t at, const struct row *row,
                            const struct expanded *expanded, struct buf *ret) {
    const struct expansion *expansion = view->expands[at];
    const struct resource *target = expanded->target[at];
    struct str ours =
        expansion->reverse ? row->values[0] : row_value(resource, row, expansion->field);
    bool first = true;
    if (expansion_hidden(target, row))
        return;
    buf_format(ret, ",\"%s\":", expansion->name);
    if (expansion->many)
        buf_char(ret, '[');
    for (size_t i = 0; i < expanded->n_rows[at] && ours.ptr; i++) {
        const struct row *theirs = &expanded->rows[at][i];
        struct str link =
            expansion->reverse ? row_value(target, theirs, expansion->field) : theirs->values[0];
        if (!str_eq(link, ours) || (!expansion->many && !first))
            continue;
        if (!first)
            buf_char(ret, ',');
        first = false;
        note_row(action, target, theirs);
        write_plain(target, theirs, ret);
    }
    buf_text(ret, expansion->many ? "]" : first ? "null" : "");
}

void view_write(struct action *action, const struct resource *resource, const struct view *view,
                const struct row *row, const struct expanded *expanded, struct buf *ret,
                char ret_etag[static ETAG_TEXT]) {
    size_t start = ret->len;
    if (!view->for_etag_only)
        note_row(action, resource, row);
    buf_char(ret, '{');
    render_fields(resource, row->values, view->fields & row_fields(resource, row), ret);
    for (size_t i = 0; expanded && i < view->n_expands; i++)
        write_expansion(action, resource, view, i, row, expanded, ret);
    write_etag(resource, row, start, ret, ret_etag);
}

/* The answer tells of the newer version: no replica may answer with an older one after it. */
static void forget_older(struct action *action, const struct resource *resource,
                         const struct row *row) {
    struct cache_touch touch = {.version = row_cache_version(resource, row)};
    if ((resource->flags & R_CACHED) == 0)
        return;
    snprintf(touch.name, sizeof touch.name, "%s:%.*s", resource->name, STR_ARG(row->values[0]));
    cache_invalidate(action->app->cache, &touch, 1);
}

bool row_if_match(struct action *action, const struct resource *resource, const struct row *row,
                  struct err *err) {
    char etag[ETAG_TEXT];
    struct view view;
    struct buf body;
    row_etag(resource, row, etag);
    if (!action->if_match.ptr || etag_edit_matches(action->if_match, str_of(etag)))
        return true;
    /* The whole etag, as a GET shows it now, so that the client may go on from it. */
    view_init(&view);
    view.for_etag_only = true;
    buf_init(&body, 1 << 22);
    view_write(action, resource, &view, row, NULL, &body, etag);
    buf_release(&body);
    forget_older(action, resource, row);
    return if_match(action, etag, arena_format(action->arena, "The %s", resource->name), err);
}

/* The live record, or NULL: not found, or no memory. */
static const struct row *row_now(struct action *action, struct tx *tx, enum resource_id id,
                                 struct str record_id, struct err *err) {
    struct record_key key = {.resource = resource_of(id)};
    struct str ids = pg_array_param(action->arena, &record_id, 1);
    size_t n = 0;
    if (!ids.ptr) {
        err_memory(err);
        return NULL;
    }
    size_t slot = tx_query(tx, sql_for(action, id)->get, &ids, 1);
    if (!tx_flush(tx, err))
        return NULL;
    const struct row *row = rows_of(action, key.resource, tx, slot, &n);
    if (!row)
        err_memory(err);
    else if (n == 0)
        not_found(&key, err);
    return n > 0 ? row : NULL;
}

bool view_if_match(struct action *action, struct tx *tx, enum resource_id id, struct str record_id,
                   struct err *err) {
    if (!action->if_match.ptr)
        return true;
    const struct row *row = row_now(action, tx, id, record_id, err);
    return row && row_if_match(action, resource_of(id), row, err);
}

bool view_answer(struct action *action, struct tx *tx, enum resource_id id, struct str record_id,
                 struct outcome *outcome, struct err *err) {
    const struct row *row = row_now(action, tx, id, record_id, err);
    struct view view;
    if (!row)
        return false;
    view_init(&view);
    view_write(action, resource_of(id), &view, row, NULL, &outcome->body, outcome->etag);
    return true;
}
