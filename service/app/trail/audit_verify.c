/* Verifies the audit: SQL recomputes the hash chains, this file checks the signatures of their
 * anchors. */
#include "app/audit.h"
#include "app/program.h"
#include "app/query.h"
#include "base/operation.h"
#include "base/transaction.h"

#include <stdio.h>
#include <string.h>

#define ACCOUNTS_AT_ONCE 200
#define ANCHORS_AT_ONCE "500"
#define ANCHORS_OF_ACCOUNT "200"
#define BROKEN_SHOWN 100

/* ---- signatures ---- */

static void hex(const void *bytes, size_t len, char *ret, size_t room) {
    struct buf text;
    buf_init(&text, room);
    buf_hex(&text, bytes, len);
    snprintf(ret, room, "%s", buf_ok(&text) ? text.ptr : "");
    buf_release(&text);
}

/* The key is known by the beginning of its digest. */
static void key_id(const unsigned char public[static CRYPTO_SIGN_PUBLIC], char ret[static 17]) {
    unsigned char digest[CRYPTO_SHA256];
    sha256((struct str){(const char *)public, CRYPTO_SIGN_PUBLIC}, digest);
    hex(digest, 8, ret, 17);
}

struct str audit_key_context(struct str key_id, char ret[static AUDIT_KEY_CONTEXT]) {
    snprintf(ret, AUDIT_KEY_CONTEXT, "audit_key|%.*s|sealed", STR_ARG(key_id));
    return str_of(ret);
}

bool audit_sign(const struct keyring *keyring, struct str body, struct audit_signature *ret) {
    unsigned char public[CRYPTO_SIGN_PUBLIC], secret[CRYPTO_SIGN_SECRET];
    unsigned char signature[CRYPTO_SIGNATURE];
    char context[AUDIT_KEY_CONTEXT];
    struct buf sealed;
    crypto_sign_pair(keyring->keys[CRYPTO_AUDIT], 1, public, secret);
    crypto_signature(secret, body, signature);
    explicit_bzero(secret, sizeof secret);
    key_id(public, ret->key_id);
    hex(public, sizeof public, ret->public_key, sizeof ret->public_key);
    hex(signature, sizeof signature, ret->signature, sizeof ret->signature);
    buf_init(&sealed, 256);
    keyring_seal(keyring,
                 (struct seal){CRYPTO_SECRETS, audit_key_context(str_of(ret->key_id), context)},
                 (struct str){(const char *)public, sizeof public}, &sealed);
    bool fine = buf_ok(&sealed);
    if (fine)
        hex(sealed.ptr, sealed.len, ret->sealed, sizeof ret->sealed);
    buf_release(&sealed);
    return fine;
}

/* ---- keys ---- */

struct findings {
    const struct keyring *keyring;
    struct buf *broken; /* items of an array */
    size_t n_broken;
    int64_t accounts, changes, reads, anchors;
    char key_id[17]; /* whose key `public` is; "" when it is none of ours */
    unsigned char public[CRYPTO_SIGN_PUBLIC];
};

/* Whoever can write the table can write a key into it, but cannot seal it. */
static bool take_key(struct findings *findings, struct str id, struct str sealed) {
    struct arena arena CLEANUP(arena_release) = {0};
    unsigned char bytes[256];
    char context[AUDIT_KEY_CONTEXT];
    struct str plain;
    size_t len;
    if (id.ptr && str_is(id, findings->key_id))
        return true;
    arena_init(&arena, 4096);
    findings->key_id[0] = '\0';
    if (!id.ptr || id.len >= sizeof findings->key_id || !sealed.ptr ||
        !bytea_decode(sealed, bytes, sizeof bytes, &len) ||
        !keyring_open(findings->keyring,
                      (struct seal){CRYPTO_SECRETS, audit_key_context(id, context)},
                      (struct str){(char *)bytes, len}, &arena, &plain) ||
        plain.len != sizeof findings->public)
        return false;
    memcpy(findings->public, plain.ptr, plain.len);
    snprintf(findings->key_id, sizeof findings->key_id, "%.*s", STR_ARG(id));
    return true;
}

static bool signature_holds(struct findings *findings, struct str body, struct str signature,
                            struct str id, struct str sealed) {
    unsigned char bytes[CRYPTO_SIGNATURE];
    size_t len;
    return take_key(findings, id, sealed) && bytea_decode(signature, bytes, sizeof bytes, &len) &&
           len == sizeof bytes && crypto_verify(findings->public, body, bytes);
}

/* ---- anchors ---- */

/* A missing anchor has no body. */
#define ANCHOR_COLUMNS                                                                             \
    "case when a.number is null then 'anchor_missing' else audit_anchor_broken(a) end, a.body, "   \
    "a.signature, a.key_id, (select k.sealed from audit_key k where k.id = a.key_id)"
enum { ANCHOR_NUMBER, ANCHOR_PROBLEM, ANCHOR_BODY, ANCHOR_SIGNATURE, ANCHOR_KEY, ANCHOR_SEAL };

static void found(struct findings *findings, struct str item) {
    if (findings->n_broken++ >= BROKEN_SHOWN)
        return;
    buf_text(findings->broken, findings->n_broken > 1 ? "," : "");
    buf_put(findings->broken, item);
}

static void check_anchors(struct findings *findings, struct tx *tx, size_t slot) {
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        char item[256];
        struct str problem = tx_value(tx, slot, i, ANCHOR_PROBLEM);
        if (!problem.ptr &&
            !signature_holds(findings, tx_value(tx, slot, i, ANCHOR_BODY),
                             tx_value(tx, slot, i, ANCHOR_SIGNATURE),
                             tx_value(tx, slot, i, ANCHOR_KEY), tx_value(tx, slot, i, ANCHOR_SEAL)))
            problem = STR("anchor_signature");
        findings->anchors++;
        if (!problem.ptr)
            continue;
        snprintf(item, sizeof item,
                 "{\"account_id\":null,\"chain\":null,\"seq\":null,\"problem\":\"%.*s\","
                 "\"resource\":null,\"record_id\":null,\"anchor_no\":%lld}",
                 STR_ARG(problem), (long long)tx_int(tx, slot, i, ANCHOR_NUMBER));
        found(findings, str_of(item));
    }
}

/* The newest that hold the account's chains; each is checked whole. */
static bool anchors_of(struct findings *findings, struct tx *tx, struct str account_id,
                       struct err *err) {
    size_t slot = tx_query(
        tx,
        "select l.number, " ANCHOR_COLUMNS
        " from (select distinct f.number from audit_leaf f where f.account_id = $1::uuid order by "
        "f.number desc limit " ANCHORS_OF_ACCOUNT
        ") l left join audit_anchor a on a.number = l.number order by l.number",
        &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    check_anchors(findings, tx, slot);
    return true;
}

static bool all_anchors(struct findings *findings, struct tx *tx, struct err *err) {
    char after[24] = "0";
    for (size_t rows = 1; rows > 0;) {
        struct str from = str_of(after);
        size_t slot = tx_query(
            tx,
            "select n.number, " ANCHOR_COLUMNS
            " from (select u.number from (select number from audit_anchor union select number from "
            "audit_leaf union select number from audit_anchored) u where u.number > $1::bigint "
            "order by u.number limit " ANCHORS_AT_ONCE
            ") n left join audit_anchor a on a.number = n.number order by n.number",
            &from, 1);
        if (!tx_flush(tx, err))
            return false;
        check_anchors(findings, tx, slot);
        rows = tx_rows(tx, slot);
        if (rows > 0)
            snprintf(after, sizeof after, "%lld",
                     (long long)tx_int(tx, slot, rows - 1, ANCHOR_NUMBER));
    }
    return true;
}

/* ---- all of it ---- */

#define CHAINS_SQL                                                                                 \
    "select account_id, changes, reads, broken from audit_verify_some($1::uuid, $2::int)"
enum { CHAIN_ACCOUNT, CHAIN_CHANGES, CHAIN_READS, CHAIN_BROKEN };

static bool all_accounts(struct findings *findings, struct tx *tx, struct err *err) {
    char most[12], after[UUID_TEXT] = "";
    snprintf(most, sizeof most, "%d", ACCOUNTS_AT_ONCE);
    for (size_t rows = ACCOUNTS_AT_ONCE; rows == ACCOUNTS_AT_ONCE;) {
        struct str values[] = {after[0] ? str_of(after) : STR_ABSENT, str_of(most)};
        size_t slot = tx_query(tx, CHAINS_SQL, values, 2);
        if (!tx_flush(tx, err))
            return false;
        rows = tx_rows(tx, slot);
        for (size_t i = 0; i < rows; i++) {
            findings->accounts++;
            findings->changes += tx_int(tx, slot, i, CHAIN_CHANGES);
            findings->reads += tx_int(tx, slot, i, CHAIN_READS);
            if (tx_value(tx, slot, i, CHAIN_BROKEN).ptr)
                found(findings, tx_value(tx, slot, i, CHAIN_BROKEN));
            snprintf(after, sizeof after, "%s", tx_value(tx, slot, i, CHAIN_ACCOUNT).ptr);
        }
    }
    return true;
}

static bool verify_all(struct findings *findings, struct tx *tx, struct buf *ret, struct err *err) {
    if (!all_accounts(findings, tx, err) || !all_anchors(findings, tx, err))
        return false;
    buf_format(ret,
               "{\"valid\":%s,\"chains\":%lld,\"changes\":%lld,\"reads\":%lld,\"anchors\":%lld,"
               "\"problems\":%zu,\"broken\":[",
               findings->n_broken == 0 ? "true" : "false", (long long)findings->accounts,
               (long long)findings->changes, (long long)findings->reads,
               (long long)findings->anchors, findings->n_broken);
    if (findings->broken->len > 0)
        buf_put(ret, buf_str(findings->broken));
    buf_text(ret, "]}");
    return true;
}

/* The chains' own first broken link comes before what is wrong with an anchor. */
static bool verify_one(struct findings *findings, struct tx *tx, struct str account_id,
                       struct buf *ret, struct err *err) {
    size_t slot = tx_query(tx,
                           "select d - 'broken' - 'valid', nullif(d -> 'broken', 'null') from "
                           "(select audit_verify($1::uuid) as d) v",
                           &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    struct str counts = tx_value(tx, slot, 0, 0), broken = tx_value(tx, slot, 0, 1);
    if (!anchors_of(findings, tx, account_id, err))
        return false;
    bool anchors_hold = findings->n_broken == 0;
    buf_put(ret, (struct str){counts.ptr, counts.len - 1});
    buf_format(ret, ",\"anchors\":%lld,\"valid\":%s,\"broken\":", (long long)findings->anchors,
               !broken.ptr && anchors_hold ? "true" : "false");
    if (broken.ptr || anchors_hold)
        buf_put(ret, broken.ptr ? broken : STR("null"));
    else
        buf_put(ret, (struct str){findings->broken->ptr, strcspn(findings->broken->ptr, "}") + 1});
    buf_char(ret, '}');
    return true;
}

bool audit_verify_all(const struct keyring *keyring, struct tx *tx, struct str account_id,
                      struct buf *ret, struct err *err) {
    CLEANUP(buf_release) struct buf broken = {0};
    struct findings findings = {.keyring = keyring, .broken = &broken};
    buf_init(&broken, 1 << 18);
    bool fine = account_id.ptr ? verify_one(&findings, tx, account_id, ret, err)
                               : verify_all(&findings, tx, ret, err);
    return fine && (buf_ok(ret) ? true : err_memory(err));
}

/* ---- as asked for ---- */

#define NOBODY "00000000-0000-0000-0000-000000000000"

static bool at_once(struct action *action, struct str account_id, struct outcome *outcome,
                    struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx,
                           "select 1 from account where id = $1::uuid union all select 1 from "
                           "account_sequence where account_id = $1::uuid limit 1",
                           &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0 && !(str_is(account_id, NOBODY) && role_sees_all(action->who->role)))
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such account that you can see.");
    return audit_verify_all(action->app->keyring, tx, account_id, &outcome->body, err);
}

/* One that is waiting or at work serves its asker, who asks again meanwhile. */
static bool later(struct action *action, struct str account_id, struct outcome *outcome,
                  struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct tx_context context = action_context(action);
    struct uuid id = uuid_v7(action->app->clock, action->app->randomness);
    char text[UUID_TEXT];
    uuid_text(&id, text);
    struct str values[] = {str_of(text), account_id, str_of(action->who->actor)};
    if (!(tx = tx_begin(action->app->store, TX_WRITE, &context, action->when, err)))
        return false;
    size_t slot = tx_query(
        tx,
        "with open as (select o.id from operation o where is_callers(o.actor, o.reach) and "
        "o.kind = 'audit' and o.status in "
        "('queued', 'running') and o.request = jsonb_build_object('account_id', $2::uuid) order by "
        "o.created_at limit 1), made as (insert into operation (id, kind, request, actor) select "
        "$1::uuid, 'audit', jsonb_build_object('account_id', $2::uuid), $3 where not exists "
        "(select "
        "from open) returning id) select id from open union all select id from made",
        values, 3);
    if (!tx_commit(tx, err))
        return false;
    outcome->status = 202;
    struct str queued = arena_str(action->arena, tx_value(tx, slot, 0, 0));
    if (!queued.ptr)
        return err_memory(err);
    snprintf(outcome->location, sizeof outcome->location, "/v1/operations/%.*s", STR_ARG(queued));
    tx_end(&tx);
    return operation_show(action, queued, outcome, err);
}

bool audit_verify(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_query(action, "account_id");
    if (!account_id.ptr && !role_sees_all(action->who->role))
        return err_set(err, PROBLEM_FORBIDDEN,
                       "Name an account_id: the whole audit is for those who see all accounts.");
    if (account_id.ptr) {
        if (at_once(action, account_id, outcome, err))
            return true;
        if (err->problem != PROBLEM_OVERLOADED)
            return false;
        err_release(err); /* it takes longer than a request may: a worker has the time */
        buf_reset(&outcome->body);
    }
    return later(action, account_id, outcome, err);
}
