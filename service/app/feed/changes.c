/* Makes the pages of the change feed: the changes after a cursor in commit order, or, for
 * after=snapshot, first a walk through all records. Each change carries the record as it is now. */
#include "core/retention.h"
#include "feed/change_query.h"
#include "feed/event_query.h"
#include "record/view.h"
#include "store/array.h"
#include "store/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many events are looked through for one page, also where nothing of it is asked for. */
#define WINDOW "20000"

struct feed_page {
    struct action *action;
    struct change_query *query;
    struct tx *tx;
    struct buf *out;
    size_t n;
    int64_t earliest, head;
    int64_t window;  /* where this page's ends */
    struct str seen; /* the log's pg_snapshot at `head` */
    bool more;
};

/* ---- one change ---- */

enum column { POSITION, RESOURCE, OP, RECORD, FIELDS_CHANGED, AT, ORIGIN, SEQUENCE, MERGED_INTO };

static struct str external_ids_of(const struct row *row) {
    struct str ids = row ? row_value(row, "external_ids") : STR_ABSENT;
    return ids.ptr ? ids : STR("{}");
}

/* The rest of a change, from the record as it is now. */
static void put_record(struct feed_page *page, const struct row *row) {
    struct buf *out = page->out;
    char etag[ETAG_TEXT] = "";
    buf_text(out, ",\"external_ids\":");
    buf_put(out, external_ids_of(row));
    buf_text(out, ",\"snapshot\":");
    if (row && !row_deleted(row)) {
        struct view view;
        view_init(&view);
        view_write(page->action, &view, row, out, etag);
    } else {
        buf_text(out, "null");
    }
    buf_text(out, ",\"etag\":");
    buf_json(out, etag[0] ? str_of(etag) : STR_ABSENT);
    buf_char(out, '}');
}

static void put_head(struct feed_page *page, const struct resource *resource, const char *op,
                     struct str id) {
    buf_text(page->out, page->n++ > 0 ? ",{\"cursor\":" : "{\"cursor\":");
    change_cursor(page->action, page->query, page->out);
    buf_format(page->out, ",\"type\":\"%s\",\"op\":\"%s\",\"id\":", resource->name, op);
    buf_json(page->out, id);
}

static void put_time(struct feed_page *page, struct str at) {
    static const struct field time = {.type = FIELD_TIME};
    buf_text(page->out, ",\"occurred_at\":");
    render_value(&time, at, page->out);
}

/* ---- changes ---- */

/* The records of one resource. */
struct kind_rows {
    bool any;
    size_t slot;
    struct rows rows;
};

/* The records of a page, as they are now; deleted ones, too: their external ids are needed. */
static bool load_records(struct feed_page *page, size_t changes, size_t n, struct kind_rows *kinds,
                         struct err *err) {
    struct str *ids = arena_array(page->action->arena, n + 1, sizeof *ids);
    if (!ids)
        return err_memory(err);
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++) {
        size_t found = 0;
        for (size_t i = 0; i < n; i++)
            if (str_is(tx_value(page->tx, changes, i, RESOURCE), resource_of(id)->name))
                ids[found++] = tx_value(page->tx, changes, i, RECORD);
        kinds[id] = (struct kind_rows){.any = found > 0};
        struct str list = found > 0 ? pg_array_param(page->action->arena, ids, found) : STR("{}");
        if (!list.ptr)
            return err_memory(err);
        if (found > 0)
            kinds[id].slot = tx_query(page->tx, sql_for(page->action, id)->get_any, &list, 1);
    }
    if (!tx_flush(page->tx, err))
        return false;
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++) {
        if (!kinds[id].any)
            continue;
        kinds[id].rows = rows_of(page->action, resource_of(id), page->tx, kinds[id].slot);
        if (!kinds[id].rows.list)
            return err_memory(err);
    }
    return true;
}

static void put_change(struct feed_page *page, size_t slot, size_t i,
                       const struct kind_rows *kinds) {
    struct tx *tx = page->tx;
    const struct resource *resource = resource_by_name(tx_value(tx, slot, i, RESOURCE).ptr);
    struct str id = tx_value(tx, slot, i, RECORD);
    page->query->after = tx_int(tx, slot, i, POSITION);
    if (!resource)
        return;
    put_head(page, resource, tx_value(tx, slot, i, OP).ptr, id);
    buf_text(page->out, ",\"changed_fields\":");
    buf_put(page->out, tx_value(tx, slot, i, FIELDS_CHANGED));
    put_time(page, tx_value(tx, slot, i, AT));
    buf_text(page->out, ",\"origin\":");
    buf_json(page->out, tx_value(tx, slot, i, ORIGIN));
    buf_text(page->out, ",\"sequence\":");
    struct str sequence = tx_value(tx, slot, i, SEQUENCE);
    buf_put(page->out, sequence.ptr ? sequence : STR("null"));
    if (tx_value(tx, slot, i, MERGED_INTO).ptr) {
        buf_text(page->out, ",\"merged_into\":");
        buf_json(page->out, tx_value(tx, slot, i, MERGED_INTO));
    }
    put_record(page, row_by_id(&kinds[resource->id].rows, id));
}

/* The sequence of an account is for who sees all of it: its gaps would tell of the rest. */
#define CHANGES_SQL(sequence, join, seen)                                                          \
    "select p.position, e.resource, change_op(e.type, e.resource), e.record_id,"                   \
    " case when e.type = 'account.tier_changed' then '[\"tier\"]'"                                 \
    " when e.type like 'account.key\\_status.%' then '[\"key_status\"]'"                           \
    " else coalesce(e.data -> 'changed_fields', '[]') end, e.at, e.origin, " sequence              \
    ", e.data ->> 'merged_into' from " EVENT_LOG join                                              \
    " where p.position > $1::bigint and p.position <= $6::bigint"                                  \
    " and change_op(e.type, e.resource) is not null"                                               \
    " and ($2::text[] is null or e.resource = any ($2::text[]))"                                   \
    " and ($3::text[] is null or e.origin is null or e.origin <> all ($3::text[]))"                \
    " and ($4::uuid is null or e.account_id = $4::uuid) and (e.account_id is null or " seen        \
    ") order by p.position limit $5::int"

static const char *changes_sql(const struct action *action) {
    static const char all[] = CHANGES_SQL("e.sequence", "", "caller_reads() >> e.area & 1 = 1");
    static const char own[] = CHANGES_SQL("case when x.areas = areas_all() then e.sequence end",
                                          " left join my_access() x on x.account_id = e.account_id",
                                          "x.areas >> e.area & 1 = 1");
    return role_sees_all(action->who->role) ? all : own;
}

static bool changes(struct feed_page *page, struct err *err) {
    struct change_query *query = page->query;
    struct kind_rows *kinds = arena_array(page->action->arena, RES_COUNT, sizeof *kinds);
    struct str params[] = {
        str_of(arena_format(page->action->arena, "%" PRId64, query->after)),
        query->types,
        query->origins,
        query->account_id,
        str_of(arena_format(page->action->arena, "%zu", query->page_size + 1 - page->n)),
        str_of(arena_format(page->action->arena, "%" PRId64, page->window))};
    if (!kinds || !params[0].ptr || !params[4].ptr || !params[5].ptr)
        return err_memory(err);
    size_t slot = tx_query(page->tx, changes_sql(page->action), params, COUNT_OF(params));
    if (!tx_flush(page->tx, err))
        return false;
    size_t n = tx_rows(page->tx, slot), room = query->page_size - page->n;
    if (!load_records(page, slot, n < room ? n : room, kinds, err))
        return false;
    for (size_t i = 0; i < n && i < room; i++)
        put_change(page, slot, i, kinds);
    page->more = n > room;
    if (page->more)
        return true;
    /* Nothing else up to here was for it. */
    page->more = page->window < page->head;
    if (query->after < page->window)
        query->after = page->window;
    return true;
}

/* ---- all there is ---- */

/* What has changed since the walk began comes as a change, and so not here: no record is missed,
 * and none comes twice. Events of a database before this one came before. */
static const char *walk_sql(struct action *action, enum resource_id id) {
    const struct resource *resource = resource_of(id);
    const struct record_sql *sql = sql_for(action, id);
    const char *account = id == RES_ACCOUNT                           ? "t.id"
                          : (resource->flags & R_ACCOUNT_SCOPED) != 0 ? "t.account_id"
                                                                      : "null::uuid";
    CLEANUP(buf_release) struct buf text;
    buf_init(&text, 1 << 16);
    buf_format(&text, "select %s from %s where t.deleted_at is null and ($1 = '' or ", sql->columns,
               sql->from);
    resource_beyond_id(resource, '>', "nullif($1, '')::uuid", &text);
    buf_format(
        &text,
        ") and ($4::uuid is null or %s = $4::uuid)"
        " and not exists (select from event e where e.record_id = t.id and e.resource = '%s'"
        " and change_op(e.type, e.resource) is not null and e.seq > (select first_seq from "
        "sequencer) and e.xid >= "
        "pg_snapshot_xmin($2::pg_snapshot) and not pg_visible_in_snapshot(e.xid, $2::pg_snapshot))"
        " order by t.id limit $3::int",
        account, resource->name);
    return buf_ok(&text) ? arena_str(action->arena, buf_str(&text)).ptr : NULL;
}

static bool walk_kind(struct feed_page *page, enum resource_id id, bool *ret_full,
                      struct err *err) {
    const struct resource *resource = resource_of(id);
    struct change_query *query = page->query;
    const char *sql = walk_sql(page->action, id);
    struct str params[] = {
        query->last, query->seen,
        str_of(arena_format(page->action->arena, "%zu", query->page_size - page->n)),
        query->account_id};
    if (!sql || !params[2].ptr)
        return err_memory(err);
    size_t slot = tx_query_once(page->tx, sql, params, COUNT_OF(params));
    if (!tx_flush(page->tx, err))
        return false;
    struct rows rows = rows_of(page->action, resource, page->tx, slot);
    if (!rows.list)
        return err_memory(err);
    for (size_t i = 0; i < rows.n; i++) {
        const struct row *row = &rows.list[i];
        query->last = row->values[0];
        put_head(page, resource, "created", query->last);
        buf_text(page->out, ",\"changed_fields\":[]");
        put_time(page, row_value(row, "updated_at"));
        buf_text(page->out, ",\"origin\":null,\"sequence\":null");
        put_record(page, row);
    }
    *ret_full = page->n >= query->page_size;
    return true;
}

static bool walks_through(const struct change_query *query, enum resource_id id) {
    return resource_has_events(id) &&
           change_listed(query->types, str_of(resource_of(id)->name), true);
}

static bool walk(struct feed_page *page, struct err *err) {
    struct change_query *query = page->query;
    bool full = false, there = query->at.len == 0;
    page->more = true;
    for (enum resource_id id = RES_USER; id < RES_COUNT && !full; id++) {
        there = there || str_is(query->at, resource_of(id)->name);
        if (!there || !walks_through(query, id))
            continue;
        if (!str_is(query->at, resource_of(id)->name))
            query->last = STR("");
        query->at = str_of(resource_of(id)->name);
        if (!walk_kind(page, id, &full, err))
            return false;
    }
    if (!full)
        query->seen = STR_ABSENT; /* over: from now on the changes since it began */
    return true;
}

/* ---- pages ---- */

/* A walk ends with the database that it began in: what it leaves out is told by ids of that one. */
#define LOG_SQL                                                                                    \
    "select coalesce((select min(position) from event_position), s.position + 1), s.position,"     \
    " coalesce((select position from event_position where position > $1::bigint"                   \
    " order by position offset " WINDOW " - 1 limit 1), s.position), " LOG_LOST(                   \
        "$1::bigint") ","                                                                          \
                      " $1::bigint < (select max(to_position) from database_change) from "         \
                      "sequencer s"

enum { LOG_EARLIEST, LOG_HEAD, LOG_WINDOW, LOG_GONE, LOG_WALK_GONE };

static bool look_at_log(struct feed_page *page, struct err *err) {
    int64_t after = page->query->after;
    struct str position = str_of(arena_format(page->action->arena, "%" PRId64, after));
    if (!position.ptr)
        return err_memory(err);
    size_t slot = tx_query(page->tx, LOG_SQL, &position, 1);
    if (!tx_flush(page->tx, err))
        return false;
    page->earliest = tx_int(page->tx, slot, 0, LOG_EARLIEST);
    page->head = tx_int(page->tx, slot, 0, LOG_HEAD);
    page->window = tx_int(page->tx, slot, 0, LOG_WINDOW);
    bool kept = after == 0 || after + 1 >= page->earliest;
    bool lost = tx_bool(page->tx, slot, 0, LOG_GONE) ||
                (page->query->seen.ptr && tx_bool(page->tx, slot, 0, LOG_WALK_GONE));
    if (kept && !lost)
        return true;
    char extra[80];
    snprintf(extra, sizeof extra, "\"earliest_available\":\"%" PRId64 "\"", page->earliest - 1);
    free(err->extra);
    err->extra = strdup(extra);
    return err_set(err, PROBLEM_CURSOR_EXPIRED,
                   "%s Begin again with after=snapshot: all there is, then what changes.",
                   kept ? "What came up to this cursor is no longer in the database: it was "
                          "restored."
                        : "Changes are kept for " EVENTS_KEPT ".");
}

bool change_page(struct action *action, struct change_query *query, struct buf *ret, size_t *ret_n,
                 struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    struct feed_page page = {.action = action, .query = query, .tx = tx, .out = ret};
    if (!look_at_log(&page, err))
        return false;
    buf_text(ret, "{\"changes\":[");
    if (!(query->seen.ptr ? walk : changes)(&page, err))
        return false;
    buf_text(ret, "],\"next_cursor\":");
    change_cursor(action, query, ret);
    buf_format(ret, ",\"has_more\":%s,\"earliest_available\":\"%" PRId64 "\"}",
               page.more ? "true" : "false", page.earliest - 1);
    *ret_n = page.n;
    return buf_ok(ret) || err_memory(err);
}

bool change_list(struct action *action, struct outcome *outcome, struct change_wait *ret_wait,
                 struct err *err) {
    struct change_query *query = arena_alloc(action->arena, sizeof *query);
    struct change_asked asked;
    size_t n = 0;
    if (!query)
        return err_memory(err);
    if (!change_query_read(action, query, &asked, err) ||
        !change_page(action, query, &outcome->body, &n, err))
        return false;
    if (n == 0 && asked.wait > 0 && !query->seen.ptr)
        *ret_wait = (struct change_wait){asked.wait, query, buf_str(&outcome->body)};
    return true;
}
