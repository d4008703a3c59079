/* Migrations of any list, so that tests can bring their own; migrate() and schema_fits() run those
 * of the binary. */
#ifndef KAMD_STORE_MIGRATE_RUN_H
#define KAMD_STORE_MIGRATE_RUN_H

#include "store/migrate.h"

/* `list` is in order of the numbers. A file begins with comment lines, which may be:
 *   -- no-transaction   statement by statement, each in a transaction of its own; must be
 * repeatable
 *   -- min-binary: N    programs whose newest migration is N or later still work after this one */
bool migrate_run(const char *url, const struct migration *list, size_t n, int *ret_applied,
                 struct err *err);
bool schema_compare(struct store *store, const struct migration *list, size_t n, deadline when,
                    struct err *err);

#endif
