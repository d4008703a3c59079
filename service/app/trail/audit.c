/* Lists the audit's records and anchors, and shows the keys by which the anchors can be
 * verified. */
#include "app/audit.h"

#include "app/query.h"
#include "base/cursor.h"
#include "base/json.h"

#include <string.h>

/* ---- records ---- */

enum { ACCOUNT, ACTOR, ACTION, RESOURCE, RECORD, SINCE, UNTIL, FILTERS };
static const char *const filters[FILTERS] = {
    [ACCOUNT] = "account_id", [ACTOR] = "actor", [ACTION] = "action", [RESOURCE] = "resource",
    [RECORD] = "record_id",   [SINCE] = "since", [UNTIL] = "until"};

struct query {
    struct str values[FILTERS];
    struct page page;
};

static bool read_query(struct action *action, struct query *query, struct err *err) {
    CLEANUP(buf_release) struct buf list = {0};
    buf_init(&list, 1 << 16);
    buf_text(&list, "audit");
    for (size_t i = 0; i < FILTERS; i++) {
        query->values[i] = action_query(action, filters[i]);
        buf_format(&list, "|%.*s", STR_ARG(query->values[i]));
    }
    struct str name = buf_ok(&list) ? arena_str(action->arena, buf_str(&list)) : STR_ABSENT;
    query->page.list = name;
    return name.ptr ? page_read(action, &query->page, err) : err_memory(err);
}

/* Conditions on what is asked for only, so that the index of each is used. */
static const char *list_sql(struct action *action, const struct query *query) {
    static const char *const conditions[FILTERS] = {[ACCOUNT] = "a.account_id = $1::uuid",
                                                    [ACTOR] = "a.actor = $2",
                                                    [ACTION] = "a.action = $3",
                                                    [RESOURCE] = "a.resource = $4",
                                                    [RECORD] = "a.record_id = $5::uuid",
                                                    [SINCE] = "a.at >= $6::timestamptz",
                                                    [UNTIL] = "a.at < $7::timestamptz"};
    struct buf text;
    buf_init(&text, 1 << 14);
    buf_text(&text,
             "select nullif(a.account_id, audit_nobody()), a.kind, a.seq, a.at, a.actor, a.origin, "
             "a.request_id, a.action, a.resource, a.record_id, a.version, a.area, a.records, "
             "encode(a.digest, 'hex'), encode(a.prev_hash, 'hex'), encode(a.hash, "
             "'hex'), a.id from audit a where ($1::uuid is null or true) and ($2::text is null or "
             "true) and ($3::text is null or true) and ($4::text is null or true) and ($5::uuid is "
             "null or true) and ($6::timestamptz is null or true) and ($7::timestamptz is null or "
             "true) and ($8::timestamptz is null or (a.at, a.id) < ($8::timestamptz, $9::bigint))");
    for (size_t i = 0; i < FILTERS; i++)
        if (query->values[i].ptr)
            buf_format(&text, " and %s", conditions[i]);
    buf_text(&text, " order by a.at desc, a.id desc limit $10::int");
    char *ret = buf_ok(&text) ? arena_copy(action->arena, buf_str(&text)) : NULL;
    buf_release(&text);
    return ret;
}

static const struct field record_fields[] = {
    {.name = "account_id", .type = FIELD_ID},
    {.name = "chain", .type = FIELD_TEXT},
    {.name = "seq", .type = FIELD_INT},
    {.name = "at", .type = FIELD_TIME},
    {.name = "actor", .type = FIELD_TEXT},
    {.name = "origin", .type = FIELD_TEXT},
    {.name = "request_id", .type = FIELD_TEXT},
    {.name = "action", .type = FIELD_TEXT},
    {.name = "resource", .type = FIELD_TEXT},
    {.name = "record_id", .type = FIELD_ID},
    {.name = "version", .type = FIELD_INT},
    {.name = "area", .type = FIELD_TEXT},
    {.name = "records", .type = FIELD_INT},
    {.name = "digest", .type = FIELD_TEXT},
    {.name = "previous_hash", .type = FIELD_TEXT},
    {.name = "hash", .type = FIELD_TEXT},
};
enum { AT_COLUMN = 3, AREA_COLUMN = 11, ID_COLUMN = COUNT_OF(record_fields) };

static void write_record(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    for (size_t c = 0; c < COUNT_OF(record_fields); c++) {
        struct str value = tx_value(tx, slot, row, c);
        buf_format(ret, "%c\"%s\":", c == 0 ? '{' : ',', record_fields[c].name);
        if (c == AREA_COLUMN && value.ptr)
            buf_json(ret, str_of(area_name((enum area)tx_int(tx, slot, row, c))));
        else
            render_value(&record_fields[c], value, ret);
    }
    buf_char(ret, '}');
}

bool audit_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct query query = {
        .page = {.key_columns = {AT_COLUMN, ID_COLUMN}, .n_keys = 2, .write = write_record}};
    if (!read_query(action, &query, err))
        return false;
    const char *sql = list_sql(action, &query);
    if (!sql)
        return err_memory(err);
    if (!read_begin(action, &tx, err))
        return false;
    struct str values[FILTERS + 3];
    memcpy(values, query.values, sizeof query.values);
    values[FILTERS] = query.page.keys[0];
    values[FILTERS + 1] = query.page.keys[1];
    values[FILTERS + 2] = page_limit(action, &query.page);
    size_t slot = tx_query(tx, sql, values, COUNT_OF(values));
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &query.page, tx, slot, outcome);
    return true;
}

/* ---- anchors and keys ---- */

bool audit_anchor_list(struct action *action, struct outcome *outcome, struct err *err) {
    static const struct field fields[] = {
        {.name = "anchor_no", .type = FIELD_INT}, {.name = "at", .type = FIELD_TIME},
        {.name = "chains", .type = FIELD_INT},    {.name = "root", .type = FIELD_TEXT},
        {.name = "previous", .type = FIELD_TEXT}, {.name = "body", .type = FIELD_TEXT},
        {.name = "key_id", .type = FIELD_TEXT},   {.name = "signature", .type = FIELD_TEXT}};
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page = {
        .list = STR("audit anchors"), .key_columns = {0}, .n_keys = 1, .shape = &SHAPE_OF(fields)};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {page.keys[0], page_limit(action, &page)};
    size_t slot =
        tx_query(tx,
                 "select a.number, a.at, a.body::jsonb ->> 'chains', a.body::jsonb ->> 'root', "
                 "a.body::jsonb "
                 "->> 'previous', a.body, a.key_id, replace(encode(a.signature, 'base64'), e'\\n', "
                 "'') from audit_anchor a where "
                 "$1::bigint is null or a.number < $1::bigint order by a.number desc limit $2::int",
                 values, 2);
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}

bool audit_keys_show(struct action *action, struct outcome *outcome, struct err *err) {

    static const struct field fields[] = {{.name = "id", .type = FIELD_TEXT},
                                          {.name = "algorithm", .type = FIELD_TEXT},
                                          {.name = "public_key", .type = FIELD_TEXT},
                                          {.name = "created_at", .type = FIELD_TIME}};
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx,
                           "select id, 'ed25519', encode(public_key, 'base64'), created_at from "
                           "audit_key order by created_at desc, id limit 100",
                           NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    buf_text(&outcome->body, "{\"keys\":[");
    write_rows(tx, slot, tx_rows(tx, slot), &SHAPE_OF(fields), &outcome->body);
    buf_text(&outcome->body, "]}");
    return true;
}
