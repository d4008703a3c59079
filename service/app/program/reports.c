/* Runs a report: checks its parameters, calls its SQL function, and answers in JSON, CSV or SVG. A
 * report over too many accounts, or too slow for a request, is queued as an operation for a worker,
 * and the answer is 202. */
#include "app/reports.h"

#include "app/program.h"
#include "app/query.h"
#include "base/csv.h"
#include "base/cursor.h"
#include "base/operation.h"
#include "domain/check.h"
#include "program/pareto_svg.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

#define ROWS_MAX 1000
#define POINTS "1000" /* of a curve; more would not be seen at 800 pixels */

enum format { FORMAT_JSON, FORMAT_CSV, FORMAT_SVG };

/* A column of the CSV: its name, and the path in a row of `data`. Lists become words with spaces
 * between them. */
struct column {
    const char *name, *path;
};

struct report {
    const char *name, *function;
    const struct query_param *params; /* its own; every report takes format and pages */
    const struct column *columns;
    size_t n_columns;
    bool drawn;
};

/* clang-format off */
#define SAME(name) {name, name}
#define ACCOUNT SAME("account_id"), SAME("account_number"), SAME("name")

static const struct query_param pareto_params[] = {
    QUERY_ONE_OF("metric", "profit", "revenue"), QUERY_ONE_OF("period", "ttm", "all"), {.name = "as_of", .type = QUERY_DATE}, {.name = NULL}};
static const struct column pareto_columns[] = {
    SAME("rank"), ACCOUNT, SAME("key_status"), SAME("amount"), SAME("share"), SAME("cumulative_share")};

static const struct column capacity_columns[] = {
    SAME("user_id"), SAME("name"), SAME("accounts"), SAME("key_accounts"), SAME("capacity"), SAME("capacity_left"), SAME("promised_visits"), SAME("promised_visits_key"),
    SAME("visit_days"), SAME("visit_days_left"), SAME("load"), SAME("over_capacity"), SAME("over_visit_days")};

static const struct query_param gap_params[] = {{.name = "as_of", .type = QUERY_DATE}, QUERY_ONE_OF("key_only", "true", "false"), {.name = NULL}};
static const struct column gap_columns[] = {
    ACCOUNT, SAME("key_status"), SAME("manager_id"), SAME("purchases"), SAME("rank_purchases"), SAME("touches"), SAME("last_interaction_at"), SAME("attention"),
    SAME("wanted_per_year"), SAME("adjusted_attention"), SAME("rank_attention"), SAME("gap"), SAME("kind"), SAME("held"), SAME("do_not_contact_until")};

static const struct query_param cadence_params[] = {
    {.name = "as_of", .type = QUERY_DATE}, QUERY_ONE_OF("key_only", "true", "false"), {.name = "account_id", .type = QUERY_ID}, {.name = NULL}};
static const struct column cadence_columns[] = {
    ACCOUNT, SAME("key_status"), SAME("manager_id"), SAME("channel"), SAME("every"), SAME("promised_per_year"), SAME("wanted_per_year"), SAME("channel_wanted"), SAME("actual"),
    SAME("last_at"), SAME("due_on"), SAME("days_late"), SAME("owed"), SAME("adherence")};

static const struct column compliance_columns[] = {
    ACCOUNT, SAME("key_status"), SAME("manager_id"), SAME("sponsor_id"), SAME("compliant"), SAME("missing"), SAME("plan_id"), SAME("plan_until"), SAME("last_review_at"),
    SAME("next_review_on"), SAME("fit_checked_on"), SAME("fit_verdict")};

static const struct column candidates_columns[] = {
    SAME("rank"), ACCOUNT, SAME("manager_id"), SAME("score"), SAME("score_rank"), SAME("missing"), SAME("waiting_since"), SAME("blocked_by"),
    SAME("open_nominations")};

static const struct column late_access_columns[] = {
    SAME("account_id"), SAME("user_id"), SAME("areas"), SAME("needed_by"), SAME("opened_at"), SAME("days_late"), SAME("needed_for")};

static const struct query_param rollup_params[] = {QUERY_ONE_OF("group_by", "region", "manager", "parent"), {.name = "as_of", .type = QUERY_DATE}, {.name = NULL}};
static const struct column rollup_columns[] = {
    SAME("id"), SAME("name"), SAME("accounts"), SAME("key_accounts"), SAME("candidates"), {"tier_a", "tiers,A"}, {"tier_b", "tiers,B"}, {"tier_c", "tiers,C"},
    SAME("revenue_ttm"), SAME("margin_ttm"), {"missing_revenue", "missing,revenue"}, {"missing_margin", "missing,margin"}, SAME("average_score"), SAME("average_health"), SAME("share")};

static const struct query_param none[] = {{.name = NULL}};

#define COLUMNS(table) table, COUNT_OF(table)
static const struct report reports[] = {
    {"pareto", "report_pareto", pareto_params, COLUMNS(pareto_columns), true},
    {"capacity", "report_capacity", none, COLUMNS(capacity_columns), false},
    {"attention-gap", "report_attention_gap", gap_params, COLUMNS(gap_columns), false},
    {"cadence", "report_cadence", cadence_params, COLUMNS(cadence_columns), false},
    {"compliance", "report_compliance", none, COLUMNS(compliance_columns), false},
    {"candidates", "report_candidates", none, COLUMNS(candidates_columns), false},
    {"late-access", "report_late_access", none, COLUMNS(late_access_columns), false},
    {"rollup", "report_rollup", rollup_params, COLUMNS(rollup_columns), false},
};
/* clang-format on */

const struct report *report_by_name(struct str name) {
    for (size_t i = 0; i < COUNT_OF(reports); i++)
        if (str_is(name, reports[i].name))
            return &reports[i];
    return NULL;
}

const char *report_function(const struct report *report) { return report->function; }

const struct query_param *report_params(const struct report *report) { return report->params; }

/* ---- parameters ---- */

#define PARAMS_MAX 4

struct asked {
    const struct report *report;
    struct str values[PARAMS_MAX]; /* absent: not given */
    struct str size_text, cursor;
    size_t size;
    enum format format;
    struct str doc;     /* for the function: {name: text, ...} */
    const char *source; /* the SQL expression of the report; NULL: no memory for it */
    struct str value;   /* its $1 */
};

static bool refuse(struct err *err, const char *name, const char *why) {
    return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER(name), "invalid_value", "%s", why);
}

const char *const report_formats[] = {"json", "csv", NULL};
const char *const report_formats_drawn[] = {"json", "csv", "svg", NULL}; /* by enum format */
static const struct query_param drawn = {
    .name = "format", .type = QUERY_CHOICE, .choices = report_formats_drawn};
static const struct query_param plain = {
    .name = "format", .type = QUERY_CHOICE, .choices = report_formats};

static bool take_format(struct action *action, struct asked *asked, struct str value,
                        struct err *err) {
    if (!query_check_value(asked->report->drawn ? &drawn : &plain, action->arena, &value, err))
        return false;
    while (!str_is(value, report_formats_drawn[asked->format]))
        asked->format++;
    return true;
}

static bool take_size(struct asked *asked, struct str value, struct err *err) {
    int64_t size;
    if (!str_to_i64(value, &size) || size <= 0)
        return refuse(err, "page_size", "must be a number from 1 to 1000");
    asked->size_text = value;
    asked->size = size > ROWS_MAX ? ROWS_MAX : (size_t)size;
    return true;
}

static void take(struct action *action, struct asked *asked, const struct param *param,
                 struct err *err) {
    const struct report *report = asked->report;
    for (size_t i = 0; report->params[i].name; i++)
        if (str_is(param->name, report->params[i].name)) {
            asked->values[i] = param->value;
            query_check_value(&report->params[i], action->arena, &asked->values[i], err);
            return;
        }
    if (str_is(param->name, "format"))
        take_format(action, asked, param->value, err);
    else if (str_is(param->name, "page_size"))
        take_size(asked, param->value, err);
    else if (str_is(param->name, "cursor"))
        asked->cursor = param->value;
    else
        unknown_parameter(action->arena, param->name, err);
}

static void add_member(struct buf *doc, const char *name, struct str value) {
    buf_format(doc, "%c\"%s\":", doc->len == 0 ? '{' : ',', name);
    buf_json(doc, value);
}

/* Where the page begins, and the cursor of the one after it, which is made before anybody knows
 * whether there will be one. */
static bool add_page(struct action *action, struct asked *asked, struct str list, struct buf *doc,
                     struct err *err) {
    struct cursor cursor = {.list = list, .values = {STR("0")}, .n = 1};
    char text[512];
    int64_t from = 0;
    if (asked->cursor.ptr && !cursor_read(action, asked->cursor, &cursor, err))
        return false;
    add_member(doc, "after", cursor.values[0]);
    str_to_i64(cursor.values[0], &from);
    cursor.values[0] =
        str_of(arena_format(action->arena, "%lld", (long long)from + (long long)asked->size));
    if (!cursor.values[0].ptr || !cursor_make(action, &cursor, text, sizeof text))
        return err_memory(err);
    add_member(doc, "size", str_of(arena_format(action->arena, "%zu", asked->size)));
    add_member(doc, "next_cursor", str_of(text));
    return true;
}

static bool make_doc(struct action *action, struct asked *asked, struct err *err) {
    struct buf doc;
    buf_init(&doc, 4096);
    for (size_t i = 0; asked->report->params[i].name; i++)
        if (asked->values[i].ptr)
            add_member(&doc, asked->report->params[i].name, asked->values[i]);
    struct str list = str_of(arena_format(action->arena, "report|%s|%.*s", asked->report->name,
                                          STR_ARG(doc.len > 0 ? buf_str(&doc) : STR(""))));
    bool fine = list.ptr || err_memory(err);
    if (asked->format == FORMAT_SVG)
        add_member(&doc, "points", STR(POINTS));
    else
        fine = fine && add_page(action, asked, list, &doc, err);
    buf_char(&doc, '}');
    asked->doc = buf_ok(&doc) ? arena_str(action->arena, buf_str(&doc)) : STR_ABSENT;
    buf_release(&doc);
    return fine && (asked->doc.ptr || err_memory(err));
}

static bool read_params(struct action *action, struct asked *asked, struct err *err) {
    for (size_t i = 0; i < action->n_params; i++)
        take(action, asked, &action->params[i], err);
    if (asked->format == FORMAT_SVG && asked->size_text.ptr)
        refuse(err, "page_size", "A picture has no pages.");
    if (asked->format == FORMAT_SVG && asked->cursor.ptr)
        refuse(err, "cursor", "A picture has no pages.");
    return !err_is_set(err) && make_doc(action, asked, err);
}

/* ---- CSV ---- */

/* The columns that each form of a report has; those of a form follow. */
enum { REPORT_THERE, REPORT_NEXT, REPORT_HAS_ROW, REPORT_COLUMNS };

static const char *csv_sql(struct action *action, const struct report *report, const char *source) {
    struct buf sql;
    buf_init(&sql, 16384);
    buf_format(&sql,
               "with r as materialized (select %s as r) select r.r is not null, r.r #>> "
               "'{page,next_cursor}', t.d is not null",
               source);
    for (size_t i = 0; i < report->n_columns; i++)
        buf_format(&sql,
                   ", case jsonb_typeof(t.d #> '{%s}') when 'array' then (select string_agg(x, ' ')"
                   " from jsonb_array_elements_text(t.d #> '{%s}') x) else t.d #>> '{%s}' end",
                   report->columns[i].path, report->columns[i].path, report->columns[i].path);
    buf_text(&sql, " from r left join lateral jsonb_array_elements(r.r -> 'data') with ordinality "
                   "t(d, n) on true order by t.n");
    struct str text =
        buf_ok(&sql) ? arena_str(action->arena, buf_str(&sql)) : STR_ABSENT; /* ends with NUL */
    buf_release(&sql);
    return text.ptr;
}

static void write_csv(const struct report *report, struct tx *tx, size_t slot,
                      struct outcome *outcome) {
    struct buf *body = &outcome->body;
    for (size_t c = 0; c < report->n_columns; c++)
        buf_format(body, "%s%s", c > 0 ? "," : "", report->columns[c].name);
    buf_text(body, "\r\n");
    for (size_t i = 0; i < tx_rows(tx, slot) && tx_bool(tx, slot, i, REPORT_HAS_ROW); i++) {
        for (size_t c = 0; c < report->n_columns; c++) {
            struct str value = tx_value(tx, slot, i, REPORT_COLUMNS + c);
            if (c > 0)
                buf_char(body, ',');
            if (value.ptr)
                csv_cell(value, body);
        }
        buf_text(body, "\r\n");
    }
    outcome->content_type = "text/csv; charset=utf-8";
}

/* ---- SVG ---- */

enum {
    SVG_RANK = REPORT_COLUMNS,
    SVG_SHARE,
    SVG_METRIC,
    SVG_PERIOD,
    SVG_AS_OF,
    SVG_CURRENCY,
    SVG_TOTAL,
    SVG_ACCOUNTS,
    SVG_CUT_OFF,
    SVG_CUT_OFF_SHARE,
    SVG_KEYS,
    SVG_COVERED
};

static const char *svg_sql(struct action *action, const char *source) {
    return arena_format(
        action->arena,
        "with r as materialized (select %s as r) select true, null, t.d is not null and r.r -> "
        "'covered_by_key_list' <> 'null', t.d ->> 'rank', t.d ->> 'cumulative_share', r.r ->> "
        "'metric', r.r ->> 'period', r.r ->> 'as_of', r.r ->> 'reporting_currency', "
        "to_char(round((r.r ->> 'total')::numeric, 2), 'FM999,999,999,999,999,990.00'), r.r ->> "
        "'accounts', r.r ->> 'suggested_cut_off', r.r ->> 'suggested_cut_off_share', r.r ->> "
        "'key_accounts', r.r ->> 'covered_by_key_list' from r left join lateral "
        "jsonb_array_elements(r.r -> 'data') with ordinality t(d, n) on true order by t.n",
        source);
}

static double number_at(struct tx *tx, size_t slot, size_t row, size_t column) {
    struct str text = tx_value(tx, slot, row, column);
    return text.ptr ? strtod(text.ptr, NULL) : 0;
}

static bool write_svg(struct action *action, struct tx *tx, size_t slot, struct outcome *outcome,
                      struct err *err) {
    size_t n = tx_bool(tx, slot, 0, REPORT_HAS_ROW) ? tx_rows(tx, slot) : 0;
    struct pareto_point *points = arena_array(action->arena, n + 1, sizeof *points);
    if (!points)
        return err_memory(err);
    for (size_t i = 0; i < n; i++)
        points[i] = (struct pareto_point){number_at(tx, slot, i, SVG_RANK),
                                          number_at(tx, slot, i, SVG_SHARE)};
    struct pareto pareto = {
        .metric = tx_value(tx, slot, 0, SVG_METRIC),
        .period = tx_value(tx, slot, 0, SVG_PERIOD),
        .as_of = tx_value(tx, slot, 0, SVG_AS_OF),
        .currency = tx_value(tx, slot, 0, SVG_CURRENCY),
        .total = tx_value(tx, slot, 0, SVG_TOTAL),
        .accounts = number_at(tx, slot, 0, SVG_ACCOUNTS),
        .cut_off = number_at(tx, slot, 0, SVG_CUT_OFF),
        .cut_off_share = number_at(tx, slot, 0, SVG_CUT_OFF_SHARE),
        .keys = number_at(tx, slot, 0, SVG_KEYS),
        .covered = number_at(tx, slot, 0, SVG_COVERED),
        .points = points,
        .n_points = n,
    };
    pareto_svg(&pareto, &outcome->body);
    outcome->content_type = "image/svg+xml";
    return true;
}

/* ---- the answer ---- */

static const char *report_sql(struct action *action, const struct asked *asked) {
    switch (asked->format) {
    case FORMAT_JSON:
        return arena_format(action->arena,
                            "select r is not null, r #>> '{page,next_cursor}', true, r from "
                            "(select %s as r) d",
                            asked->source);
    case FORMAT_CSV:
        return csv_sql(action, asked->report, asked->source);
    case FORMAT_SVG:
        return svg_sql(action, asked->source);
    }
    return NULL;
}

static bool show(struct action *action, const struct asked *asked, struct outcome *outcome,
                 struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    const char *sql = asked->source ? report_sql(action, asked) : NULL;
    if (!sql)
        return err_memory(err);
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, sql, &asked->value, 1);
    if (!tx_flush(tx, err))
        return false;
    if (!tx_bool(tx, slot, 0, REPORT_THERE))
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such account.");
    if (tx_value(tx, slot, 0, REPORT_NEXT).ptr)
        snprintf(outcome->next, sizeof outcome->next, "%.*s",
                 STR_ARG(tx_value(tx, slot, 0, REPORT_NEXT)));
    switch (asked->format) {
    case FORMAT_JSON:
        buf_put(&outcome->body, tx_value(tx, slot, 0, REPORT_COLUMNS));
        return true;
    case FORMAT_CSV:
        write_csv(asked->report, tx, slot, outcome);
        return true;
    case FORMAT_SVG:
        return write_svg(action, tx, slot, outcome, err);
    }
    return true;
}

/* ---- more accounts than a request has time for ---- */

/* The cursor is sealed anew each time, and says nothing that `after` does not. */
#define SAME_OPERATION                                                                             \
    "is_callers(o.actor, o.reach) and o.kind = 'report' and o.status not in ('failed', "           \
    "'cancelled') and o.created_at > now() - "                                                     \
    "interval '10 minutes' and o.request #- '{params,next_cursor}' = "                             \
    "jsonb_build_object('report', "                                                                \
    "$1::text, 'params', $2::jsonb - 'next_cursor')"

struct size_up {
    bool large;
    struct str operation; /* of the same report, by the same asker, not older than ten minutes */
    bool done;
};

/* Those who do not see all accounts see the few that they are responsible for. */
static bool size_up(struct action *action, const struct asked *asked, struct size_up *ret,
                    struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str values[] = {
        str_of(asked->report->name), asked->doc,
        str_of(arena_format(action->arena, "%d", action->app->config->report_accounts))};
    if (!role_sees_all(action->who->role))
        return true;
    if (!read_begin(action, &tx, err))
        return false;
    enum { TOO_MANY, OPERATION, DONE };
    size_t slot = tx_query(
        tx,
        "with few as (select count(*) as n from (select from account where deleted_at is null "
        "limit $3::int + 1) a) select few.n > $3::int, o.id, o.status = 'succeeded' from few left "
        "join (select o.id, o.status from operation o where " SAME_OPERATION
        " order by o.created_at desc limit 1) o on true",
        values, 3);
    if (!tx_flush(tx, err))
        return false;
    struct str id = tx_value(tx, slot, 0, OPERATION);
    ret->large = tx_bool(tx, slot, 0, TOO_MANY) || id.ptr;
    ret->operation = id.ptr ? arena_str(action->arena, id) : STR_ABSENT;
    ret->done = tx_bool(tx, slot, 0, DONE);
    return true;
}

static bool queue_report(struct action *action, const struct asked *asked, struct str *ret_id,
                         struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct tx_context context = action_context(action);
    struct uuid id = uuid_v7(action->app->clock, action->app->randomness);
    char *text = arena_alloc(action->arena, UUID_TEXT);
    if (!text)
        return err_memory(err);
    uuid_text(&id, text);
    *ret_id = str_of(text);
    struct str values[] = {str_of(asked->report->name), asked->doc, *ret_id,
                           str_of(action->who->actor)};
    if (!(tx = tx_begin(action->app->store, TX_WRITE, &context, action->when, err)))
        return false;
    tx_query(tx,
             "insert into operation (id, kind, request, actor) values ($3::uuid, 'report', "
             "jsonb_build_object('report', $1::text, 'params', $2::jsonb), $4)",
             values, 4);
    return tx_commit(tx, err);
}

bool report_get(struct action *action, const struct report *report, struct outcome *outcome,
                struct err *err) {
    struct asked asked = {.report = report, .size = ROWS_MAX};
    struct size_up found = {.operation = STR_ABSENT};
    if (!read_params(action, &asked, err) || !size_up(action, &asked, &found, err))
        return false;
    if (!found.large) {
        asked.source = arena_format(action->arena, "%s($1::jsonb)", report->function);
        asked.value = asked.doc;
        if (show(action, &asked, outcome, err))
            return true;
        if (err->problem != PROBLEM_OVERLOADED || !role_sees_all(action->who->role))
            return false;
        err_release(err); /* it takes longer than a request may: a worker has the time */
    }
    if (found.done) {
        asked.source = "(select result from operation where id = $1::uuid)";
        asked.value = found.operation;
        return show(action, &asked, outcome, err);
    }
    if (!found.operation.ptr && !queue_report(action, &asked, &found.operation, err))
        return false;
    outcome->status = 202;
    snprintf(outcome->location, sizeof outcome->location, "/v1/operations/%.*s",
             STR_ARG(found.operation));
    return operation_show(action, found.operation, outcome, err);
}
