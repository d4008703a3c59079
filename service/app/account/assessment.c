/* Reads and sets the assessed metrics and the fit check of one account, and reads its health score
 * with the contributions that make it up. */
#include "app/assessment.h"

#include "base/if_match.h"
#include "base/json.h"
#include "base/write_once.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "record/view.h"

#include <stdio.h>

static bool no_account(struct err *err) {
    struct record_key key = {.resource = resource_of(RES_ACCOUNT)};
    return not_found(&key, err);
}

/* ---- assessed metrics ---- */

static bool metrics_answer(struct tx *tx, struct str account_id, struct outcome *outcome,
                           struct err *err) {
    size_t slot = tx_query(tx, "select account_metrics($1::uuid)", &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    struct str text = tx_value(tx, slot, 0, 0);
    if (!text.ptr)
        return no_account(err);
    buf_put(&outcome->body, text);
    return true;
}

bool account_metrics_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && metrics_answer(tx, account_id, outcome, err);
}

struct facts {
    struct str account_id, doc;
};

/* Locks the account's row for the transaction; NOT_FOUND when the caller cannot see it. */
static bool lock_account(struct tx *tx, struct str account_id, struct err *err) {
    size_t slot = tx_query(
        tx, "select 1 from account where id = $1::uuid and deleted_at is null for key share",
        &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    return tx_rows(tx, slot) > 0 || no_account(err);
}

static bool metrics_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                         struct err *err) {
    const struct facts *facts = arg;
    struct str values[] = {facts->account_id, facts->doc};
    (void)action;
    if (!lock_account(tx, facts->account_id, err))
        return false;
    tx_query(tx, "select account_metrics_set($1::uuid, $2::jsonb)", values, 2);
    return metrics_answer(tx, facts->account_id, outcome, err);
}

/* What orders, problems and interactions say needs no opinion. */
static const char *const derived[] = {"revenue_ttm",
                                      "margin_ttm",
                                      "growth",
                                      "complaint_load",
                                      "service_load",
                                      "days_since_interaction",
                                      "open_problems",
                                      "sentiment",
                                      "cadence_adherence",
                                      "profitability",
                                      "promises_kept",
                                      "expectations",
                                      "decision_maker_coverage"};

static void metrics_rules(const jv *metrics, struct err *err) {
    char where[64];
    for (size_t i = 0; i < jv_len(metrics); i++) {
        const jv *one = jv_at(metrics, i);
        for (size_t k = 0; k < COUNT_OF(derived); k++)
            if (str_is(jv_text(jv_get(one, "metric")), derived[k])) {
                snprintf(where, sizeof where, "/metrics/%zu/metric", i);
                err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "derived_metric",
                        "follows from other records and cannot be assessed");
            }
        for (size_t k = 0; k < i; k++)
            if (str_eq(jv_text(jv_get(one, "metric")),
                       jv_text(jv_get(jv_at(metrics, k), "metric"))) &&
                str_eq(jv_text(jv_get(one, "period")),
                       jv_text(jv_get(jv_at(metrics, k), "period")))) {
                snprintf(where, sizeof where, "/metrics/%zu", i);
                err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "duplicate",
                        "has the metric and period of another");
            }
    }
}

bool account_metrics_put(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    const jv *doc = action->doc;
    static const struct field one[] = {
        {.name = "metric", .type = FIELD_TEXT, .flags = F_REQUIRED, .max = 64, .check = check_slug},
        {.name = "period",
         .type = FIELD_TEXT,
         .flags = F_REQUIRED,
         .max = 7,
         .check = check_period},
        {.name = "value", .type = FIELD_DECIMAL},
        {.name = "source", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 200},
        {.name = "note", .type = FIELD_TEXT, .max = 2000},
    };
    static const struct shape one_shape = {one, COUNT_OF(one)};
    static const struct field fields[] = {{.name = "metrics",
                                           .type = FIELD_DOCS,
                                           .flags = F_REQUIRED,
                                           .min = 1,
                                           .max = 200,
                                           .shape = &one_shape}};
    static const struct shape shape = {fields, COUNT_OF(fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    metrics_rules(jv_get(clean, "metrics"), err);
    if (err_is_set(err))
        return false;
    struct facts facts = {account_id, json_param(action, jv_get(clean, "metrics"))};
    return facts.doc.ptr ? write_once(action, metrics_work, &facts, outcome, err) : err_memory(err);
}

/* ---- fit check ---- */

/* clang-format off */
static const struct field answer_fields[] = {
    {.name = "possible", .type = FIELD_BOOL, .flags = F_REQUIRED},
    {.name = "evidence", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 4000},
    {.name = "est_value", .type = FIELD_DECIMAL, .flags = F_MIN},
};
static const struct shape answer_shape = {answer_fields, COUNT_OF(answer_fields)};
static const struct field check_fields[] = {
    {.name = "sales_cycle", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = (const char *const[]){"relational", "mixed", "transactional", NULL}},
    {.name = "sales_cycle_evidence", .type = FIELD_TEXT, .max = 4000},
    {.name = "upsell", .type = FIELD_DOC, .flags = F_REQUIRED, .shape = &answer_shape},
    {.name = "cross_sell", .type = FIELD_DOC, .flags = F_REQUIRED, .shape = &answer_shape},
    {.name = "expand", .type = FIELD_DOC, .flags = F_REQUIRED, .shape = &answer_shape},
    {.name = "checked_on", .type = FIELD_DATE},
};
static const struct shape check_shape = {check_fields, COUNT_OF(check_fields)};
static const struct field shown_fields[] = {
    {.name = "account_id", .type = FIELD_ID},
    {.name = "sales_cycle", .type = FIELD_TEXT}, {.name = "sales_cycle_evidence", .type = FIELD_TEXT},
    {.name = "upsell", .type = FIELD_DOC, .shape = &answer_shape}, {.name = "cross_sell", .type = FIELD_DOC, .shape = &answer_shape},
    {.name = "expand", .type = FIELD_DOC, .shape = &answer_shape},
    {.name = "checked_on", .type = FIELD_DATE}, {.name = "checked_by", .type = FIELD_TEXT},
    {.name = "verdict", .type = FIELD_TEXT}, {.name = "failing", .type = FIELD_TEXTS},
    {.name = "recent", .type = FIELD_BOOL}, {.name = "order_days_ttm", .type = FIELD_INT}, {.name = "days_between_orders", .type = FIELD_DECIMAL},
    {.name = "version", .type = FIELD_INT}, {.name = "updated_at", .type = FIELD_TIME},
};
/* clang-format on */

/* How often they bought in a year is a hint at the sales cycle, not an answer. */
#define CHECK_SQL                                                                                  \
    "select f.account_id, f.sales_cycle, f.sales_cycle_evidence, f.upsell, f.cross_sell, "         \
    "f.expand, f.checked_on, f.checked_by, f.verdict, to_jsonb(f.failing), "                       \
    "f.checked_on >= current_date - s.fit_check_max_age_days, o.n, o.gap, f.version, "             \
    "f.updated_at from fit_check f cross join program_settings s cross join lateral (select "      \
    "count(distinct d.day) as n, round((max(d.day) - min(d.day))::numeric / "                      \
    "nullif(count(distinct d.day) - 1, 0), 1) as gap from day_sales d where d.account_id = "       \
    "f.account_id and d.orders > 0 and d.day > current_date - 365) o where f.account_id = "        \
    "$1::uuid and f.deleted_at is null"

static bool fit_check_answer(struct action *action, struct tx *tx, struct str account_id,
                             struct outcome *outcome, struct err *err) {
    size_t slot = tx_query(tx, CHECK_SQL, &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no fit check of this account yet.");
    struct buf object;
    buf_init(&object, 1 << 16);
    write_row(tx, slot, 0, &SHAPE_OF(shown_fields), &object);
    bool fine = buf_ok(&object);
    if (fine)
        view_object(action, account_id, tx_int(tx, slot, 0, COUNT_OF(shown_fields) - 2),
                    buf_str(&object), outcome);
    buf_release(&object);
    return fine || err_memory(err);
}

bool fit_check_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && fit_check_answer(action, tx, account_id, outcome, err);
}

/* A check is done anew as a whole; there is nothing to merge, and If-Match is kept when given. */
static bool may_replace(struct action *action, struct tx *tx, struct str account_id,
                        struct err *err) {
    char etag[ETAG_TEXT] = "";
    size_t slot = tx_query(tx,
                           "select version from fit_check where account_id = $1::uuid and "
                           "deleted_at is null for update",
                           &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) > 0)
        etag_make(account_id, tx_int(tx, slot, 0, 0), STR(""), etag);
    return if_match(action, etag, "It", err);
}

static bool fit_check_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                           struct err *err) {
    const struct facts *facts = arg;
    struct str values[] = {facts->account_id, facts->doc, str_of(action->who->actor)};
    if (!lock_account(tx, facts->account_id, err) ||
        !may_replace(action, tx, facts->account_id, err))
        return false;
    size_t put = tx_query(
        tx,
        "insert into fit_check as f (account_id, sales_cycle, sales_cycle_evidence, upsell, "
        "cross_sell, expand, checked_on, checked_by) select $1::uuid, x.sales_cycle, "
        "x.sales_cycle_evidence, x.upsell, x.cross_sell, x.expand, coalesce(x.checked_on, "
        "current_date), $3 from jsonb_populate_record(null::fit_check, $2::jsonb) x on conflict "
        "(account_id) do update set (sales_cycle, sales_cycle_evidence, upsell, cross_sell, "
        "expand, checked_on, checked_by) = (excluded.sales_cycle, excluded.sales_cycle_evidence, "
        "excluded.upsell, excluded.cross_sell, excluded.expand, excluded.checked_on, "
        "excluded.checked_by), deleted_at = null, version = f.version + 1, updated_at = now() "
        "returning f.xmax = 0, f.checked_on > current_date",
        values, 3);
    if (!tx_flush(tx, err))
        return false;
    if (tx_bool(tx, put, 0, 1)) {
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/checked_on"), "in_future",
                "must not be in the future");
        return false;
    }
    outcome->status = tx_bool(tx, put, 0, 0) ? 201 : 200;
    if (outcome->status == 201)
        snprintf(outcome->location, sizeof outcome->location, "/v1/accounts/%.*s/fit-check",
                 STR_ARG(facts->account_id));
    return fit_check_answer(action, tx, facts->account_id, outcome, err);
}

bool fit_check_put(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&check_shape, doc, "", &clean, err))
        return false;
    struct facts facts = {account_id, json_param(action, clean)};
    return facts.doc.ptr ? write_once(action, fit_check_work, &facts, outcome, err)
                         : err_memory(err);
}

/* ---- health ---- */

bool account_health(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    static const struct field fields[] = {
        {.name = "account_id", .type = FIELD_ID},      {.name = "health", .type = FIELD_INT},
        {.name = "score", .type = FIELD_DECIMAL},      {.name = "as_of", .type = FIELD_DATE},
        {.name = "contributions", .type = FIELD_DOCS}, {.name = "missing", .type = FIELD_TEXTS},
        {.name = "previous", .type = FIELD_MAP},       {.name = "changed_at", .type = FIELD_TIME},
        {.name = "changed", .type = FIELD_DOCS},
    };
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(
        tx,
        "select a.id, h.health, h.score, h.as_of, coalesce(h.contributions, '[]'), "
        "to_jsonb(coalesce(h.missing, '{}')), case when h.previous_as_of is not null then "
        "jsonb_build_object('health', h.previous_health, 'score', h.previous_score::text, 'as_of', "
        "h.previous_as_of, 'contributions', h.previous_contributions) end, h.changed_at, case when "
        "h.previous_as_of is not null then contributions_moved(h.previous_contributions, "
        "h.contributions) else '[]' end from account a left join account_health h on h.account_id "
        "= a.id where a.id = $1::uuid and a.deleted_at is null",
        &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return no_account(err);
    write_row(tx, slot, 0, &SHAPE_OF(fields), &outcome->body);
    return true;
}
