/* Merges an account that was recorded twice into the other one: a few records at once, many as
 * an operation of a worker. merge_accounts() in merge.sql moves them. */
#include "app/merges.h"

#include "app/records.h"
#include "base/json.h"
#include "base/operation.h"
#include "base/write_once.h"
#include "domain/decode.h"
#include "record/view.h"

/* clang-format off */
const char *const merge_fields[] = {
    "name", "account_number", "domain", "industry", "currency_code", "lifecycle", "custom", "level", "division", "manager_id", "sponsor_id",
    "business_model", "revenue_model", "our_contribution", "customer_plans", "contact_preference", "cadence", "sales_cycle", "address",
    "country_code", NULL};
static const struct field merge_body[] = {
    {.name = "source_id", .type = FIELD_ID, .flags = F_REQUIRED},
    {.name = "take", .type = FIELD_TEXTS, .max = 20, .values = merge_fields, .preset = "[]"},
};
/* clang-format on */

struct merge {
    struct str target;
    struct str source;
    struct str taken;
};

/* A merge that moves this many records, or more, is an operation of a worker. */
#define MERGE_INLINE_MAX_RECORDS "1000"

static bool queue_merge(struct action *action, struct tx *tx, const struct merge *merge,
                        struct outcome *outcome, struct err *err) {
    const struct {
        const char *name;
        struct str value;
    } texts[] = {{"{\"account_id\":", merge->target},
                 {",\"source_id\":", merge->source},
                 {",\"actor\":", str_of(action->who->actor)},
                 {",\"origin\":", action->origin},
                 {",\"request_id\":", action->request_id}};
    CLEANUP(buf_release) struct buf request;
    buf_init(&request, 8192);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        buf_text(&request, texts[i].name);
        buf_json(&request, texts[i].value);
    }
    buf_text(&request, ",\"take\":");
    buf_put(&request, merge->taken);
    buf_char(&request, '}');
    return buf_ok(&request)
               ? operation_queue(action, tx,
                                 &(const struct operation_request){"merge", buf_str(&request)},
                                 outcome, err)
               : err_memory(err);
}

static bool merge_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    const struct merge *merge = arg;
    const struct record_key target = {.resource = resource_of(RES_ACCOUNT), .id = merge->target};
    struct str values[] = {merge->target, merge->source, merge->taken};
    size_t size = tx_query(tx,
                           "select merge_size($1::uuid, " MERGE_INLINE_MAX_RECORDS
                           ") >= " MERGE_INLINE_MAX_RECORDS,
                           &merge->source, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_bool(tx, size, 0, 0))
        return queue_merge(action, tx, merge, outcome, err);
    tx_query(tx,
             "select merge_accounts($1::uuid, $2::uuid, array(select "
             "jsonb_array_elements_text($3::jsonb)))",
             values, COUNT_OF(values));
    return view_answer(action, tx, &target, outcome, err);
}

bool account_merge(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    static const struct shape shape = {merge_body, COUNT_OF(merge_body)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    const jv *take = jv_get(clean, "take");
    struct merge merge = {id, jv_text(jv_get(clean, "source_id")),
                          take ? json_param(action, take) : STR("[]")};
    if (str_eq(merge.target, merge.source)) {
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/source_id"), "same_account",
                "must be another account than the one that stays");
        return false;
    }
    return merge.taken.ptr ? write_once(action, merge_work, &merge, outcome, err) : err_memory(err);
}

bool merge_step(const struct taken_operation *operation, bool *ret_more, struct err *err) {
    bool done;
    *ret_more = false;
    return operation_whole(operation, "select merge_run($1::uuid, $2::uuid)", &done, err);
}
