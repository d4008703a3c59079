/* Finds out who sent a bearer token: the holder of an API key, of an access token of kamd, or of a
 * token of the identity provider. The directory in memory is asked first; PostgreSQL only when the
 * directory does not know the caller, or is too old. */
#include "app/sign_in.h"

#include "app/access_token.h"
#include "app/directory.h"
#include "app/issuer.h"
#include "base/transaction.h"

#include <stdio.h>
#include <string.h>

static struct tx_context context(const char *actor) {
    return (struct tx_context){
        .scope = STR("all"), .actor = str_of(actor), .origin = STR("sign-in")};
}

static bool not_found_after_all(struct err *err) {
    err_set(err, PROBLEM_DATABASE_UNAVAILABLE, "The caller could not be looked up.");
    err->retry_after = 1;
    return false;
}

/* Does the statement find a row? UNAUTHENTICATED if not. */
static bool in_store(const struct sign_in *sign_in, const char *sql, const struct str *params,
                     size_t n, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct tx_context who = context("kamd");
    if (!(tx = tx_begin(sign_in->app->store, TX_READ, &who, sign_in->when, err)))
        return false;
    size_t slot = tx_query(tx, sql, params, n);
    if (!tx_flush(tx, err))
        return false;
    return tx_rows(tx, slot) > 0 ||
           err_set(err, PROBLEM_UNAUTHENTICATED, "There is no such key, or it has expired.");
}

/* ---- API keys ---- */

static bool key_in_store(const struct sign_in *sign_in,
                         const unsigned char hash[static CRYPTO_SHA256], struct err *err) {
    struct buf hex CLEANUP(buf_release);
    buf_init(&hex, 80);
    buf_text(&hex, "\\x");
    buf_hex(&hex, hash, CRYPTO_SHA256);
    struct str param = buf_str(&hex);
    return in_store(sign_in,
                    "select 1 from live_key where hash = $1::bytea and id = (select id from "
                    "api_key where hash = $1::bytea or previous_hash = $1::bytea)",
                    &param, 1, err);
}

bool key_find(const struct sign_in *sign_in, struct principal *ret, struct err *err) {
    struct directory *directory = sign_in->app->directory;
    unsigned char hash[CRYPTO_SHA256];
    sha256(sign_in->token, hash);
    if (directory_principal(directory, hash, sign_in->any_age, ret) == DIRECTORY_KNOWN)
        return true;
    /* The check sum keeps garbage from the database; a known key needs no such check. */
    if (!api_key_is(sign_in->token))
        return err_set(err, PROBLEM_UNAUTHENTICATED, "This is not an API key of kamd.");
    /* Not known yet, or memory is too old: the database decides; then memory is read anew, once. */
    if (!key_in_store(sign_in, hash, err))
        return false;
    directory_refresh(directory);
    return directory_principal(directory, hash, sign_in->any_age, ret) == DIRECTORY_KNOWN ||
           not_found_after_all(err);
}

/* ---- access tokens of /oauth/token ---- */

/* A token that was had for less stays less; one for all that the key has is worth what it has now.
 */
static bool apply_scopes(struct principal *who, unsigned scopes, struct err *err) {
    who->credential = CREDENTIAL_TOKEN;
    if (scopes == 0)
        return true;
    if (who->scopes != 0 && (who->scopes & scopes) == 0)
        return err_set(err, PROBLEM_UNAUTHENTICATED, "The access token's scopes are gone.");
    who->scopes = who->scopes == 0 ? scopes : who->scopes & scopes;
    return true;
}

static bool by_access_token(const struct sign_in *sign_in, struct principal *ret, struct err *err) {
    struct app *app = sign_in->app;
    struct access_token token;
    if (!access_token_read(app->keyring, sign_in->token, &token) ||
        token.expires_us <= clock_wall(app->clock))
        return err_set(err, PROBLEM_UNAUTHENTICATED,
                       "The access token is not one of kamd's, or it has expired.");
    if (directory_key(app->directory, token.key_id, token.secret_no, sign_in->any_age, ret) ==
        DIRECTORY_KNOWN)
        return apply_scopes(ret, token.scopes, err);
    char no[24];
    snprintf(no, sizeof no, "%lld", (long long)token.secret_no);
    struct str params[] = {str_of(token.key_id), str_of(no)};
    if (!in_store(sign_in, "select 1 from live_key where id = $1::uuid and secret_no = $2::int",
                  params, 2, err))
        return false;
    directory_refresh(app->directory);
    if (directory_key(app->directory, token.key_id, token.secret_no, sign_in->any_age, ret) !=
        DIRECTORY_KNOWN)
        return not_found_after_all(err);
    return apply_scopes(ret, token.scopes, err);
}

/* ---- people ---- */

/* Somebody who was deleted stays so: signing in does not undo it. */
static void queue_person(struct app *app, struct tx *tx, const struct claims *claims) {
    char id[UUID_TEXT];
    struct uuid uuid = uuid_v7(app->clock, app->randomness);
    uuid_text(&uuid, id);
    struct str params[] = {str_of(id), str_of(claims->subject), str_of(claims->name),
                           claims->email[0] ? str_of(claims->email) : STR_ABSENT};
    tx_query(tx,
             "insert into app_user (id, subject, name, email) select $1::uuid, $2, $3, $4"
             " where not exists (select from app_user where subject = $2)"
             " on conflict (subject) where deleted_at is null do nothing",
             params, 4);
}

static bool make_person(const struct sign_in *sign_in, const struct claims *claims,
                        struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct tx_context who = context("sign-in");
    bool done;
    if (!(tx = tx_begin(sign_in->app->store, TX_WRITE, &who, sign_in->when, err)))
        return false;
    do {
        queue_person(sign_in->app, tx, claims);
        done = tx_commit(tx, err);
    } while (!done && tx_repeat(tx, err));
    return done;
}

/* The person is there, or is now. */
static bool person_in_store(const struct sign_in *sign_in, const struct claims *claims,
                            struct err *err) {
    struct str subject = str_of(claims->subject);
    if (in_store(sign_in, "select 1 from app_user where subject = $1", &subject, 1, err))
        return true;
    if (err->problem != PROBLEM_UNAUTHENTICATED)
        return false;
    if (!sign_in->app->config->oidc_provision)
        return err_set(err, PROBLEM_FORBIDDEN,
                       "Nobody has made you a user of kamd; ask an administrator.");
    err_release(err);
    return make_person(sign_in, claims, err);
}

static bool by_identity(const struct sign_in *sign_in, struct principal *ret, struct err *err) {
    struct app *app = sign_in->app;
    struct claims claims;
    bool active = false;
    if (!issuer_verify(app->issuer, sign_in->token, sign_in->when, &claims, err))
        return false;
    struct str subject = str_of(claims.subject);
    if (directory_person(app->directory, subject, sign_in->any_age, ret, &active) !=
        DIRECTORY_KNOWN) {
        if (!person_in_store(sign_in, &claims, err))
            return false;
        if (!directory_watch(app->directory, subject))
            return err_memory(err);
        directory_refresh(app->directory);
        if (directory_person(app->directory, subject, sign_in->any_age, ret, &active) !=
            DIRECTORY_KNOWN)
            return not_found_after_all(err);
    }
    if (!active)
        return err_set(err, PROBLEM_UNAUTHENTICATED, "This user was deactivated.");
    ret->role = claims.role;
    return true;
}

bool principal_find(const struct sign_in *sign_in, struct principal *ret, struct err *err) {
    struct str token = sign_in->token;
    if (str_starts(token, ACCESS_TOKEN_PREFIX))
        return by_access_token(sign_in, ret, err);
    if (sign_in->app->issuer && token.len > 0 && memchr(token.ptr, '.', token.len))
        return by_identity(sign_in, ret, err);
    return key_find(sign_in, ret, err);
}
