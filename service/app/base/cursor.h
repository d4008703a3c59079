/* Cursors: the sort values of a page's last row, sealed, and bound to the list they were made for.
 * Private to the app layer. */
#ifndef KAMD_APP_BASE_CURSOR_H
#define KAMD_APP_BASE_CURSOR_H

#include "app/app.h"
#include "base/transaction.h"

#define CURSOR_VALUES 8

/* `list` says which list: path, filters, order. Writes at most `room` bytes; longer sort values
 * give no cursor (false). */
bool cursor_make(struct action *action, struct str list, const struct str *values, size_t n,
                 char *ret, size_t room);
/* False with PROBLEM_INVALID_CURSOR for anything that cursor_make() did not give for the same list.
 */
bool cursor_read(struct action *action, struct str list, struct str cursor, struct str *ret_values,
                 size_t n, struct err *err);

#define PAGE_KEYS 2

/* The page of a list that page_size and cursor ask for. */
struct page {
    size_t size;
    struct str keys[PAGE_KEYS]; /* sort values of the row before; absent on the first page */
    size_t n_keys;
    struct str list;
};
/* From a query that was checked against QUERY_PAGE. */
bool page_read(struct action *action, struct str list, size_t n_keys, struct page *ret,
               struct err *err);
/* "$n::int" for one row more than the page, so that has_more is known. */
struct str page_limit(struct action *action, const struct page *page);
/* Rows to show of `n_rows` read. */
size_t page_rows(const struct page *page, size_t n_rows);
/* The end of the body; when more follows, the cursor is made of these columns of the last row
 * shown. */
void page_finish(struct action *action, const struct page *page, struct tx *tx, size_t slot,
                 const size_t *key_columns, struct outcome *outcome);
/* The whole body: each row as an object of its slot's first columns, and the end. */
void page_write(struct action *action, const struct page *page, struct tx *tx, size_t slot,
                const struct field *fields, size_t n_fields, const size_t *key_columns,
                struct outcome *outcome);
/* ],"page":{...}} at the end of a list's body. total < 0: not asked for. */
void page_end(struct outcome *outcome, bool has_more, int64_t total);
/* The same where members follow the list. */
void page_tail(struct outcome *outcome, bool has_more, int64_t total);

#endif
