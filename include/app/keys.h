/* API keys and who holds them. */
#ifndef KAMD_APP_KEYS_H
#define KAMD_APP_KEYS_H

#include "app/records.h"

/* {name, role, scopes[], user_id, expires_at} -> the key, once. */
bool api_key_create(struct action *action, const jv *doc, struct outcome *outcome, struct err *err);
bool api_key_list(struct action *action, const struct param *params, size_t n_params,
                  struct outcome *outcome, struct err *err);
bool api_key_get(struct action *action, struct str id, struct outcome *outcome, struct err *err);
/* {overlap_seconds} -> the key's new text, once; the one before it holds for the overlap. */
bool api_key_rotate(struct action *action, struct str id, const jv *doc, struct outcome *outcome,
                    struct err *err);
bool api_key_revoke(struct action *action, struct str id, struct outcome *outcome, struct err *err);
bool me_get(struct action *action, struct outcome *outcome, struct err *err);

#endif
