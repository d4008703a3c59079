/* Turns one row of a CSV file, or one line of NDJSON, into a record as sync takes it, or says
 * what is wrong with it. */
#include "base/csv.h"
#include "domain/salesforce_id.h"
#include "transfer/import_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 40

/* ---- CSV ---- */

static bool is_line_field(const char *name) {
    static const char *const names[] = {"line_no", "product", "quantity", "amount", "cost", NULL};
    for (const char *const *one = names; *one; one++)
        if (strcmp(*one, name) == 0)
            return true;
    return false;
}

static bool known_column(const struct import *import, const char *name) {
    static const char *const message_members[] = {"external_id", "system_modstamp", "is_deleted",
                                                  NULL};
    struct str text = str_of(name);
    for (const char *const *one = message_members; *one; one++)
        if (strcmp(*one, name) == 0)
            return true;
    const struct field *field = resource_field(import->resource, text);
    return name[0] == '\0' || (field && field_writable(field)) || str_ends(text, "_external_id") ||
           (import->resource->id == RES_ORDER && is_line_field(name));
}

/* The names of the fields, one for each column; "" is left out. */
static bool take_header(struct import *import, const struct str *cells, size_t n,
                        struct window *ret) {
    const jv *columns = jv_get(import->presets, "columns");
    import->header = jv_new_array();
    for (size_t i = 0; i < n; i++) {
        char *name = arena_copy(&import->arena, str_trim(cells[i]));
        struct str field =
            name && jv_get(columns, name) ? jv_text(jv_get(columns, name)) : str_of(name);
        if (!field.ptr || !known_column(import, field.ptr)) {
            ret->wrong =
                str_of(arena_format(&import->arena, "Column %zu, \"%.100s\", is no field of %s.",
                                    i + 1, name ? name : "", import->resource->path));
            return false;
        }
        jv_push(import->header, jv_new_text(field));
    }
    return true;
}

/* a;b;c, or a JSON array. */
static jv *texts(struct str cell) {
    struct err ignored CLEANUP(err_release) = ERR_INIT;
    jv *ret = NULL;
    struct str one;
    if (str_starts(cell, "[") && json_read(cell, JSON_TOKENS, &ret, &ignored))
        return ret;
    ret = jv_new_array();
    while (ret && str_split(&cell, ';', &one))
        jv_push(ret, jv_new_text(str_trim(one)));
    return ret;
}

/* What cannot be read as its type stays text, and is refused as everywhere. */
static jv *value_of(const struct field *field, struct str cell) {
    struct err ignored CLEANUP(err_release) = ERR_INIT;
    jv *read = NULL;
    int64_t number;
    if (!field)
        return jv_new_text(cell);
    switch (field->type) {
    case FIELD_INT:
        return str_to_i64(cell, &number) ? jv_new_int(number) : jv_new_text(cell);
    case FIELD_BOOL:
        return str_case_is(cell, "true")    ? jv_new_bool(true)
               : str_case_is(cell, "false") ? jv_new_bool(false)
                                            : jv_new_text(cell);
    case FIELD_TEXTS:
        return texts(cell);
    case FIELD_DOC:
    case FIELD_DOCS:
    case FIELD_MAP:
        return json_read(cell, JSON_TOKENS, &read, &ignored) ? read : jv_new_text(cell);
    case FIELD_ID:
    case FIELD_TEXT:
    case FIELD_DECIMAL:
    case FIELD_DATE:
    case FIELD_TIME:
    case FIELD_ENUM:
        break;
    }
    return jv_new_text(cell);
}

static void set_value(const struct import *import, jv *record, jv *line, const char *name,
                      struct str cell) {
    static const struct field flag = {.type = FIELD_BOOL}, number = {.type = FIELD_INT};
    if (import->resource->id == RES_ORDER && is_line_field(name))
        jv_set(line, name, value_of(strcmp(name, "line_no") == 0 ? &number : NULL, cell));
    else
        jv_set(record, name,
               value_of(strcmp(name, "is_deleted") == 0
                            ? &flag
                            : resource_field(import->resource, str_of(name)),
                        cell));
}

/* A row as a record; an empty cell says nothing. */
static jv *record_of(const struct import *import, const struct str *cells, size_t n,
                     bool ids_only) {
    const jv *values = jv_get(import->presets, "values");
    jv *record = jv_new_object(), *line = jv_new_object();
    for (void *it = jv_first(values); it; it = jv_next(values, it))
        jv_set(record, jv_key(it), jv_copy(jv_value(it)));
    for (size_t i = 0; i < n && i < jv_len(import->header); i++) {
        struct str name = jv_text(jv_at(import->header, i));
        if (name.len > 0 && cells[i].len > 0 && (!ids_only || str_is(name, "external_id")))
            set_value(import, record, line, name.ptr,
                      jv_bool(jv_get(import->presets, "exported")) ? csv_plain(cells[i])
                                                                   : cells[i]);
    }
    if (str_is(import->system, "linkedin") && jv_get(record, "external_id"))
        jv_set(record, "linkedin_url", jv_copy(jv_get(record, "external_id")));
    if (import->resource->id == RES_ORDER && jv_len(line) > 0) {
        jv *lines = jv_new_array();
        jv_push(lines, line);
        jv_set(record, "lines", lines);
    } else {
        jv_unref(&line);
    }
    return record;
}

/* A comma in a text without quotes: what stands in which column is anybody's guess. */
static void refuse_surplus(const struct import *import, const struct str *cells, size_t n,
                           struct import_row *row) {
    size_t columns = jv_len(import->header);
    for (size_t i = columns; i < n; i++) {
        struct str cell = import_shown(str_trim(cells[i]));
        if (cell.len == 0)
            continue; /* spreadsheets write such */
        import_refuse(row, "", "surplus_cell",
                      "Line %lld has %zu cells under %zu columns: \"%.*s\" in cell %zu is under "
                      "none. A text with a comma needs quotes.",
                      (long long)row->line, n, columns, STR_ARG(cell), i + 1);
        return;
    }
}

static enum csv_read next_csv(struct import *import, struct window *window, bool ids_only,
                              struct import_row *ret) {
    struct str rest = {window->text.ptr + window->used, window->text.len - window->used};
    if (!import->cells)
        import->cells = arena_array(&import->arena, CSV_CELLS, sizeof *import->cells);
    if (!import->cells)
        return CSV_MEMORY;
    struct csv_record found = {.cells = import->cells};
    enum csv_read read = csv_read(rest, window->last, &import->arena, &found);
    const struct str *cells = found.cells;
    size_t n = found.n;
    ret->used = found.used;
    ret->n_lines = found.lines;
    if (read != CSV_RECORD || (n == 1 && cells[0].len == 0))
        return read; /* an empty line is nothing */
    bool linkedin = jv_get(jv_get(import->presets, "columns"), "First Name") != NULL;
    if (import->header) {
        ret->record = record_of(import, cells, n, ids_only);
        refuse_surplus(import, cells, n, ret);
    } else if ((!linkedin || str_is(cells[0], "First Name")) &&
               !take_header(import, cells, n, window)) {
        return CSV_WRONG;
    }
    return CSV_RECORD;
}

/* ---- NDJSON ---- */

/* The columns and values of the import, for a record that has names of its own. */
static void rename_members(const struct import *import, jv *record) {
    const jv *columns = jv_get(import->presets, "columns"),
             *values = jv_get(import->presets, "values");
    for (void *it = jv_first(columns); it && jv_kind(record) == JV_OBJECT;
         it = jv_next(columns, it)) {
        struct str name = jv_text(jv_value(it));
        jv *value = jv_ref(jv_get(record, jv_key(it)));
        if (!value)
            continue;
        jv_remove(record, jv_key(it));
        if (name.len > 0)
            jv_set(record, name.ptr, jv_ref(value));
        jv_unref(&value);
    }
    for (void *it = jv_first(values); it && jv_kind(record) == JV_OBJECT; it = jv_next(values, it))
        if (!jv_get(record, jv_key(it)))
            jv_set(record, jv_key(it), jv_copy(jv_value(it)));
}

static enum csv_read next_json(const struct import *import, const struct window *window,
                               struct import_row *ret) {
    struct err wrong CLEANUP(err_release) = ERR_INIT;
    struct str rest = {window->text.ptr + window->used, window->text.len - window->used};
    const char *end = rest.len > 0 ? memchr(rest.ptr, '\n', rest.len) : NULL;
    if (rest.len == 0 || (!end && !window->last))
        return CSV_MORE;
    struct str line = {rest.ptr, end ? (size_t)(end - rest.ptr) : rest.len};
    ret->used = line.len + (end ? 1 : 0);
    ret->n_lines = 1;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    /* What is no JSON is a record that is refused: {} lacks its external_id. */
    if (str_trim(line).len > 0 && !json_read(line, JSON_TOKENS, &ret->record, &wrong))
        ret->record = jv_new_text(STR("malformed"));
    rename_members(import, ret->record);
    return CSV_RECORD;
}

/* ---- records ---- */

void import_row_release(struct import_row *row) {
    jv_unref(&row->record);
    jv_unref(&row->refused);
    jv_unref(&row->line_of);
}

void import_rows_release(struct import_rows *rows) {
    for (size_t i = 0; i < rows->n; i++)
        import_row_release(&rows->of[i]);
    buf_release(&rows->apart);
    rows->n = 0;
}

struct str import_shown(struct str text) {
    if (text.len > SHOWN_MAX)
        text.len = SHOWN_MAX;
    text.len = str_utf8_prefix(text);
    return text;
}

void import_refuse(struct import_row *row, const char *field, const char *code, const char *detail,
                   ...) {
    char text[sizeof((struct err_item *)0)->detail];
    va_list args;
    va_start(args, detail);
    vsnprintf(text, sizeof text, detail, args);
    va_end(args);
    jv_unref(&row->refused);
    row->refused = jv_new_object();
    jv_set(row->refused, "field", jv_new_text(str_of(field)));
    jv_set(row->refused, "code", jv_new_text(str_of(code)));
    jv_set(row->refused, "detail", jv_new_text(str_of(text)));
}

static struct str id_of(const jv *record) { return jv_text(jv_get(record, "external_id")); }

/* Salesforce's ids have two spellings; an order is one. */
static void spell_id(const struct import *import, jv *record) {
    char whole[SALESFORCE_ID_TEXT];
    if (str_is(import->system, "salesforce") && id_of(record).ptr &&
        salesforce_id_parse(id_of(record), whole))
        jv_set(record, "external_id", jv_new_text(str_of(whole)));
}

enum csv_read import_row(struct import *import, struct window *window, bool ids_only,
                         struct import_row *ret) {
    *ret = (struct import_row){.line = window->line + window->n_lines + 1};
    enum csv_read read = str_is(import->format, "csv") ? next_csv(import, window, ids_only, ret)
                                                       : next_json(import, window, ret);
    if (read == CSV_WRONG && !window->wrong.ptr)
        window->wrong = str_of(
            arena_format(&import->arena, "Line %lld is no CSV (RFC 4180).", (long long)ret->line));
    if (read != CSV_RECORD)
        return read;
    spell_id(import, ret->record);
    window->used += ret->used;
    window->n_lines += (int64_t)ret->n_lines;
    return CSV_RECORD;
}

/* Which line of the file each line of the order is. */
static void keep_lines(struct import_row *row) {
    jv *lines = jv_new_array();
    for (size_t i = 0; i < jv_len(jv_get(row->record, "lines")); i++)
        jv_push(lines, jv_new_int(row->line));
    row->line_of = jv_new_object();
    jv_set(row->line_of, "lines", lines);
}

void import_add(const struct import *import, struct import_rows *rows, struct import_row *row) {
    if (import->resource->id == RES_ORDER && str_is(import->format, "csv"))
        keep_lines(row);
    rows->ids[rows->n] = id_of(row->record); /* lives as long as the record */
    rows->of[rows->n++] = *row;
    *row = (struct import_row){0};
}

void import_put_apart(struct import_rows *rows, const struct import_row *row) {
    struct buf *text = &rows->apart;
    buf_text(text, text->len == 0 ? "[{\"external_id\":" : ",{\"external_id\":");
    buf_json(text, jv_text(jv_get(row->record, "external_id")));
    buf_format(text, ",\"line\":%" PRId64 ",\"record\":", row->line);
    jv_write(row->record, text);
    buf_text(text, ",\"refused\":");
    if (row->refused)
        jv_write(row->refused, text);
    else
        buf_text(text, "null");
    buf_char(text, '}');
}
