/* Hashes, authenticated encryption ("sealing"), Ed25519 signatures and constant-time comparison,
 * all by libsodium. The keyring of master keys is in keyring.c. */
#include "core/crypto.h"

#include <sodium.h>
#include <string.h>

_Static_assert(CRYPTO_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key size");
_Static_assert(CRYPTO_SHA256 == crypto_hash_sha256_BYTES, "digest size");
_Static_assert(CRYPTO_SEAL_EXTRA == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES +
                                        crypto_aead_xchacha20poly1305_ietf_ABYTES,
               "nonce and tag");

_Static_assert(CRYPTO_SIGN_PUBLIC == crypto_sign_PUBLICKEYBYTES, "public key size");
_Static_assert(CRYPTO_SIGN_SECRET == crypto_sign_SECRETKEYBYTES, "secret key size");
_Static_assert(CRYPTO_SIGNATURE == crypto_sign_BYTES, "signature size");
_Static_assert(CRYPTO_KEY == crypto_sign_SEEDBYTES, "seed size");

#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES

bool crypto_start(void) { return sodium_init() >= 0; }

static const unsigned char *bytes_of(struct str text) {
    return (const unsigned char *)(text.ptr == NULL ? "" : text.ptr);
}

void sha256(struct str data, unsigned char ret[static CRYPTO_SHA256]) {
    crypto_hash_sha256(ret, bytes_of(data), data.len);
}

void hmac_sha256(const void *key, size_t key_len, const struct str *parts, size_t n_parts,
                 unsigned char ret[static CRYPTO_SHA256]) {
    crypto_auth_hmacsha256_state state;

    crypto_auth_hmacsha256_init(&state, key, key_len);
    for (size_t i = 0; i < n_parts; i++)
        crypto_auth_hmacsha256_update(&state, bytes_of(parts[i]), parts[i].len);
    crypto_auth_hmacsha256_final(&state, ret);
    sodium_memzero(&state, sizeof(state));
}

bool crypto_equal(const void *a, const void *b, size_t len) {
    return sodium_memcmp(a, b, len) == 0;
}

void crypto_seal(const unsigned char key[static CRYPTO_KEY], struct str context, struct str plain,
                 struct buf *ret) {
    unsigned char *at = plain.len > SIZE_MAX - CRYPTO_SEAL_EXTRA
                            ? NULL
                            : (unsigned char *)buf_extend(ret, plain.len + CRYPTO_SEAL_EXTRA);

    if (at == NULL) {
        ret->failed = true;
        return;
    }
    randombytes_buf(at, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(at + NONCE, NULL, bytes_of(plain), plain.len,
                                               bytes_of(context), context.len, NULL, at, key);
}

bool crypto_open(const unsigned char key[static CRYPTO_KEY], struct str context, struct str sealed,
                 struct arena *arena, struct str *ret_plain) {
    const unsigned char *in = bytes_of(sealed);

    if (sealed.len < CRYPTO_SEAL_EXTRA)
        return false;
    size_t len = sealed.len - CRYPTO_SEAL_EXTRA;
    unsigned char *plain = arena_alloc(arena, len + 1);
    if (plain == NULL || crypto_aead_xchacha20poly1305_ietf_decrypt(
                             plain, NULL, NULL, in + NONCE, sealed.len - NONCE, bytes_of(context),
                             context.len, in, key) != 0)
        return false;
    *ret_plain = (struct str){(const char *)plain, len};
    return true;
}

void crypto_sign_seed(const unsigned char key[static CRYPTO_KEY], uint64_t number,
                      unsigned char ret[static CRYPTO_KEY]) {
    static const char context[crypto_kdf_CONTEXTBYTES + 1] = "kamdsign";

    crypto_kdf_derive_from_key(ret, CRYPTO_KEY, number, context, key);
}

void crypto_sign_seeded(const unsigned char seed[static CRYPTO_KEY],
                        unsigned char ret_public[static CRYPTO_SIGN_PUBLIC],
                        unsigned char ret_secret[static CRYPTO_SIGN_SECRET]) {
    crypto_sign_seed_keypair(ret_public, ret_secret, seed);
}

void crypto_sign_pair(const unsigned char key[static CRYPTO_KEY], uint64_t number,
                      unsigned char ret_public[static CRYPTO_SIGN_PUBLIC],
                      unsigned char ret_secret[static CRYPTO_SIGN_SECRET]) {
    unsigned char seed[CRYPTO_KEY];

    crypto_sign_seed(key, number, seed);
    crypto_sign_seeded(seed, ret_public, ret_secret);
    sodium_memzero(seed, sizeof(seed));
}

void crypto_signature(const unsigned char secret[static CRYPTO_SIGN_SECRET], struct str text,
                      unsigned char ret[static CRYPTO_SIGNATURE]) {
    crypto_sign_detached(ret, NULL, bytes_of(text), text.len, secret);
}

bool crypto_verify(const unsigned char public_key[static CRYPTO_SIGN_PUBLIC], struct str text,
                   const unsigned char signature[static CRYPTO_SIGNATURE]) {
    return crypto_sign_verify_detached(signature, bytes_of(text), text.len, public_key) == 0;
}
