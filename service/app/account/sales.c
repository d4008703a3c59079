/* Shows what one account bought, by month and currency: amount, cost, margin and number of orders,
 * for at most 120 months at once. */
#include "app/sales.h"

#include "app/query.h"
#include "base/json.h"
#include "record/view.h"

#define MONTHS_MAX 120

/* $1 account, $2 first month, $3 last month; either absent. The first row says which months these
 * are, and is there if the account is. */
#define RANGE                                                                                      \
    "with asked as (select coalesce(to_date($3, 'YYYY-MM'), date_trunc('month', "                  \
    "coalesce(to_date($2, 'YYYY-MM') + interval '11 months', current_date))::date) as last)"       \
    ", range as (select coalesce(to_date($2, 'YYYY-MM'), (last - interval '11 months')::date) as " \
    "first, last from asked) "

#define RANGE_SQL                                                                                  \
    RANGE "select a.id, to_char(r.first, 'YYYY-MM'), to_char(r.last, 'YYYY-MM'),"                  \
          " extract(year from age(r.last, r.first)) * 12 + extract(month from age(r.last, "        \
          "r.first)) + 1"                                                                          \
          " from range r, account a where a.id = $1::uuid and a.deleted_at is null"
enum { RANGE_ACCOUNT_ID, RANGE_FIRST, RANGE_LAST, RANGE_MONTHS };

/* The cost of a month is unknown when that of one order is (002-17). */
#define SALES_SQL                                                                                  \
    RANGE "select to_char(date_trunc('month', d.day), 'YYYY-MM') as month, d.currency_code, "      \
          "sum(d.amount), case when sum(d.unknown_costs) = 0 then sum(d.cost) end, "               \
          "case when sum(d.unknown_costs) = 0 then sum(d.amount) - sum(d.cost) end, sum(d.orders)" \
          " from range r join day_sales d on d.account_id = $1::uuid and d.day >= r.first"         \
          " and d.day < r.last + interval '1 month'"                                               \
          " group by 1, 2 having sum(d.orders) <> 0 order by 1, 2"

static const struct field month_columns[] = {
    {.name = "month", .type = FIELD_TEXT},  {.name = "currency_code", .type = FIELD_TEXT},
    {.name = "amount", .type = FIELD_TEXT}, {.name = "cost", .type = FIELD_TEXT},
    {.name = "margin", .type = FIELD_TEXT}, {.name = "orders", .type = FIELD_INT},
};

bool account_sales(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct record_key key = {.resource = resource_of(RES_ACCOUNT)};
    struct str values[] = {account_id, action_query(action, "first_month"),
                           action_query(action, "last_month")};
    struct buf *body = &outcome->body;
    if (!read_begin(action, &tx, err))
        return false;
    size_t range = tx_query(tx, RANGE_SQL, values, 3), slot = tx_query(tx, SALES_SQL, values, 3);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, range) == 0)
        return not_found(&key, err);
    int64_t months = tx_int(tx, range, 0, RANGE_MONTHS);
    if (months < 1 || months > MONTHS_MAX)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("last_month"), "out_of_range",
                       "must be the first month or one of the %d after it", MONTHS_MAX - 1);
    buf_text(body, "{\"account_id\":");
    buf_json(body, tx_value(tx, range, 0, RANGE_ACCOUNT_ID));
    buf_text(body, ",\"first_month\":");
    buf_json(body, tx_value(tx, range, 0, RANGE_FIRST));
    buf_text(body, ",\"last_month\":");
    buf_json(body, tx_value(tx, range, 0, RANGE_LAST));
    buf_text(body, ",\"months\":[");
    write_rows(tx, slot, tx_rows(tx, slot), &SHAPE_OF(month_columns), body);
    buf_text(body, "]}");
    etag_make(account_id, 0, buf_str(body), outcome->etag);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    return true;
}
