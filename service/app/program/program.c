/* Reads and changes the program (limits and thresholds), its settings, and the exchange rates. */
#include "app/program.h"

#include "base/cursor.h"
#include "base/json.h"
#include "base/singleton.h"
#include "base/write_once.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "program/criteria.h"
#include "record/view.h"

/* clang-format off */
static const struct field program_fields[] = {
    {.name = "objective", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000},
    {.name = "max_key_accounts", .type = FIELD_INT, .flags = F_REQUIRED, .min = 0, .max = 100000},
    {.name = "counts", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = (const char *const[]){"customer", "unit", NULL}},
    {.name = "max_net_growth", .type = FIELD_INT, .min = 0, .max = 100000},
    {.name = "program_year_start", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 5, .max = 5},
    {.name = "enter_score", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "recover_score", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "exit_score", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "tier_b_score", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "grace_days", .type = FIELD_INT, .flags = F_REQUIRED, .min = 0, .max = 3660},
    {.name = "reporting_currency", .type = FIELD_TEXT, .flags = F_REQUIRED, .max = 3, .check = check_currency},
};

#define WEIGHT(name_) {.name = name_, .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN}
static const struct field channel_fields[] = {WEIGHT("in_person"), WEIGHT("video"), WEIGHT("phone"), WEIGHT("email"), WEIGHT("web")};
static const struct shape channel_shape = {channel_fields, COUNT_OF(channel_fields)};
static const struct field level_fields[] = {WEIGHT("executive"), WEIGHT("manager"), WEIGHT("user")};
static const struct shape level_shape = {level_fields, COUNT_OF(level_fields)};
#define DAYS(name_, least) {.name = name_, .type = FIELD_INT, .flags = F_REQUIRED, .min = least, .max = 3660}
static const struct field settings_fields[] = {
    {.name = "require_fit_check", .type = FIELD_BOOL, .flags = F_REQUIRED},
    DAYS("fit_check_max_age_days", 1),
    {.name = "retention_rate", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "discount_rate", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    DAYS("attention_half_life_days", 1),
    {.name = "attention_gap_threshold", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "attention_channel_weights", .type = FIELD_DOC, .flags = F_REQUIRED, .shape = &channel_shape},
    {.name = "attention_level_weights", .type = FIELD_DOC, .flags = F_REQUIRED, .shape = &level_shape},
    {.name = "touches_per_year", .type = FIELD_INT, .flags = F_REQUIRED, .min = 1, .max = 366},
    DAYS("overdue_manager_days", 0), DAYS("overdue_sponsor_days", 0), DAYS("review_notice_days", 0), DAYS("review_grace_days", 0),
    DAYS("section_stale_days", 1), DAYS("commitment_grace_days", 0), DAYS("divestment_notice_days", 0), DAYS("silent_days", 1),
    {.name = "health_metrics", .type = FIELD_DOCS, .flags = F_REQUIRED, .min = 1, .max = 50, .shape = &metric_shape},
    {.name = "fallback_alert_user_id", .type = FIELD_ID},
    {.name = "one_key_customer_per_manager", .type = FIELD_BOOL, .flags = F_REQUIRED},
};
/* clang-format on */

static const struct singleton program = {
    .name = "program",
    .table = "program",
    .fields = program_fields,
    .n_fields = COUNT_OF(program_fields),
    .derived = "program_state() || jsonb_build_object('criteria_version', t.criteria_version, "
               "'last_full_evaluation_at', to_char(t.last_full_evaluation_at at time zone 'UTC', "
               "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))",
    .cause = "program_changed",
};

static void settings_check(const jv *doc, struct err *err) {
    metrics_check(jv_get(doc, "health_metrics"), "/health_metrics", err);
}

static const struct singleton settings = {
    .name = "program settings",
    .table = "program_settings",
    .fields = settings_fields,
    .n_fields = COUNT_OF(settings_fields),
    .cause = "settings_changed",
    .check = settings_check,
};

bool program_get(struct action *action, struct outcome *outcome, struct err *err) {

    return singleton_get(action, &program, outcome, err);
}

bool program_patch(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *patch = action->doc;
    return refuse_regions(patch, err) && singleton_patch(action, &program, patch, outcome, err);
}

bool settings_get(struct action *action, struct outcome *outcome, struct err *err) {

    return singleton_get(action, &settings, outcome, err);
}

bool settings_patch(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *patch = action->doc;
    return singleton_patch(action, &settings, patch, outcome, err);
}

/* ---- rates ---- */

#define RATE_SQL "select r.currency_code, r.rate, r.updated_at from program_rate r "
/* clang-format off */
static const struct field rate_columns[] = {
    {.name = "currency_code", .type = FIELD_TEXT},
    {.name = "rate", .type = FIELD_DECIMAL},
    {.name = "updated_at", .type = FIELD_TIME},
};
/* clang-format on */

bool rate_list(struct action *action, struct outcome *outcome, struct err *err) {

    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, RATE_SQL "order by r.currency_code", NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    buf_text(&outcome->body, "{\"data\":[");
    write_rows(tx, slot, tx_rows(tx, slot), &SHAPE_OF(rate_columns), &outcome->body);
    page_end(outcome, false, -1);
    return true;
}

struct rate {
    struct str currency_code, value;
};

static bool rate_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    const struct rate *rate = arg;
    struct str values[] = {rate->currency_code, rate->value};
    size_t put = tx_query(tx,
                          "insert into program_rate as r (currency_code, rate) values ($1, "
                          "$2::numeric) on conflict (currency_code) do update set rate = "
                          "excluded.rate, updated_at = now() returning r.xmax = 0",
                          values, 2);
    size_t slot = tx_query(tx, RATE_SQL "where r.currency_code = $1", values, 1);
    if (!queue_evaluation(action, tx, "{\"cause\": \"rates_changed\"}"))
        return err_memory(err);
    if (!tx_flush(tx, err))
        return false;
    outcome->status = tx_bool(tx, put, 0, 0) ? 201 : 200;
    write_row(tx, slot, 0, &SHAPE_OF(rate_columns), &outcome->body);
    return true;
}

bool rate_put(struct action *action, struct outcome *outcome, struct err *err) {
    struct str currency_code = action_arg(action, "currency_code");
    const jv *doc = action->doc;
    static const struct field fields[] = {
        {.name = "rate", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN, .max = 10}};
    static const struct shape shape = {fields, COUNT_OF(fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (check_currency(currency_code))
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such currency.");
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    struct rate rate = {currency_code, jv_text(jv_get(clean, "rate"))};
    return write_once(action, rate_work, &rate, outcome, err);
}

static bool rate_drop_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                           struct err *err) {
    size_t slot = tx_query(tx, "delete from program_rate where currency_code = $1", arg, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_affected(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no rate for this currency.");
    if (!queue_evaluation(action, tx, "{\"cause\": \"rates_changed\"}"))
        return err_memory(err);
    outcome->status = 204;
    return true;
}

bool rate_delete(struct action *action, struct outcome *outcome, struct err *err) {
    struct str currency_code = action_arg(action, "currency_code");
    return write_once(action, rate_drop_work, &currency_code, outcome, err);
}
