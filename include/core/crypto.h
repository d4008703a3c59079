/* The little cryptography that kamd needs, by libsodium: keyed hashes, sealing, comparison.
 * crypto_start() must have returned true before anything else here is called. */
#ifndef KAMD_CORE_CRYPTO_H
#define KAMD_CORE_CRYPTO_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"

bool crypto_start(void); /* once, before threads */

#define CRYPTO_KEY 32
#define CRYPTO_SHA256 32
#define CRYPTO_SEAL_EXTRA 40 /* nonce and tag of XChaCha20-Poly1305 */

/* Master keys from the configuration, the newest first, which alone seals and signs; a key of its
 * own for each use, so that none of them tells about another. */
enum crypto_use {
    CRYPTO_CURSOR = 1,
    CRYPTO_CACHE,
    CRYPTO_SECRETS,
    CRYPTO_SIGNING,
    CRYPTO_TOKENS,
    CRYPTO_AUDIT,
    CRYPTO_USES
};
#define CRYPTO_MASTERS 4
#define CRYPTO_KEY_ID 4
struct keyring {
    unsigned char keys[CRYPTO_USES][CRYPTO_KEY]; /* of the newest */
    unsigned char older[CRYPTO_MASTERS - 1][CRYPTO_USES]
                       [CRYPTO_KEY];                  /* only open what they sealed */
    unsigned char ids[CRYPTO_MASTERS][CRYPTO_KEY_ID]; /* names, newest first */
    size_t n_masters;
};
/* `masters`: 32 bytes in base64 (padded or not), or several of them, by comma or line. */
bool keyring_init(struct keyring *ret, struct str masters, struct err *err);
void keyring_wipe(struct keyring *keyring);

/* What stays: sealed values begin with a mark that names the master key, so that old ones can be
 * opened, found and sealed anew. */
#define CRYPTO_MARK (1 + CRYPTO_KEY_ID)
/* What a value is sealed for: it is opened for nothing else. */
struct seal {
    enum crypto_use use;
    struct str context; /* of a value in the database "table|id|column" */
};
/* As crypto_seal() under the newest key, after its mark. */
void keyring_seal(const struct keyring *keyring, struct seal seal, struct str plain,
                  struct buf *ret);
/* As crypto_open() under the key that sealed it; also values from before there were marks. */
bool keyring_open(const struct keyring *keyring, struct seal seal, struct str sealed,
                  struct arena *arena, struct str *ret_plain);
/* The mark of the newest key, and whether a value has it. */
void keyring_mark(const struct keyring *keyring, unsigned char ret[static CRYPTO_MARK]);
bool keyring_is_newest(const struct keyring *keyring, struct str sealed);

void sha256(struct str data, unsigned char ret[static CRYPTO_SHA256]);
void hmac_sha256(const void *key, size_t key_len, const struct str *parts, size_t n_parts,
                 unsigned char ret[static CRYPTO_SHA256]);
/* Constant time; the lengths are public. */
bool crypto_equal(const void *a, const void *b, size_t len);
/* Appends nonce, ciphertext and tag to `ret`. `context` is authenticated, not stored: the same is
 * needed to open. */
void crypto_seal(const unsigned char key[static CRYPTO_KEY], struct str context, struct str plain,
                 struct buf *ret);
/* False when key, context or any byte differs. *ret_plain lies in `arena`. */
bool crypto_open(const unsigned char key[static CRYPTO_KEY], struct str context, struct str sealed,
                 struct arena *arena, struct str *ret_plain);

/* Ed25519. The pair with this number follows from `key`, so nothing needs to be kept; 1 or more. */
#define CRYPTO_SIGN_PUBLIC 32
#define CRYPTO_SIGN_SECRET 64
#define CRYPTO_SIGNATURE 64
void crypto_sign_pair(const unsigned char key[static CRYPTO_KEY], uint64_t number,
                      unsigned char ret_public[static CRYPTO_SIGN_PUBLIC],
                      unsigned char ret_secret[static CRYPTO_SIGN_SECRET]);
/* The same in two steps: the seed is what must be kept to have the pair for ever. */
void crypto_sign_seed(const unsigned char key[static CRYPTO_KEY], uint64_t number,
                      unsigned char ret[static CRYPTO_KEY]);
void crypto_sign_seeded(const unsigned char seed[static CRYPTO_KEY],
                        unsigned char ret_public[static CRYPTO_SIGN_PUBLIC],
                        unsigned char ret_secret[static CRYPTO_SIGN_SECRET]);
void crypto_signature(const unsigned char secret[static CRYPTO_SIGN_SECRET], struct str text,
                      unsigned char ret[static CRYPTO_SIGNATURE]);
bool crypto_verify(const unsigned char public_key[static CRYPTO_SIGN_PUBLIC], struct str text,
                   const unsigned char signature[static CRYPTO_SIGNATURE]);

/* API keys: "kamd_live_" + 43 characters base62 of 32 random bytes + 6 characters CRC-32 in base62
 * (so that secret scanners can tell a key from noise). */
#define API_KEY_TEXT 64
void api_key_make(char ret[static API_KEY_TEXT]);
bool api_key_is(struct str text); /* shape and check sum */

#endif
