/* Gives an access token for an API key (OAuth 2.0 client credentials), with the scopes that were
 * asked for. */
#include "app/access_token.h"
#include "app/sign_in.h"

#include <stdio.h>
#include <string.h>

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
    unsigned scope;
    bool first = true;
    buf_format(body, "{\"access_token\":\"%s\",\"token_type\":\"Bearer\",\"expires_in\":%d", token,
               seconds);
    for (size_t i = 0; scope_names[i]; i++) {
        if (!scope_by_name(str_of(scope_names[i]), &scope) || (scopes & scope) == 0)
            continue;
        buf_format(body, "%s%s", first ? ",\"scope\":\"" : " ", scope_names[i]);
        first = false;
    }
    buf_text(body, first ? "}" : "\"}");
}

static bool give(struct app *app, const struct principal *client, unsigned scopes, struct buf *body,
                 struct err *err) {
    struct access_token token = {.secret_no = client->secret_no, .scopes = scopes};
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
                        struct principal *ret, struct err *err) {
    const struct sign_in sign_in = {.app = app, .token = request->client_secret, .when = when};
    if (!key_find(&sign_in, ret, err))
        return false;
    struct uuid given, has;
    return (uuid_parse(request->client_id, &given) && uuid_parse(str_of(ret->id), &has) &&
            memcmp(given.bytes, has.bytes, sizeof given.bytes) == 0) ||
           err_set(err, PROBLEM_UNAUTHENTICATED, "The key has another id.");
}

/* What is wrong if the next step finds that it is. */
static void suspect(struct oauth_answer *ret, enum oauth_error error, const char *why) {
    ret->error = error;
    ret->why = why;
}

bool oauth_grant(struct app *app, const struct oauth_request *request, deadline when,
                 struct oauth_answer *ret, struct err *err) {
    struct principal client;
    unsigned scopes = 0;
    suspect(ret, OAUTH_INVALID_REQUEST, "grant_type is missing.");
    if (!request->grant_type.ptr)
        return true;
    suspect(ret, OAUTH_UNSUPPORTED_GRANT_TYPE, "The only grant type is client_credentials.");
    if (!str_is(request->grant_type, "client_credentials"))
        return true;
    suspect(ret, OAUTH_INVALID_CLIENT,
            "There is no such client, or its secret is wrong or has expired.");
    if (!request->client_id.ptr || !request->client_secret.ptr)
        return true;
    if (!find_client(app, request, when, &client, err))
        return err->problem == PROBLEM_UNAUTHENTICATED;
    suspect(ret, OAUTH_INVALID_SCOPE, "The scope is unknown, or more than the client has.");
    if (!read_scope(request->scope, client.scopes, &scopes))
        return true;
    ret->error = OAUTH_FINE;
    return give(app, &client, scopes, ret->body, err);
}
