/* What a list is asked for, as SQL: shared by lists, page by page, and exports. Private to the app
 * layer. */
#ifndef KAMD_APP_RECORD_LIST_QUERY_H
#define KAMD_APP_RECORD_LIST_QUERY_H

#include "base/cursor.h"
#include "domain/filter.h"
#include "record/view.h"

#define LIST_ORDERS 6
#define LIST_PARAMS 400

struct list_sort {
    const struct field *field;
    bool descending;
};

struct list {
    const struct record_key *key;
    struct view view;
    struct list_sort sorts[LIST_ORDERS];
    size_t n_sorts; /* the id is the last */
    size_t n_order; /* of these, up to where the id comes first: nothing is left to order behind */
    struct cond *where;
    size_t page_size;
    struct str cursor;
    bool include_total;
    struct str canonical; /* what the cursor is bound to */
    bool by_access_set;
    struct str after[LIST_ORDERS]; /* the sort values of the row before; of the first page none */
    bool follows;                  /* whether there is one */
};

/* Filters, filter, order_by, fields, expand, page_size, cursor, include_total. `tx` is needed only
 * where list_uses_custom(). */
bool list_uses_custom(const struct resource *resource, const struct param *params, size_t n);
bool list_read(struct action *action, struct list *list, struct tx *tx, const struct param *params,
               size_t n, struct err *err);

struct statement {
    struct buf sql;
    struct buf count;
    struct str params[LIST_PARAMS];
    size_t n_params;
    size_t n_where; /* of these, for the count */
};

/* One row more than the page, so that it is known whether there are more. */
bool list_statement(struct action *action, const struct list *list, struct statement *ret,
                    struct err *err);
void statement_init(struct statement *st);
void statement_release(struct statement *st);
/* The row's sort values, borrowed from it: what the next page comes after. */
void list_key(const struct list *list, const struct row *row, struct str ret[static LIST_ORDERS]);

#endif
