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

/* Opens what webhook_secret.sealed holds, by the secret's id. */
bool webhook_secret_open(const struct keyring *keyring, struct str id, struct str sealed,
                         struct arena *arena, struct str *ret);

/* A header's value is kept apart, by a reference: this and the id of its row in webhook_header. */
#define WEBHOOK_SEALED "sealed:"
#define WEBHOOK_HEADER_CONTEXT 72
struct str webhook_header_context(struct str id, char ret[static WEBHOOK_HEADER_CONTEXT]);

#define WEBHOOK_KEYS 10
/* A row of webhook_key. `sealed`, bytea as text, holds the seed that the pair comes from; absent
 * (from before it was kept): the pair follows from the master key. */
struct webhook_key {
    int64_t number;
    struct str sealed;
};
#define WEBHOOK_KEY_CONTEXT 40
struct str webhook_key_context(int64_t number, char ret[static WEBHOOK_KEY_CONTEXT]);
/* The live key pairs, by number. */
struct webhook_keys {
    int64_t numbers[WEBHOOK_KEYS];
    unsigned char secrets[WEBHOOK_KEYS][CRYPTO_SIGN_SECRET];
    size_t n;
};
/* Appends the text that a receiver is given: "whpk_" and base64. False: no key opens it. */
bool webhook_public_text(const struct keyring *keyring, const struct webhook_key *key,
                         struct buf *ret);
/* Makes the pairs of `rows`, unless they are there already (false); without those that no key
 * opens.
 */
bool webhook_keys_set(struct webhook_keys *keys, const struct keyring *keyring,
                      const struct webhook_key *rows, size_t n);
/* As webhook_sign(), "v1a," and base64(Ed25519) for each key. */
void webhook_sign_public(const struct webhook_keys *keys, struct str id, struct str timestamp,
                         struct str body, struct buf *ret);

#endif
