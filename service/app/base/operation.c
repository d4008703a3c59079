/* Queues operations (long work that a worker does for a request), and shows how far they have
 * come. */
#include "base/operation.h"

#include "app/audit_note.h"
#include "base/write_once.h"
#include "cache/cache.h"

#include <stdio.h>

#define OPERATION_SQL                                                                              \
    "select o.id, o.kind, o.status, o.request, o.progress_done, o.progress_total, o.result, "      \
    "o.failure, o.created_at, o.updated_at from operation o where o.id = $1::uuid "                \
    "and is_callers(o.actor, o.reach)"

static bool operation_answer(struct action *action, struct tx *tx, struct str id,
                             struct outcome *outcome, struct err *err) {
    static const struct field fields[] = {
        {.name = "id", .type = FIELD_ID},           {.name = "kind", .type = FIELD_TEXT},
        {.name = "status", .type = FIELD_TEXT},     {.name = "request", .type = FIELD_MAP},
        {.name = "done", .type = FIELD_INT},        {.name = "total", .type = FIELD_INT},
        {.name = "result", .type = FIELD_MAP},      {.name = "failure", .type = FIELD_TEXT},
        {.name = "created_at", .type = FIELD_TIME}, {.name = "updated_at", .type = FIELD_TIME},
    };
    enum { KIND = 1, DONE = 4, TOTAL, RESULT };
    size_t slot = tx_query(tx, OPERATION_SQL, &id, 1);
    struct buf *body = &outcome->body;
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such operation.");
    for (size_t c = 0; c < COUNT_OF(fields); c++) {
        if (c == DONE)
            buf_text(body, ",\"progress\":{\"done\":");
        else
            buf_format(body, "%c\"%s\":", c == 0 ? '{' : ',', fields[c].name);
        render_value(&fields[c], tx_value(tx, slot, 0, c), body);
        if (c == TOTAL)
            buf_char(body, '}');
    }
    buf_char(body, '}');
    struct str kind = tx_value(tx, slot, 0, KIND);
    if (tx_value(tx, slot, 0, RESULT).ptr && (str_is(kind, "report") || str_is(kind, "simulation")))
        audit_note(action, AREA_ECONOMICS, "operation", STR_ABSENT, id);
    return true;
}

bool operation_queue(struct action *action, struct tx *tx, const struct operation_request *request,
                     struct outcome *outcome, struct err *err) {
    struct uuid id = uuid_v7(action->app->clock, action->app->randomness);
    char text[UUID_TEXT];
    uuid_text(&id, text);
    struct str params[] = {str_of(text), str_of(request->kind), request->document,
                           str_of(action->who->actor)};
    tx_query(tx,
             "insert into operation (id, kind, request, actor) values ($1::uuid, $2, $3::jsonb, "
             "$4)",
             params, 4);
    outcome->status = 202;
    snprintf(outcome->location, sizeof outcome->location, "/v1/operations/%s", text);
    return operation_answer(action, tx, str_of(text), outcome, err);
}

#define RUN_MS 600000
#define RUN_ARENA ((size_t)64 << 20)

bool operation_whole(const struct taken_operation *operation, const char *sql, bool *ret_done,
                     struct err *err) {
    static const struct tx_context context = {.scope = {"all", 3}, .actor = {"worker", 6}};
    CLEANUP(tx_end) struct tx *tx = NULL;
    CLEANUP(arena_release) struct arena arena = {0};
    struct app *app = operation->app;
    struct action action = {.app = app, .arena = &arena};
    CLEANUP(outcome_release) struct outcome outcome;
    struct str params[] = {operation->id, operation->token};
    *ret_done = false;
    arena_init(&arena, RUN_ARENA);
    outcome_init(&outcome);
    if (!(tx = tx_begin(app->store, TX_WRITE, &context, deadline_in_ms(RUN_MS), err)))
        return false;
    tx_query(tx, "set local statement_timeout = '600s'", NULL, 0);
    size_t lock = tx_query(tx, OPERATION_LOCK_SQL, params, 1);
    if (!tx_flush(tx, err) || !tx_bool(tx, lock, 0, 0))
        return !err_is_set(err); /* somebody else is at it */
    size_t touched = tx_query(tx, sql, params, 2);
    if (!tx_commit(tx, err))
        return false;
    *ret_done = tx_value(tx, touched, 0, 0).ptr != NULL;
    touches_read(&action, &outcome, tx_value(tx, touched, 0, 0));
    if (outcome.n_touches > 0)
        cache_invalidate(app->cache, outcome.touches, outcome.n_touches);
    return true;
}

bool operation_show(struct action *action, struct str id, struct outcome *outcome,
                    struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && operation_answer(action, tx, id, outcome, err);
}

bool operation_get(struct action *action, struct outcome *outcome, struct err *err) {
    return operation_show(action, action_arg(action, "id"), outcome, err);
}
