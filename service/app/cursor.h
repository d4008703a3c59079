/* Cursors: the sort values of a page's last row, sealed, and bound to the list they were made for.
 * Private to the app layer. */
#ifndef KAMD_APP_CURSOR_H
#define KAMD_APP_CURSOR_H

#include "app/records.h"
#include "frame.h"

#define CURSOR_VALUES 8

/* `list` says which list: path, filters, order. Writes at most `room` bytes; longer sort values
 * give no cursor (false). */
bool cursor_make(struct action *action, struct str list, const struct str *values, size_t n,
                 char *ret, size_t room);
/* False with PROBLEM_INVALID_CURSOR for anything that cursor_make() did not give for the same list.
 */
bool cursor_read(struct action *action, struct str list, struct str cursor, struct str *ret_values,
                 size_t n, struct err *err);

/* page_size: 1 to 200, larger is coerced; default 50. */
bool page_size_read(struct str value, size_t *ret, struct err *err);
void unknown_parameter(struct action *action, struct str name, struct err *err);
/* page_size and cursor of a list that has no other parameters; `key` is the last row's sort value,
 * absent on the first page. */
struct page {
    size_t size;
    struct str key;
    struct str list;
};
bool page_read(struct action *action, const char *list, const struct param *params, size_t n_params,
               struct page *ret, struct err *err);
/* "$n::int" for one row more than the page. */
struct str page_limit(struct action *action, const struct page *page);
/* ,"page":{...}} at the end of a list's body. total < 0: not asked for. */
void page_end(struct outcome *outcome, bool has_more, int64_t total);

#endif
