#include "core/crypto.h"

#include <sodium.h>
#include <string.h>

_Static_assert(CRYPTO_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key size");
_Static_assert(CRYPTO_KEY == crypto_kdf_KEYBYTES, "master key size");
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

/* The key in base64, padded or not; either alphabet's last two characters are the standard one's.
 */
static bool master_decode(struct str text, unsigned char ret[static CRYPTO_KEY]) {
    size_t len;
    char padded[44];

    if (text.len == 43) {
        memcpy(padded, text.ptr, text.len);
        padded[43] = '=';
        text = (struct str){padded, sizeof(padded)};
    }
    bool ok = base64_decode(text, ret, CRYPTO_KEY, &len) && len == CRYPTO_KEY;
    sodium_memzero(padded, sizeof(padded));
    return ok;
}

bool keyring_init(struct keyring *ret, struct str master, struct err *err) {
    static const char context[crypto_kdf_CONTEXTBYTES + 1] = "kamdkeys";
    unsigned char key[CRYPTO_KEY];

    if (!master_decode(master, key)) {
        sodium_memzero(key, sizeof(key));
        return err_add(err, PROBLEM_VALIDATION, ERR_AT_PARAMETER, "KAMD_MASTER_KEY", "invalid",
                       "KAMD_MASTER_KEY must be 32 random bytes in base64, as `openssl rand "
                       "-base64 32` prints them.");
    }
    memset(ret, 0, sizeof(*ret));
    for (unsigned use = CRYPTO_CURSOR; use < CRYPTO_USES; use++)
        crypto_kdf_derive_from_key(ret->keys[use], CRYPTO_KEY, use, context, key);
    sodium_memzero(key, sizeof(key));
    return true;
}

void keyring_wipe(struct keyring *keyring) { sodium_memzero(keyring, sizeof(*keyring)); }

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

void crypto_sign_pair(const unsigned char key[static CRYPTO_KEY], uint64_t number,
                      unsigned char ret_public[static CRYPTO_SIGN_PUBLIC],
                      unsigned char ret_secret[static CRYPTO_SIGN_SECRET]) {
    static const char context[crypto_kdf_CONTEXTBYTES + 1] = "kamdsign";
    unsigned char seed[crypto_sign_SEEDBYTES];

    crypto_kdf_derive_from_key(seed, sizeof(seed), number, context, key);
    crypto_sign_seed_keypair(ret_public, ret_secret, seed);
    sodium_memzero(seed, sizeof(seed));
}

void crypto_signature(const unsigned char secret[static CRYPTO_SIGN_SECRET], struct str text,
                      unsigned char ret[static CRYPTO_SIGNATURE]) {
    crypto_sign_detached(ret, NULL, bytes_of(text), text.len, secret);
}
