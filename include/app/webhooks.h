/* Webhook endpoints beyond what every resource has, and what was delivered to them. */
#ifndef KAMD_APP_WEBHOOKS_H
#define KAMD_APP_WEBHOOKS_H

#include "app/records.h"

/* As record_create() and record_patch() of webhook endpoints, with the check of the URL. A new
 * endpoint's answer has `secret`, which is shown only there and by webhook_secret_rotate(); what is
 * kept for replays of the request holds it sealed. */
use_case webhook_endpoint_create;
use_case webhook_endpoint_patch;

/* {grace_seconds}: 0 to 604800, default 86400; so long the secrets before sign, too. Answers {id,
 * secret, previous_expire_at}. */
use_case webhook_secret_rotate;
/* The public keys of signatures v1a that are live; for anybody. */
use_case webhook_keys_show;
/* A new key signs from now on, and those before it for `grace_seconds` more; answers as
 * webhook_keys_show(). */
use_case webhook_keys_rotate;
/* Sends a webhook.ping to this endpoint alone; 202 {event_id}. */
use_case webhook_endpoint_test;
/* Enables one that was disabled, by somebody or by its failures; it gets what it missed. Answers
 * the endpoint. */
use_case webhook_endpoint_enable;

/* {delivery_id} or {since, until, only_failed}: sends again what this endpoint was sent; 202 with
 * the operation that does it. */
use_case webhook_replay_start;
/* Counts, durations, errors and the breaker; parameter hours, 1 to 168. */
use_case webhook_stats;

/* Newest first; parameters endpoint_id, state, page_size, cursor. */
use_case webhook_delivery_list;
use_case webhook_delivery_get;
/* In order; no parameters. */
use_case webhook_attempt_list;
/* Sends it again, whatever came of it, and begins a new round of retries; 202 with the delivery. */
use_case webhook_delivery_retry;

#endif
