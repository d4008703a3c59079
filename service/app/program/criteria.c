/* Lists, creates and activates versions of the criteria by which accounts are scored; one is
 * active, for the whole company. */
#include "program/criteria.h"

#include "app/program.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/singleton.h"
#include "base/write_once.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "record/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct field metric_fields[] = {
    {.name = "metric", .type = FIELD_TEXT, .flags = F_REQUIRED, .max = 64, .check = check_slug},
    {.name = "weight", .type = FIELD_DECIMAL, .flags = F_REQUIRED | F_MIN},
    {.name = "floor", .type = FIELD_DECIMAL, .flags = F_REQUIRED},
    {.name = "ceiling", .type = FIELD_DECIMAL, .flags = F_REQUIRED},
};
const struct shape metric_shape = {metric_fields, COUNT_OF(metric_fields)};
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
    write_row(tx, slot, row, &SHAPE_OF(fields), ret);
}

#define CRITERIA_SQL                                                                               \
    "select c.version, c.version = p.criteria_version, c.note, c.metrics, c.created_at, "          \
    "c.created_by from criteria c cross join program p"

bool criteria_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page = {
        .list = STR("criteria"), .key_columns = {0}, .n_keys = 1, .write = write_criteria};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {page.keys[0], page_limit(action, &page)};
    size_t slot = tx_query(tx,
                           CRITERIA_SQL " where $1::int is null or c.version < $1::int order by "
                                        "c.version desc limit $2::int",
                           values, 2);
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}

/* Below the worst value there is, that value would count for something: a first complaint would
 * raise a score. */
static bool bound_below(const jv *metric, double worst) {
    struct str floor = jv_text(jv_get(metric, "floor"));
    struct str ceiling = jv_text(jv_get(metric, "ceiling"));
    return floor.ptr && ceiling.ptr &&
           (strtod(floor.ptr, NULL) < worst || strtod(ceiling.ptr, NULL) < worst);
}

void metrics_check(const jv *metrics, const char *at, struct err *err) {
    bool some_weight = false;
    char where[64];
    for (size_t i = 0; i < jv_len(metrics); i++) {
        const jv *one = jv_at(metrics, i);
        struct str weight = jv_text(jv_get(one, "weight"));
        if (str_eq(jv_text(jv_get(one, "floor")), jv_text(jv_get(one, "ceiling")))) {
            snprintf(where, sizeof where, "%s/%zu/ceiling", at, i);
            err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "no_range",
                    "must differ from the floor");
        }
        if (str_is(jv_text(jv_get(one, "metric")), "sentiment") && bound_below(one, -1)) {
            snprintf(where, sizeof where, "%s/%zu/floor", at, i);
            err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "out_of_range",
                    "sentiment goes from -1 to 1; no bound may be below -1");
        }
        for (size_t k = 0; k < i; k++)
            if (str_eq(jv_text(jv_get(one, "metric")),
                       jv_text(jv_get(jv_at(metrics, k), "metric")))) {
                snprintf(where, sizeof where, "%s/%zu/metric", at, i);
                err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "duplicate",
                        "is in the list already");
            }
        some_weight |= strspn(weight.ptr, "0.") < weight.len;
    }
    if (!some_weight)
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(at), "no_weight",
                "at least one weight must be above zero");
}

static bool criteria_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                          struct err *err) {
    const jv *clean = arg;
    struct str params[] = {json_param(action, jv_get(clean, "metrics")),
                           jv_text(jv_get(clean, "note")), str_of(action->who->actor)};
    if (!params[0].ptr)
        return err_memory(err);
    tx_query(tx, "select 1 from program for update", NULL, 0); /* one new version at a time */
    tx_query(tx,
             "insert into criteria (version, metrics, note, created_by) select max(version) + 1, "
             "$1::jsonb, $2, $3 from criteria",
             params, 3);
    size_t slot = tx_query(tx, CRITERIA_SQL " order by c.version desc limit 1", NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    write_criteria(tx, slot, 0, &outcome->body);
    outcome->status = 201;
    snprintf(outcome->location, sizeof outcome->location, "/v1/program/criteria/%.*s",
             STR_ARG(tx_value(tx, slot, 0, 0)));
    return true;
}

bool refuse_regions(const jv *doc, struct err *err) {
    if (!jv_get(doc, "region") && !jv_get(doc, "division"))
        return true;
    return err_set(err, PROBLEM_REGION_CRITERIA,
                   "One set of criteria holds for all regions, so that a key account means the "
                   "same everywhere. A region may nominate accounts.");
}

bool criteria_create(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!refuse_regions(doc, err) || !decode_shape(&criteria_shape, doc, "", &clean, err))
        return false;
    metrics_check(jv_get(clean, "metrics"), "/metrics", err);
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

bool criteria_activate(struct action *action, struct outcome *outcome, struct err *err) {
    struct str version = action_arg(action, "version");
    int64_t number;
    if (!str_to_i64(version, &number) || number < 1 || number > INT32_MAX)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such version of the criteria.");
    return write_once(action, activate_work, &version, outcome, err);
}

bool criteria_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str version = action_arg(action, "version");
    CLEANUP(tx_end) struct tx *tx = NULL;
    int64_t number = 0;
    if (str_to_i64(version, &number) && number > 0 && number <= INT32_MAX) {
        if (!read_begin(action, &tx, err))
            return false;
        size_t slot = tx_query(tx, CRITERIA_SQL " where c.version = $1::int", &version, 1);
        if (!tx_flush(tx, err))
            return false;
        if (tx_rows(tx, slot) > 0) {
            write_criteria(tx, slot, 0, &outcome->body);
            return true;
        }
    }
    return err_set(err, PROBLEM_NOT_FOUND, "There is no such version of the criteria.");
}
