/* The schema of the database, embedded in the binary.
 *
 * service/store/migrations/NNNN_name.sql: tables, columns, indexes, data, drops. Each is applied
 * once, in the order of the numbers, in a transaction of its own, and recorded with a SHA-256, so
 * that an edited one is noticed. service/store/schema/NAME.sql: the current text of each function,
 * view, trigger and policy. A file is applied again whenever its text differs from the one
 * recorded. All of it happens under one transaction-level advisory lock. */
#ifndef KAMD_STORE_MIGRATE_H
#define KAMD_STORE_MIGRATE_H

#include "core/err.h"
#include "store/store.h"

struct migration {
    int number;
    const char *name;
    const char *sql;
    size_t len;
};

struct schema_file {
    const char *name;
    const char *sql;
    size_t len;
    int step; /* files of one step share a transaction; step 0 comes before the migrations */
};

struct schema {
    const struct migration *migrations; /* by number */
    size_t n_migrations;
    const struct schema_file *files; /* by step */
    size_t n_files;
};
extern const struct schema program_schema; /* made by the Makefile from the two folders */

struct migrated {
    int migrations, files; /* how many were applied */
};

/* Applies what is missing. A schema that is newer than this binary, and that the binary still fits,
 * is left alone (a rollback). CONFLICT when an applied migration's text differs, when the schema no
 * longer fits this binary, or when it is older than the oldest that this binary can bring up to
 * date. lock_timeout is 2 s, and each step is repeated up to 10 times when a lock was not got. */
bool migrate(const char *url, struct migrated *ret, struct err *err);

/* Does the schema fit this binary? True when all of our migrations and schema files are applied,
 * unedited. A schema that is newer is accepted only if it says (table schema_migration, column
 * min_binary) that this binary still fits: expand/contract, N and N-1. NOT_READY when it does not
 * fit, and why. */
bool schema_fits(struct store *store, deadline when, struct err *err);

#endif
