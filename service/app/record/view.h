/* From rows to JSON: which fields, what is expanded, with which ETag. Private to the app layer. */
#ifndef KAMD_APP_RECORD_VIEW_H
#define KAMD_APP_RECORD_VIEW_H

#include "record/row.h"

#define EXPANDS_MAX 6

/* What `expand` names, and the records that it finds. */
struct expand {
    const struct expansion *expansion;
    const struct resource *target;
    struct rows rows;
};

struct view {
    field_set fields;
    struct expand expands[EXPANDS_MAX];
    size_t n_expands;
    bool plain;         /* all fields, nothing expanded: what the cache holds */
    bool for_etag_only; /* written for its ETag alone: nobody is shown it */
};

/* Takes `fields` and `expand`; *ret_taken says whether `param` was one of them. Unknown names are
 * violations. */
void view_param(const struct resource *resource, const struct param *param, struct view *view,
                bool *ret_taken, struct err *err);
void view_init(struct view *view);

/* Finds what the view expands of these rows, all at once: queued and flushed in one round trip. */
bool view_expand(struct action *action, struct tx *tx, struct view *view, const struct rows *rows,
                 struct err *err);
/* One record as an object with its etag, appended to `ret`; of rows that were expanded before. */
void view_write(struct action *action, const struct view *view, const struct row *row,
                struct buf *ret, char ret_etag[static ETAG_TEXT]);

/* If-Match of an action, which may give none: 412 with the etag of now when the record is another.
 */
bool row_if_match(struct action *action, const struct row *row, struct err *err);
/* If-Match of an action whose record is locked already: reads the record itself. */
bool view_if_match(struct action *action, struct tx *tx, const struct record_key *key,
                   struct err *err);

/* One record as it is now, read in the transaction that changed it: what an action answers with. */
bool view_answer(struct action *action, struct tx *tx, const struct record_key *key,
                 struct outcome *outcome, struct err *err);
/* The definitions of a resource's custom fields, read in the transaction that uses them. */
bool custom_fields_load(struct action *action, struct tx *tx, const struct resource *resource,
                        struct custom_fields *ret, struct err *err);

#endif
