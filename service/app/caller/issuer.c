/* Fetches the identity provider's signing keys (OpenID Connect discovery and JWKS) in a thread of
 * its own, and verifies tokens with the keys. A token with an unknown key id can start a fetch and
 * wait for it, but only for one second in a minute, so that made-up key ids cannot hold all
 * threads. */
#include "app/issuer.h"

#include "caller/token_memory.h"
#include "core/jws.h"
#include "core/log.h"
#include "core/metrics.h"
#include "remote/fetch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DOCUMENT_MAX ((size_t)64 << 10)
#define KEEP_US ((int64_t)24 * 3600 * 1000000) /* the last good set */
#define ASK_AGAIN_US ((int64_t)60 * 1000000)   /* an unknown key id asks at most so often */
#define ASK_WAIT_US ((int64_t)1000000)         /* and is waited for so long */
#define RETRY_MS 30000                         /* after a failure */
#define FIRST_RETRY_MS 1000                    /* while there are no keys at all */

struct issuer {
    const struct app *app;
    struct claims_rules rules;
    struct fetch_options fetch;
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t wake;  /* the thread: there is something to do */
    pthread_cond_t news;  /* those who wait for a fetch */
    struct jws_keys keys;
    int64_t loaded_us; /* when `keys` were fetched; 0: never */
    int64_t asked_us;  /* when an unknown key id last asked for a fetch; 0: never */
    bool wanted, fetching;
    uint64_t rounds; /* changes of `keys`: what was verified by an older set is not remembered */
    struct token_memory *memory;
};

static int64_t now_mono(void) { return clock_mono(&clock_system); }

/* With the lock held; until then, or until it is signalled. */
static void wait_until(struct issuer *issuer, pthread_cond_t *cond, int64_t mono_us) {
    struct timespec until = {mono_us / 1000000, (long)(mono_us % 1000000) * 1000};
    pthread_cond_timedwait(cond, &issuer->lock, &until);
}

/* ---- fetching ---- */

static bool fetch_json(struct issuer *issuer, const char *url, struct buf *ret, struct err *err) {
    buf_init(ret, DOCUMENT_MAX);
    return fetch_document(&issuer->fetch, url, ret, err);
}

/* OpenID Connect Discovery 1.0, section 4: the document must be of this very issuer. */
static bool read_discovery(struct issuer *issuer, struct str text, char *ret, size_t room,
                           struct err *err) {
    jv *doc CLEANUP(jv_unref) = NULL;
    if (!json_read(text, JSON_TOKENS, &doc, err))
        return false;
    struct str url = jv_text(jv_get(doc, "jwks_uri"));
    if (!str_eq(jv_text(jv_get(doc, "issuer")), issuer->rules.issuer))
        return err_set(err, PROBLEM_INTERNAL, "The discovery document is of another issuer.");
    if (url.len == 0 || url.len >= room)
        return err_set(err, PROBLEM_INTERNAL, "The discovery document names no jwks_uri.");
    snprintf(ret, room, "%s", url.ptr);
    return true;
}

static bool discover(struct issuer *issuer, char *ret, size_t room, struct err *err) {
    struct buf text CLEANUP(buf_release) = {0};
    char url[2048];
    const char *fixed = issuer->app->config->oidc_jwks_url;
    struct str base = issuer->rules.issuer;
    if (str_ends(base, "/"))
        base.len--;
    if (fixed[0])
        return snprintf(ret, room, "%s", fixed) < (int)room;
    snprintf(url, sizeof url, "%.*s/.well-known/openid-configuration", STR_ARG(base));
    return fetch_json(issuer, url, &text, err) &&
           read_discovery(issuer, buf_str(&text), ret, room, err);
}

static bool fetch_keys(struct issuer *issuer, struct jws_keys *ret, struct err *err) {
    struct buf text CLEANUP(buf_release) = {0};
    char url[2048];
    return discover(issuer, url, sizeof url, err) && fetch_json(issuer, url, &text, err) &&
           jws_keys_read(buf_str(&text), ret, err);
}

/* With the lock held. */
static void take_keys(struct issuer *issuer, const struct jws_keys *keys) {
    bool same = issuer->loaded_us != 0 && jws_keys_equal(&issuer->keys, keys);
    issuer->loaded_us = now_mono();
    if (same)
        return;
    issuer->keys = *keys;
    issuer->rounds++;
    token_memory_clear(issuer->memory);
    LOG(LOG_INFO, "issuer_keys", LOG_I("keys", keys->n));
}

static bool fetch_round(struct issuer *issuer) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    struct jws_keys keys = {.n = 0};
    bool fine = fetch_keys(issuer, &keys, &err);
    if (!fine && !atomic_load(&issuer->stop))
        log_err(LOG_WARN, "issuer_not_read", &err);
    pthread_mutex_lock(&issuer->lock);
    if (fine)
        take_keys(issuer, &keys);
    else if (issuer->loaded_us != 0 && now_mono() - issuer->loaded_us > KEEP_US)
        issuer->loaded_us = 0;
    issuer->fetching = false;
    pthread_cond_broadcast(&issuer->news);
    pthread_mutex_unlock(&issuer->lock);
    return fine;
}

static int pause_ms(struct issuer *issuer, bool fine) {
    int planned = issuer->app->config->oidc_refresh_ms,
        retry = issuer->loaded_us == 0 ? FIRST_RETRY_MS : RETRY_MS;
    return fine || planned < retry ? planned : retry;
}

static void *run(void *arg) {
    struct issuer *issuer = arg;
    int64_t next = 0;
    for (;;) {
        pthread_mutex_lock(&issuer->lock);
        while (!atomic_load(&issuer->stop) && !issuer->wanted && now_mono() < next)
            wait_until(issuer, &issuer->wake, next);
        issuer->wanted = false;
        issuer->fetching = true;
        pthread_mutex_unlock(&issuer->lock);
        if (atomic_load(&issuer->stop))
            return NULL;
        bool fine = fetch_round(issuer);
        next = now_mono() + (int64_t)pause_ms(issuer, fine) * 1000;
    }
}

/* ---- starting ---- */

/* Where the keys come from must be authentic: they decide who is who. */
static bool check_address(const struct config *config, struct err *err) {
    bool fixed = config->oidc_jwks_url[0] != '\0';
    const char *name = fixed ? "KAMD_OIDC_JWKS_URL" : "KAMD_OIDC_ISSUER";
    struct str url = str_of(fixed ? config->oidc_jwks_url : config->oidc_issuer);
    if (str_starts(url, "https://") || (config->oidc_allow_http && str_starts(url, "http://")))
        return true;
    return err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER(name), "invalid",
                   "%s must begin with https://", name);
}

bool issuer_rules(const struct config *config, struct claims_rules *ret, struct err *err) {
    *ret = (struct claims_rules){
        .issuer = str_of(config->oidc_issuer),
        .audience = str_of(config->oidc_audience),
        .types = str_of(config->oidc_types),
        .role_claim = str_of(config->oidc_role_claim),
        .roles = str_of(config->oidc_roles),
        .default_role = str_of(config->oidc_default_role),
        .name_claim = str_of(config->oidc_name_claim),
        .email_claim = str_of(config->oidc_email_claim),
        .max_seconds = config->oidc_max_seconds,
    };
    if (ret->issuer.len == 0)
        return true;
    bool address = check_address(config, err);
    return claims_rules_check(ret, err) && address;
}

static void release(struct issuer *issuer) {
    pthread_cond_destroy(&issuer->news);
    pthread_cond_destroy(&issuer->wake);
    pthread_mutex_destroy(&issuer->lock);
    token_memory_free(issuer->memory);
    free(issuer);
}

static void init_locks(struct issuer *issuer) {
    pthread_condattr_t attr;
    pthread_mutex_init(&issuer->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&issuer->wake, &attr);
    pthread_cond_init(&issuer->news, &attr);
    pthread_condattr_destroy(&attr);
}

bool issuer_start(const struct app *app, struct issuer **ret, struct err *err) {
    struct claims_rules rules;
    if (!issuer_rules(app->config, &rules, err))
        return false;
    if (rules.issuer.len == 0)
        return true;
    struct issuer *issuer = calloc(1, sizeof *issuer);
    if (!issuer)
        return err_memory(err);
    issuer->app = app;
    issuer->rules = rules;
    issuer->fetch = (struct fetch_options){.allow_http = app->config->oidc_allow_http,
                                           .connect_ms = 2000,
                                           .total_ms = 5000,
                                           .agent = "kamd",
                                           .stop = &issuer->stop};
    init_locks(issuer);
    issuer->memory = token_memory_new();
    if (!issuer->memory || pthread_create(&issuer->thread, NULL, run, issuer) != 0) {
        release(issuer);
        return err_memory(err);
    }
    *ret = issuer;
    return true;
}

void issuer_stop(struct issuer *issuer) {
    if (!issuer)
        return;
    pthread_mutex_lock(&issuer->lock);
    atomic_store(&issuer->stop, true);
    pthread_cond_broadcast(&issuer->wake);
    pthread_cond_broadcast(&issuer->news);
    pthread_mutex_unlock(&issuer->lock);
    pthread_join(issuer->thread, NULL);
    release(issuer);
}

/* ---- verifying ---- */

/* With the lock held. An unknown key id asks for a fetch, and waits for it: the key may be new. All
 * of them together wait no more than a second in a minute, so that nobody who makes up key ids can
 * hold the threads, not even while the provider hangs. */
static const struct jws_key *find_key(struct issuer *issuer, const char *kid, deadline when) {
    const struct jws_key *found = issuer->loaded_us == 0 ? NULL : jws_keys_find(&issuer->keys, kid);
    if (!found && (issuer->asked_us == 0 || now_mono() - issuer->asked_us >= ASK_AGAIN_US)) {
        issuer->asked_us = now_mono();
        issuer->wanted = true;
        pthread_cond_signal(&issuer->wake);
    }
    int64_t until = issuer->asked_us + ASK_WAIT_US < when ? issuer->asked_us + ASK_WAIT_US : when;
    while (!found && (issuer->wanted || issuer->fetching) && now_mono() < until &&
           !atomic_load(&issuer->stop)) {
        wait_until(issuer, &issuer->news, until);
        found = issuer->loaded_us == 0 ? NULL : jws_keys_find(&issuer->keys, kid);
    }
    return found;
}

struct issuer_key {
    struct jws_key key;
    uint64_t round; /* of the fetches: keys are other ones after the next */
};

static bool key_for(struct issuer *issuer, const char *kid, deadline when, struct issuer_key *ret,
                    struct err *err) {
    pthread_mutex_lock(&issuer->lock);
    const struct jws_key *found = find_key(issuer, kid, when);
    /* A provider that could not be asked has not said that there is no such key. */
    bool unsure = issuer->loaded_us == 0 || issuer->wanted || issuer->fetching;
    if (found)
        ret->key = *found;
    ret->round = issuer->rounds;
    pthread_mutex_unlock(&issuer->lock);
    if (found)
        return true;
    if (!unsure)
        return err_set(err, PROBLEM_UNAUTHENTICATED,
                       "The token is refused: it is not signed by a key of the identity provider.");
    err->retry_after = 1;
    return err_set(err, PROBLEM_SIGN_IN_UNAVAILABLE, "The identity provider's keys are not known.");
}

static bool remembered(struct issuer *issuer, const unsigned char hash[static CRYPTO_SHA256],
                       struct claims *ret) {
    pthread_mutex_lock(&issuer->lock);
    bool found = issuer->loaded_us != 0 &&
                 token_memory_find(issuer->memory, hash, clock_wall(issuer->app->clock), ret);
    pthread_mutex_unlock(&issuer->lock);
    return found;
}

static void remember(struct issuer *issuer, const unsigned char hash[static CRYPTO_SHA256],
                     uint64_t round, const struct claims *claims) {
    pthread_mutex_lock(&issuer->lock);
    if (issuer->rounds == round)
        token_memory_put(issuer->memory, hash, claims);
    pthread_mutex_unlock(&issuer->lock);
}

bool issuer_verify(struct issuer *issuer, struct str token, deadline when, struct claims *ret,
                   struct err *err) {
    CLEANUP(jv_unref) jv *doc = NULL;
    unsigned char hash[CRYPTO_SHA256];
    struct jws jws;
    struct issuer_key signer;
    sha256(token, hash);
    if (remembered(issuer, hash, ret))
        return true;
    if (!jws_read(token, &jws, err) || !key_for(issuer, jws.kid, when, &signer, err))
        return false;
    if (!jws_verify(&jws, &signer.key))
        return err_set(err, PROBLEM_UNAUTHENTICATED,
                       "The token is refused: its signature does not fit.");
    if (!jws_claims(&jws, &doc, err))
        return false;
    const struct verified_token verified = {jws.typ, doc};
    if (!claims_read(&issuer->rules, &verified, clock_wall(issuer->app->clock), ret, err))
        return false;
    remember(issuer, hash, signer.round, ret);
    return true;
}
