/* Writes a record's columns, which PostgreSQL returns as text, as JSON; makes ETags, and compares
 * them with If-Match and If-None-Match. */
#include "domain/render.h"

#include "core/clock.h"
#include "domain/check.h"

#include <stdio.h>
#include <string.h>

/* PostgreSQL writes "2026-11-21 23:56:00.123+00" in any session zone; clients get RFC 3339 in UTC
 * with six places. */
static void render_time(struct str value, struct buf *ret) {
    char text[48], utc[TIME_TEXT];
    if (value.len < 19 || value.len + 4 > sizeof text) {
        buf_text(ret, "null");
        return;
    }
    memcpy(text, value.ptr, value.len);
    size_t n = value.len;
    text[10] = 'T';
    if (text[n - 3] == '+' || text[n - 3] == '-') {
        memcpy(text + n, ":00", 3);
        n += 3;
    }
    if (time_parse((struct str){text, n}, utc))
        buf_json(ret, str_of(utc));
    else
        buf_text(ret, "null");
}

void render_value(const struct field *field, struct str value, struct buf *ret) {
    if (!value.ptr) {
        buf_text(ret, "null");
        return;
    }
    switch (field->type) {
    case FIELD_ID:
    case FIELD_DATE:
    case FIELD_DECIMAL:
    case FIELD_ENUM:
    case FIELD_TEXT:
        buf_json(ret, value);
        return;
    case FIELD_TIME:
        render_time(value, ret);
        return;
    case FIELD_BOOL:
        buf_text(ret, value.len > 0 && value.ptr[0] == 't' ? "true" : "false");
        return;
    case FIELD_INT:
    case FIELD_TEXTS:
    case FIELD_DOC:
    case FIELD_DOCS:
    case FIELD_MAP:
        buf_put(ret, value);
        return;
    }
}

static void render_where(const struct resource *resource, const struct str *values, field_set set,
                         bool writable_only, struct buf *ret) {
    bool first = true;
    for (size_t i = 0; i < resource->n_fields; i++) {
        const struct field *field = &resource->fields[i];
        if ((set >> i & 1) == 0 || (writable_only && !field_writable(field)))
            continue;
        if (!first)
            buf_char(ret, ',');
        first = false;
        buf_char(ret, '"');
        buf_text(ret, field->name);
        buf_text(ret, "\":");
        render_value(field, values[i], ret);
    }
}

field_set fields_in(const struct resource *resource, area_set areas) {
    field_set set = 1;
    for (size_t i = 0; i < resource->n_fields; i++) {
        enum area area = resource->fields[i].area != 0 ? resource->fields[i].area : resource->area;
        if ((areas & AREA_BIT(area)) != 0)
            set |= (field_set)1 << i;
    }
    return set;
}

void render_fields(const struct resource *resource, const struct str *values, field_set set,
                   struct buf *ret) {
    render_where(resource, values, set, false, ret);
}

void render_writable(const struct resource *resource, const struct str *values, struct buf *ret) {
    buf_char(ret, '{');
    render_where(resource, values, FIELD_SET_ALL, true, ret);
    buf_char(ret, '}');
}

void etag_make(struct str id, int64_t edit_version, struct str body, char ret[static ETAG_TEXT]) {
    uint64_t edit = str_hash(id) ^ ((uint64_t)edit_version * 0x9e3779b97f4a7c15u);
    uint64_t all = str_hash(body);
    snprintf(ret, ETAG_TEXT, "\"%016llx-%08x\"", (unsigned long long)edit,
             (unsigned)(all ^ all >> 32));
}

static bool matches(struct str list, struct str etag, size_t len) {
    struct str one;
    while (str_split(&list, ',', &one)) {
        one = str_trim(one);
        if (str_is(one, "*"))
            return true;
        if (one.len == etag.len && etag.len >= len && memcmp(one.ptr, etag.ptr, len) == 0)
            return true;
    }
    return false;
}

bool etag_edit_matches(struct str if_match, struct str etag) {
    return matches(if_match, etag, 17); /* the quote and sixteen digits */
}

bool etag_all_matches(struct str if_none_match, struct str etag) {
    /* Weak comparison (RFC 9110 13.1.2): a proxy that compresses may have weakened it. */
    struct str one;
    while (str_split(&if_none_match, ',', &one)) {
        one = str_trim(one);
        if (str_starts(one, "W/"))
            one = (struct str){one.ptr + 2, one.len - 2};
        if (matches(one, etag, etag.len))
            return true;
    }
    return false;
}
