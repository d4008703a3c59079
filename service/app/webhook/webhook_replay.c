/* Starts the operation that sends an endpoint's deliveries again, and shows statistics of the
 * endpoint. */
#include "app/query.h"
#include "app/webhooks.h"
#include "base/operation.h"
#include "base/write_once.h"
#include "domain/decode.h"
#include "record/view.h"

/* clang-format off */
static const struct field replay_fields[] = {
    {.name = "delivery_id", .type = FIELD_ID},
    {.name = "since", .type = FIELD_TIME},
    {.name = "until", .type = FIELD_TIME},
    {.name = "only_failed", .type = FIELD_BOOL, .flags = F_NOT_NULL, .preset = "false"},
};
/* clang-format on */
static const struct shape replay_shape = {replay_fields, COUNT_OF(replay_fields)};

struct replay {
    struct str endpoint_id;
    struct str delivery_id;
    struct str since;
    struct str until;
    bool only_failed;
};

static bool no_endpoint(struct err *err) {
    return err_set(err, PROBLEM_NOT_FOUND, "There is no such webhook endpoint.");
}

static bool replay_read(const jv *doc, struct replay *ret, struct err *err) {
    ret->delivery_id = jv_text(jv_get(doc, "delivery_id"));
    ret->since = jv_text(jv_get(doc, "since"));
    ret->until = jv_text(jv_get(doc, "until"));
    ret->only_failed = jv_bool(jv_get(doc, "only_failed"));
    if (ret->delivery_id.ptr == NULL && ret->since.ptr == NULL)
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/since"), "required",
                       "Give delivery_id, or since with until and only_failed as you like.");
    if (ret->delivery_id.ptr != NULL && (ret->since.ptr != NULL || ret->until.ptr != NULL))
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/delivery_id"), "conflicting",
                       "One delivery has no span of time.");
    return true;
}

#define REPLAY_SQL                                                                                 \
    "select e.state, $2::uuid is null or exists (select 1 from webhook_delivery d"                 \
    " where d.id = $2::uuid and d.endpoint_id = e.id),"                                            \
    " jsonb_strip_nulls(jsonb_build_object('webhook_endpoint_id', e.id, 'delivery_id',"            \
    " $2::uuid, 'since', $3::text, 'until', $4::text, 'only_failed', $5::boolean,"                 \
    " 'requested_at', utc_text(now())))"                                                           \
    " from webhook_endpoint e where e.id = $1::uuid and e.deleted_at is null"                      \
    " and is_callers(e.actor, e.reach)"
enum { REPLAY_STATE, REPLAY_DELIVERY_FITS, REPLAY_REQUEST };

/* Only what the caller sees can be asked for; a span is judged when the operation runs. */
static bool replay_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    const struct replay *replay = arg;
    const struct str params[] = {replay->endpoint_id, replay->delivery_id, replay->since,
                                 replay->until, replay->only_failed ? STR("true") : STR("false")};
    size_t slot = tx_query(tx, REPLAY_SQL, params, COUNT_OF(params));

    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return no_endpoint(err);
    if (!tx_bool(tx, slot, 0, REPLAY_DELIVERY_FITS))
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such delivery to this endpoint.");
    if (!str_is(tx_value(tx, slot, 0, REPLAY_STATE), "enabled"))
        return err_set(err, PROBLEM_CONFLICT, "The webhook endpoint is disabled. Enable it first.");
    return operation_queue(
        action, tx,
        &(const struct operation_request){"replay", tx_value(tx, slot, 0, REPLAY_REQUEST)}, outcome,
        err);
}

bool webhook_replay_start(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    struct replay replay = {.endpoint_id = id};

    if (!uuid_is(id))
        return no_endpoint(err);
    return decode_shape(&replay_shape, doc, "", &clean, err) && replay_read(clean, &replay, err) &&
           write_once(action, replay_work, &replay, outcome, err);
}

bool webhook_stats(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str hours = action_query(action, "hours");

    if (!uuid_is(id))
        return no_endpoint(err);
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx,
                           "select webhook_stats(e.id, $2::int) from webhook_endpoint e"
                           " where e.id = $1::uuid and is_callers(e.actor, e.reach)",
                           (struct str[]){id, hours.ptr ? hours : STR("24")}, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0 || tx_value(tx, slot, 0, 0).ptr == NULL)
        return no_endpoint(err);
    buf_put(&outcome->body, tx_value(tx, slot, 0, 0));
    return true;
}
