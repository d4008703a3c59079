/* Standard Webhooks 1.0 (https://www.standardwebhooks.com): symmetric signatures (v1), and those
 * that anybody can verify (v1a). */
#ifndef KAMD_REMOTE_SIGNATURE_H
#define KAMD_REMOTE_SIGNATURE_H

#include "core/buf.h"
#include "core/crypto.h"

#define WEBHOOK_SECRET 32 /* random bytes */

/* Appends the text that a receiver is given: "whsec_" and base64. */
void webhook_secret_text(struct str secret, struct buf *ret);
/* Appends "v1," and base64(HMAC-SHA256(secret, id "." timestamp "." body)), after a space if `ret`
 * holds one already. `timestamp` in seconds. */
void webhook_sign(struct str secret, struct str id, struct str timestamp, struct str body,
                  struct buf *ret);

#define WEBHOOK_KEYS 10
/* The live key pairs, by number. */
struct webhook_keys {
    int64_t numbers[WEBHOOK_KEYS];
    unsigned char secrets[WEBHOOK_KEYS][CRYPTO_SIGN_SECRET];
    size_t n;
};
/* Appends the text that a receiver is given: "whpk_" and base64. */
void webhook_public_text(const struct keyring *keyring, int64_t number, struct buf *ret);
/* Makes the pairs of `numbers`, unless they are there already. */
void webhook_keys_set(struct webhook_keys *keys, const struct keyring *keyring,
                      const int64_t *numbers, size_t n);
/* As webhook_sign(), "v1a," and base64(Ed25519) for each key. */
void webhook_sign_public(const struct webhook_keys *keys, struct str id, struct str timestamp,
                         struct str body, struct buf *ret);

#endif
