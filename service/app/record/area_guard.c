/* Finds out which information areas of one account the caller reads and writes, and refuses a
 * request whose area is not among them. */
#include "record/area_guard.h"

#include "app/area_guard.h"
#include "record/view.h"

static bool record_areas(struct action *action, struct tx *tx, const struct record_key *key,
                         area_set *ret, struct err *err) {
    const char *sql =
        arena_format(action->arena, "select areas from visible_%s(array[$1::uuid], false)",
                     key->resource->table);
    if (!sql)
        return err_memory(err);
    size_t slot = tx_query(tx, sql, &key->id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return not_found(key, err);
    *ret = (area_set)tx_int(tx, slot, 0, 0) & role_reads(action->who->role);
    return true;
}

bool account_areas(struct action *action, struct tx *tx, struct str account_id, area_set *ret,
                   struct err *err) {
    struct record_key key = {.resource = resource_of(RES_ACCOUNT), .id = account_id};
    return record_areas(action, tx, &key, ret, err);
}

static bool refuse(area_set missing, bool write, struct err *err) {
    struct buf names;
    buf_init(&names, 1024);
    for (enum area area = 0; area < AREA_COUNT; area++)
        if ((missing & AREA_BIT(area)) != 0)
            buf_format(&names, "%s%s", names.len > 0 ? ", " : "", area_name(area));
    err_set(err, PROBLEM_FORBIDDEN, "You may not %s this of an account: %.*s.",
            write ? "change" : "read", STR_ARG(buf_str(&names)));
    buf_release(&names);
    return false;
}

bool path_guard(struct action *action, const struct record_key *key, area_set areas, bool write,
                struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    enum role role = action->who->role;
    area_set mine = write ? role_writes(role) : role_reads(role), seen = AREAS_ALL;
    /* Who sees all accounts is told of the record by what the route does. */
    if (!role_sees_all(role) &&
        (!read_begin(action, &tx, err) || !record_areas(action, tx, key, &seen, err)))
        return false;
    area_set missing = areas & ~(mine & seen);
    return missing == 0 || refuse(missing, write, err);
}
