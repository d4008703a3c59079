/* Reads the parameters of the change feed, makes and checks its cursors, and decides which
 * changes of the log a caller gets. */
#include "feed/change_query.h"

#include "app/query.h"
#include "base/cursor.h"
#include "core/retention.h"
#include "feed/event_query.h"
#include "store/array.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURSOR_ROOM 4096

/* ---- cursors ---- */

/* What the cursor is bound to: another filter needs another cursor. */
static struct str walk_name(struct action *action, const struct change_query *query) {
    return str_of(arena_format(action->arena, "changes|%.*s|%.*s", STR_ARG(query->types),
                               STR_ARG(query->account_id)));
}

void change_cursor(struct action *action, const struct change_query *query, struct buf *ret) {
    char position[24], *text;
    if (!query->seen.ptr) {
        buf_format(ret, "\"%" PRId64 "\"", query->after);
        return;
    }
    snprintf(position, sizeof position, "%" PRId64, query->after);
    const struct cursor cursor = {.list = walk_name(action, query),
                                  .values = {str_of(position), query->seen, query->at, query->last},
                                  .n = 4};
    text = arena_alloc(action->arena, CURSOR_ROOM);
    if (text && cursor_make(action, &cursor, text, CURSOR_ROOM))
        buf_json(ret, str_of(text));
    else
        ret->failed = true;
}

static bool read_cursor(struct action *action, struct str text, struct change_query *query,
                        struct err *err) {
    struct err ignored CLEANUP(err_release) = ERR_INIT;
    struct cursor cursor = {.list = walk_name(action, query), .n = 4};
    if (str_to_i64(text, &query->after) && query->after >= 0)
        return true;
    if (!cursor_read(action, text, &cursor, &ignored) ||
        !str_to_i64(cursor.values[0], &query->after))
        return err_add(err, PROBLEM_INVALID_CURSOR, ERR_PARAMETER("after"), "invalid_cursor",
                       "must be a next_cursor of this feed with the same types, now, or snapshot");
    query->seen = cursor.values[1];
    query->at = cursor.values[2];
    query->last = cursor.values[3];
    return true;
}

/* Whether `item` is in the literal of a text[] of plain words; `absent` is the answer when there is
 * no array. */
bool change_listed(struct str array, struct str item, bool absent) {
    struct str rest = array, one;
    if (!array.ptr)
        return absent;
    rest = (struct str){array.ptr + 1, array.len - 2};
    while (str_split(&rest, ',', &one))
        if (one.len >= 2 && str_eq((struct str){one.ptr + 1, one.len - 2}, item))
            return true;
    return false;
}

/* ---- parameters ---- */

/* Names as in the feed, or as in paths. */
static bool read_types(struct action *action, struct str text, struct change_query *query,
                       struct err *err) {
    struct str items[RES_COUNT], one;
    size_t n = 0;
    while (str_split(&text, ',', &one)) {
        const struct resource *found = resource_by_path(one);
        for (enum resource_id id = RES_USER; id < RES_COUNT && !found; id++)
            found = str_is(one, resource_of(id)->name) ? resource_of(id) : NULL;
        if (!found || !resource_has_events(found->id) || n == COUNT_OF(items))
            return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("types"), "invalid_value",
                           "There are no changes of %.40s.",
                           one.len < 40 && one.ptr ? arena_copy(action->arena, one) : "these");
        items[n++] = str_of(found->name);
    }
    query->types = pg_array_param(action->arena, items, n);
    return query->types.ptr || err_memory(err);
}

/* Where it begins that names no cursor. */
static bool find_start(struct action *action, const struct change_asked *asked,
                       struct change_query *query, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    size_t log = tx_query(tx, "select position, snapshot::text from sequencer", NULL, 0);
    size_t since = asked->since.ptr
                       ? tx_query(tx,
                                  "select case when $1::timestamptz >= " SINCE(
                                      EVENTS_KEPT) " then "
                                                   "coalesce(change_position($1::timestamptz), "
                                                   "(select position from "
                                                   "sequencer)) else -1 end",
                                  &asked->since, 1)
                       : log;
    if (!tx_flush(tx, err))
        return false;
    query->after = tx_int(tx, since, 0, 0);
    if (str_is(asked->after, "snapshot")) {
        query->seen = arena_str(action->arena, tx_value(tx, log, 0, 1));
        query->at = STR("");
        query->last = STR("");
    }
    return query->after >= 0 || err_set(err, PROBLEM_CURSOR_EXPIRED,
                                        "Changes are kept for " EVENTS_KEPT ". Begin again with "
                                        "after=snapshot.");
}

bool change_query_read(struct action *action, struct change_query *query,
                       struct change_asked *asked, struct err *err) {
    struct str types = action_query(action, "types");
    *asked = (struct change_asked){action_query(action, "after"), action_query(action, "since"),
                                   action_query_number(action, "wait", 0)};
    *query = (struct change_query){.origins = action_query_list(action, "exclude_origin", err),
                                   .account_id = action_query(action, "account_id"),
                                   .page_size = action_page_size(action)};
    if (types.ptr)
        read_types(action, types, query, err);
    if (asked->since.ptr && asked->after.ptr)
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("since"), "contradiction",
                "after says where to begin already");
    if (err_is_set(err))
        return false;
    if (asked->since.ptr || str_is(asked->after, "now") || str_is(asked->after, "snapshot"))
        return find_start(action, asked, query, err);
    return !asked->after.ptr || read_cursor(action, asked->after, query, err);
}

/* ---- for those who wait ---- */

struct change_query *change_query_copy(const struct change_query *query) {
    const struct str texts[] = {query->types, query->origins, query->account_id};
    size_t size = sizeof *query;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        size += texts[i].len + 1;
    struct change_query *copy = malloc(size);
    if (!copy)
        return NULL;
    *copy = *query;
    char *at = (char *)(copy + 1);
    struct str *to[] = {&copy->types, &copy->origins, &copy->account_id};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (!texts[i].ptr)
            continue;
        memcpy(at, texts[i].ptr, texts[i].len);
        at[texts[i].len] = '\0';
        *to[i] = (struct str){at, texts[i].len};
        at += texts[i].len + 1;
    }
    return copy;
}

bool change_wanted(const struct change_query *query, struct tx *tx, size_t slot, size_t row) {
    static const char *const ops[] = {"created",  "updated", "deleted",
                                      "restored", "merged",  "tier_changed"};
    struct str op = tx_value(tx, slot, row, EVENT_TYPE), resource;
    if (!str_split(&op, '.', &resource) || !op.ptr || !change_listed(query->types, resource, true))
        return false;
    bool change = str_starts(op, "key_status.");
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        change = change || str_is(op, ops[i]);
    struct str origin = tx_value(tx, slot, row, EVENT_ORIGIN);
    return change && !(origin.ptr && change_listed(query->origins, origin, false)) &&
           (!query->account_id.ptr ||
            str_eq(tx_value(tx, slot, row, EVENT_ACCOUNT), query->account_id));
}
