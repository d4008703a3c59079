/* From a window of the file to records as sync takes them. */
#include "import_run.h"

#include "csv.h"
#include "domain/csv_read.h"

#include <string.h>

#define LINES_MAX 1000 /* of one order */

/* ---- CSV ---- */

static bool is_line_field(const char *name) {
    static const char *const names[] = {"line_no", "product", "quantity", "amount", "cost", NULL};
    for (const char *const *one = names; *one; one++)
        if (strcmp(*one, name) == 0)
            return true;
    return false;
}

static bool known_column(const struct import *import, const char *name) {
    static const char *const steering[] = {"external_id", "system_modstamp", "is_deleted", NULL};
    struct str text = str_of(name);
    for (const char *const *one = steering; *one; one++)
        if (strcmp(*one, name) == 0)
            return true;
    const struct field *field = resource_field(import->resource, text);
    return name[0] == '\0' || (field && field_writable(field)) || str_ends(text, "_external_id") ||
           (import->resource->id == RES_ORDER && is_line_field(name));
}

/* The names of the fields, one for each column; "" is left out. */
static bool take_header(struct import *import, const struct str *cells, size_t n,
                        struct rows *ret) {
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
static jv *record_of(const struct import *import, const struct str *cells, size_t n) {
    const jv *values = jv_get(import->presets, "values");
    jv *record = jv_new_object(), *line = jv_new_object();
    for (void *it = jv_first(values); it; it = jv_next(values, it))
        jv_set(record, jv_key(it), jv_copy(jv_value(it)));
    for (size_t i = 0; i < n && i < jv_len(import->header); i++) {
        struct str name = jv_text(jv_at(import->header, i));
        if (name.len > 0 && cells[i].len > 0)
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

/* ---- records ---- */

static struct str id_of(const jv *record) { return jv_text(jv_get(record, "external_id")); }

/* The next row of the same order is another line of it. */
static bool joins(const struct import *import, const struct rows *rows, const jv *record) {
    if (import->resource->id != RES_ORDER || rows->n == 0 || !id_of(record).ptr)
        return false;
    jv *before = jv_at(rows->records, rows->n - 1);
    jv *lines = jv_get(before, "lines");
    if (!str_eq(id_of(before), id_of(record)) || jv_len(jv_get(record, "lines")) != 1 || !lines ||
        jv_len(lines) >= LINES_MAX)
        return false;
    return jv_push(lines, jv_copy(jv_at(jv_get(record, "lines"), 0)));
}

/* A record that is there already goes into the next step, so that the last one counts; one whose
 * parent is there, too, so that it finds it. */
static bool follows(const struct rows *rows, const jv *record) {
    for (void *it = jv_first(record); it; it = jv_next(record, it)) {
        struct str id = jv_text(jv_value(it));
        if (!id.ptr || !str_ends(str_of(jv_key(it)), "external_id"))
            continue;
        for (size_t i = 0; i < rows->n; i++)
            if (str_eq(rows->ids[i], id))
                return true;
    }
    return false;
}

static enum csv_read next_row(struct import *import, struct str rest, bool last, size_t *ret_used,
                              size_t *ret_lines, jv **ret, struct rows *rows) {
    struct str *cells = arena_array(&import->arena, CSV_CELLS, sizeof *cells);
    size_t n = 0;
    *ret = NULL;
    if (!cells)
        return CSV_MEMORY;
    enum csv_read read = csv_read(rest, last, &import->arena, cells, &n, ret_used, ret_lines);
    if (read != CSV_RECORD || (n == 1 && cells[0].len == 0))
        return read; /* an empty line is nothing */
    bool linkedin = jv_get(jv_get(import->presets, "columns"), "First Name") != NULL;
    if (import->header)
        *ret = record_of(import, cells, n);
    else if ((!linkedin || str_is(cells[0], "First Name")) && !take_header(import, cells, n, rows))
        return CSV_WRONG;
    return CSV_RECORD;
}

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

static enum csv_read next_json(const struct import *import, struct str rest, bool last,
                               size_t *ret_used, size_t *ret_lines, jv **ret) {
    struct err wrong CLEANUP(err_release) = ERR_INIT;
    const char *end = rest.len > 0 ? memchr(rest.ptr, '\n', rest.len) : NULL;
    *ret = NULL;
    if (rest.len == 0 || (!end && !last))
        return CSV_MORE;
    struct str line = {rest.ptr, end ? (size_t)(end - rest.ptr) : rest.len};
    *ret_used = line.len + (end ? 1 : 0);
    *ret_lines = 1;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    /* What is no JSON is a record that is refused: {} lacks its external_id. */
    if (str_trim(line).len > 0 && !json_read(line, JSON_TOKENS, ret, &wrong))
        *ret = jv_new_text(STR("malformed"));
    rename_members(import, *ret);
    return CSV_RECORD;
}

static bool add(struct rows *rows, jv *record, int64_t line) {
    rows->ids[rows->n] = id_of(record); /* lives as long as the record */
    rows->lines[rows->n++] = line;
    return jv_push(rows->records, record);
}

bool import_rows(struct import *import, struct str window, bool last, struct rows *ret,
                 struct err *err) {
    bool csv = str_is(import->format, "csv");
    size_t at = import->at_byte == 0 && str_starts(window, "\xef\xbb\xbf") ? 3 : 0;
    size_t before = 0; /* where the last record began, with its lines */
    int64_t lines_before = 0;
    ret->records = jv_new_array();
    ret->n_lines = 0;
    for (bool more = ret->records != NULL; more;) {
        struct str rest = {window.ptr + at, window.len - at};
        size_t used = 0, lines = 0;
        jv *record;
        enum csv_read read = csv ? next_row(import, rest, last, &used, &lines, &record, ret)
                                 : next_json(import, rest, last, &used, &lines, &record);
        if (read == CSV_MEMORY)
            return err_memory(err);
        if (read == CSV_WRONG && !ret->wrong.ptr)
            ret->wrong =
                str_of(arena_format(&import->arena, "Line %lld is no CSV (RFC 4180).",
                                    (long long)import->at_line + (long long)ret->n_lines + 1));
        if (read != CSV_RECORD) {
            /* The last order may have further lines behind the window. */
            if (read == CSV_MORE && !last && import->resource->id == RES_ORDER && ret->n > 0) {
                jv *kept = jv_new_array();
                for (size_t i = 0; kept && i + 1 < ret->n; i++)
                    jv_push(kept, jv_ref(jv_at(ret->records, i)));
                jv_unref(&ret->records);
                ret->records = kept;
                ret->n--;
                at = before;
                ret->n_lines = lines_before;
            }
            break;
        }
        if (record && !joins(import, ret, record)) {
            more = ret->n < IMPORT_RECORDS && !follows(ret, record);
            if (more) {
                before = at;
                lines_before = ret->n_lines;
                more = add(ret, jv_ref(record), import->at_line + ret->n_lines + 1);
            }
        }
        jv_unref(&record);
        if (more) {
            at += used;
            ret->n_lines += (int64_t)lines;
        }
    }
    ret->used = at;
    return ret->records != NULL || err_memory(err);
}
