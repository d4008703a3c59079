/* Standard Webhooks 1.0 (https://www.standardwebhooks.com): symmetric signatures. */
#ifndef KAMD_REMOTE_SIGNATURE_H
#define KAMD_REMOTE_SIGNATURE_H

#include "core/buf.h"
#include "core/random.h"

#define WEBHOOK_SECRET 32      /* bytes */
#define WEBHOOK_SECRET_TEXT 51 /* "whsec_", base64, and a NUL */

/* A new secret: its bytes, and the text that receivers are given. */
void webhook_secret_make(const struct randomness *randomness,
                         unsigned char ret[static WEBHOOK_SECRET],
                         char ret_text[static WEBHOOK_SECRET_TEXT]);
/* Appends "v1," and base64(HMAC-SHA256(secret, id "." timestamp "." body)), after a space if `ret`
 * holds one already. */
void webhook_sign(struct str secret, struct str id, int64_t timestamp, struct str body,
                  struct buf *ret);

#endif
