/* Lists webhook deliveries and their attempts, and sends a delivery again. */
#include "app/query.h"
#include "app/webhooks.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/write_once.h"

/* clang-format off */
static const struct field delivery_fields[] = {
    {.name = "id", .type = FIELD_ID}, {.name = "event_id", .type = FIELD_ID}, {.name = "event_type", .type = FIELD_TEXT}, {.name = "state", .type = FIELD_TEXT},
    {.name = "attempt_count", .type = FIELD_INT}, {.name = "next_attempt_at", .type = FIELD_TIME}, {.name = "endpoint_id", .type = FIELD_ID},
    {.name = "account_id", .type = FIELD_ID}, {.name = "created_at", .type = FIELD_TIME}, {.name = "last_status", .type = FIELD_INT},
};
static const struct field attempt_fields[] = {
    {.name = "n", .type = FIELD_INT}, {.name = "started_at", .type = FIELD_TIME}, {.name = "duration_ms", .type = FIELD_INT}, {.name = "status", .type = FIELD_INT},
    {.name = "error", .type = FIELD_TEXT}, {.name = "address", .type = FIELD_TEXT}, {.name = "response_excerpt", .type = FIELD_TEXT},
};
/* clang-format on */
#define DELIVERY_COLUMNS                                                                           \
    "id, event_id, event_type, state, attempt_count, next_attempt_at, endpoint_id, account_id,"    \
    " created_at, last_status"
#define SQL_LIST                                                                                   \
    "select " DELIVERY_COLUMNS " from webhook_deliveries($1::uuid, $2, $3::uuid, $4::int)"
/* One delivery: a list of one that begins just above its id, since ids are in the order of the
 * list. */
#define SQL_ONE                                                                                    \
    "select " DELIVERY_COLUMNS " from webhook_deliveries(null, null, ("                            \
    "select webhook_delivery_id(webhook_delivery_position($1::uuid),"                              \
    " webhook_delivery_number($1::uuid) + 1)), 1) where id = $1::uuid"

bool webhook_delivery_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str endpoint_id = action_query(action, "endpoint_id");
    struct str state = action_query(action, "state");
    struct str list = str_of(arena_format(action->arena, "webhook-deliveries|%.*s|%.*s",
                                          STR_ARG(endpoint_id), STR_ARG(state)));
    struct page page = {
        .list = list, .key_columns = {0}, .n_keys = 1, .shape = &SHAPE_OF(delivery_fields)};

    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {endpoint_id, state, page.keys[0], page_limit(action, &page)};
    size_t slot = tx_query(tx, SQL_LIST, values, COUNT_OF(values));
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}

static bool no_delivery(struct err *err) {
    return err_set(err, PROBLEM_NOT_FOUND, "There is no such delivery.");
}

bool webhook_delivery_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;

    if (!uuid_is(id))
        return no_delivery(err);
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, SQL_ONE, &id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return no_delivery(err);
    write_row(tx, slot, 0, &SHAPE_OF(delivery_fields), &outcome->body);
    return true;
}

bool webhook_attempt_list(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;

    if (!uuid_is(id))
        return no_delivery(err);
    if (!read_begin(action, &tx, err))
        return false;
    size_t known = tx_query(tx, SQL_ONE, &id, 1);
    size_t slot = tx_query(tx,
                           "select n, started_at, duration_ms, status, error, address,"
                           " response_excerpt from webhook_attempt"
                           " where delivery_id = $1::uuid order by n limit 1000",
                           &id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, known) == 0)
        return no_delivery(err);
    buf_text(&outcome->body, "{\"data\":[");
    write_rows(tx, slot, tx_rows(tx, slot), &SHAPE_OF(attempt_fields), &outcome->body);
    page_end(outcome, false, -1);
    return true;
}

/* Only what the caller sees: the function that sends again does not ask. */
static bool retry_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    size_t known = tx_query(tx, SQL_ONE, arg, 1);

    (void)action;
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, known) == 0)
        return no_delivery(err);
    tx_query(tx, "select webhook_delivery_again($1::uuid)", arg, 1);
    size_t slot = tx_query(tx, SQL_ONE, arg, 1);
    if (!tx_flush(tx, err))
        return false;
    write_row(tx, slot, 0, &SHAPE_OF(delivery_fields), &outcome->body);
    outcome->status = 202;
    return true;
}

bool webhook_delivery_retry(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    return uuid_is(id) ? write_once(action, retry_work, &id, outcome, err) : no_delivery(err);
}
