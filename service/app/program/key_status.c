/* Explains the key status of an account, or of the customer that it is a unit of, of today or
 * another day, and lists its history. */
#include "program/key_status.h"

#include "app/program.h"
#include "app/query.h"
#include "base/cursor.h"
#include "base/json.h"
#include "domain/decode.h"
#include "record/area_guard.h"
#include "record/view.h"

#include <string.h>

static const struct field columns[] = {
    {.name = "account_id", .type = FIELD_ID},      {.name = "name", .type = FIELD_TEXT},
    {.name = "key_status", .type = FIELD_TEXT},    {.name = "tier", .type = FIELD_TEXT},
    {.name = "score", .type = FIELD_DECIMAL},      {.name = "score_rank", .type = FIELD_INT},
    {.name = "as_of", .type = FIELD_DATE},         {.name = "criteria_version", .type = FIELD_INT},
    {.name = "contributions", .type = FIELD_DOCS}, {.name = "missing", .type = FIELD_TEXTS},
    {.name = "since", .type = FIELD_TIME},         {.name = "key_since", .type = FIELD_TIME},
    {.name = "grace_until", .type = FIELD_TIME},   {.name = "designation", .type = FIELD_MAP},
};

/* Of a unit all is said of its customer. Who does not see the customer is told of its benefits, and
 * not of the reasons and the charter. */
#define CUSTOMER_SQL                                                                               \
    " from account_status u join account t on t.id = u.account_id"                                 \
    " cross join lateral customer_status(u.account_id) s"                                          \
    " left join account c on c.id = s.account_id"
#define SHOWN_DESIGNATION(designation)                                                             \
    "case when c.id is not null then " designation " when " designation " is not null then "       \
    "jsonb_build_object('benefits', " designation " -> 'benefits', 'designated_at', " designation  \
    " -> 'designated_at', 'designated_by', " designation " -> 'designated_by') end"
#define AREAS_SQL "areas_of(u.account_id), areas_of(s.account_id)"

#define STANDING_SQL                                                                               \
    "select s.account_id, s.name, s.key_status, s.tier, s.score, s.score_rank, s.as_of, "          \
    "s.criteria_version, w.contributions,"                                                         \
    " to_jsonb(w.missing), s.status_since, s.key_since, s.grace_until, " SHOWN_DESIGNATION(        \
        "s.designation") ", " AREAS_SQL CUSTOMER_SQL                                               \
                         " left join account_status_why w on w.account_id = s.account_id"          \
                         " where u.account_id = $1::uuid and t.deleted_at is null"

/* Rank and grace are only known of now. */
#define AS_OF_SQL                                                                                  \
    "select s.account_id, s.name, o.key_status, o.tier, r.score, case when $2::date >= "           \
    "current_date then s.score_rank end, $2::date, p.criteria_version, r.contributions, "          \
    "to_jsonb(r.missing), o.since, o.key_since, case when $2::date >= current_date then "          \
    "s.grace_until end, " SHOWN_DESIGNATION(                                                       \
        "o.designation") ", " AREAS_SQL CUSTOMER_SQL " cross join program p"                       \
                         " join criteria k on k.version = p.criteria_version"                      \
                         " cross join lateral account_status_at(s.account_id, $2::date) o"         \
                         " left join lateral score_accounts(array [s.account_id], $2::date, "      \
                         "k.metrics, p.reporting_currency) r on true"                              \
                         " where u.account_id = $1::uuid and t.deleted_at is null"

#define HISTORY_SQL                                                                                \
    "select h.at, h.cause, h.actor, h.from_status, h.to_status, h.from_tier, h.to_tier, "          \
    "h.criteria_version, h.reason, h.designation, h.score, h.score_before, h.score_rank, "         \
    "w.contributions, w.contributions_before, "                                                    \
    "h.id, areas_of(h.account_id)"                                                                 \
    " from key_status_history h left join key_status_why w on w.id = h.id"                         \
    " where h.account_id = (select u.customer_id from account_status u"                            \
    " where u.account_id = $1::uuid)"
#define HISTORY_WHY 5 /* of these are economics */
#define HISTORY_ID 15
#define HISTORY_AREAS 16
#define STANDING_AREAS COUNT_OF(columns)
#define CUSTOMER_AREAS (STANDING_AREAS + 1)

static const struct field history_fields[] = {
    {.name = "at", .type = FIELD_TIME},
    {.name = "cause", .type = FIELD_TEXT},
    {.name = "actor", .type = FIELD_TEXT},
    {.name = "from_status", .type = FIELD_TEXT},
    {.name = "to_status", .type = FIELD_TEXT},
    {.name = "from_tier", .type = FIELD_TEXT},
    {.name = "to_tier", .type = FIELD_TEXT},
    {.name = "criteria_version", .type = FIELD_INT},
    {.name = "reason", .type = FIELD_TEXT},
    {.name = "designation", .type = FIELD_MAP},
    {.name = "score", .type = FIELD_DECIMAL},
    {.name = "score_before", .type = FIELD_DECIMAL},
    {.name = "score_rank", .type = FIELD_INT},
    {.name = "contributions", .type = FIELD_DOCS},
    {.name = "contributions_before", .type = FIELD_DOCS},
};
/* Without the explanation where the caller does not read economics. */
#define HISTORY_SHAPE(why)                                                                         \
    ((const struct shape){history_fields, COUNT_OF(history_fields) - ((why) ? 0 : HISTORY_WHY)})

/* The part of a status that is economics. */
static bool explains(const struct field *field) {
    static const char *const names[] = {"score", "score_rank", "contributions", "missing"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(field->name, names[i]) == 0)
            return true;
    return false;
}

bool status_answer(struct action *action, struct tx *tx, struct str account_id,
                   struct outcome *outcome, struct err *err) {
    struct record_key key = {.resource = resource_of(RES_ACCOUNT)};
    struct str as_of = action_query(action, "as_of"), values[] = {account_id, as_of};
    size_t slot =
        as_of.ptr ? tx_query(tx, AS_OF_SQL, values, 2) : tx_query(tx, STANDING_SQL, values, 1);
    size_t past = tx_query(tx,
                           HISTORY_SQL " and ($2::date is null or h.at < ($2::date + 1)::timestamp "
                                       "at time zone 'UTC') order by h.id desc limit 200",
                           values, 2);
    if (!tx_flush(tx, err))
        return false;
    area_set areas = tx_rows(tx, slot) == 0 ? 0 : (area_set)tx_int(tx, slot, 0, STANDING_AREAS);
    areas &= role_reads(action->who->role);
    if ((areas & AREA_BIT(AREA_PROFILE)) == 0)
        return not_found(&key, err);
    area_set of_customer = (area_set)tx_int(tx, slot, 0, CUSTOMER_AREAS);
    bool why = (of_customer & role_reads(action->who->role) & AREA_BIT(AREA_ECONOMICS)) != 0;
    for (size_t c = 0; c < COUNT_OF(columns); c++) {
        if (!why && explains(&columns[c]))
            continue;
        buf_format(&outcome->body, "%c\"%s\":", c == 0 ? '{' : ',', columns[c].name);
        render_value(&columns[c], tx_value(tx, slot, 0, c), &outcome->body);
    }
    buf_text(&outcome->body, ",\"history\":[");
    write_rows(tx, past, tx_rows(tx, past), &HISTORY_SHAPE(why), &outcome->body);
    buf_text(&outcome->body, why ? "]}" : "],\"redacted\":[\"economics\"]}");
    return true;
}

bool account_key_status(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err) || !status_answer(action, tx, account_id, outcome, err))
        return false;
    etag_make(account_id, 0, buf_str(&outcome->body), outcome->etag);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    return true;
}

bool account_key_history(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    area_set areas;
    struct page page = {
        .list = str_of(arena_format(action->arena, "key history|%.*s", STR_ARG(account_id))),
        .key_columns = {HISTORY_ID},
        .n_keys = 1};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {account_id, page.keys[0], page_limit(action, &page)};
    size_t slot = tx_query(tx,
                           HISTORY_SQL " and ($2::bigint is null or h.id < $2::bigint) order by "
                                       "h.id desc limit $3::int",
                           values, 3);
    if (!account_areas(action, tx, account_id, &areas, err))
        return false;
    if (tx_rows(tx, slot) > 0)
        areas &= (area_set)tx_int(tx, slot, 0, HISTORY_AREAS);
    page.shape = &HISTORY_SHAPE((areas & AREA_BIT(AREA_ECONOMICS)) != 0);
    page_write(action, &page, tx, slot, outcome);
    return true;
}
