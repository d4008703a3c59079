/* Webhook secrets as use cases handle them: made, kept sealed, shown once. Private to the app
 * layer.
 *
 * A body that shows a secret is also kept under the request's Idempotency-Key. So it is written
 * with the secret sealed in its place, and opened only on its way out: a replay gives the same
 * bytes, and the database never holds the secret in the clear. */
#ifndef KAMD_APP_WEBHOOK_SIGNING_KEY_H
#define KAMD_APP_WEBHOOK_SIGNING_KEY_H

#include "base/transaction.h"

/* Makes a secret and queues its row. *ret_shown: what stands for it in the body. */
bool secret_add(struct action *action, struct tx *tx, struct str endpoint_id, struct str *ret_shown,
                struct err *err);
/* Makes the seed of signing key `number` and queues that it is kept. */
bool secret_keep_seed(struct action *action, struct tx *tx, int64_t number, struct err *err);
/* Where the sealed secret is in such a body. */
bool secret_find(struct str body, struct str *ret);
/* Adds `"secret"` as the last member of the object in `body`. */
void secret_show(struct buf *body, struct str shown);
/* Puts the secret itself in the place of what secret_show() wrote. */
bool secret_reveal(struct action *action, struct buf *body, struct err *err);

#endif
