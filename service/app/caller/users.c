/* Creates or changes the user who has a given `sub` at the identity provider (PUT): when another
 * caller creates the same user meanwhile, the request is tried once more, as a change. Deactivates
 * a user after somebody else has taken over; user_deactivate() in users.sql. */
#include "app/users.h"

#include "base/write_once.h"
#include "domain/decode.h"
#include "record/one.h"
#include "record/references.h"
#include "record/view.h"
#include "store/array.h"
#include "store/record.h"

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

/* ---- leaving ---- */

static const struct field leave_fields[] = {
    {.name = "transfer_to_id", .type = FIELD_ID, .flags = F_REQUIRED, .ref = "user"},
};

struct leave {
    struct record_key key;
    struct referrer referrer; /* with the heir */
};

/* Whether the user is there, as the caller has read it. */
static bool leave_begin(struct action *action, struct tx *tx, const struct leave *leave,
                        struct err *err) {
    struct str ids = pg_array_param(action->arena, &leave->key.id, 1);
    if (!ids.ptr)
        return err_memory(err);
    size_t slot = tx_query(tx, sql_for(action, RES_USER)->lock, &ids, 1);
    if (!tx_flush(tx, err))
        return false;
    struct rows rows = rows_of(action, leave->key.resource, tx, slot);
    if (!rows.list)
        return err_memory(err);
    if (rows.n == 0 || row_deleted(rows.list))
        return not_found(&leave->key, err);
    return row_if_match(action, rows.list, err);
}

static bool leave_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    const struct leave *leave = arg;
    struct str params[] = {leave->key.id, jv_text(jv_get(leave->referrer.doc, "transfer_to_id"))};
    if (!leave_begin(action, tx, leave, err) ||
        !references_known(action, tx, &leave->referrer, err))
        return false;
    tx_query(tx, "select user_deactivate($1::uuid, $2::uuid)", params, COUNT_OF(params));
    return view_answer(action, tx, &leave->key, outcome, err);
}

bool user_deactivate(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&SHAPE_OF(leave_fields), action->doc, "", &clean, err))
        return false;
    struct leave leave = {action_key(action), {.shape = &SHAPE_OF(leave_fields), .doc = clean}};
    if (str_eq(jv_text(jv_get(clean, "transfer_to_id")), leave.key.id))
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/transfer_to_id"), "same_user",
                       "must be somebody else than who leaves");
    return write_once(action, leave_work, &leave, outcome, err);
}
