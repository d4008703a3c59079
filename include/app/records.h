/* The use cases that every resource has. All of them work on the caller's view: what is not visible
 * is not there. */
#ifndef KAMD_APP_RECORDS_H
#define KAMD_APP_RECORDS_H

#include "app/app.h"

/* A record, as the path names it. `account_id` of a nested resource must be the record's; absent
 * elsewhere. */
struct record_key {
    const struct resource *resource;
    struct str id;
    struct str account_id;
};

/* GET of one; parameters fields, expand. */
bool record_get(struct action *action, const struct record_key *key, const struct param *params,
                size_t n_params, struct outcome *outcome, struct err *err);
/* GET of many: filters, order_by, page_size, cursor, include_total, fields, expand. key->id is
 * unused. */
bool record_list(struct action *action, const struct record_key *key, const struct param *params,
                 size_t n_params, struct outcome *outcome, struct err *err);
bool record_create(struct action *action, const struct record_key *key, const jv *doc,
                   struct outcome *outcome, struct err *err);
/* If-Match is needed unless the caller is an integration. */
bool record_patch(struct action *action, const struct record_key *key, const jv *patch,
                  struct outcome *outcome, struct err *err);
/* `doc` is the whole of what can be changed. */
bool record_replace(struct action *action, const struct record_key *key, const jv *doc,
                    struct outcome *outcome, struct err *err);
bool record_delete(struct action *action, const struct record_key *key, struct outcome *outcome,
                   struct err *err);
bool record_restore(struct action *action, const struct record_key *key, struct outcome *outcome,
                    struct err *err);
/* What was changed, when, by whom, newest first; page_size and cursor. */
bool record_history(struct action *action, const struct record_key *key, const struct param *params,
                    size_t n_params, struct outcome *outcome, struct err *err);

#endif
