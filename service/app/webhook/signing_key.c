/* Makes webhook secrets and the seeds of signing keys, and keeps them sealed. A secret is put into
 * an answer only as the answer leaves; the copy of the answer that is kept for replays holds the
 * secret sealed. */
#include "webhook/signing_key.h"

#include "remote/signature.h"

#include <stdio.h>
#include <string.h>

#define SEALED_MEMBER ",\"secret\":\"sealed:"

/* What is kept for replays of this request. */
static struct str shown_context(const struct action *action) {
    struct str key = action->idempotency_key;
    const char *text =
        arena_format(action->arena, "idempotency|%.*s|body", (int)key.len, key.ptr ? key.ptr : "");
    return str_of(text);
}

static bool seal(struct action *action, struct str context, struct str plain, bool hex,
                 struct str *ret) {
    CLEANUP(buf_release) struct buf sealed = {.max = 256};
    CLEANUP(buf_release) struct buf text = {.max = 520};

    keyring_seal(action->app->keyring, (struct seal){CRYPTO_SECRETS, context}, plain, &sealed);
    if (!buf_ok(&sealed))
        return false;
    if (hex) {
        buf_text(&text, "\\x");
        buf_hex(&text, sealed.ptr, sealed.len);
    } else {
        buf_base64url(&text, sealed.ptr, sealed.len);
    }
    *ret = arena_str(action->arena, buf_str(&text));
    return ret->ptr != NULL;
}

bool secret_add(struct action *action, struct tx *tx, struct str endpoint_id, struct str *ret_shown,
                struct err *err) {
    unsigned char secret[WEBHOOK_SECRET];
    char id[UUID_TEXT], context[64];
    struct uuid uuid = uuid_v7(action->app->clock, action->app->randomness);
    struct str sealed = STR_ABSENT;
    struct str plain = {(char *)secret, sizeof(secret)};

    uuid_text(&uuid, id);
    snprintf(context, sizeof(context), "webhook_secret|%s|sealed", id);
    random_fill(action->app->randomness, secret, sizeof(secret));
    bool ok = seal(action, str_of(context), plain, true, &sealed) &&
              seal(action, shown_context(action), plain, false, ret_shown);
    explicit_bzero(secret, sizeof(secret));
    if (!ok)
        return err_memory(err);
    const struct str params[] = {str_of(id), endpoint_id, sealed};
    tx_query(tx,
             "insert into webhook_secret (id, endpoint_id, sealed)"
             " values ($1::uuid, $2::uuid, $3::bytea)",
             params, 3);
    return true;
}

bool secret_keep_seed(struct action *action, struct tx *tx, int64_t number, struct err *err) {
    unsigned char seed[CRYPTO_KEY];
    char context[WEBHOOK_KEY_CONTEXT], text[24];
    struct str sealed = STR_ABSENT;

    random_fill(action->app->randomness, seed, sizeof(seed));
    bool ok = seal(action, webhook_key_context(number, context),
                   (struct str){(char *)seed, sizeof(seed)}, true, &sealed);
    explicit_bzero(seed, sizeof(seed));
    if (!ok)
        return err_memory(err);
    snprintf(text, sizeof(text), "%lld", (long long)number);
    const struct str params[] = {str_of(text), sealed};
    tx_query(tx, "update webhook_key set sealed = $2::bytea where number = $1::int", params, 2);
    return true;
}

void secret_show(struct buf *body, struct str shown) {
    if (!buf_ok(body) || body->len == 0)
        return;
    body->len--; /* the closing brace */
    buf_text(body, SEALED_MEMBER);
    buf_put(body, shown);
    buf_text(body, "\"}");
}

/* The text between the marker and the closing quote. */
bool secret_find(struct str body, struct str *ret) {
    const char *at = memmem(body.ptr, body.len, SEALED_MEMBER, strlen(SEALED_MEMBER));

    if (at == NULL)
        return false;
    at += strlen(SEALED_MEMBER);
    const char *end = memchr(at, '"', (size_t)(body.ptr + body.len - at));
    if (end == NULL)
        return false;
    *ret = (struct str){at, (size_t)(end - at)};
    return true;
}

static bool open_sealed(struct action *action, struct str text, struct str *ret) {
    unsigned char sealed[256];
    size_t len;

    return base64url_decode(text, sealed, sizeof(sealed), &len) &&
           keyring_open(action->app->keyring, (struct seal){CRYPTO_SECRETS, shown_context(action)},
                        (struct str){(char *)sealed, len}, action->arena, ret);
}

bool secret_reveal(struct action *action, struct buf *body, struct err *err) {
    CLEANUP(buf_release) struct buf whole = {.max = body->max};
    struct str sealed, secret;

    if (!buf_ok(body) || body->len == 0)
        return err_memory(err);
    if (!secret_find(buf_str(body), &sealed) || !open_sealed(action, sealed, &secret)) {
        err_set(err, PROBLEM_INTERNAL, "The secret cannot be shown again. Rotate it.");
        return err_cause(err, "the answer that was kept does not open with this master key");
    }
    const char *rest = sealed.ptr + sealed.len;
    buf_add(&whole, body->ptr, (size_t)(sealed.ptr - body->ptr) - strlen("sealed:"));
    webhook_secret_text(secret, &whole);
    buf_add(&whole, rest, (size_t)(body->ptr + body->len - rest));
    if (!buf_ok(&whole))
        return err_memory(err);
    /* The sealed text goes with the old buffer. */
    struct buf old = *body;
    *body = whole;
    whole = old;
    return true;
}
