/* Tells whether the schema of the database fits this program. Readiness asks twice a second. */
#include "migration.h"

#include <string.h>

static bool not_ready(struct err *err) {
    if (err != NULL)
        err->problem = PROBLEM_NOT_READY;
    return false;
}

/* Gives how many of ours are applied, and the newest that is. */
static bool compare_migrations(struct tx *tx, const struct schema *schema, size_t *ret_found,
                               int64_t *ret_newest, struct err *err) {
    size_t slot = tx_query(tx, SQL_MIGRATIONS, NULL, 0);

    if (!tx_flush(tx, err)) {
        /* The one error that this statement can make: there is no such table yet. */
        return err == NULL || err->problem != PROBLEM_INTERNAL
                   ? false
                   : err_set(err, PROBLEM_NOT_READY,
                             "The database has no schema yet: run `kamd migrate`.");
    }
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        int64_t number = tx_int(tx, slot, i, MIGRATION_NUMBER);
        if (!compare_migration(schema, number, tx_value(tx, slot, i, MIGRATION_CHECKSUM),
                               tx_int(tx, slot, i, MIGRATION_MIN_BINARY), err))
            return not_ready(err);
        *ret_found += migration_by_number(schema, number) != NULL;
        *ret_newest = number;
    }
    return true;
}

static bool is_applied(struct tx *tx, size_t slot, const struct schema_file *file) {
    char ours[CHECKSUM_HEX];

    checksum_hex(file->sql, file->len, ours);
    for (size_t i = 0; i < tx_rows(tx, slot); i++)
        if (str_is(tx_value(tx, slot, i, SCHEMA_FILE_NAME), file->name))
            return str_is(tx_value(tx, slot, i, SCHEMA_FILE_CHECKSUM), ours);
    return false;
}

static bool compare_files(struct tx *tx, const struct schema *schema, struct err *err) {
    size_t slot = tx_query(tx, SQL_SCHEMA_FILES, NULL, 0);

    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < schema->n_files; i++)
        if (!is_applied(tx, slot, &schema->files[i]))
            return err_set(err, PROBLEM_NOT_READY,
                           "The database does not have this program's text of %s: run "
                           "`kamd migrate`.",
                           schema->files[i].name);
    return true;
}

bool schema_compare(struct store *store, const struct schema *schema, deadline when,
                    struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    size_t found = 0;
    int64_t newest = 0;

    if (!(tx = tx_begin(store, TX_READ, NULL, when, err)) ||
        !compare_migrations(tx, schema, &found, &newest, err))
        return false;
    if (found < schema->n_migrations)
        return err_set(err, PROBLEM_NOT_READY,
                       "The database schema is older than this program, it has %zu of %zu "
                       "migrations: run `kamd migrate`.",
                       found, schema->n_migrations);
    /* A newer schema has texts of its own. */
    return newest > newest_migration(schema) || compare_files(tx, schema, err);
}

bool schema_fits(struct store *store, deadline when, struct err *err) {
    return schema_compare(store, &program_schema, when, err);
}
