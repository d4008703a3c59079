/* Lists the event log in pages, writes an event as JSON, and describes every type of event with an
 * example and a JSON Schema. The event streams use the same queries. */
#include "app/events.h"

#include "app/audit.h"
#include "app/audit_note.h"
#include "app/query.h"
#include "base/cursor.h"
#include "feed/event_query.h"

#include <stdio.h>

/* clang-format off */
const struct event_type event_types[] = {
    {"account.merged", "An account became part of another, `merged_into`, and is gone; what lay below it is told of as updated, each by itself.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"version\":9,\"merged_into\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d02\",\"changed_fields\":[\"deleted_at\",\"merged_into\",\"parent_id\"]}"},
    {"contact.erased", "A person was erased for good: whoever keeps something about that contact should do the same. Told beside contact.deleted.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"contact_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d04\",\"version\":5}"},
    {"contact.moved", "A person went from one customer to another. Told to both: `left` to the account before, `joined` to the account now, which contact.updated is told to, too.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"contact_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d04\",\"version\":5,\"direction\":\"left\"}"},
    {"account.manager_changed", "An account has another manager, or none; told beside account.updated.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"account_number\":\"QUICK\",\"name\":\"QUICK-Stop\",\"version\":8,\"manager_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"manager_id_before\":null}"},
    {"account.tier_changed", "An account's tier (A, B, C) is another one.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"account_number\":\"QUICK\",\"name\":\"QUICK-Stop\",\"cause\":\"inputs_changed\",\"key_status\":\"candidate\",\"tier\":\"B\",\"score\":\"52.1000\",\"score_rank\":7,\"as_of\":\"2026-11-21\",\"criteria_version\":1,\"contributions\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}],\"missing\":[\"margin_ttm\"],\"score_before\":\"61.0000\",\"contributions_before\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}]}"},
    {"account.key_status.designated", "An account became a key account.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"account_number\":\"QUICK\",\"name\":\"QUICK-Stop\",\"cause\":\"designated\",\"key_status\":\"key\",\"tier\":\"A\",\"score\":\"52.1000\",\"score_rank\":7,\"as_of\":\"2026-11-21\",\"criteria_version\":1,\"contributions\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}],\"missing\":[\"margin_ttm\"],\"score_before\":\"61.0000\",\"contributions_before\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}]}"},
    {"account.key_status.at_risk", "A key account fell below exit_score; the grace clock runs.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"account_number\":\"QUICK\",\"name\":\"QUICK-Stop\",\"cause\":\"inputs_changed\",\"key_status\":\"at_risk\",\"tier\":\"A\",\"score\":\"52.1000\",\"score_rank\":7,\"as_of\":\"2026-11-21\",\"criteria_version\":1,\"contributions\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}],\"missing\":[\"margin_ttm\"],\"score_before\":\"61.0000\",\"contributions_before\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}]}"},
    {"account.key_status.recovered", "An account at risk reached recover_score again.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"account_number\":\"QUICK\",\"name\":\"QUICK-Stop\",\"cause\":\"inputs_changed\",\"key_status\":\"key\",\"tier\":\"A\",\"score\":\"52.1000\",\"score_rank\":7,\"as_of\":\"2026-11-21\",\"criteria_version\":1,\"contributions\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}],\"missing\":[\"margin_ttm\"],\"score_before\":\"61.0000\",\"contributions_before\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}]}"},
    {"account.key_status.slipped", "A key account lost its status, with each criterion's contribution before and after.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"account_number\":\"QUICK\",\"name\":\"QUICK-Stop\",\"cause\":\"inputs_changed\",\"key_status\":\"none\",\"tier\":\"B\",\"score\":\"52.1000\",\"score_rank\":7,\"as_of\":\"2026-11-21\",\"criteria_version\":1,\"contributions\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}],\"missing\":[\"margin_ttm\"],\"score_before\":\"61.0000\",\"contributions_before\":[{\"metric\":\"revenue_ttm\",\"value\":\"52100.0000\",\"scaled\":\"52.1000\",\"weight\":\"50\",\"contribution\":\"52.1000\"}]}"},
    {"follow_up.due", "A follow-up's due time has come: exactly one event per occurrence and revision.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"follow_up_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d02\",\"version\":1,\"title\":\"Call about the new plant\",\"priority\":\"normal\",\"kind\":\"task\",\"revision\":1,\"occurrence_no\":1,\"due_at\":\"2026-11-21T09:00:00.000000Z\"}"},
    {"plan.activated", "A plan was activated: a version that no longer changes.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"plan_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"version\":9,\"version_no\":1,\"template_version\":1}"},
    {"plan.adapted", "A review adapted a plan: its next version.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"plan_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"version\":12,\"version_no\":2,\"template_version\":1,\"review_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d06\"}"},
    {"plan.stale", "Sections of an active plan were not touched for the program's section_stale_days; told once for each time.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"plan_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"version\":9,\"sections\":[\"capabilities\",\"strategies\"]}"},
    {"review.due", "The day of a scheduled review has begun in its time zone: exactly one event for each review and date.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"review_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d06\",\"version\":1,\"plan_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"cadence\":\"quarterly\",\"due_on\":\"2026-11-30\",\"time_zone\":\"Europe/Berlin\"}"},
    {"review.completed", "A review was held, with what came of it.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"review_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d06\",\"version\":2,\"plan_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"cadence\":\"quarterly\",\"due_on\":\"2026-11-30\",\"time_zone\":\"Europe/Berlin\",\"outcome\":\"adapt\",\"held_at\":\"2026-11-30T09:00:00.000000Z\",\"plan_version_no\":2,\"next_review_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d07\",\"follow_up_ids\":[\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d02\"]}"},
    {"review.missed", "A review was not held within the program's review_grace_days; the next one is scheduled.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"review_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d06\",\"version\":2,\"plan_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"cadence\":\"quarterly\",\"due_on\":\"2026-11-30\",\"time_zone\":\"Europe/Berlin\",\"next_review_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d07\"}"},
    {"follow_up.overdue", "A follow-up is still open so many days after its due time (program settings): first to the account's manager, then to its sponsor.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"follow_up_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d02\",\"version\":1,\"title\":\"Call about the new plant\",\"priority\":\"normal\",\"revision\":1,\"occurrence_no\":1,\"due_at\":\"2026-11-21T09:00:00.000000Z\",\"level\":\"manager\",\"escalated_to_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\"}"},
    {"follow_up.completed", "A follow-up was done.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"follow_up_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d02\",\"version\":2,\"title\":\"Call about the new plant\",\"occurrence_no\":1,\"completed_by\":\"user:01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"completed_at\":\"2026-11-21T09:30:00.000000Z\"}"},
    {"commitment.due", "The day of a promise has come, and it is open.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"commitment_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d06\",\"version\":1,\"text\":\"A loan machine until the repair\",\"due_on\":\"2026-11-21\",\"time_zone\":\"Europe/Berlin\",\"made_by_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"status\":\"open\"}"},
    {"commitment.broken", "A promise was not kept: somebody said so, or its day and the grace days are over.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"commitment_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d06\",\"version\":2,\"text\":\"A loan machine until the repair\",\"due_on\":\"2026-11-21\",\"time_zone\":\"Europe/Berlin\",\"made_by_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"status\":\"broken\"}"},
    {"cadence.missed", "A promised contact with a key account did not take place by its day (001-10): once for each account, channel and day.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"account_number\":\"QUICK\",\"name\":\"QUICK-Stop\",\"key_status\":\"key\",\"manager_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"channel\":\"in_person\",\"every\":\"monthly\",\"promised_per_year\":12,\"actual\":2,\"last_at\":\"2026-09-30T10:00:00.000000Z\",\"due_on\":\"2026-10-30\",\"days_late\":22}"},
    {"attention_gap.opened", "A key account, or a candidate, gets much less attention than its purchases would indicate (001-22): once, and again only after it was better.",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"account_number\":\"QUICK\",\"name\":\"QUICK-Stop\",\"key_status\":\"key\",\"manager_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"gap\":0.52,\"rank_purchases\":3,\"rank_attention\":49,\"last_interaction_at\":\"2026-03-02T10:00:00.000000Z\"}"},
    {"access.opened", "Somebody of the team sees areas of an account from now on (004-26).",
     "{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"user_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d05\",\"because\":\"grant\",\"areas\":[\"sales\"],\"visible_until\":null}"},
    {"webhook.failing", "Every attempt at an endpoint has failed for two and a half days; it is disabled at disable_at unless one succeeds. Told to the endpoint's maker and to admins.",
     "{\"webhook_endpoint_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d03\",\"version\":1,\"reason\":null,\"failing_since\":\"2026-11-18T21:00:00.000000Z\",\"disable_at\":\"2026-11-23T21:00:00.000000Z\"}"},
    {"webhook.disabled", "An endpoint was disabled: every attempt failed for five days, or it answered 410. Told to the endpoint's maker and to admins.",
     "{\"webhook_endpoint_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d03\",\"version\":2,\"reason\":\"The receiver answered 410 Gone.\",\"failing_since\":null,\"disable_at\":null}"},
    {"webhook.ping", "Sent on request to try an endpoint.",
     "{\"version\":1,\"webhook_endpoint_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d03\"}"},
};
/* clang-format on */
const size_t n_event_types = COUNT_OF(event_types);

bool event_after(struct str text, struct event_query *query, struct err *err) {
    int64_t position;
    query->after = text;
    return str_is(text, "now") || (str_to_i64(text, &position) && position >= 0) ||
           err_add(err, PROBLEM_INVALID_CURSOR, ERR_PARAMETER("after"), "invalid_cursor",
                   "must be a next_cursor of this list, or now");
}

bool event_query_read(struct action *action, struct event_query *ret, struct err *err) {
    struct str after = action_query(action, "after");
    *ret = (struct event_query){.after = STR_ABSENT,
                                .types = action_query_list(action, "types", err),
                                .account_id = action_query(action, "account_id"),
                                .page_size = action_page_size(action)};
    if (after.ptr)
        event_after(after, ret, err);
    return !err_is_set(err);
}

bool event_whole(struct tx *tx, size_t slot, size_t row) {
    area_set areas = (area_set)tx_int(tx, slot, row, EVENT_AREAS);
    return (areas & AREAS_ALL) == AREAS_ALL;
}

void event_write(struct tx *tx, size_t slot, size_t row, bool whole, struct buf *ret) {
    static const struct field time = {.type = FIELD_TIME};
    buf_text(ret, "{\"id\":");
    buf_json(ret, tx_value(tx, slot, row, EVENT_ID));
    buf_text(ret, ",\"type\":");
    buf_json(ret, tx_value(tx, slot, row, EVENT_TYPE));
    buf_text(ret, ",\"timestamp\":");
    render_value(&time, tx_value(tx, slot, row, EVENT_AT), ret);
    buf_text(ret, ",\"sequence\":");
    /* Its gaps would tell of events that the caller does not see. */
    buf_put(ret, whole ? tx_value(tx, slot, row, EVENT_SEQUENCE) : STR("null"));
    buf_text(ret, ",\"api_version\":\"v1\",\"cursor\":");
    buf_json(ret, tx_value(tx, slot, row, EVENT_POSITION));
    buf_text(ret, ",\"account_id\":");
    buf_json(ret, tx_value(tx, slot, row, EVENT_ACCOUNT));
    buf_text(ret, ",\"origin\":");
    buf_json(ret, tx_value(tx, slot, row, EVENT_ORIGIN));
    buf_text(ret, ",\"data\":");
    buf_put(ret, tx_value(tx, slot, row, EVENT_DATA));
    buf_text(ret, ",\"previous\":");
    buf_put(ret, tx_value(tx, slot, row, EVENT_PREVIOUS));
    buf_char(ret, '}');
}

enum { BOUNDS_EARLIEST, BOUNDS_LAST, BOUNDS_LOST };

size_t event_bounds(struct tx *tx, struct str after) {
    if (str_is(after, "now"))
        after = STR_ABSENT;
    return tx_query(tx,
                    "select min(position), (select position from sequencer), " LOG_LOST(
                        "$1::bigint") " from event_position",
                    &after, 1);
}

bool event_expired(struct tx *tx, size_t bounds, struct str after, struct err *err) {
    int64_t position = 0;
    struct str earliest = tx_value(tx, bounds, 0, BOUNDS_EARLIEST);
    if (after.ptr && str_to_i64(after, &position) && position > 0 && earliest.ptr &&
        position + 1 < tx_int(tx, bounds, 0, BOUNDS_EARLIEST))
        err_set(err, PROBLEM_CURSOR_EXPIRED, "The earliest event kept is at cursor %lld.",
                (long long)tx_int(tx, bounds, 0, BOUNDS_EARLIEST));
    else if (tx_bool(tx, bounds, 0, BOUNDS_LOST))
        err_set(err, PROBLEM_CURSOR_EXPIRED,
                "What came up to this cursor is no longer in the database: it was restored.");
    return err_is_set(err);
}

/* Whose the endpoint is that the event tells of. */
#define EVENT_ENDPOINT                                                                             \
    " left join lateral (select w.actor, w.reach from webhook_endpoint w where w.id = "            \
    "e.record_id and e.resource = 'webhook_endpoint' offset 0) w on true"
#define EVENT_SQL(areas, join, seen)                                                               \
    "select p.position, e.id, e.type, e.at, e.sequence, e.account_id, e.origin, e.data, "          \
    "e.previous, e.area, " areas ", case when e.resource = 'webhook_endpoint' then "               \
    "coalesce(w.actor, '') end, w.reach from " EVENT_LOG join EVENT_ENDPOINT                       \
    " where p.position > (case when $1 = 'now' then (select position from "                        \
    "sequencer) else coalesce($1::bigint, 0) end)"                                                 \
    " and ($2::text[] is null or e.type = any ($2::text[])) and ($3::uuid "                        \
    "is null or e.account_id = $3::uuid) and (e.account_id is null or " seen ")"                   \
    " and (e.resource <> 'webhook_endpoint' or is_callers(w.actor, w.reach))"                      \
    " order by p.position limit $4::int"

size_t event_page(struct tx *tx, bool by_access_set, const struct event_query *query,
                  struct str limit) {
    static const char all[] = EVENT_SQL("-1", "", "caller_reads() >> e.area & 1 = 1");
    static const char own[] = EVENT_SQL("coalesce(x.areas, -1)",
                                        " left join my_access() x on x.account_id = e.account_id",
                                        "x.areas >> e.area & 1 = 1");
    struct str values[] = {query->after, query->types, query->account_id, limit};
    return tx_query(tx, by_access_set ? own : all, values, 4);
}

bool event_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct event_query query;
    if (!event_query_read(action, &query, err) || !read_begin(action, &tx, err))
        return false;
    size_t bounds = event_bounds(tx, query.after);
    bool by_access_set = !role_sees_all(action->who->role);
    size_t slot = event_page(tx, by_access_set, &query,
                             str_of(arena_format(action->arena, "%zu", query.page_size + 1)));
    if (!tx_flush(tx, err) || event_expired(tx, bounds, query.after, err))
        return false;
    size_t n = tx_rows(tx, slot);
    bool has_more = n > query.page_size;
    n = has_more ? query.page_size : n;
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(&outcome->body, ',');
        event_write(tx, slot, i, event_whole(tx, slot, i), &outcome->body);
        if (tx_value(tx, slot, i, EVENT_ACCOUNT).ptr)
            audit_note(action, (enum area)tx_int(tx, slot, i, EVENT_AREA), "event",
                       tx_value(tx, slot, i, EVENT_ACCOUNT), tx_value(tx, slot, i, EVENT_ID));
    }
    /* There is always a cursor to go on from, also when nothing came yet. */
    struct str next = n > 0 ? tx_value(tx, slot, n - 1, EVENT_POSITION)
                      : query.after.ptr && !str_is(query.after, "now") ? query.after
                      : by_access_set && !query.after.ptr
                          ? STR("0") /* how many others have is not told */
                          : tx_value(tx, bounds, 0, BOUNDS_LAST);
    snprintf(outcome->next, sizeof outcome->next, "%.*s", STR_ARG(next));
    page_end(outcome, has_more, -1);
    return true;
}

/* JSON Schema of the example's members: enough for a receiver to generate types from. */
static void write_schema(const jv *data, struct buf *ret) {
    static const char *const types[] = {
        [JV_NULL] = "object", [JV_BOOL] = "boolean", [JV_INT] = "integer",  [JV_REAL] = "number",
        [JV_TEXT] = "string", [JV_ARRAY] = "array",  [JV_OBJECT] = "object"};
    bool first = true;
    buf_text(ret, "{\"type\":\"object\",\"required\":[\"id\",\"type\",\"timestamp\",\"sequence\","
                  "\"api_version\",\"data\",\"previous\"],\"properties\":{"
                  "\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"type\":{\"type\":\"string\"},"
                  "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},"
                  "\"sequence\":{\"type\":\"integer\"},\"api_version\":{\"type\":\"string\"},"
                  "\"previous\":{\"type\":\"object\"},"
                  "\"data\":{\"type\":\"object\",\"properties\":{");
    for (void *it = jv_first(data); it; it = jv_next(data, it)) {
        buf_format(ret, "%s\"%s\":{\"type\":\"%s\"}", first ? "" : ",", jv_key(it),
                   types[jv_kind(jv_value(it))]);
        first = false;
    }
    buf_text(ret, "}}}}");
}

static bool write_type(struct buf *ret, const struct event_type *type, bool *first,
                       struct err *err) {
    CLEANUP(jv_unref) jv *data = NULL;
    if (!json_read(str_of(type->data), JSON_TOKENS, &data, err))
        return false;
    buf_format(ret, "%s{\"name\":\"%s\",\"description\":", *first ? "" : ",", type->name);
    buf_json(ret, str_of(type->about));
    buf_text(ret, ",\"schema\":");
    write_schema(data, ret);
    buf_format(ret,
               ",\"example\":{\"id\":\"2d6a90f9-fc62-5811-8bc2-c0b666272f34\",\"type\":\"%s\","
               "\"timestamp\":\"2026-11-21T09:00:00.000000Z\",\"sequence\":12,"
               "\"api_version\":\"v1\",\"data\":%s,\"previous\":{}}}",
               type->name, type->data);
    *first = false;
    return true;
}

const char *const resource_event_ops[] = {"created", "updated", "deleted", "restored", NULL};

static bool write_resource_types(struct buf *ret, const struct resource *resource, bool *first,
                                 struct err *err) {
    for (size_t o = 0; resource_event_ops[o]; o++) {
        char name[64], about[96], data[256];
        bool scoped = (resource->flags & R_ACCOUNT_SCOPED) != 0;
        snprintf(name, sizeof name, "%s.%s", resource->name, resource_event_ops[o]);
        snprintf(about, sizeof about, "A record of %s was %s.", resource->path,
                 resource_event_ops[o]);
        snprintf(data, sizeof data,
                 "{%s\"%s_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d04\",\"version\":%d%s}",
                 scoped ? "\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\"," : "",
                 resource->name, o == 0 ? 1 : 2,
                 o == 0 ? "" : ",\"changed_fields\":[\"updated_at\"]");
        struct event_type type = {name, about, data};
        if (!write_type(ret, &type, first, err))
            return false;
    }
    return true;
}

bool resource_has_events(enum resource_id id) {
    return id != RES_PLAN_SECTION && id != RES_ORDER && id != RES_WEBHOOK_ENDPOINT &&
           id != RES_CUSTOM_FIELD;
}

bool event_types_list(struct action *action, struct outcome *outcome, struct err *err) {

    bool first = true;
    (void)action;
    buf_text(&outcome->body, "{\"data\":[");
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++)
        if (resource_has_events(id) &&
            !write_resource_types(&outcome->body, resource_of(id), &first, err))
            return false;
    for (size_t i = 0; i < n_event_types; i++)
        if (!write_type(&outcome->body, &event_types[i], &first, err))
            return false;
    buf_text(&outcome->body, "],\"page\":{\"next_cursor\":null,\"has_more\":false}}");
    return true;
}
