/* What a migration's file says about itself, and how what is applied compares with what a binary
 * brings. The functions that take a schema work with any, so that tests can bring their own. */
#ifndef KAMD_STORE_MIGRATION_H
#define KAMD_STORE_MIGRATION_H

#include "core/crypto.h"
#include "store/migrate.h"

/* A file begins with comment lines, among which may be:
 *   -- no-transaction   statement by statement, each in a transaction of its own; must be
 * repeatable
 *   -- min-binary: N    programs whose newest migration is N or later still work after this one
 *   -- replaces: N      all migrations up to N in one; a database that stands at N has it already
 */

#define CHECKSUM_HEX (2 * CRYPTO_SHA256 + 1)
void checksum_hex(const char *sql, size_t len, char ret[static CHECKSUM_HEX]);

bool outside_transaction(const struct migration *m);
int64_t min_binary(const struct migration *m); /* its own number unless it says so */
int64_t replaces(const struct migration *m);   /* 0: none */

const struct migration *migration_by_number(const struct schema *schema, int64_t number);
int64_t newest_migration(const struct schema *schema); /* 0: none */

/* Does one applied migration fit these? CONFLICT with the reason when not. */
bool compare_migration(const struct schema *schema, int64_t number, struct str checksum,
                       int64_t least, struct err *err);

/* What is applied. */
#define SQL_MIGRATIONS                                                                             \
    "select number, encode(checksum, 'hex'), min_binary from schema_migration order by number"
enum { MIGRATION_NUMBER, MIGRATION_CHECKSUM, MIGRATION_MIN_BINARY };
#define SQL_SCHEMA_FILES "select name, encode(checksum, 'hex') from schema_file"
enum { SCHEMA_FILE_NAME, SCHEMA_FILE_CHECKSUM };

bool migrate_to(const char *url, const struct schema *schema, struct migrated *ret,
                struct err *err);
bool schema_compare(struct store *store, const struct schema *schema, deadline when,
                    struct err *err);

#endif
