/* Signs webhooks by Standard Webhooks: HMAC-SHA256 with the endpoint's secret (v1) and Ed25519 with
 * kamd's key pairs (v1a). Opens the secrets and seeds that the database holds sealed. */
#include "remote/signature.h"

#include <stdio.h>
#include <string.h>

void webhook_secret_text(struct str secret, struct buf *ret) {
    buf_text(ret, "whsec_");
    buf_base64(ret, secret.ptr, secret.len);
}

void webhook_sign(struct str secret, struct str id, struct str timestamp, struct str body,
                  struct buf *ret) {
    const struct str parts[] = {id, STR("."), timestamp, STR("."), body};
    unsigned char mac[CRYPTO_SHA256];

    hmac_sha256(secret.ptr, secret.len, parts, COUNT_OF(parts), mac);
    if (ret->len > 0)
        buf_char(ret, ' ');
    buf_text(ret, "v1,");
    buf_base64(ret, mac, sizeof(mac));
}

bool webhook_secret_open(const struct keyring *keyring, struct str id, struct str sealed,
                         struct arena *arena, struct str *ret) {
    char context[64];

    snprintf(context, sizeof(context), "webhook_secret|%.40s|sealed", id.ptr);
    if (!keyring_open(keyring, (struct seal){CRYPTO_SECRETS, str_of(context)}, sealed, arena,
                      ret)) {
        /* As it was when sealed values had no mark. */
        snprintf(context, sizeof(context), "webhook_secret|%.40s", id.ptr);
        if (!keyring_open(keyring, (struct seal){CRYPTO_SECRETS, str_of(context)}, sealed, arena,
                          ret))
            return false;
    }
    return ret->len == WEBHOOK_SECRET;
}

struct str webhook_header_context(struct str id, char ret[static WEBHOOK_HEADER_CONTEXT]) {
    int len = snprintf(ret, WEBHOOK_HEADER_CONTEXT, "webhook_header|%.36s|sealed", id.ptr);
    return (struct str){ret, (size_t)len};
}

struct str webhook_key_context(int64_t number, char ret[static WEBHOOK_KEY_CONTEXT]) {
    int len = snprintf(ret, WEBHOOK_KEY_CONTEXT, "webhook_key|%lld|sealed", (long long)number);
    return (struct str){ret, (size_t)len};
}

static bool seed_of(const struct keyring *keyring, const struct webhook_key *key,
                    unsigned char ret[static CRYPTO_KEY]) {
    struct arena arena CLEANUP(arena_release) = {0};
    char context[WEBHOOK_KEY_CONTEXT];
    unsigned char sealed[CRYPTO_MARK + CRYPTO_KEY + CRYPTO_SEAL_EXTRA];
    size_t len;
    struct str plain;

    if (!key->sealed.ptr) {
        crypto_sign_seed(keyring->keys[CRYPTO_SIGNING], (uint64_t)key->number, ret);
        return true;
    }
    arena_init(&arena, 4096);
    if (!bytea_decode(key->sealed, sealed, sizeof(sealed), &len) ||
        !keyring_open(keyring,
                      (struct seal){CRYPTO_SECRETS, webhook_key_context(key->number, context)},
                      (struct str){(char *)sealed, len}, &arena, &plain) ||
        plain.len != CRYPTO_KEY)
        return false;
    memcpy(ret, plain.ptr, CRYPTO_KEY);
    explicit_bzero((char *)(uintptr_t)plain.ptr, plain.len);
    return true;
}

bool webhook_public_text(const struct keyring *keyring, const struct webhook_key *key,
                         struct buf *ret) {
    unsigned char public[CRYPTO_SIGN_PUBLIC], secret[CRYPTO_SIGN_SECRET], seed[CRYPTO_KEY];

    if (!seed_of(keyring, key, seed))
        return false;
    crypto_sign_seeded(seed, public, secret);
    explicit_bzero(seed, sizeof(seed));
    explicit_bzero(secret, sizeof(secret));
    buf_text(ret, "whpk_");
    buf_base64(ret, public, sizeof(public));
    return true;
}

static bool same_keys(const struct webhook_keys *keys, const struct webhook_key *rows, size_t n) {
    bool same = keys->n == n;
    for (size_t i = 0; same && i < n; i++)
        same = keys->numbers[i] == rows[i].number;
    return same;
}

bool webhook_keys_set(struct webhook_keys *keys, const struct keyring *keyring,
                      const struct webhook_key *rows, size_t n) {
    unsigned char public[CRYPTO_SIGN_PUBLIC], seed[CRYPTO_KEY];

    n = n < WEBHOOK_KEYS ? n : WEBHOOK_KEYS;
    if (same_keys(keys, rows, n))
        return false;
    explicit_bzero(keys, sizeof(*keys));
    for (size_t i = 0; i < n; i++) {
        if (!seed_of(keyring, &rows[i], seed))
            continue;
        keys->numbers[keys->n] = rows[i].number;
        crypto_sign_seeded(seed, public, keys->secrets[keys->n++]);
    }
    explicit_bzero(seed, sizeof(seed));
    return true;
}

void webhook_sign_public(const struct webhook_keys *keys, struct str id, struct str timestamp,
                         struct str body, struct buf *ret) {
    struct buf text CLEANUP(buf_release) = {0};
    unsigned char signature[CRYPTO_SIGNATURE];

    buf_init(&text, id.len + timestamp.len + body.len + 64);
    buf_put(&text, id);
    buf_char(&text, '.');
    buf_put(&text, timestamp);
    buf_char(&text, '.');
    buf_put(&text, body);
    ret->failed |= !buf_ok(&text);
    for (size_t i = 0; buf_ok(&text) && i < keys->n; i++) {
        crypto_signature(keys->secrets[i], buf_str(&text), signature);
        if (ret->len > 0)
            buf_char(ret, ' ');
        buf_text(ret, "v1a,");
        buf_base64(ret, signature, sizeof(signature));
    }
}
