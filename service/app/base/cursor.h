/* Cursors: the sort values of a page's last row, sealed, and bound to the list they were made for.
 * Private to the app layer. */
#ifndef KAMD_APP_BASE_CURSOR_H
#define KAMD_APP_BASE_CURSOR_H

#include "app/app.h"
#include "base/transaction.h"

#define CURSOR_VALUES 8

/* Behind which row of which list the next page begins. */
struct cursor {
    struct str list;                  /* its path, filters, order: a cursor is good for no other */
    struct str values[CURSOR_VALUES]; /* that the row is sorted by */
    size_t n;
};

/* Writes at most `room` bytes; longer sort values give no cursor (false). */
bool cursor_make(struct action *action, const struct cursor *cursor, char *ret, size_t room);
/* The values, of a list and a number that are known. False with PROBLEM_INVALID_CURSOR for anything
 * that cursor_make() did not give for the same list. */
bool cursor_read(struct action *action, struct str text, struct cursor *cursor, struct err *err);

#define PAGE_KEYS 2

/* The page of a list. What list it is and how its rows are shown comes from the use case; what is
 * asked of it from page_read(). */
struct page {
    struct str list;               /* as in struct cursor */
    size_t key_columns[PAGE_KEYS]; /* of its statement: what it is sorted by */
    size_t n_keys;
    const struct shape *shape; /* of a row's first columns; NULL: `write` writes it */
    void (*write)(struct tx *tx, size_t slot, size_t row, struct buf *ret);
    size_t size;
    struct str keys[PAGE_KEYS]; /* sort values of the row before; absent on the first page */
};
/* From a query that was checked against QUERY_PAGE. */
bool page_read(struct action *action, struct page *page, struct err *err);
/* "$n::int" for one row more than the page, so that has_more is known. */
struct str page_limit(struct action *action, const struct page *page);
/* The rows as `data`, behind the members that the body has already, and the end of the body; when
 * more follows, with the cursor of the last row shown. */
void page_write(struct action *action, const struct page *page, struct tx *tx, size_t slot,
                struct outcome *outcome);
/* ],"page":{...}} at the end of a list's body. total < 0: not asked for. */
void page_end(struct outcome *outcome, bool has_more, int64_t total);
/* The same where members follow the list. */
void page_tail(struct outcome *outcome, bool has_more, int64_t total);

#endif
