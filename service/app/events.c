#include "app/events.h"

#include "cursor.h"
#include "domain/check.h"

#include <stdio.h>
#include <string.h>

const struct event_type event_types[] = {
    {"account.tier_changed", "An account's tier (A, B, C) is another one."},
    {"account.key_status.designated", "An account became a key account."},
    {"account.key_status.at_risk", "A key account fell below exit_score; the grace clock runs."},
    {"account.key_status.recovered", "An account at risk reached recover_score again."},
    {"account.key_status.slipped", "A key account lost its status, with each criterion's contribution before and after."},
    {"follow_up.due", "A follow-up's due time has come: exactly one event per occurrence and revision."},
    {"webhook.ping", "Sent on request to try an endpoint."},
};
const size_t n_event_types = COUNT_OF(event_types);

struct event_query {
    struct str after; /* absent: from the earliest kept */
    struct str types;
    struct str account_id;
    size_t page_size;
};

static bool take(struct action *action, const struct param *param, struct event_query *query, struct err *err)
{
    int64_t position;
    struct uuid id;
    if (str_is(param->name, "after")) {
        query->after = param->value;
        if (!str_is(param->value, "now") && (!str_to_i64(param->value, &position) || position < 0))
            return err_add(err, PROBLEM_INVALID_CURSOR, ERR_AT_PARAMETER, "after", "invalid_cursor", "must be a next_cursor of this list, or now");
    } else if (str_is(param->name, "types")) {
        struct str rest = param->value, one;
        struct str items[64];
        size_t n = 0;
        while (n < COUNT_OF(items) && str_split(&rest, ',', &one))
            items[n++] = one;
        query->types = array_param(action->arena, items, n);
    } else if (str_is(param->name, "account_id")) {
        if (!uuid_parse(param->value, &id))
            return err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_PARAMETER, "account_id", "malformed_id", "must be a UUID");
        query->account_id = param->value;
    } else if (str_is(param->name, "page_size")) {
        return page_size_read(param->value, &query->page_size, err);
    } else {
        unknown_parameter(action, param->name, err);
        return false;
    }
    return true;
}

static void write_event(struct tx *tx, size_t slot, size_t row, struct buf *ret)
{
    static const struct field time = {.type = FIELD_TIME};
    buf_text(ret, row > 0 ? ",{\"id\":" : "{\"id\":");
    buf_json(ret, tx_value(tx, slot, row, 1));
    buf_text(ret, ",\"type\":");
    buf_json(ret, tx_value(tx, slot, row, 2));
    buf_text(ret, ",\"timestamp\":");
    render_value(&time, tx_value(tx, slot, row, 3), ret);
    buf_text(ret, ",\"sequence\":");
    buf_put(ret, tx_value(tx, slot, row, 4));
    buf_text(ret, ",\"api_version\":\"v1\",\"cursor\":");
    buf_json(ret, tx_value(tx, slot, row, 0));
    buf_text(ret, ",\"account_id\":");
    buf_json(ret, tx_value(tx, slot, row, 5));
    buf_text(ret, ",\"origin\":");
    buf_json(ret, tx_value(tx, slot, row, 6));
    buf_text(ret, ",\"data\":");
    buf_put(ret, tx_value(tx, slot, row, 7));
    buf_text(ret, ",\"previous\":");
    buf_put(ret, tx_value(tx, slot, row, 8));
    buf_char(ret, '}');
}

static bool expired(struct tx *tx, size_t bounds, const struct event_query *query)
{
    int64_t after = 0;
    struct str earliest = tx_value(tx, bounds, 0, 0);
    return query->after.ptr && str_to_i64(query->after, &after) && after > 0 && earliest.ptr && after + 1 < tx_int(tx, bounds, 0, 0);
}

bool event_list(struct action *action, const struct param *params, size_t n_params, struct outcome *outcome, struct err *err)
{
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct event_query query = {.page_size = 50};
    for (size_t i = 0; i < n_params; i++)
        take(action, &params[i], &query, err);
    if (err_is_set(err) || !read_begin(action, &tx, err))
        return false;
    size_t bounds = tx_query(tx, "select min(position), (select position from sequencer) from event_position", NULL, 0);
    struct str values[] = {query.after, query.types, query.account_id, str_of(arena_format(action->arena, "%zu", query.page_size + 1))};
    size_t slot = tx_query(tx,
                           "select p.position, e.id, e.type, e.at, e.sequence, e.account_id, e.origin, e.data, e.previous"
                           " from event_position p join event e on e.at = p.at and e.seq = p.seq"
                           " where p.position > (case when $1 = 'now' then (select position from sequencer) else coalesce($1::bigint, 0) end)"
                           " and ($2::text[] is null or e.type = any ($2::text[])) and ($3::uuid is null or e.account_id = $3::uuid)"
                           " order by p.position limit $4::int",
                           values, 4);
    if (!tx_flush(tx, err))
        return false;
    if (expired(tx, bounds, &query))
        return err_set(err, PROBLEM_CURSOR_EXPIRED, "The earliest event kept is at cursor %lld.", (long long)tx_int(tx, bounds, 0, 0));
    size_t n = tx_rows(tx, slot);
    bool has_more = n > query.page_size;
    n = has_more ? query.page_size : n;
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < n; i++)
        write_event(tx, slot, i, &outcome->body);
    /* There is always a cursor to go on from, also when nothing came yet. */
    struct str next = n > 0 ? tx_value(tx, slot, n - 1, 0)
                            : query.after.ptr && !str_is(query.after, "now") ? query.after : tx_value(tx, bounds, 0, 1);
    snprintf(outcome->next, sizeof outcome->next, "%.*s", STR_ARG(next));
    page_end(outcome, has_more, -1);
    return true;
}

static void write_type(struct buf *ret, const char *name, const char *about, bool *first)
{
    buf_format(ret, "%s{\"name\":\"%s\",\"description\":", *first ? "" : ",", name);
    buf_json(ret, str_of(about));
    buf_char(ret, '}');
    *first = false;
}

bool event_types_list(struct action *action, struct outcome *outcome, struct err *err)
{
    static const char *const ops[] = {"created", "updated", "deleted", "restored"};
    bool first = true;
    (void)action;
    (void)err;
    buf_text(&outcome->body, "{\"data\":[");
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++) {
        if (id == RES_PLAN_SECTION || id == RES_ORDER || id == RES_WEBHOOK_ENDPOINT || id == RES_CUSTOM_FIELD)
            continue;
        for (size_t o = 0; o < COUNT_OF(ops); o++) {
            char name[64], about[96];
            snprintf(name, sizeof name, "%s.%s", resource_of(id)->name, ops[o]);
            snprintf(about, sizeof about, "A record of %s was %s.", resource_of(id)->path, ops[o]);
            write_type(&outcome->body, name, about, &first);
        }
    }
    for (size_t i = 0; i < n_event_types; i++)
        write_type(&outcome->body, event_types[i].name, event_types[i].about, &first);
    buf_text(&outcome->body, "],\"page\":{\"next_cursor\":null,\"has_more\":false}}");
    return true;
}
