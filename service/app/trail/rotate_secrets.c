/* Seals all secrets in the database anew with the newest master key: webhook secrets and headers,
 * signing seeds, audit keys, and secrets in answers that are kept for replays. Each batch is a
 * transaction of its own, so that the rotation can be stopped and started again. */
#include "app/rotate_secrets.h"

#include "app/audit.h"
#include "remote/signature.h"
#include "store/store.h"
#include "webhook/signing_key.h"

#include <stdio.h>
#include <string.h>

#define BATCH "100"
#define BATCH_MS 10000
#define ARENA_BYTES ((size_t)64 << 20)
#define VALUE_MAX 4096

/* One kind of sealed value. The texts are those of rows: id, value; ordered by id, above $1. */
struct kind {
    const char *select; /* $1 the last id seen, or NULL; $2 the newest key's mark */
    const char *update; /* $1 id, $2 the new value, $3 the old one: else somebody was faster */
    bool (*renew)(const struct keyring *keyring, struct str id, struct str value,
                  struct arena *arena, struct str *ret);
};

/* ---- values ---- */

/* Absent: no memory. */
static struct str reseal(const struct keyring *keyring, struct str context, struct str plain,
                         struct arena *arena, bool bytea) {
    CLEANUP(buf_release) struct buf sealed = {.max = VALUE_MAX};
    CLEANUP(buf_release) struct buf text = {.max = 2 * VALUE_MAX + 2};

    keyring_seal(keyring, (struct seal){CRYPTO_SECRETS, context}, plain, &sealed);
    if (bytea) {
        buf_text(&text, "\\x");
        buf_hex(&text, sealed.ptr, sealed.len);
    } else {
        buf_base64url(&text, sealed.ptr, sealed.len);
    }
    return buf_ok(&sealed) && buf_ok(&text) ? arena_str(arena, buf_str(&text)) : STR_ABSENT;
}

static bool take_bytea(struct str value, unsigned char room[static VALUE_MAX], struct str *ret) {
    size_t len;
    if (!bytea_decode(value, room, VALUE_MAX, &len))
        return false;
    *ret = (struct str){(char *)room, len};
    return true;
}

static bool renew_bytea(const struct keyring *keyring, struct str context, struct str value,
                        struct arena *arena, struct str *ret) {
    unsigned char room[VALUE_MAX];
    struct str sealed, plain;
    if (!take_bytea(value, room, &sealed) ||
        !keyring_open(keyring, (struct seal){CRYPTO_SECRETS, context}, sealed, arena, &plain))
        return false;
    *ret = reseal(keyring, context, plain, arena, true);
    return ret->ptr != NULL;
}

static bool renew_secret(const struct keyring *keyring, struct str id, struct str value,
                         struct arena *arena, struct str *ret) {
    unsigned char room[VALUE_MAX];
    struct str sealed, plain;
    const char *context = arena_format(arena, "webhook_secret|%.*s|sealed", STR_ARG(id));
    if (!context || !take_bytea(value, room, &sealed) ||
        !webhook_secret_open(keyring, id, sealed, arena, &plain))
        return false;
    *ret = reseal(keyring, str_of(context), plain, arena, true);
    return ret->ptr != NULL;
}

static bool renew_header(const struct keyring *keyring, struct str id, struct str value,
                         struct arena *arena, struct str *ret) {
    char context[WEBHOOK_HEADER_CONTEXT];
    return renew_bytea(keyring, webhook_header_context(id, context), value, arena, ret);
}

static bool renew_seed(const struct keyring *keyring, struct str id, struct str value,
                       struct arena *arena, struct str *ret) {
    char context[WEBHOOK_KEY_CONTEXT];
    int64_t number;
    return str_to_i64(id, &number) &&
           renew_bytea(keyring, webhook_key_context(number, context), value, arena, ret);
}

static bool renew_audit_key(const struct keyring *keyring, struct str id, struct str value,
                            struct arena *arena, struct str *ret) {
    char context[AUDIT_KEY_CONTEXT];
    return renew_bytea(keyring, audit_key_context(id, context), value, arena, ret);
}

/* The answer that is kept for replays, with the secret sealed inside. */
static bool renew_answer(const struct keyring *keyring, struct str id, struct str value,
                         struct arena *arena, struct str *ret) {
    unsigned char room[VALUE_MAX];
    struct str inside, plain;
    size_t len;
    struct str principal, key = id;
    if (!str_split(&key, ' ', &principal) || !key.ptr)
        return false;
    const char *context = arena_format(arena, "idempotency|%.*s|body", STR_ARG(key));
    if (!context || !secret_find(value, &inside) ||
        !base64url_decode(inside, room, sizeof(room), &len) ||
        !keyring_open(keyring, (struct seal){CRYPTO_SECRETS, str_of(context)},
                      (struct str){(char *)room, len}, arena, &plain))
        return false;
    struct str again = reseal(keyring, str_of(context), plain, arena, false);
    if (!again.ptr)
        return false;
    size_t before = (size_t)(inside.ptr - value.ptr);
    *ret = str_of(arena_format(arena, "%.*s%.*s%.*s", (int)before, value.ptr, STR_ARG(again),
                               (int)(value.len - before - inside.len), inside.ptr + inside.len));
    return ret->ptr != NULL;
}

/* Of answers all are sealed anew, each time: they live a day, and their mark is inside the text. */
static const struct kind kinds[] = {
    {"select id, sealed from webhook_secret where ($1::uuid is null or id > $1::uuid)"
     " and substring(sealed from 1 for 5) <> $2::bytea order by id limit " BATCH,
     "update webhook_secret set sealed = $2::bytea where id = $1::uuid and sealed = $3::bytea",
     renew_secret},
    {"select id, sealed from webhook_header where ($1::uuid is null or id > $1::uuid)"
     " and substring(sealed from 1 for 5) <> $2::bytea order by id limit " BATCH,
     "update webhook_header set sealed = $2::bytea where id = $1::uuid and sealed = $3::bytea",
     renew_header},
    {"select number, sealed from webhook_key where ($1::int is null or number > $1::int)"
     " and substring(sealed from 1 for 5) <> $2::bytea order by number limit " BATCH,
     "update webhook_key set sealed = $2::bytea where number = $1::int and sealed = $3::bytea",
     renew_seed},
    {"select id, sealed from audit_key where ($1::text is null or id > $1::text)"
     " and substring(sealed from 1 for 5) <> $2::bytea order by id limit " BATCH,
     "update audit_key set sealed = $2::bytea where id = $1::text and sealed = $3::bytea",
     renew_audit_key},
    {"select principal || ' ' || key, body from idempotency where"
     " ($1::text is null or principal || ' ' || key > $1::text) and $2::bytea is not null"
     " and strpos(body, ',\"secret\":\"sealed:') > 0 order by 1 limit " BATCH,
     "update idempotency set body = $2::text"
     " where principal || ' ' || key = $1::text and body = $3::text",
     renew_answer},
};

/* ---- rounds ---- */

static const struct tx_context console = {
    .scope = {"all", 3}, .actor = {"kamd", 4}, .origin = {"kamd", 4}};

#define ID_TEXT 400 /* a principal and an Idempotency-Key */

struct round {
    const struct keyring *keyring;
    const struct kind *kind;
    struct arena *arena;
    char mark[2 + 2 * CRYPTO_MARK + 1];
    char from[ID_TEXT]; /* the last id of the round before; "" at the beginning */
    char last[ID_TEXT]; /* of this one; "" when there was none */
    size_t sealed, lost;
};

/* May be repeated: what it tells is of the last time. */
static bool seal_next(struct tx *tx, struct round *round, struct err *err) {
    const struct kind *kind = round->kind;
    const struct str params[] = {round->from[0] ? str_of(round->from) : STR_ABSENT,
                                 str_of(round->mark)};
    size_t slot = tx_query(tx, kind->select, params, 2);
    arena_reset(round->arena);
    round->last[0] = '\0';
    round->sealed = round->lost = 0;
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        struct str id = tx_value(tx, slot, i, 0), old = tx_value(tx, slot, i, 1), renewed;
        snprintf(round->last, sizeof(round->last), "%.*s", STR_ARG(id));
        if (!kind->renew(round->keyring, id, old, round->arena, &renewed)) {
            round->lost++;
            continue;
        }
        const struct str values[] = {id, renewed, old};
        tx_query(tx, kind->update, values, 3);
        round->sealed++;
    }
    return tx_commit(tx, err);
}

static bool run_round(struct store *store, struct round *round, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    bool done;
    if (!(tx = tx_begin(store, TX_WRITE, &console, deadline_in_ms(BATCH_MS), err)))
        return false;
    do
        done = seal_next(tx, round, err);
    while (!done && tx_repeat(tx, err));
    return done;
}

static void mark_text(const struct keyring *keyring, char ret[static 2 + 2 * CRYPTO_MARK + 1]) {
    unsigned char mark[CRYPTO_MARK];
    keyring_mark(keyring, mark);
    snprintf(ret, 3, "\\x");
    for (size_t i = 0; i < CRYPTO_MARK; i++)
        snprintf(ret + 2 + 2 * i, 3, "%02x", mark[i]);
}

static bool rotate_kind(struct store *store, struct round *round, struct secrets_report *report,
                        struct err *err) {
    do {
        memcpy(round->from, round->last, sizeof(round->from));
        if (!run_round(store, round, err))
            return false;
        report->sealed += round->sealed;
        report->lost += round->lost;
    } while (round->last[0]);
    return true;
}

bool secrets_rotate(struct store *store, const struct keyring *keyring, struct secrets_report *ret,
                    struct err *err) {
    *ret = (struct secrets_report){.sealed = 0};
    if (!secrets_keep_seeds(store, keyring, deadline_in_ms(BATCH_MS), err))
        return false;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct arena arena CLEANUP(arena_release) = {0};
        arena_init(&arena, ARENA_BYTES);
        struct round round = {.keyring = keyring, .kind = &kinds[i], .arena = &arena};
        mark_text(keyring, round.mark);
        if (!rotate_kind(store, &round, ret, err))
            return false;
    }
    return true;
}

/* ---- seeds ---- */

static bool seal_seeds(struct tx *tx, const struct keyring *keyring, struct arena *arena,
                       struct err *err) {
    size_t slot =
        tx_query(tx, "select number from webhook_key where sealed is null for update", NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        unsigned char seed[CRYPTO_KEY];
        char context[WEBHOOK_KEY_CONTEXT];
        int64_t number = tx_int(tx, slot, i, 0);
        struct str values[] = {tx_value(tx, slot, i, 0), STR_ABSENT};
        crypto_sign_seed(keyring->keys[CRYPTO_SIGNING], (uint64_t)number, seed);
        values[1] = reseal(keyring, webhook_key_context(number, context),
                           (struct str){(char *)seed, sizeof(seed)}, arena, true);
        explicit_bzero(seed, sizeof(seed));
        if (!values[1].ptr)
            return err_memory(err);
        tx_query(tx, "update webhook_key set sealed = $2::bytea where number = $1::int", values, 2);
    }
    return tx_commit(tx, err);
}

bool secrets_keep_seeds(struct store *store, const struct keyring *keyring, deadline when,
                        struct err *err) {
    CLEANUP(arena_release) struct arena arena = {0};
    CLEANUP(tx_end) struct tx *tx = NULL;
    bool done;
    arena_init(&arena, (size_t)1 << 20);
    if (!(tx = tx_begin(store, TX_WRITE, &console, when, err)))
        return false;
    do
        done = seal_seeds(tx, keyring, &arena, err);
    while (!done && tx_repeat(tx, err));
    return done;
}
