/* Creates or changes the user who has a given `sub` at the identity provider (PUT). When another
 * caller creates the same user meanwhile, the request is tried once more, as a change. */
#include "app/users.h"

#include "base/transaction.h"
#include "record/one.h"

/* *ret: the id of the user with this `sub`; absent when there is none. */
static bool find(struct action *action, struct str subject, struct str *ret, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, "select id from app_user where subject = $1 and deleted_at is null",
                           &subject, 1);
    if (!tx_flush(tx, err))
        return false;
    *ret = tx_rows(tx, slot) > 0 ? arena_str(action->arena, tx_value(tx, slot, 0, 0)) : STR_ABSENT;
    return true;
}

static bool put_once(struct action *action, struct str subject, const jv *doc,
                     struct outcome *outcome, struct err *err) {
    struct record_key key = {.resource = resource_of(RES_USER)};
    if (!find(action, subject, &key.id, err))
        return false;
    return key.id.ptr ? one_change(action, &key, doc, outcome, err)
                      : one_create(action, &key, doc, outcome, err);
}

/* Another one may have made the same user in between: then it is there to be changed. */
bool user_put(struct action *action, struct outcome *outcome, struct err *err) {
    struct str subject = action_arg(action, "subject");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *whole = jv_copy(doc);
    const jv *given = jv_get(doc, "subject");
    if (given && !str_eq(jv_text(given), subject))
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/subject"), "not_the_paths",
                       "must be the path's, or be left out");
    if (jv_kind(doc) == JV_OBJECT && !jv_set(whole, "subject", jv_new_text(subject)))
        return err_memory(err);
    if (!action->if_match.ptr)
        action->if_match = STR("*"); /* as a sync does: the path names the record, not a version */
    if (put_once(action, subject, whole, outcome, err))
        return true;
    if (err->problem != PROBLEM_ALREADY_EXISTS)
        return false;
    err_release(err);
    *err = ERR_INIT;
    return put_once(action, subject, whole, outcome, err);
}
