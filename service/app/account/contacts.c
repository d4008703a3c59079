/* A contact that changes its account: who may move it, and where to. What moves, and what ends, is
 * contact_move() in records.sql. */
#include "app/contacts.h"

#include "base/write_once.h"
#include "domain/decode.h"
#include "record/area_guard.h"
#include "record/references.h"
#include "record/view.h"
#include "store/array.h"
#include "store/record.h"

/* clang-format off */
static const struct field move_fields[] = {
    {.name = "account_id", .type = FIELD_ID, .flags = F_REQUIRED, .ref = "account"},
};
/* clang-format on */
static const struct shape move_shape = {move_fields, COUNT_OF(move_fields)};

/* The contact, locked, where the caller may take it away. */
static bool may_leave(struct action *action, struct tx *tx, const struct record_key *contact,
                      struct err *err) {
    struct str ids = pg_array_param(action->arena, &contact->id, 1);
    if (!ids.ptr)
        return err_memory(err);
    size_t slot = tx_query(tx, sql_for(action, RES_CONTACT)->lock, &ids, 1);
    if (!tx_flush(tx, err))
        return false;
    struct rows rows = rows_of(action, contact->resource, tx, slot);
    if (!rows.list)
        return err_memory(err);
    if (rows.n == 0 || row_deleted(rows.list))
        return not_found(contact, err);
    return row_if_match(action, rows.list, err) && row_writable(action, rows.list, err);
}

/* The account, which the caller sees, where the caller may add a contact. */
static bool may_join(struct action *action, struct tx *tx, struct str account_id, struct err *err) {
    area_set areas = AREAS_ALL;
    return (role_sees_all(action->who->role) ||
            account_areas(action, tx, account_id, &areas, err)) &&
           area_writable(action, areas, AREA_CONTACTS, err);
}

static bool move_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    const struct record_key contact = {.resource = resource_of(RES_CONTACT),
                                       .id = action_arg(action, "id")};
    const struct referrer referrer = {.shape = &move_shape, .doc = arg};
    struct str values[] = {contact.id, jv_text(jv_get(referrer.doc, "account_id"))};
    if (!may_leave(action, tx, &contact, err) || !references_known(action, tx, &referrer, err) ||
        !may_join(action, tx, values[1], err))
        return false;
    tx_query(tx, "select contact_move($1::uuid, $2::uuid)", values, 2);
    return view_answer(action, tx, &contact, outcome, err);
}

bool contact_move(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(jv_unref) jv *clean = NULL;
    return decode_shape(&move_shape, action->doc, "", &clean, err) &&
           write_once(action, move_work, clean, outcome, err);
}
