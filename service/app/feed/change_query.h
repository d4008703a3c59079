/* The change feed's insides, which its long polls share. Private to the app layer. */
#ifndef KAMD_APP_FEED_CHANGE_QUERY_H
#define KAMD_APP_FEED_CHANGE_QUERY_H

#include "app/changes.h"
#include "base/transaction.h"

#define CHANGE_PAGE_MAX ((size_t)16 << 20)

struct change_query {
    int64_t after;
    struct str types;   /* names of resources, as text[]; absent: all */
    struct str origins; /* of others than these, as text[]; absent: all */
    struct str account_id;
    size_t page_size;
    /* The walk through all there is, before the changes; absent: it is over. */
    struct str seen; /* as of this pg_snapshot, which `after` belongs to */
    struct str at;   /* the resource that it is at */
    struct str last; /* and the record that came last */
};

struct change_asked {
    struct str after, since;
    int64_t wait; /* seconds */
};

/* From the parameters of the query. */
bool change_query_read(struct action *action, struct change_query *query,
                       struct change_asked *asked, struct err *err);
/* Is a plain word in a text[]? Absent holds all, or (absent = false) none. */
bool change_listed(struct str array, struct str item, bool absent);
/* As JSON: where to go on; of a walk, behind this record. */
void change_cursor(struct action *action, const struct change_query *query, struct buf *ret);
/* A copy that lives by itself; NULL: no memory. One call of free() releases it. */
struct change_query *change_query_copy(const struct change_query *query);
/* Is an event, as event_page() has it, one that this asks for? Who may see it is asked elsewhere.
 */
bool change_wanted(const struct change_query *query, struct tx *tx, size_t slot, size_t row);
/* One page, in a transaction of its own. *ret_n counts its changes; *query moves on. */
bool change_page(struct action *action, struct change_query *query, struct buf *ret, size_t *ret_n,
                 struct err *err);

#endif
