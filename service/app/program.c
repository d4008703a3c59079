#include "app/program.h"

#include "cursor.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "view.h"

#include <stdio.h>
#include <string.h>

/* ---- settings of the program ---- */

/* clang-format off */
static const struct field program_fields[] = {
    {.name = "objective", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000},
    {.name = "max_key_accounts", .type = FIELD_INT, .flags = F_REQUIRED, .min = 0, .max = 100000},
    {.name = "max_net_growth", .type = FIELD_INT, .min = 0, .max = 100000},
    {.name = "program_year_start", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 5, .max = 5},
    {.name = "enter_score", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "recover_score", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "exit_score", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "tier_b_score", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "grace_days", .type = FIELD_INT, .flags = F_REQUIRED, .min = 0, .max = 3660},
    {.name = "reporting_currency", .type = FIELD_TEXT, .flags = F_REQUIRED, .max = 3, .check = check_currency},
};
/* clang-format on */
#define N_WRITABLE COUNT_OF(program_fields)
static const struct shape program_shape = {program_fields, N_WRITABLE};
static const struct field derived_int = {.type = FIELD_INT}, derived_time = {.type = FIELD_TIME},
                          derived_bool = {.type = FIELD_BOOL};

#define PROGRAM_SQL                                                                                \
    "select p.objective, p.max_key_accounts, p.max_net_growth, p.program_year_start, "             \
    "p.enter_score, p.recover_score,"                                                              \
    " p.exit_score, p.tier_b_score, p.grace_days, p.reporting_currency, p.criteria_version, k.n, " \
    "k.n > p.max_key_accounts,"                                                                    \
    " p.last_full_evaluation_at, p.updated_at, p.version"                                          \
    " from program p cross join (select count(*) as n from standing where key_status in ('key', "  \
    "'at_risk')) k"

static void write_program(struct tx *tx, size_t slot, bool writable_only, struct buf *ret) {
    buf_char(ret, '{');
    for (size_t c = 0; c < N_WRITABLE; c++) {
        buf_format(ret, "%s\"%s\":", c > 0 ? "," : "", program_fields[c].name);
        render_value(&program_fields[c], tx_value(tx, slot, 0, c), ret);
    }
    if (!writable_only) {
        static const char *const names[] = {"criteria_version",        "key_accounts", "over_cap",
                                            "last_full_evaluation_at", "updated_at",   "version"};
        static const struct field *const types[] = {&derived_int,  &derived_int,  &derived_bool,
                                                    &derived_time, &derived_time, &derived_int};
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            buf_format(ret, ",\"%s\":", names[i]);
            render_value(types[i], tx_value(tx, slot, 0, N_WRITABLE + i), ret);
        }
    }
    buf_char(ret, '}');
}

/* The object in `body` from `start` on gets its etag as last member. */
static void close_with_etag(struct buf *body, struct str id, int64_t version,
                            struct outcome *outcome) {
    if (!buf_ok(body) || body->len == 0)
        return;
    etag_make(id, version, buf_str(body), outcome->etag);
    body->len--; /* the closing brace */
    buf_text(body, ",\"etag\":");
    buf_json(body, str_of(outcome->etag));
    buf_char(body, '}');
}

#define VERSION_COLUMN (N_WRITABLE + 5)

static bool program_answer(struct action *action, struct tx *tx, struct outcome *outcome,
                           struct err *err) {
    size_t slot = tx_query(tx, PROGRAM_SQL, NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    write_program(tx, slot, false, &outcome->body);
    close_with_etag(&outcome->body, STR("program"), tx_int(tx, slot, 0, VERSION_COLUMN), outcome);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    return true;
}

bool program_get(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && program_answer(action, tx, outcome, err);
}

static bool program_precondition(struct action *action, struct tx *tx, size_t slot,
                                 struct err *err) {
    char etag[ETAG_TEXT];
    etag_make(STR("program"), tx_int(tx, slot, 0, VERSION_COLUMN), STR(""), etag);
    if (!action->if_match.ptr)
        return err_set(err, PROBLEM_PRECONDITION_REQUIRED,
                       "Send If-Match with the etag that you read.");
    if (etag_edit_matches(action->if_match, str_of(etag)))
        return true;
    snprintf(err->etag, sizeof err->etag, "%s", etag);
    return err_set(err, PROBLEM_PRECONDITION_FAILED, "The program was changed since you read it.");
}

static const char *queue_evaluation(struct action *action, struct tx *tx, const char *request) {
    struct uuid id = uuid_v7(action->app->clock, action->app->randomness);
    char *text = arena_alloc(action->arena, UUID_TEXT);
    if (!text)
        return NULL;
    uuid_text(&id, text);
    struct str params[] = {str_of(text), str_of(request), str_of(action->who->actor)};
    tx_query(tx,
             "insert into operation (id, kind, request, actor) values ($1::uuid, 'evaluation', "
             "$2::jsonb, $3)",
             params, 3);
    return text;
}

static bool merge_program(struct tx *tx, size_t slot, const jv *patch, jv **ret, struct err *err) {
    CLEANUP(jv_unref) jv *merged = NULL;
    struct buf text;
    buf_init(&text, 1 << 16);
    write_program(tx, slot, true, &text);
    bool fine = buf_ok(&text) && json_read(buf_str(&text), JSON_TOKENS, &merged, err);
    buf_release(&text);
    if (!fine || !jv_merge(&merged, patch))
        return err_is_set(err) ? false : err_memory(err);
    return decode_shape(&program_shape, merged, "", ret, err);
}

static bool patch_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    const jv *patch = arg;
    CLEANUP(jv_unref) jv *clean = NULL;
    size_t slot = tx_query(tx, PROGRAM_SQL " for update of p", NULL, 0);
    if (!tx_flush(tx, err) || !program_precondition(action, tx, slot, err) ||
        !merge_program(tx, slot, patch, &clean, err))
        return false;
    struct buf text;
    buf_init(&text, 1 << 16);
    jv_write(clean, &text);
    struct str doc = buf_ok(&text) ? arena_str(action->arena, buf_str(&text)) : STR_ABSENT;
    buf_release(&text);
    if (!doc.ptr)
        return err_memory(err);
    tx_query(tx,
             "update program p set (objective, max_key_accounts, max_net_growth, "
             "program_year_start, enter_score, recover_score, exit_score,"
             " tier_b_score, grace_days, reporting_currency) = (x.objective, x.max_key_accounts, "
             "x.max_net_growth, x.program_year_start,"
             " x.enter_score, x.recover_score, x.exit_score, x.tier_b_score, x.grace_days, "
             "x.reporting_currency),"
             " version = p.version + 1, updated_at = now() from "
             "jsonb_populate_record(null::program, $1::jsonb) x",
             &doc, 1);
    if (!queue_evaluation(action, tx, "{\"cause\": \"program_changed\"}"))
        return err_memory(err);
    return program_answer(action, tx, outcome, err);
}

/* Every region wanted criteria of its own (001-08). */
static bool refuse_regions(const jv *doc, struct err *err) {
    if (!jv_get(doc, "region") && !jv_get(doc, "division"))
        return true;
    return err_set(err, PROBLEM_REGION_CRITERIA,
                   "One set of criteria holds for all regions, so that a key account means the "
                   "same everywhere. A region may nominate accounts.");
}

bool program_patch(struct action *action, const jv *patch, struct outcome *outcome,
                   struct err *err) {
    return refuse_regions(patch, err) &&
           write_once(action, patch_work, (void *)(uintptr_t)patch, outcome, err);
}

/* ---- criteria ---- */

/* clang-format off */
static const struct field metric_fields[] = {
    {.name = "metric", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = (const char *const[]){"revenue_ttm", "margin_ttm", "growth", NULL}},
    {.name = "weight", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "floor", .type = FIELD_DECIMAL, .flags = F_REQUIRED},
    {.name = "ceiling", .type = FIELD_DECIMAL, .flags = F_REQUIRED},
};
static const struct shape metric_shape = {metric_fields, COUNT_OF(metric_fields)};
static const struct field criteria_fields[] = {
    {.name = "metrics", .type = FIELD_DOCS, .flags = F_REQUIRED, .min = 1, .max = 50, .shape = &metric_shape},
    {.name = "note", .type = FIELD_TEXT, .max = 1000},
};
static const struct shape criteria_shape = {criteria_fields, COUNT_OF(criteria_fields)};
/* clang-format on */

static void write_criteria(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    static const struct field fields[] = {
        {.name = "version", .type = FIELD_INT},     {.name = "active", .type = FIELD_BOOL},
        {.name = "note", .type = FIELD_TEXT},       {.name = "metrics", .type = FIELD_DOCS},
        {.name = "created_at", .type = FIELD_TIME}, {.name = "created_by", .type = FIELD_TEXT},
    };
    buf_char(ret, '{');
    for (size_t c = 0; c < COUNT_OF(fields); c++) {
        buf_format(ret, "%s\"%s\":", c > 0 ? "," : "", fields[c].name);
        render_value(&fields[c], tx_value(tx, slot, row, c), ret);
    }
    buf_char(ret, '}');
}

#define CRITERIA_SQL                                                                               \
    "select c.version, c.version = p.criteria_version, c.note, c.metrics, c.created_at, "          \
    "c.created_by from criteria c cross join program p"

bool criteria_list(struct action *action, const struct param *params, size_t n_params,
                   struct outcome *outcome, struct err *err) {
    static const size_t key_columns[] = {0};
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page;
    if (!page_read(action, STR("criteria"), 1, params, n_params, &page, err) ||
        !read_begin(action, &tx, err))
        return false;
    struct str values[] = {page.keys[0], page_limit(action, &page)};
    size_t slot = tx_query(tx,
                           CRITERIA_SQL " where $1::int is null or c.version < $1::int order by "
                                        "c.version desc limit $2::int",
                           values, 2);
    if (!tx_flush(tx, err))
        return false;
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < page_rows(&page, tx_rows(tx, slot)); i++) {
        if (i > 0)
            buf_char(&outcome->body, ',');
        write_criteria(tx, slot, i, &outcome->body);
    }
    page_finish(action, &page, tx, slot, key_columns, outcome);
    return true;
}

static void check_metrics(const jv *metrics, struct err *err) {
    double total = 0;
    for (size_t i = 0; i < jv_len(metrics); i++) {
        const jv *one = jv_at(metrics, i);
        char where[64];
        if (str_eq(jv_text(jv_get(one, "floor")), jv_text(jv_get(one, "ceiling")))) {
            snprintf(where, sizeof where, "/metrics/%zu/ceiling", i);
            err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "no_range",
                    "must differ from the floor");
        }
        for (size_t k = 0; k < i; k++)
            if (str_eq(jv_text(jv_get(one, "metric")),
                       jv_text(jv_get(jv_at(metrics, k), "metric")))) {
                snprintf(where, sizeof where, "/metrics/%zu/metric", i);
                err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, where, "duplicate",
                        "is in the list already");
            }
        total +=
            strspn(jv_text(jv_get(one, "weight")).ptr, "0.") == jv_text(jv_get(one, "weight")).len
                ? 0
                : 1;
    }
    if (total < 1)
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, "/metrics", "no_weight",
                "at least one weight must be above zero");
}

static bool criteria_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                          struct err *err) {
    const jv *clean = arg;
    struct buf text;
    buf_init(&text, 1 << 18);
    jv_write(jv_get(clean, "metrics"), &text);
    struct str params[] = {buf_str(&text), jv_text(jv_get(clean, "note")),
                           str_of(action->who->actor)};
    tx_query(tx, "select 1 from program for update", NULL, 0); /* one new version at a time */
    tx_query(tx,
             "insert into criteria (version, metrics, note, created_by) select max(version) + 1, "
             "$1::jsonb, $2, $3 from criteria",
             params, 3);
    size_t slot = tx_query(tx, CRITERIA_SQL " order by c.version desc limit 1", NULL, 0);
    buf_release(&text);
    if (!tx_flush(tx, err))
        return false;
    write_criteria(tx, slot, 0, &outcome->body);
    outcome->status = 201;
    snprintf(outcome->location, sizeof outcome->location, "/v1/program/criteria/%.*s",
             STR_ARG(tx_value(tx, slot, 0, 0)));
    return true;
}

bool criteria_create(struct action *action, const jv *doc, struct outcome *outcome,
                     struct err *err) {
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!refuse_regions(doc, err) || !decode_shape(&criteria_shape, doc, "", &clean, err))
        return false;
    check_metrics(jv_get(clean, "metrics"), err);
    return !err_is_set(err) && write_once(action, criteria_work, clean, outcome, err);
}

static bool activate_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                          struct err *err) {
    struct str version = *(const struct str *)arg;
    tx_query(tx,
             "update program set criteria_version = $1::int, version = version + 1, updated_at = "
             "now() where exists (select 1 from criteria where version = $1::int)",
             &version, 1);
    size_t slot = tx_query(tx, CRITERIA_SQL " where c.version = $1::int", &version, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such version of the criteria.");
    if (!queue_evaluation(action, tx, "{\"cause\": \"criteria_activated\"}"))
        return err_memory(err);
    write_criteria(tx, slot, 0, &outcome->body);
    return true;
}

bool criteria_activate(struct action *action, struct str version, struct outcome *outcome,
                       struct err *err) {
    int64_t number;
    if (!str_to_i64(version, &number) || number < 1 || number > INT32_MAX)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such version of the criteria.");
    return write_once(action, activate_work, &version, outcome, err);
}

/* ---- evaluations ---- */

#define OPERATION_SQL                                                                              \
    "select o.id, o.kind, o.status, o.request, o.progress_done, o.progress_total, o.result, "      \
    "o.failure, o.created_at, o.updated_at from operation o where o.id = $1::uuid"

static bool operation_answer(struct tx *tx, struct str id, struct outcome *outcome,
                             struct err *err) {
    static const struct field fields[] = {
        {.name = "id", .type = FIELD_ID},           {.name = "kind", .type = FIELD_TEXT},
        {.name = "status", .type = FIELD_TEXT},     {.name = "request", .type = FIELD_MAP},
        {.name = "done", .type = FIELD_INT},        {.name = "total", .type = FIELD_INT},
        {.name = "result", .type = FIELD_MAP},      {.name = "failure", .type = FIELD_TEXT},
        {.name = "created_at", .type = FIELD_TIME}, {.name = "updated_at", .type = FIELD_TIME},
    };
    size_t slot = tx_query(tx, OPERATION_SQL, &id, 1);
    struct buf *body = &outcome->body;
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such operation.");
    for (size_t c = 0; c < COUNT_OF(fields); c++) {
        if (c == 4)
            buf_text(body, ",\"progress\":{\"done\":");
        else
            buf_format(body, "%c\"%s\":", c == 0 ? '{' : ',', fields[c].name);
        render_value(&fields[c], tx_value(tx, slot, 0, c), body);
        if (c == 5)
            buf_char(body, '}');
    }
    buf_char(body, '}');
    return true;
}

static bool evaluation_work(struct action *action, struct tx *tx, void *arg,
                            struct outcome *outcome, struct err *err) {
    struct str as_of = *(const struct str *)arg;
    const char *request =
        as_of.ptr ? arena_format(action->arena, "{\"as_of\": \"%.*s\"}", STR_ARG(as_of)) : "{}";
    const char *id = request ? queue_evaluation(action, tx, request) : NULL;
    if (!id)
        return err_memory(err);
    outcome->status = 202;
    snprintf(outcome->location, sizeof outcome->location, "/v1/operations/%s", id);
    return operation_answer(tx, str_of(id), outcome, err);
}

bool evaluation_start(struct action *action, const jv *doc, struct outcome *outcome,
                      struct err *err) {
    static const struct field as_of_field[] = {{.name = "as_of", .type = FIELD_DATE}};
    static const struct shape shape = {as_of_field, 1};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    struct str as_of = jv_text(jv_get(clean, "as_of"));
    return write_once(action, evaluation_work, &as_of, outcome, err);
}

bool operation_get(struct action *action, struct str id, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && operation_answer(tx, id, outcome, err);
}

static void write_result(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    static const struct field fields[] = {
        {.name = "rank", .type = FIELD_INT},
        {.name = "account_id", .type = FIELD_ID},
        {.name = "account_number", .type = FIELD_TEXT},
        {.name = "name", .type = FIELD_TEXT},
        {.name = "score", .type = FIELD_DECIMAL},
        {.name = "contributions", .type = FIELD_DOCS},
        {.name = "missing", .type = FIELD_TEXTS},
    };
    for (size_t c = 0; c < COUNT_OF(fields); c++) {
        buf_format(ret, "%c\"%s\":", c == 0 ? '{' : ',', fields[c].name);
        render_value(&fields[c], tx_value(tx, slot, row, c), ret);
    }
    buf_char(ret, '}');
}

bool evaluation_results(struct action *action, struct str id, const struct param *params,
                        size_t n_params, struct outcome *outcome, struct err *err) {
    static const size_t key_columns[] = {0, 1};
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page;
    struct str list = str_of(arena_format(action->arena, "evaluation|%.*s", STR_ARG(id)));
    if (!page_read(action, list, 2, params, n_params, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {id, page.keys[0], page.keys[1], page_limit(action, &page)};
    size_t there = tx_query(
        tx, "select 1 from operation where id = $1::uuid and kind = 'evaluation'", values, 1);
    size_t slot = tx_query(
        tx,
        "select r.score_rank, r.account_id, a.account_number, a.name, r.score, r.contributions, "
        "array_to_json(r.missing) from evaluation_result r join account a on a.id = r.account_id "
        "where r.operation_id = $1::uuid "
        "and ($2::int is null or (r.score_rank, r.account_id) > ($2::int, $3::uuid)) "
        "order by r.score_rank, r.account_id limit $4::int",
        values, 4);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, there) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such evaluation.");
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < page_rows(&page, tx_rows(tx, slot)); i++) {
        if (i > 0)
            buf_char(&outcome->body, ',');
        write_result(tx, slot, i, &outcome->body);
    }
    page_finish(action, &page, tx, slot, key_columns, outcome);
    return true;
}
