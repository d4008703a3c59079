/* All records of a resource that the caller sees, as one file: NDJSON or CSV (RFC 4180). It is read
 * in pages, each by a transaction of its own that ends before a byte of it is sent, so that nobody
 * who reads slowly holds more than a page's memory. */
#ifndef KAMD_APP_EXPORTS_H
#define KAMD_APP_EXPORTS_H

#include "app/records.h"

#include <stdatomic.h>

#define EXPORTS_MAX 4 /* at once in a process: more would take the threads that answer others */

struct exports {
    atomic_int running; /* zero to begin with */
};

enum export_format { EXPORT_NDJSON, EXPORT_CSV };
extern const char *const export_formats[]; /* NULL-terminated */

struct export;

/* Filters, filter, order_by and fields as in lists; `after`, an id, goes on behind that record;
 * `format` (csv, ndjson) goes before `accepted`; `bom`. The first page is read at once, so that
 * what is wrong is said in good form. OVERLOADED when there are EXPORTS_MAX. It ends when the
 * action's bearer token does. */
bool export_open(struct exports *all, const struct action *action, enum export_format accepted,
                 struct export **ret, struct err *err);
const char *export_type(const struct export *export); /* the media type */
/* Up to `room` bytes, at most a database deadline later; 0: it is over; -1: it cannot go on, and
 * must not look whole. */
long export_take(struct export *export, char *ret, size_t room);
void export_close(struct export *export); /* NULL is fine */

#endif
