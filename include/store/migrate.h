/* The schema's migrations, embedded in the binary: service/store/migrations/NNNN_name.sql, in
 * order, each in its own transaction, under a transaction-level advisory lock, recorded with a
 * SHA-256 so that an edited migration is noticed. A file whose first line is `-- no-transaction`
 * runs statement by statement outside of one (CREATE INDEX CONCURRENTLY). */
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
extern const struct migration migrations[]; /* made by the Makefile from the folder */
extern const size_t n_migrations;

/* Applies what is missing. *ret_applied counts it. CONFLICT when an applied migration's text
 * differs, or the schema is newer than this binary and no longer fits it (a rollback to a binary
 * that still fits has nothing to do here). lock_timeout 2 s, the whole repeated up to 10
 * times when a lock was not got. */
bool migrate(const char *url, int *ret_applied, struct err *err);

/* Does the schema fit this binary? True when all of our migrations are applied, unedited. A schema
 * that is newer is accepted only if it says (table schema_migration, column min_binary) that this
 * binary still fits: expand/contract, N and N-1. NOT_READY when it does not fit, and why. */
bool schema_fits(struct store *store, deadline when, struct err *err);

#endif
