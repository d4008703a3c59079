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
    err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER(where), code, "%.*s: %s",
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
            view->expands[view->n_expands++] =
                (struct expand){.expansion = found, .target = resource_of(found->target)};
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

#define EXPAND_ROWS 2000

/* The ids to look up: our reference field, or our own id. */
static struct str expand_ids(struct action *action, const struct expansion *expansion,
                             const struct rows *rows) {
    struct str *ids = arena_array(action->arena, rows->n + 1, sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; ids && i < rows->n; i++) {
        const struct row *row = &rows->list[i];
        struct str id = expansion->reverse ? row->values[0] : row_value(row, expansion->field);
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

bool view_expand(struct action *action, struct tx *tx, struct view *view, const struct rows *rows,
                 struct err *err) {
    size_t slots[EXPANDS_MAX];
    if (view->n_expands == 0 || rows->n == 0)
        return true;
    for (size_t i = 0; i < view->n_expands; i++) {
        const struct expansion *expansion = view->expands[i].expansion;
        struct str ids = expand_ids(action, expansion, rows);
        const char *sql = expand_sql(action, expansion);
        if (!ids.ptr || !sql)
            return err_memory(err);
        slots[i] = tx_query(tx, sql, &ids, 1);
    }
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < view->n_expands; i++) {
        struct expand *expand = &view->expands[i];
        expand->rows = rows_of(action, expand->target, tx, slots[i]);
        if (!expand->rows.list)
            return err_memory(err);
    }
    return true;
}

/* The etag over what was written since `start`, as the last member. */
static void write_etag(const struct row *row, size_t start, struct buf *ret,
                       char ret_etag[static ETAG_TEXT]) {
    if (row->resource->id == RES_ACCOUNT && row->hidden != 0) {
        buf_text(ret, ",\"redacted\":");
        write_areas(row->hidden, ret);
    }
    if (!buf_ok(ret))
        return;
    etag_make(row->values[0], row_version(row), (struct str){ret->ptr + start, ret->len - start},
              ret_etag);
    buf_text(ret, ",\"etag\":");
    buf_json(ret, str_of(ret_etag));
    buf_char(ret, '}');
}

static void write_plain(const struct row *row, struct buf *ret) {
    char etag[ETAG_TEXT];
    size_t start = ret->len;
    buf_char(ret, '{');
    render_fields(row->resource, row->values, row_fields(row), ret);
    write_etag(row, start, ret, etag);
}

/* What lies below the same account, in an area that the caller does not read, is left out. */
static bool expansion_hidden(const struct resource *target, const struct row *row) {
    return target->id != RES_ACCOUNT && resource_account(target) &&
           (row->hidden & AREA_BIT(target->area)) != 0;
}

static void write_expansion(struct action *action, const struct expand *expand,
                            const struct row *row, struct buf *ret) {
    const struct expansion *expansion = expand->expansion;
    struct str ours = expansion->reverse ? row->values[0] : row_value(row, expansion->field);
    bool first = true;
    if (expansion_hidden(expand->target, row))
        return;
    buf_format(ret, ",\"%s\":", expansion->name);
    if (expansion->many)
        buf_char(ret, '[');
    for (size_t i = 0; i < expand->rows.n && ours.ptr; i++) {
        const struct row *theirs = &expand->rows.list[i];
        struct str link =
            expansion->reverse ? row_value(theirs, expansion->field) : theirs->values[0];
        if (!str_eq(link, ours) || (!expansion->many && !first))
            continue;
        if (!first)
            buf_char(ret, ',');
        first = false;
        note_row(action, theirs);
        write_plain(theirs, ret);
    }
    buf_text(ret, expansion->many ? "]" : first ? "null" : "");
}

void view_write(struct action *action, const struct view *view, const struct row *row,
                struct buf *ret, char ret_etag[static ETAG_TEXT]) {
    size_t start = ret->len;
    if (!view->for_etag_only)
        note_row(action, row);
    buf_char(ret, '{');
    render_fields(row->resource, row->values, view->fields & row_fields(row), ret);
    for (size_t i = 0; i < view->n_expands; i++)
        write_expansion(action, &view->expands[i], row, ret);
    write_etag(row, start, ret, ret_etag);
}

/* The answer tells of the newer version: no replica may answer with an older one after it. */
static void forget_older(struct action *action, const struct row *row) {
    const struct resource *resource = row->resource;
    struct cache_touch touch = {.version = row_cache_version(row)};
    if ((resource->flags & R_CACHED) == 0)
        return;
    snprintf(touch.name, sizeof touch.name, "%s:%.*s", resource->name, STR_ARG(row->values[0]));
    cache_invalidate(action->app->cache, &touch, 1);
}

bool row_if_match(struct action *action, const struct row *row, struct err *err) {
    char etag[ETAG_TEXT];
    struct view view;
    struct buf body;
    row_etag(row, etag);
    if (!action->if_match.ptr || etag_edit_matches(action->if_match, str_of(etag)))
        return true;
    /* The whole etag, as a GET shows it now, so that the client may go on from it. */
    view_init(&view);
    view.for_etag_only = true;
    buf_init(&body, 1 << 22);
    view_write(action, &view, row, &body, etag);
    buf_release(&body);
    forget_older(action, row);
    return if_match(action, etag, arena_format(action->arena, "The %s", row->resource->name), err);
}

/* The live record, or NULL: not found, or no memory. */
static const struct row *row_now(struct action *action, struct tx *tx, const struct record_key *key,
                                 struct err *err) {
    struct str ids = pg_array_param(action->arena, &key->id, 1);
    if (!ids.ptr) {
        err_memory(err);
        return NULL;
    }
    size_t slot = tx_query(tx, sql_for(action, key->resource->id)->get, &ids, 1);
    if (!tx_flush(tx, err))
        return NULL;
    struct rows rows = rows_of(action, key->resource, tx, slot);
    if (!rows.list)
        err_memory(err);
    else if (rows.n == 0)
        not_found(key, err);
    return rows.n > 0 ? rows.list : NULL;
}

bool view_if_match(struct action *action, struct tx *tx, const struct record_key *key,
                   struct err *err) {
    if (!action->if_match.ptr)
        return true;
    const struct row *row = row_now(action, tx, key, err);
    return row && row_if_match(action, row, err);
}

bool view_answer(struct action *action, struct tx *tx, const struct record_key *key,
                 struct outcome *outcome, struct err *err) {
    const struct row *row = row_now(action, tx, key, err);
    struct view view;
    if (!row)
        return false;
    view_init(&view);
    view_write(action, &view, row, &outcome->body, outcome->etag);
    return true;
}
