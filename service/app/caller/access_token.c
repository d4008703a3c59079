/* Makes and reads kamd's own access tokens: the id of the API key, the number of its secret, the
 * scopes and the expiry, packed into 32 bytes, sealed with the keyring and written in base64url. */
#include "app/access_token.h"

#include <stdio.h>
#include <string.h>

#define CONTEXT STR("access token 1")
#define PLAIN 32
#define SEALED (CRYPTO_MARK + PLAIN + CRYPTO_SEAL_EXTRA)

static void put(unsigned char *at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

bool access_token_make(const struct keyring *keyring, const struct access_token *token,
                       char ret[static ACCESS_TOKEN_TEXT]) {
    struct buf sealed CLEANUP(buf_release), text CLEANUP(buf_release);
    unsigned char plain[PLAIN];
    struct uuid id;
    buf_init(&sealed, SEALED);
    buf_init(&text, ACCESS_TOKEN_TEXT - 1);
    if (!uuid_parse(str_of(token->key_id), &id))
        return false;
    memcpy(plain, id.bytes, sizeof id.bytes);
    put(plain + 16, (uint64_t)token->secret_no, 4);
    put(plain + 20, token->scopes, 4);
    put(plain + 24, (uint64_t)token->expires_us, 8);
    keyring_seal(keyring, (struct seal){CRYPTO_TOKENS, CONTEXT},
                 (struct str){(const char *)plain, sizeof plain}, &sealed);
    buf_text(&text, ACCESS_TOKEN_PREFIX);
    if (buf_ok(&sealed))
        buf_base64url(&text, sealed.ptr, sealed.len);
    if (!buf_ok(&sealed) || !buf_ok(&text))
        return false;
    snprintf(ret, ACCESS_TOKEN_TEXT, "%s", text.ptr);
    return true;
}

bool access_token_read(const struct keyring *keyring, struct str text, struct access_token *ret) {
    struct arena arena CLEANUP(arena_release);
    unsigned char sealed[SEALED];
    size_t prefix = sizeof ACCESS_TOKEN_PREFIX - 1, len = 0;
    struct str plain;
    arena_init(&arena, 4096);
    if (!str_starts(text, ACCESS_TOKEN_PREFIX) ||
        !base64url_decode((struct str){text.ptr + prefix, text.len - prefix}, sealed, sizeof sealed,
                          &len) ||
        len != SEALED ||
        !keyring_open(keyring, (struct seal){CRYPTO_TOKENS, CONTEXT},
                      (struct str){(const char *)sealed, len}, &arena, &plain))
        return false;
    const unsigned char *bytes = (const unsigned char *)plain.ptr;
    struct uuid id;
    memcpy(id.bytes, bytes, sizeof id.bytes);
    uuid_text(&id, ret->key_id);
    ret->secret_no = (int64_t)get(bytes + 16, 4);
    ret->scopes = (unsigned)get(bytes + 20, 4);
    ret->expires_us = (int64_t)get(bytes + 24, 8);
    return true;
}
