/* The keyring of crypto.h: derives a key for each use from each master key, and seals and opens
 * values. A sealed value begins with a mark that names its master key. */
#include "core/crypto.h"

#include <sodium.h>
#include <string.h>

_Static_assert(CRYPTO_KEY == crypto_kdf_KEYBYTES, "master key size");
_Static_assert(CRYPTO_KEY_ID <= crypto_kdf_BYTES_MIN, "an id is the beginning of a derived key");

/* Before nonce and ciphertext: which format, which master key. */
#define FORMAT 1

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

static void derive(struct keyring *ring, const unsigned char master[static CRYPTO_KEY]) {
    static const char keys[crypto_kdf_CONTEXTBYTES + 1] = "kamdkeys";
    static const char names[crypto_kdf_CONTEXTBYTES + 1] = "kamdname";
    unsigned char name[crypto_kdf_BYTES_MIN];
    size_t at = ring->n_masters++;

    for (unsigned use = CRYPTO_CURSOR; use < CRYPTO_USES; use++)
        crypto_kdf_derive_from_key(at == 0 ? ring->keys[use] : ring->older[at - 1][use], CRYPTO_KEY,
                                   use, keys, master);
    crypto_kdf_derive_from_key(name, sizeof(name), 1, names, master);
    memcpy(ring->ids[at], name, CRYPTO_KEY_ID);
}

/* Comma or line end between two of them. */
static bool next_master(struct str *rest, struct str *ret) {
    if (!rest->ptr)
        return false;
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != ',' && rest->ptr[len] != '\n')
        len++;
    *ret = str_trim((struct str){rest->ptr, len});
    bool last = len == rest->len;
    *rest = last ? STR_ABSENT : (struct str){rest->ptr + len + 1, rest->len - len - 1};
    return true;
}

bool keyring_init(struct keyring *ret, struct str masters, struct err *err) {
    unsigned char key[CRYPTO_KEY];
    struct str one;
    bool fine = masters.len > 0;

    memset(ret, 0, sizeof(*ret));
    while (fine && next_master(&masters, &one)) {
        fine = ret->n_masters < CRYPTO_MASTERS && master_decode(one, key);
        if (fine)
            derive(ret, key);
        sodium_memzero(key, sizeof(key));
    }
    if (fine)
        return true;
    keyring_wipe(ret);
    return err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("KAMD_MASTER_KEY"), "invalid",
                   "KAMD_MASTER_KEY must be 32 random bytes in base64, as `openssl rand "
                   "-base64 32` prints them; or up to %d of them, newest first.",
                   CRYPTO_MASTERS);
}

void keyring_wipe(struct keyring *keyring) { sodium_memzero(keyring, sizeof(*keyring)); }

void keyring_mark(const struct keyring *keyring, unsigned char ret[static CRYPTO_MARK]) {
    ret[0] = FORMAT;
    memcpy(ret + 1, keyring->ids[0], CRYPTO_KEY_ID);
}

bool keyring_is_newest(const struct keyring *keyring, struct str sealed) {
    unsigned char mark[CRYPTO_MARK];

    keyring_mark(keyring, mark);
    return sealed.len > CRYPTO_MARK && memcmp(sealed.ptr, mark, CRYPTO_MARK) == 0;
}

void keyring_seal(const struct keyring *keyring, struct seal seal, struct str plain,
                  struct buf *ret) {
    unsigned char mark[CRYPTO_MARK];

    keyring_mark(keyring, mark);
    buf_add(ret, mark, sizeof(mark));
    crypto_seal(keyring->keys[seal.use], seal.context, plain, ret);
}

static const unsigned char *key_of(const struct keyring *ring, size_t at, enum crypto_use use) {
    return at == 0 ? ring->keys[use] : ring->older[at - 1][use];
}

bool keyring_open(const struct keyring *keyring, struct seal seal, struct str sealed,
                  struct arena *arena, struct str *ret_plain) {
    for (size_t i = 0; i < keyring->n_masters; i++) {
        const unsigned char *key = key_of(keyring, i, seal.use);
        const struct str rest = {sealed.ptr + CRYPTO_MARK, sealed.len - CRYPTO_MARK};
        if (sealed.len > CRYPTO_MARK && (unsigned char)sealed.ptr[0] == FORMAT &&
            memcmp(sealed.ptr + 1, keyring->ids[i], CRYPTO_KEY_ID) == 0 &&
            crypto_open(key, seal.context, rest, arena, ret_plain))
            return true;
    }
    /* Sealed before there were marks. */
    for (size_t i = 0; i < keyring->n_masters; i++)
        if (crypto_open(key_of(keyring, i, seal.use), seal.context, sealed, arena, ret_plain))
            return true;
    return false;
}
