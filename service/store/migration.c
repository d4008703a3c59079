/* Reads the comments in which a migration says what it needs (such as min-binary), and decides
 * whether the migrations of a database suit this program. */
#include "migration.h"

#include <stdio.h>
#include <string.h>

void checksum_hex(const char *sql, size_t len, char ret[static CHECKSUM_HEX]) {
    unsigned char digest[CRYPTO_SHA256];

    sha256((struct str){sql, len}, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

/* One of the comment lines that a file begins with: `-- name` or `-- name: number`. */
static bool header_line(const struct migration *m, const char *name, struct str *ret_value) {
    struct str rest = {m->sql, m->len}, line;

    while (str_split(&rest, '\n', &line) && str_starts(line, "--")) {
        line = str_trim((struct str){line.ptr + 2, line.len - 2});
        if (!str_starts(line, name))
            continue;
        size_t len = strlen(name);
        struct str value = str_trim((struct str){line.ptr + len, line.len - len});
        if (value.len > 0 && value.ptr[0] != ':')
            continue;
        *ret_value = value.len == 0 ? value : str_trim((struct str){value.ptr + 1, value.len - 1});
        return true;
    }
    return false;
}

static int64_t header_number(const struct migration *m, const char *name, int64_t otherwise) {
    struct str value;
    int64_t number;

    return header_line(m, name, &value) && str_to_i64(value, &number) ? number : otherwise;
}

bool outside_transaction(const struct migration *m) {
    struct str ignored;

    return header_line(m, "no-transaction", &ignored);
}

int64_t min_binary(const struct migration *m) { return header_number(m, "min-binary", m->number); }

int64_t replaces(const struct migration *m) { return header_number(m, "replaces", 0); }

const struct migration *migration_by_number(const struct schema *schema, int64_t number) {
    for (size_t i = 0; i < schema->n_migrations; i++)
        if (schema->migrations[i].number == number)
            return &schema->migrations[i];
    return NULL;
}

int64_t newest_migration(const struct schema *schema) {
    return schema->n_migrations == 0 ? 0 : schema->migrations[schema->n_migrations - 1].number;
}

static bool is_replaced(const struct schema *schema, int64_t number) {
    for (size_t i = 0; i < schema->n_migrations; i++)
        if (number <= replaces(&schema->migrations[i]))
            return true;
    return false;
}

bool compare_migration(const struct schema *schema, int64_t number, struct str checksum,
                       int64_t least, struct err *err) {
    const struct migration *m = migration_by_number(schema, number);
    int64_t newest = newest_migration(schema);
    char ours[CHECKSUM_HEX];

    if (m == NULL && ((number > newest && least <= newest) || is_replaced(schema, number)))
        return true;
    if (m == NULL)
        return err_set(err, PROBLEM_CONFLICT,
                       "The database schema is newer than this program: its migration %lld needs a "
                       "program that knows migration %lld, and this one knows none after %lld.",
                       (long long)number, (long long)least, (long long)newest);
    checksum_hex(m->sql, m->len, ours);
    if (str_is(checksum, ours))
        return true;
    return err_set(err, PROBLEM_CONFLICT, "Migration %s was changed after it had been applied.",
                   m->name);
}
