/* SQL texts of the resources, made from the descriptors once at start. Columns come in the order of
 * the descriptor's fields; three further columns hold the derived values' version ("0" where a
 * resource has none), deleted_at, and the areas of the account that the caller reads (-1 where the
 * role alone decides). */
#ifndef KAMD_STORE_RECORD_H
#define KAMD_STORE_RECORD_H

#include "core/err.h"
#include "domain/resource.h"

/* "t.id = " + this. Not `any ($1::uuid[])`: with a known array of one PostgreSQL finds its custom
 * plan cheaper than the general one, each time, and so plans each time, which takes seven times as
 * long as to execute (0.7 ms of 0.8, account by id). It looks into no subselect. */
#define ANY_OF_IDS "any (array(select unnest($1::uuid[])))"
/* The same for those of them that the caller sees: a format, of the table, and whether deleted ones
 * count. */
#define ANY_VISIBLE "any (array(select v.id from visible_%s($1::uuid[], %s) v))"

struct record_sql {
    const char *columns; /* "t.id, ..., s.version, t.deleted_at" */
    const char *from;    /* "account t join account_status s on ..." */
    const char *get;     /* $1 uuid[]: live ones, in no order */
    const char *get_any; /* $1 uuid[]: deleted ones, too */
    const char *lock;    /* $1 uuid[]: deleted ones, too, in id order, locked for update */
    const char *insert;  /* $1 jsonb array of canonical documents with their id */
    const char *update;  /* $1 the same; counts the version */
    const char *del;     /* $1 uuid[] */
    const char *restore; /* $1 uuid[] */
};

/* Before threads start. */
bool record_sql_init(struct err *err);
/* `by_access_set`: for callers who see only the accounts that their access sets name. */
const struct record_sql *record_sql(enum resource_id id, bool by_access_set);

#endif
