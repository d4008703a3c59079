/* Declines and withdraws nominations. They are made and read as every other resource; a
 * designation accepts them. */
#include "app/program.h"
#include "base/write_once.h"
#include "domain/decode.h"
#include "record/view.h"

struct closing {
    struct str id;
    const char *status;
    struct str reason;
};

static bool closing_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                         struct err *err) {
    const struct closing *closing = arg;
    const struct record_key nomination = {.resource = resource_of(RES_NOMINATION),
                                          .id = closing->id};
    struct str values[] = {closing->id, str_of(closing->status), closing->reason};
    tx_query(tx, "select nomination_close($1::uuid, $2, $3)", values, 3);
    return view_answer(action, tx, &nomination, outcome, err);
}

bool nomination_decline(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
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

bool nomination_withdraw(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    struct closing closing = {id, "withdrawn", STR_ABSENT};
    return write_once(action, closing_work, &closing, outcome, err);
}
