/* Two accounts that are one customer become one; merge_accounts() in 0029_merge.sql. */
#include "app/records.h"
#include "domain/decode.h"
#include "store/record.h"
#include "view.h"

/* clang-format off */
static const char *const taken[] = {
    "name", "account_number", "domain", "industry", "currency_code", "lifecycle", "custom", "level", "division", "manager_id", "sponsor_id",
    "business_model", "revenue_model", "our_contribution", "customer_plans", "contact_preference", "cadence", "sales_cycle", "address",
    "country_code", NULL};
static const struct field merge_fields[] = {
    {.name = "source_id", .type = FIELD_ID, .flags = F_REQUIRED},
    {.name = "take", .type = FIELD_TEXTS, .max = 20, .values = taken, .preset = "[]"},
};
/* clang-format on */

struct merge {
    struct str target;
    struct str source;
    struct str taken;
};

static bool merge_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    const struct merge *merge = arg;
    const struct resource *resource = resource_of(RES_ACCOUNT);
    struct record_key key = {.resource = resource, .id = merge->target};
    struct str values[] = {merge->target, merge->source, merge->taken};
    struct str ids = array_param(action->arena, &merge->target, 1);
    struct view view;
    size_t n = 0;
    if (!ids.ptr)
        return err_memory(err);
    tx_query(tx,
             "select merge_accounts($1::uuid, $2::uuid, array(select "
             "jsonb_array_elements_text($3::jsonb)))",
             values, COUNT_OF(values));
    size_t slot = tx_query(tx, sql_for(action, RES_ACCOUNT)->get, &ids, 1);
    if (!tx_flush(tx, err))
        return false;
    const struct row *rows = rows_of(action, resource, tx, slot, &n);
    if (!rows)
        return err_memory(err);
    if (n == 0)
        return not_found(&key, err);
    view_init(&view);
    view_write(action, resource, &view, rows, NULL, &outcome->body, outcome->etag);
    return true;
}

bool account_merge(struct action *action, struct str id, const jv *doc, struct outcome *outcome,
                   struct err *err) {
    static const struct shape shape = {merge_fields, COUNT_OF(merge_fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    const jv *take = jv_get(clean, "take");
    struct merge merge = {id, jv_text(jv_get(clean, "source_id")),
                          take ? doc_text(action, take) : STR("[]")};
    if (str_eq(merge.target, merge.source)) {
        err_add(err, PROBLEM_VALIDATION, ERR_AT_POINTER, "/source_id", "same_account",
                "must be another account than the one that stays");
        return false;
    }
    return merge.taken.ptr ? write_once(action, merge_work, &merge, outcome, err) : err_memory(err);
}
