/* What a list is asked for, as SQL: shared by lists, page by page, and exports. Private to the app
 * layer. */
#ifndef KAMD_APP_RECORD_LIST_QUERY_H
#define KAMD_APP_RECORD_LIST_QUERY_H

#include "base/cursor.h"
#include "domain/filter.h"
#include "record/view.h"

#define LIST_ORDERS 6
_Static_assert(LIST_ORDERS <= CURSOR_VALUES, "a cursor holds the values of each order");
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
    bool by_access_set;
    struct cursor after; /* the row before */
    bool follows;        /* whether there is one */
    /* The page, once it is read. */
    struct rows rows;
    bool has_more;
    int64_t total; /* < 0: not asked for */
};

void list_init(const struct action *action, const struct record_key *key, size_t page_size,
               struct list *ret);
/* From the action's parameters: filters, filter, order_by, fields, expand, page_size, cursor,
 * include_total. `tx` is needed only where list_uses_custom(). */
bool list_read(struct action *action, struct tx *tx, struct list *list, struct err *err);
bool list_uses_custom(const struct action *action);
/* Reads the page, and what it expands. */
bool list_page(struct action *action, struct tx *tx, struct list *list, struct err *err);
/* What a page after this row comes after, borrowed from it. */
void list_key(const struct list *list, const struct row *row, struct cursor *ret);

#endif
