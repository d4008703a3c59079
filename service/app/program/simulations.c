/* Computes what would change under other criteria, thresholds or another cap, and changes
 * nothing. */
#include "app/program.h"
#include "base/json.h"
#include "base/operation.h"
#include "base/write_once.h"
#include "core/config.h"
#include "domain/decode.h"
#include "program/criteria.h"

const char *const simulation_starts[] = {"current", "empty", NULL};

/* clang-format off */
static const struct field fields[] = {
    {.name = "criteria", .type = FIELD_DOCS, .min = 1, .max = 50, .shape = &metric_shape},
    {.name = "criteria_version", .type = FIELD_INT, .min = 1},
    {.name = "max_key_accounts", .type = FIELD_INT, .min = 0, .max = 100000},
    {.name = "enter_score", .type = FIELD_DECIMAL, .flags = F_MIN},
    {.name = "recover_score", .type = FIELD_DECIMAL, .flags = F_MIN},
    {.name = "exit_score", .type = FIELD_DECIMAL, .flags = F_MIN},
    {.name = "tier_b_score", .type = FIELD_DECIMAL, .flags = F_MIN},
    {.name = "as_of", .type = FIELD_DATE},
    {.name = "start", .type = FIELD_ENUM, .values = simulation_starts},
};
/* clang-format on */
static const struct shape shape = {fields, COUNT_OF(fields)};

/* Null: more accounts than are answered at once. The function is stable, so it cannot write. */
#define SIMULATE_SQL                                                                               \
    "select case when (select count(*) from (select from account where deleted_at is null limit "  \
    "$2::int + 1) few) <= $2::int then simulate($1::jsonb) end"

static bool answer_now(struct action *action, struct str params, bool *ret_done,
                       struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str values[] = {
        params, str_of(arena_format(action->arena, "%d", action->app->config->report_accounts))};
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, SIMULATE_SQL, values, 2);
    if (!tx_flush(tx, err)) {
        /* More than the time of a request: a worker has more. */
        if (err->problem != PROBLEM_OVERLOADED)
            return false;
        err_release(err);
        return true;
    }
    struct str document = tx_value(tx, slot, 0, 0);
    *ret_done = document.ptr != NULL;
    if (document.ptr)
        buf_put(&outcome->body, document);
    return true;
}

static bool queue_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    const struct str *params = arg;
    return operation_queue(action, tx, &(const struct operation_request){"simulation", *params},
                           outcome, err);
}

static bool decode(const jv *doc, jv **ret, struct err *err) {
    if (!decode_shape(&shape, doc, "", ret, err))
        return false;
    const jv *criteria = jv_get(*ret, "criteria");
    if (criteria)
        metrics_check(criteria, "/criteria", err);
    if (criteria && jv_get(*ret, "criteria_version"))
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/criteria_version"), "contradiction",
                "is not for criteria of your own");
    return !err_is_set(err);
}

bool simulation_run(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    bool done = false;
    if (!decode(doc, &clean, err))
        return false;
    struct str params = json_param(action, clean);
    if (!params.ptr)
        return err_memory(err);
    return answer_now(action, params, &done, outcome, err) &&
           (done || write_once(action, queue_work, &params, outcome, err));
}
