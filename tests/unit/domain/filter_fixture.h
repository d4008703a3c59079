/* A made-up resource with a field of every type, custom fields and relations, and what the tests of
 * filters do with it. */
#ifndef KAMD_TESTS_FILTER_FIXTURE_H
#define KAMD_TESTS_FILTER_FIXTURE_H

#include "domain/filter.h"

#define COLUMN_EXPRESSION "coalesce(t.a, t.b)"

extern const struct resource thing;
extern const struct custom_fields thing_customs;

/* "SQL | param | param" of a flat parameter or an expression, or "CODE: detail". */
void ask_flat(const char *name, struct str value, struct buf *ret);
void ask_filter(struct str expression, struct buf *ret);
/* The SQL and the parameters of a condition, starting at $1. */
void show_sql(const struct cond *cond, struct arena *arena, struct buf *ret);

#define UUID "018f3c5e-7a10-7c3e-9d0a-2f4b6c8d0e1f"

#endif
