/* From rows to JSON: which fields, what is expanded, with which ETag. Private to the app layer. */
#ifndef KAMD_APP_VIEW_H
#define KAMD_APP_VIEW_H

#include "app/records.h"
#include "frame.h"

#define EXPANDS_MAX 6

struct view {
    field_set fields;
    const struct expansion *expands[EXPANDS_MAX];
    size_t n_expands;
    bool plain;  /* all fields, nothing expanded: what the cache holds */
    bool unseen; /* written for its ETag alone: nobody is shown it */
};

/* A row: PostgreSQL's texts by the descriptor's fields, then the derived version, then deleted_at.
 * Borrowed from the transaction. */
struct row {
    const struct str *values;
    area_set areas;  /* of the row's account, that the caller reads */
    area_set hidden; /* the others, where it depends on the account and not on the role alone */
};

/* Takes `fields` and `expand`; *ret_taken says whether `param` was one of them. Unknown names are
 * violations. */
void view_param(const struct resource *resource, const struct param *param, struct view *view,
                bool *ret_taken, struct err *err);
void view_init(struct view *view);

/* The texts for this caller. */
const struct record_sql *sql_for(const struct action *action, enum resource_id id);

/* The area that a record lies in: its resource's; of a plan's sections each is one. */
enum area row_area(const struct resource *resource, const struct row *row);
/* FORBIDDEN: the caller sees the record, and may not change it. */
bool row_writable(const struct action *action, const struct resource *resource,
                  const struct row *row, struct err *err);
bool area_writable(const struct action *action, area_set areas, enum area area, struct err *err);
/* Whether the field is in an area that the caller reads. */
bool row_shows(const struct row *row, const struct field *field);
/* The fields that are shown of a row, whatever is asked for. */
field_set row_fields(const struct resource *resource, const struct row *row);
/* ["sales", "economics"] */
void write_areas(area_set areas, struct buf *ret);

/* The rows of a slot of record_sql columns, without those of areas that the caller does not read,
 * whatever the statement gave; NULL when memory is out. */
struct row *rows_of(struct action *action, const struct resource *resource, struct tx *tx,
                    size_t slot, size_t *ret_n);
struct str row_value(const struct resource *resource, const struct row *row, const char *name);
int64_t row_version(const struct resource *resource, const struct row *row);
int64_t row_cache_version(const struct resource *resource, const struct row *row);
bool row_deleted(const struct resource *resource, const struct row *row);
/* The edit part of the ETag, for If-Match; the second part is not the body's. */
void row_etag(const struct resource *resource, const struct row *row, char ret[static ETAG_TEXT]);

/* What expand= needs, for all rows at once: queued and flushed in one round trip. */
struct expanded;
bool view_expand(struct action *action, const struct resource *resource, const struct view *view,
                 const struct row *rows, size_t n_rows, struct tx *tx, struct expanded **ret,
                 struct err *err);
/* One record as an object with its etag, appended to `ret`. */
void view_write(struct action *action, const struct resource *resource, const struct view *view,
                const struct row *row, const struct expanded *expanded, struct buf *ret,
                char ret_etag[static ETAG_TEXT]);

/* If-Match of an action, which may give none: 412 with the etag of now when the record is another.
 */
bool row_if_match(struct action *action, const struct resource *resource, const struct row *row,
                  struct err *err);
/* The same for a record that is locked already. */
bool view_if_match(struct action *action, struct tx *tx, enum resource_id id, struct str record_id,
                   struct err *err);

/* One record as it is now, read in the transaction that changed it: what an action answers with. */
bool view_answer(struct action *action, struct tx *tx, enum resource_id id, struct str record_id,
                 struct outcome *outcome, struct err *err);
/* An object that PostgreSQL wrote, with its etag as the last member. */
void view_object(struct action *action, struct str id, int64_t version, struct str object,
                 struct outcome *outcome);

/* The definitions of a resource's custom fields, read in the transaction that uses them. */
bool custom_fields_load(struct action *action, struct tx *tx, const struct resource *resource,
                        struct custom_fields *ret, struct err *err);

bool not_found(const struct record_key *key, struct err *err);

#endif
