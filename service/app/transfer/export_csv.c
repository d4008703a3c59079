/* Writes records as lines of CSV for an export, and the mapping of columns to fields by which an
 * import takes the file back. An order becomes one line of the file for each of its order lines. */
#include "transfer/export_csv.h"

#include "base/csv.h"

#include <stdio.h>
#include <string.h>

static const char *const line_columns[] = {"line_no", "product", "quantity", "amount", "cost"};

static bool is_lines(const struct resource *resource, const struct field *field) {
    return resource->id == RES_ORDER && strcmp(field->name, "lines") == 0;
}

/* An order's sums would be named as its lines' are. */
static bool is_sum(const struct resource *resource, const struct field *field) {
    return resource->id == RES_ORDER &&
           (strcmp(field->name, "amount") == 0 || strcmp(field->name, "cost") == 0);
}

static bool shown(field_set fields, size_t i) { return (fields >> i & 1) != 0; }

void export_csv_head(const struct resource *resource, field_set fields, struct buf *ret) {
    size_t start = ret->len;
    for (size_t i = 0; i < resource->n_fields; i++) {
        const struct field *field = &resource->fields[i];
        if (!shown(fields, i))
            continue;
        if (ret->len > start)
            buf_char(ret, ',');
        for (size_t c = 0; is_lines(resource, field) && c < COUNT_OF(line_columns); c++)
            buf_format(ret, "%s%s", c > 0 ? "," : "", line_columns[c]);
        if (!is_lines(resource, field))
            buf_format(ret, "%s%s", is_sum(resource, field) ? "order_" : "", field->name);
    }
    if (resource->id == RES_ACCOUNT)
        buf_text(ret, ",redacted");
    buf_text(ret, "\r\n");
}

/* a;b;c where that can be read back, else JSON. */
static void put_texts(const jv *list, struct str json, struct buf *ret) {
    CLEANUP(buf_release) struct buf text;
    bool plain = true;
    buf_init(&text, (size_t)1 << 22);
    for (size_t i = 0; i < jv_len(list); i++) {
        struct str one = jv_text(jv_at(list, i));
        plain = plain && one.len > 0 && !memchr(one.ptr, ';', one.len) && one.ptr[0] != '[' &&
                str_trim(one).len == one.len;
        if (i > 0)
            buf_char(&text, ';');
        buf_put(&text, one);
    }
    csv_cell(plain && buf_ok(&text) ? buf_str(&text) : json, ret);
}

/* The text of a JSON string, number, or nothing. */
static void put_scalar(const jv *value, struct buf *ret) {
    if (jv_kind(value) == JV_INT)
        buf_i64(ret, jv_int(value));
    else if (jv_text(value).ptr)
        csv_cell(jv_text(value), ret);
}

static bool put_value(const struct field *field, struct str value, struct buf *ret,
                      struct err *err) {
    CLEANUP(jv_unref) jv *list = NULL;
    if (!value.ptr || str_is(value, "[]") || str_is(value, "{}"))
        return true;
    switch (field->type) {
    case FIELD_BOOL:
    case FIELD_INT:
        render_value(field, value, ret);
        return true;
    case FIELD_TIME: {
        CLEANUP(buf_release) struct buf time;
        buf_init(&time, 64);
        render_value(field, value, &time);
        struct str text = buf_str(&time); /* with its quotes */
        if (text.len > 2)
            buf_put(ret, (struct str){text.ptr + 1, text.len - 2});
        return true;
    }
    case FIELD_TEXTS:
        if (!json_read(value, JSON_TOKENS, &list, err))
            return false;
        put_texts(list, value, ret);
        return true;
    case FIELD_ID:
    case FIELD_TEXT:
    case FIELD_DECIMAL:
    case FIELD_DATE:
    case FIELD_ENUM:
    case FIELD_DOC:
    case FIELD_DOCS:
    case FIELD_MAP:
        break;
    }
    csv_cell(value, ret);
    return true;
}

static void put_areas(area_set areas, struct buf *ret) {
    bool first = true;
    for (enum area area = 0; area < AREA_COUNT; area++) {
        if ((areas & AREA_BIT(area)) == 0)
            continue;
        buf_format(ret, "%s%s", first ? "" : ";", area_name(area));
        first = false;
    }
}

static bool put_row(field_set fields, const struct row *row, const jv *line, struct buf *ret,
                    struct err *err) {
    const struct resource *resource = row->resource;
    field_set seen = row_fields(row);
    size_t start = ret->len;
    for (size_t i = 0; i < resource->n_fields; i++) {
        const struct field *field = &resource->fields[i];
        if (!shown(fields, i))
            continue;
        if (i > 0 && ret->len > start)
            buf_char(ret, ',');
        for (size_t c = 0; is_lines(resource, field) && c < COUNT_OF(line_columns); c++) {
            if (c > 0)
                buf_char(ret, ',');
            put_scalar(jv_get(line, line_columns[c]), ret);
        }
        if (!is_lines(resource, field) && shown(seen, i) &&
            !put_value(field, row->values[i], ret, err))
            return false;
    }
    if (resource->id == RES_ACCOUNT) {
        buf_char(ret, ',');
        put_areas(row->hidden, ret);
    }
    buf_text(ret, "\r\n");
    return buf_ok(ret) || err_memory(err);
}

bool export_csv_row(field_set fields, const struct row *row, struct buf *ret, struct err *err) {
    const struct resource *resource = row->resource;
    CLEANUP(jv_unref) jv *lines = NULL;
    struct str text = row_value(row, "lines");
    const struct field *field = resource_field(resource, STR("lines"));
    if (resource->id != RES_ORDER || !shown(fields, resource_field_at(resource, field)))
        return put_row(fields, row, NULL, ret, err);
    if (!json_read(text, JSON_TOKENS * 10, &lines, err))
        return false;
    for (size_t i = 0; i < jv_len(lines); i++)
        if (!put_row(fields, row, jv_at(lines, i), ret, err))
            return false;
    return true;
}

static void put_column(struct buf *ret, const char *column, const char *field) {
    buf_format(ret, "%c\"%s\":\"%s\"", ret->len == 0 ? '{' : ',', column, field);
}

/* Orders are known by their number, which is theirs in the other system, too. */
static const char *identity(const struct resource *resource) {
    return resource->id == RES_ORDER ? "external_id" : "id";
}

void export_columns(const struct resource *resource, bool csv, struct buf *ret) {
    for (size_t i = 0; i < resource->n_fields; i++) {
        const struct field *field = &resource->fields[i];
        size_t len = strlen(field->name);
        char name[80];
        if (strcmp(field->name, identity(resource)) == 0) {
            put_column(ret, field->name, "external_id");
        } else if (csv && is_sum(resource, field)) {
            snprintf(name, sizeof name, "order_%s", field->name);
            put_column(ret, name, "");
        } else if (!field_writable(field)) {
            put_column(ret, field->name, "");
        } else if (field->type == FIELD_ID && field->ref && len > 3) {
            snprintf(name, sizeof name, "%.*s_external_id", (int)len - 3, field->name);
            put_column(ret, field->name, name);
        }
    }
    put_column(ret, "redacted", "");
    put_column(ret, "etag", "");
    buf_char(ret, '}');
}
