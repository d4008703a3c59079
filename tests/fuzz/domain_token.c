/* Tokens, their claims, and JWK sets, from strangers: nothing is let in but what a known key
 * signed, and what is let in is well-formed. The input is a token, a claims document and a JWK set
 * at once; one in three gets past the gate by a header of ours. */
#include "core/jws.h"
#include "core/start.h"
#include "domain/claims.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds)
        abort();
}

static const struct claims_rules rules = {
    .issuer = {"i", 1},
    .audience = {"a", 1},
    .types = {"JWT,at+jwt", 10},
    .role_claim = {"/r/s", 4},
    .roles = {"x=admin", 7},
    .default_role = {"member", 6},
    .name_claim = {"name", 4},
    .email_claim = {"email", 5},
    .max_seconds = 3600,
};

static void try_token(struct str text) {
    static const struct jws_key keys[] = {
        {.kid = "k", .alg = JWS_ES256, .first_len = 32, .second_len = 32},
        {.kid = "k", .alg = JWS_EDDSA, .first = {1}, .first_len = 32},
    };
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct jws jws;
    jv *claims CLEANUP(jv_unref) = NULL;

    if (!jws_read(text, &jws, &err)) {
        must(err.problem == PROBLEM_UNAUTHENTICATED);
        return;
    }
    must(text.len <= JWS_TEXT_MAX && jws.covered.len < text.len && jws.kid[0] != '\0' &&
         strlen(jws.kid) < JWS_KID && jws.signature_len > 0);
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        must(!jws_verify(&jws, &keys[i]));
    must(jws_claims(&jws, &claims, &err) || err_is_set(&err));
}

static void try_claims(struct str text) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    jv *doc CLEANUP(jv_unref) = NULL;
    struct claims claims;

    if (!json_read(text, JSON_TOKENS, &doc, &err))
        return;
    const struct verified_token verified = {"at+jwt", doc};
    if (!claims_read(&rules, &verified, (int64_t)1790000000 * 1000000, &claims, &err)) {
        must(err.problem == PROBLEM_UNAUTHENTICATED || err.problem == PROBLEM_FORBIDDEN);
        return;
    }
    must(str_is(jv_text(jv_get(doc, "iss")), "i") && claims.subject[0] != '\0' &&
         claims.name[0] != '\0' && str_is_utf8(str_of(claims.name)) &&
         str_is_utf8(str_of(claims.email)) && claims.role < ROLE_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char head[] = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
    static bool started;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct buf ours CLEANUP(buf_release);
    struct jws_keys keys;
    struct str text = {size == 0 ? "" : (const char *)data, size};

    started = started || core_start();
    try_token(text);
    buf_init(&ours, 1 << 16);
    buf_base64url(&ours, head, sizeof head - 1);
    buf_char(&ours, '.');
    buf_put(&ours, text);
    if (buf_ok(&ours))
        try_token(buf_str(&ours));
    try_claims(text);
    if (jws_keys_read(text, &keys, &err))
        must(keys.n > 0 && keys.n <= JWS_KEYS && jws_keys_find(&keys, keys.keys[0].kid) != NULL);
    return 0;
}
