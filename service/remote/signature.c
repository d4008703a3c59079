#include "remote/signature.h"

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

void webhook_public_text(const struct keyring *keyring, int64_t number, struct buf *ret) {
    unsigned char public[CRYPTO_SIGN_PUBLIC], secret[CRYPTO_SIGN_SECRET];

    crypto_sign_pair(keyring->keys[CRYPTO_SIGNING], (uint64_t)number, public, secret);
    explicit_bzero(secret, sizeof(secret));
    buf_text(ret, "whpk_");
    buf_base64(ret, public, sizeof(public));
}

void webhook_keys_set(struct webhook_keys *keys, const struct keyring *keyring,
                      const int64_t *numbers, size_t n) {
    unsigned char public[CRYPTO_SIGN_PUBLIC];

    n = n < WEBHOOK_KEYS ? n : WEBHOOK_KEYS;
    if (keys->n == n && (n == 0 || memcmp(keys->numbers, numbers, n * sizeof(*numbers)) == 0))
        return;
    explicit_bzero(keys, sizeof(*keys));
    for (keys->n = 0; keys->n < n; keys->n++) {
        keys->numbers[keys->n] = numbers[keys->n];
        crypto_sign_pair(keyring->keys[CRYPTO_SIGNING], (uint64_t)numbers[keys->n], public,
                         keys->secrets[keys->n]);
    }
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
