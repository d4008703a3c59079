/* Builds the SQL statements that read, lock, insert, update, delete and restore the records of each
 * resource. For callers who see only some accounts, reading statements leave out other records. */
#include "store/record.h"

#include "core/buf.h"

#include <stdio.h>

static struct record_sql texts[2][RES_COUNT];

static void column(const struct field *field, struct buf *ret) {
    bool as_json = field->type == FIELD_TEXTS;
    if (as_json)
        buf_text(ret, "to_jsonb(");
    if (field->column)
        buf_text(ret, field->column);
    else
        buf_format(ret, "t.%s", field->name);
    if (as_json)
        buf_char(ret, ')');
}

static void columns(const struct resource *resource, bool by_access_set, struct buf *ret) {
    for (size_t i = 0; i < resource->n_fields; i++) {
        column(&resource->fields[i], ret);
        buf_text(ret, ", ");
    }
    buf_text(ret, resource->derived_version ? resource->derived_version : "0");
    buf_format(ret, ", t.deleted_at, %s",
               by_access_set && resource_account(resource) ? "x.areas" : "-1");
}

static void writable(const struct resource *resource, const char *prefix, struct buf *ret) {
    bool first = true;
    for (size_t i = 0; i < resource->n_fields; i++) {
        if (!field_writable(&resource->fields[i]))
            continue;
        buf_format(ret, "%s%s%s", first ? "" : ", ", prefix, resource->fields[i].name);
        first = false;
    }
}

static void insert(const struct resource *resource, struct buf *ret) {
    buf_format(ret, "insert into %s (id, ", resource->table);
    writable(resource, "", ret);
    buf_text(ret, ") select x.id, ");
    writable(resource, "x.", ret);
    buf_format(ret, " from jsonb_populate_recordset(null::%s, $1::jsonb) x order by x.id",
               resource->table);
}

/* An order's account and the like are create-only; they are written all the same, with the value
 * that was read under the lock. */
static void update(const struct resource *resource, struct buf *ret) {
    buf_format(ret, "update %s t set (", resource->table);
    writable(resource, "", ret);
    buf_text(ret, ", version, updated_at) = (");
    writable(resource, "x.", ret);
    buf_format(ret,
               ", t.version + 1, now()) from jsonb_populate_recordset(null::%s, $1::jsonb) x where "
               "t.id = x.id",
               resource->table);
}

/* For callers who do not see everything, what they do not see is taken out before the table is
 * read: with row level security alone, the time tells it from what never was. */
static void by_id(const struct resource *resource, bool by_access_set, const struct record_sql *sql,
                  const char *deleted, struct buf *ret) {
    if (!by_access_set || !resource_account(resource)) {
        buf_format(ret, "select %s from %s where t.id = " ANY_OF_IDS, sql->columns, sql->from);
        return;
    }
    buf_format(ret, "select %s from %s t %s cross join lateral areas_of(t.%s) x(areas) where ",
               sql->columns, resource->table, resource->join ? resource->join : "",
               resource_account(resource));
    buf_format(ret, "t.id = " ANY_VISIBLE, resource->table, deleted);
}

static const char *finish(struct buf *buf, struct err *err) {
    const char *text = buf_take(buf, NULL);
    if (!text)
        err_memory(err);
    return text;
}

#define TEXT(target, ...)                                                                          \
    do {                                                                                           \
        struct buf buf_;                                                                           \
        buf_init(&buf_, 1 << 16);                                                                  \
        __VA_ARGS__;                                                                               \
        if (!((target) = finish(&buf_, err)))                                                      \
            return false;                                                                          \
    } while (0)

static bool init(const struct resource *r, bool by_access_set, struct record_sql *t,
                 struct err *err) {
    TEXT(t->columns, columns(r, by_access_set, &buf_));
    TEXT(t->from, resource_source(r, by_access_set, &buf_));
    TEXT(t->get, by_id(r, by_access_set, t, "false", &buf_),
         buf_text(&buf_, " and t.deleted_at is null"));
    TEXT(t->get_any, by_id(r, by_access_set, t, "true", &buf_));
    TEXT(t->lock, by_id(r, by_access_set, t, "true", &buf_),
         buf_text(&buf_, " order by t.id for no key update of t"));
    TEXT(t->insert, insert(r, &buf_));
    TEXT(t->update, update(r, &buf_));
    TEXT(t->del, buf_format(&buf_,
                            "update %s set deleted_at = now(), version = version + 1, updated_at = "
                            "now() where id = " ANY_OF_IDS " and deleted_at is null",
                            r->table));
    TEXT(t->restore,
         buf_format(&buf_,
                    "update %s set deleted_at = null, version = version + 1, updated_at = now() "
                    "where id = " ANY_OF_IDS " and deleted_at is not null",
                    r->table));
    return true;
}

bool record_sql_init(struct err *err) {
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++)
        for (int by_access_set = 0; by_access_set < 2; by_access_set++)
            if (!init(resource_of(id), by_access_set != 0, &texts[by_access_set][id], err))
                return false;
    return true;
}

const struct record_sql *record_sql(enum resource_id id, bool by_access_set) {
    return &texts[by_access_set ? 1 : 0][id];
}
