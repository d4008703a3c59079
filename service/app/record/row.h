/* Rows of records: what of them this caller sees, and may change. Private to the app layer. */
#ifndef KAMD_APP_RECORD_ROW_H
#define KAMD_APP_RECORD_ROW_H

#include "app/records.h"
#include "base/transaction.h"

/* A row: PostgreSQL's texts by the descriptor's fields, then the derived version, then deleted_at.
 * Borrowed from the transaction. */
struct row {
    const struct resource *resource;
    const struct str *values;
    area_set areas;  /* of the row's account, that the caller reads */
    area_set hidden; /* the others, where it depends on the account and not on the role alone */
};

/* Rows of one resource, in the order of the statement. */
struct rows {
    const struct row *list; /* NULL: memory is out */
    size_t n;
};

/* The texts for this caller. */
const struct record_sql *sql_for(const struct action *action, enum resource_id id);

/* The area that a record lies in: its resource's; of a plan's sections each is one. */
enum area row_area(const struct row *row);
/* FORBIDDEN: the caller sees the record, and may not change it. */
bool row_writable(const struct action *action, const struct row *row, struct err *err);
bool area_writable(const struct action *action, area_set areas, enum area area, struct err *err);
/* Whether the field is in an area that the caller reads. */
bool row_shows(const struct row *row, const struct field *field);
/* The fields that are shown of a row, whatever is asked for. */
field_set row_fields(const struct row *row);
/* ["sales", "economics"] */
void write_areas(area_set areas, struct buf *ret);

/* The rows of a slot of record_sql columns, without those of areas that the caller does not read,
 * whatever the statement gave. */
struct rows rows_of(struct action *action, const struct resource *resource, struct tx *tx,
                    size_t slot);
/* NULL: it is not among them. */
const struct row *row_by_id(const struct rows *rows, struct str id);
struct str row_value(const struct row *row, const char *name);
int64_t row_version(const struct row *row);
int64_t row_cache_version(const struct row *row);
bool row_deleted(const struct row *row);
/* Whether it is of the account that a path names; absent: the path names none. */
bool row_below(const struct row *row, struct str account_id);
/* The edit part of the ETag, for If-Match; the second part is not the body's. */
void row_etag(const struct row *row, char ret[static ETAG_TEXT]);

/* Notes for the audit that the record is shown, before it is written into an answer. */
void note_row(struct action *action, const struct row *row);

bool not_found(const struct record_key *key, struct err *err);

#endif
