/* Webhook endpoints beyond what every resource has, and what was delivered to them. */
#ifndef KAMD_APP_WEBHOOKS_H
#define KAMD_APP_WEBHOOKS_H

#include "app/records.h"

/* As record_create() and record_patch() of webhook endpoints, with the check of the URL. A new
 * endpoint's answer has `secret`, which is shown only there and by webhook_secret_rotate(); what is
 * kept for replays of the request holds it sealed. */
bool webhook_endpoint_create(struct action *action, const jv *doc, struct outcome *outcome,
                             struct err *err);
bool webhook_endpoint_patch(struct action *action, const struct record_key *key, const jv *patch,
                            struct outcome *outcome, struct err *err);

/* {grace_seconds}: 0 to 604800, default 86400; so long the secrets before sign, too. Answers {id,
 * secret, previous_expire_at}. */
bool webhook_secret_rotate(struct action *action, struct str id, const jv *doc,
                           struct outcome *outcome, struct err *err);
/* The public keys of signatures v1a that are live; for anybody. */
bool webhook_keys_show(struct action *action, struct outcome *outcome, struct err *err);
/* A new key signs from now on, and those before it for `grace_seconds` more; answers as
 * webhook_keys_show(). */
bool webhook_keys_rotate(struct action *action, const jv *doc, struct outcome *outcome,
                         struct err *err);
/* Sends a webhook.ping to this endpoint alone; 202 {event_id}. */
bool webhook_endpoint_test(struct action *action, struct str id, struct outcome *outcome,
                           struct err *err);
/* Enables one that was disabled, by somebody or by its failures; it gets what it missed. Answers
 * the endpoint. */
bool webhook_endpoint_enable(struct action *action, struct str id, struct outcome *outcome,
                             struct err *err);

/* {delivery_id} or {since, until, only_failed}: sends again what this endpoint was sent; 202 with
 * the operation that does it. */
bool webhook_replay_start(struct action *action, struct str id, const jv *doc,
                          struct outcome *outcome, struct err *err);
/* Counts, durations, errors and the breaker; parameter hours, 1 to 168. */
bool webhook_stats(struct action *action, struct str id, const struct param *params,
                   size_t n_params, struct outcome *outcome, struct err *err);

/* Newest first; parameters endpoint_id, state, page_size, cursor. */
bool webhook_delivery_list(struct action *action, const struct param *params, size_t n_params,
                           struct outcome *outcome, struct err *err);
bool webhook_delivery_get(struct action *action, struct str id, struct outcome *outcome,
                          struct err *err);
/* In order; no parameters. */
bool webhook_attempt_list(struct action *action, struct str id, struct outcome *outcome,
                          struct err *err);
/* Sends it again, whatever came of it, and begins a new round of retries; 202 with the delivery. */
bool webhook_delivery_retry(struct action *action, struct str id, struct outcome *outcome,
                            struct err *err);

#endif
