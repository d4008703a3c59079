/* Nominations: reading and making them is as with every resource; they are closed here. */
#include "app/program.h"
#include "domain/decode.h"
#include "store/record.h"
#include "view.h"

struct closing {
    struct str id;
    const char *status;
    struct str reason;
};

static bool closing_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                         struct err *err) {
    const struct closing *closing = arg;
    const struct resource *resource = resource_of(RES_NOMINATION);
    struct record_key key = {.resource = resource, .id = closing->id};
    struct str values[] = {closing->id, str_of(closing->status), closing->reason};
    struct str ids = array_param(action->arena, &closing->id, 1);
    struct view view;
    size_t n = 0;
    if (!ids.ptr)
        return err_memory(err);
    tx_query(tx, "select nomination_close($1::uuid, $2, $3)", values, 3);
    size_t slot = tx_query(tx, sql_for(action, RES_NOMINATION)->get, &ids, 1);
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

bool nomination_decline(struct action *action, struct str id, const jv *doc,
                        struct outcome *outcome, struct err *err) {
    static const struct field fields[] = {
        {.name = "reason", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000},
    };
    static const struct shape shape = {fields, COUNT_OF(fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    struct closing closing = {id, "declined", jv_text(jv_get(clean, "reason"))};
    return write_once(action, closing_work, &closing, outcome, err);
}

bool nomination_withdraw(struct action *action, struct str id, struct outcome *outcome,
                         struct err *err) {
    struct closing closing = {id, "withdrawn", STR_ABSENT};
    return write_once(action, closing_work, &closing, outcome, err);
}
