#include "app/access_token.h"

#include "app/sign_in.h"

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
    keyring_seal(keyring, CRYPTO_TOKENS, CONTEXT, (struct str){(const char *)plain, sizeof plain},
                 &sealed);
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
        !keyring_open(keyring, CRYPTO_TOKENS, CONTEXT, (struct str){(const char *)sealed, len},
                      &arena, &plain))
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

/* ---- client credentials ---- */

/* Scopes are a list with spaces (RFC 6749 section 3.3). False: unknown, or more than the key has.
 */
static bool read_scope(struct str list, unsigned has, unsigned *ret) {
    struct str name;
    unsigned scope;
    *ret = 0;
    while (list.len > 0 && str_split(&list, ' ', &name)) {
        if (name.len == 0)
            continue;
        if (!scope_by_name(name, &scope) || (has != 0 && (has & scope) == 0))
            return false;
        *ret |= scope;
    }
    if (*ret == 0)
        *ret = has;
    return true;
}

static void write_answer(const char *token, int seconds, unsigned scopes, struct buf *body) {
    static const char *const names[] = {"read", "write", "recognition", "sync"};
    unsigned scope;
    bool first = true;
    buf_format(body, "{\"access_token\":\"%s\",\"token_type\":\"Bearer\",\"expires_in\":%d", token,
               seconds);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!scope_by_name(str_of(names[i]), &scope) || (scopes & scope) == 0)
            continue;
        buf_format(body, "%s%s", first ? ",\"scope\":\"" : " ", names[i]);
        first = false;
    }
    buf_text(body, first ? "}" : "\"}");
}

static bool give(struct app *app, const struct principal *client, int64_t secret_no,
                 unsigned scopes, struct buf *body, struct err *err) {
    struct access_token token = {.secret_no = secret_no, .scopes = scopes};
    char text[ACCESS_TOKEN_TEXT];
    int seconds = app->config->oauth_seconds;
    token.expires_us = clock_wall(app->clock) + (int64_t)seconds * 1000000;
    snprintf(token.key_id, sizeof token.key_id, "%s", client->id);
    if (!access_token_make(app->keyring, &token, text))
        return err_memory(err);
    write_answer(text, seconds, scopes, body);
    return true;
}

/* The client's secret names the key; the id must be that key's. */
static bool find_client(struct app *app, const struct oauth_request *request, deadline when,
                        struct principal *ret, int64_t *ret_no, struct err *err) {
    if (!key_find(app, request->client_secret, false, when, ret, ret_no, err))
        return false;
    struct uuid given, has;
    return (uuid_parse(request->client_id, &given) && uuid_parse(str_of(ret->id), &has) &&
            memcmp(given.bytes, has.bytes, sizeof given.bytes) == 0) ||
           err_set(err, PROBLEM_UNAUTHENTICATED, "The key has another id.");
}

bool oauth_grant(struct app *app, const struct oauth_request *request, deadline when,
                 enum oauth_error *ret, const char **ret_why, struct buf *body, struct err *err) {
    struct principal client;
    unsigned scopes = 0;
    int64_t secret_no = 0;
    *ret = OAUTH_INVALID_REQUEST;
    *ret_why = "grant_type is missing.";
    if (!request->grant_type.ptr)
        return true;
    *ret = OAUTH_UNSUPPORTED_GRANT_TYPE;
    *ret_why = "The only grant type is client_credentials.";
    if (!str_is(request->grant_type, "client_credentials"))
        return true;
    *ret = OAUTH_INVALID_CLIENT;
    *ret_why = "There is no such client, or its secret is wrong or has expired.";
    if (!request->client_id.ptr || !request->client_secret.ptr)
        return true;
    if (!find_client(app, request, when, &client, &secret_no, err))
        return err->problem == PROBLEM_UNAUTHENTICATED;
    *ret = OAUTH_INVALID_SCOPE;
    *ret_why = "The scope is unknown, or more than the client has.";
    if (!read_scope(request->scope, client.scopes, &scopes))
        return true;
    *ret = OAUTH_FINE;
    return give(app, &client, secret_no, scopes, body, err);
}
