/* Shows how one account can grow: the opportunities in its plans, its economics (whether
 * investments pay back), and its whitespace (which products could still be sold). SQL functions
 * make the documents; this file checks the parameters and writes the whitespace as CSV on
 * request. */
#include "app/growth.h"

#include "app/query.h"
#include "base/csv.h"
#include "base/json.h"
#include "record/view.h"

/* The document that a function of the database makes; absent: no such account, or none that the
 * caller sees. */
static bool answer(struct action *action, struct str account_id, struct str doc,
                   struct outcome *outcome, struct err *err) {
    struct record_key key = {.resource = resource_of(RES_ACCOUNT)};
    if (!doc.ptr)
        return not_found(&key, err);
    view_object(action, account_id, 0, doc, outcome);
    return true;
}

/* ---- opportunities ---- */

bool account_opportunities(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str values[] = {account_id, action_query_list(action, "plan_status", err)};
    if (err_is_set(err) || !read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, "select account_opportunities($1::uuid, $2::text[])", values, 2);
    return tx_flush(tx, err) && answer(action, account_id, tx_value(tx, slot, 0, 0), outcome, err);
}

/* ---- economics ---- */

bool account_economics(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str values[] = {account_id, action_query(action, "as_of")};
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx,
                           "select d.future, case when not d.future then account_economics("
                           "$1::uuid, d.as_of) end from (select coalesce($2::date, current_date) "
                           "as as_of, coalesce($2::date > current_date, false) as future) d",
                           values, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_bool(tx, slot, 0, 0))
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("as_of"), "invalid_value",
                       "must not be in the future");
    return answer(action, account_id, tx_value(tx, slot, 0, 1), outcome, err);
}

/* ---- whitespace ---- */

#define CSV_HEADER                                                                                 \
    "product,account_id,account_number,name,relation,state,amount,last_on,opportunity_kinds,"      \
    "opportunity_value,stages\r\n"
#define CSV_COLUMNS 11
#define CSV_SQL                                                                                    \
    "select d.doc is not null, c.* from (select account_whitespace($1::uuid) as doc offset 0) d "  \
    "left join lateral whitespace_cells(d.doc) c on true"

static bool whitespace_csv(struct action *action, struct tx *tx, size_t slot,
                           struct outcome *outcome, struct err *err) {
    struct record_key key = {.resource = resource_of(RES_ACCOUNT)};
    struct buf *body = &outcome->body;
    if (!tx_bool(tx, slot, 0, 0))
        return not_found(&key, err);
    buf_text(body, CSV_HEADER);
    for (size_t i = 0; i < tx_rows(tx, slot) && tx_value(tx, slot, i, 1).ptr; i++)
        for (size_t c = 1; c <= CSV_COLUMNS; c++) {
            struct str value = tx_value(tx, slot, i, c);
            if (value.ptr)
                csv_cell(value, body);
            buf_text(body, c < CSV_COLUMNS ? "," : "\r\n");
        }
    outcome->content_type = "text/csv; charset=utf-8";
    etag_make(action_arg(action, "id"), 0, buf_str(body), outcome->etag);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    return true;
}

bool account_whitespace(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    bool csv = str_is(action_query(action, "format"), "csv");
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot =
        tx_query(tx, csv ? CSV_SQL : "select account_whitespace($1::uuid)", &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    return csv ? whitespace_csv(action, tx, slot, outcome, err)
               : answer(action, account_id, tx_value(tx, slot, 0, 0), outcome, err);
}
