/* Standard Webhooks 1.0 (https://www.standardwebhooks.com): symmetric signatures. */
#ifndef KAMD_REMOTE_SIGNATURE_H
#define KAMD_REMOTE_SIGNATURE_H

#include "core/buf.h"

#define WEBHOOK_SECRET 32 /* random bytes */

/* Appends the text that a receiver is given: "whsec_" and base64. */
void webhook_secret_text(struct str secret, struct buf *ret);
/* Appends "v1," and base64(HMAC-SHA256(secret, id "." timestamp "." body)), after a space if `ret`
 * holds one already. `timestamp` in seconds. */
void webhook_sign(struct str secret, struct str id, struct str timestamp, struct str body,
                  struct buf *ret);

#endif
