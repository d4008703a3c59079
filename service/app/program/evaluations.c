/* Starts the evaluation of all accounts as an operation, and lists what came of it, account by
 * account. */
#include "app/program.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/operation.h"
#include "base/write_once.h"
#include "domain/decode.h"
#include "record/view.h"

static bool evaluation_work(struct action *action, struct tx *tx, void *arg,
                            struct outcome *outcome, struct err *err) {
    struct str as_of = *(const struct str *)arg;
    const char *request =
        as_of.ptr ? arena_format(action->arena, "{\"as_of\": \"%.*s\"}", STR_ARG(as_of)) : "{}";
    return request
               ? operation_queue(action, tx,
                                 &(const struct operation_request){"evaluation", str_of(request)},
                                 outcome, err)
               : err_memory(err);
}

bool evaluation_start(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    static const struct field as_of_field[] = {{.name = "as_of", .type = FIELD_DATE}};
    static const struct shape shape = {as_of_field, 1};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    struct str as_of = jv_text(jv_get(clean, "as_of"));
    return write_once(action, evaluation_work, &as_of, outcome, err);
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
    write_row(tx, slot, row, &SHAPE_OF(fields), ret);
}

bool evaluation_results(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str list = str_of(arena_format(action->arena, "evaluation|%.*s", STR_ARG(id)));
    struct page page = {.list = list, .key_columns = {0, 1}, .n_keys = 2, .write = write_result};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {id, page.keys[0], page.keys[1], page_limit(action, &page)};
    size_t there =
        tx_query(tx,
                 "select 1 from operation o where o.id = $1::uuid and o.kind = 'evaluation' and "
                 "is_callers(o.actor, o.reach)",
                 values, 1);
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
    page_write(action, &page, tx, slot, outcome);
    return true;
}
