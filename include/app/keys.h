/* API keys and who holds them. */
#ifndef KAMD_APP_KEYS_H
#define KAMD_APP_KEYS_H

#include "app/records.h"

/* Who calls with this key text? UNAUTHENTICATED when nobody. `any_age`: memory is good enough,
 * however old (recognition while the database is away). */
bool principal_find(struct app *app, struct str key, bool any_age, deadline when,
                    struct principal *ret, struct err *err);

/* {name, role, scopes[], user_id, expires_at} -> the key, once. */
bool api_key_create(struct action *action, const jv *doc, struct outcome *outcome, struct err *err);
bool api_key_list(struct action *action, const struct param *params, size_t n_params,
                  struct outcome *outcome, struct err *err);
bool api_key_revoke(struct action *action, struct str id, struct outcome *outcome, struct err *err);
bool me_get(struct action *action, struct outcome *outcome, struct err *err);

#endif
