#include "view.h"

#include "notes.h"
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

const struct record_sql *sql_for(const struct action *action, enum resource_id id) {
    return record_sql(id, !role_sees_all(action->who->role));
}

enum area row_area(const struct resource *resource, const struct row *row) {
    struct str section =
        resource->id == RES_PLAN_SECTION ? row_value(resource, row, "section") : STR_ABSENT;
    for (enum area area = 0; section.ptr && area < AREA_COUNT; area++)
        if (str_is(section, area_name(area)))
            return area;
    return resource->area;
}

bool area_writable(const struct action *action, area_set areas, enum area area, struct err *err) {
    if ((areas & role_writes(action->who->role) & AREA_BIT(area)) != 0)
        return true;
    return err_set(err, PROBLEM_FORBIDDEN, "You may not change the %s of this account.",
                   area_name(area));
}

bool row_writable(const struct action *action, const struct resource *resource,
                  const struct row *row, struct err *err) {
    return !resource_account(resource) ||
           area_writable(action, row->areas, row_area(resource, row), err);
}

void write_areas(area_set areas, struct buf *ret) {
    bool first = true;
    buf_char(ret, '[');
    for (enum area area = 0; area < AREA_COUNT; area++) {
        if ((areas & AREA_BIT(area)) == 0)
            continue;
        buf_format(ret, "%s\"%s\"", first ? "" : ",", area_name(area));
        first = false;
    }
    buf_char(ret, ']');
}

static bool row_readable(const struct resource *resource, const struct row *row) {
    return !resource_account(resource) || (row->areas & AREA_BIT(row_area(resource, row))) != 0;
}

struct row *rows_of(struct action *action, const struct resource *resource, struct tx *tx,
                    size_t slot, size_t *ret_n) {
    size_t n = tx_rows(tx, slot), width = resource->n_fields + 3, kept = 0;
    struct row *rows = arena_array(action->arena, n + 1, sizeof *rows);
    struct str *values = arena_array(action->arena, n * width + 1, sizeof *values);
    enum role role = action->who->role;
    if (!rows || !values)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        struct row *row = &rows[kept];
        struct str *its = values + i * width;
        for (size_t c = 0; c < width; c++)
            its[c] = tx_value(tx, slot, i, c);
        row->values = its;
        row->areas = (area_set)tx_int(tx, slot, i, width - 1) & role_reads(role);
        row->hidden = role_sees_all(role) ? 0 : AREAS_ALL & ~row->areas;
        kept += row_readable(resource, row);
    }
    *ret_n = kept;
    return rows;
}

struct str row_value(const struct resource *resource, const struct row *row, const char *name) {
    const struct field *field = resource_field(resource, str_of(name));
    return field ? row->values[resource_field_at(resource, field)] : STR_ABSENT;
}

static int64_t number(struct str text) {
    int64_t value = 0;
    return text.ptr && str_to_i64(text, &value) ? value : 0;
}

/* Every descriptor begins with id, version. */
int64_t row_version(const struct resource *resource, const struct row *row) {
    (void)resource;
    return number(row->values[1]);
}

int64_t row_cache_version(const struct resource *resource, const struct row *row) {
    return number(row->values[1]) + number(row->values[resource->n_fields]);
}

bool row_deleted(const struct resource *resource, const struct row *row) {
    return row->values[resource->n_fields + 1].ptr != NULL;
}

void row_etag(const struct resource *resource, const struct row *row, char ret[static ETAG_TEXT]) {
    etag_make(row->values[0], row_version(resource, row), STR(""), ret);
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
    return ids ? array_param(action->arena, ids, n) : STR_ABSENT;
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

/* Of a record that the caller sees, all but what was derived from where the caller does not read.
 */
field_set row_fields(const struct resource *resource, const struct row *row) {
    return fields_in(resource, ~row->hidden | AREA_BIT(resource->area));
}

bool row_shows(const struct row *row, const struct field *field) {
    return field->area == 0 || (row->hidden & AREA_BIT(field->area)) == 0;
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
    if (!view->unseen)
        note_row(action, resource, row);
    buf_char(ret, '{');
    render_fields(resource, row->values, view->fields & row_fields(resource, row), ret);
    for (size_t i = 0; expanded && i < view->n_expands; i++)
        write_expansion(action, resource, view, i, row, expanded, ret);
    write_etag(resource, row, start, ret, ret_etag);
}

bool not_found(const struct record_key *key, struct err *err) {
    return err_set(err, PROBLEM_NOT_FOUND, "There is no such %s that you can see.",
                   key->resource->name);
}

void write_row(struct tx *tx, size_t slot, size_t row, const struct field *fields, size_t n_fields,
               struct buf *ret) {
    for (size_t c = 0; c < n_fields; c++) {
        buf_format(ret, "%c\"%s\":", c == 0 ? '{' : ',', fields[c].name);
        render_value(&fields[c], tx_value(tx, slot, row, c), ret);
    }
    buf_char(ret, '}');
}

struct str doc_text(struct action *action, const jv *doc) {
    struct buf text;
    buf_init(&text, 1 << 24); /* beyond what any body can hold */
    jv_write(doc, &text);
    struct str ret = buf_ok(&text) ? arena_str(action->arena, buf_str(&text)) : STR_ABSENT;
    buf_release(&text);
    return ret;
}

bool row_if_match(struct action *action, const struct resource *resource, const struct row *row,
                  struct err *err) {
    char etag[ETAG_TEXT];
    struct view view;
    struct buf body;
    row_etag(resource, row, etag);
    if (!action->if_match.ptr || etag_edit_matches(action->if_match, str_of(etag)))
        return true;
    view_init(&view);
    view.unseen = true;
    buf_init(&body, 1 << 22);
    view_write(action, resource, &view, row, NULL, &body, etag);
    buf_release(&body);
    snprintf(err->etag, sizeof err->etag, "%s", etag);
    return err_set(err, PROBLEM_PRECONDITION_FAILED, "The %s was changed since you read it.",
                   resource->name);
}

/* The live record, or NULL: not found, or no memory. */
static const struct row *row_now(struct action *action, struct tx *tx, enum resource_id id,
                                 struct str record_id, struct err *err) {
    struct record_key key = {.resource = resource_of(id)};
    struct str ids = array_param(action->arena, &record_id, 1);
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

void view_object(struct action *action, struct str id, int64_t version, struct str object,
                 struct outcome *outcome) {
    etag_make(id, version, object, outcome->etag);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    buf_put(&outcome->body, (struct str){object.ptr, object.len - 1}); /* without its brace */
    buf_text(&outcome->body, ",\"etag\":");
    buf_json(&outcome->body, str_of(outcome->etag));
    buf_char(&outcome->body, '}');
}
