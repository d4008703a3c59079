/* Reads public keys from a JWK set, and verifies the signatures of tokens with them. */
#include "core/jws.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <sodium.h>
#include <string.h>

#define COORDINATE 32

/* ---- reading ---- */

static bool bytes_of(const jv *jwk, const char *name, unsigned char *ret, size_t room,
                     size_t *ret_len) {
    struct str text = jv_text(jv_get(jwk, name));
    return text.ptr && base64url_decode(text, ret, room, ret_len) && *ret_len > 0;
}

/* A modulus without leading zeros has all its bits; the exponent is odd and more than 1. */
static bool read_rsa(const jv *jwk, struct jws_key *ret) {
    return bytes_of(jwk, "n", ret->first, sizeof ret->first, &ret->first_len) &&
           bytes_of(jwk, "e", ret->second, 8, &ret->second_len) &&
           ret->first_len >= JWS_RSA_LEAST && ret->first[0] >= 0x80 && ret->second[0] != 0 &&
           (ret->second[ret->second_len - 1] & 1) != 0 &&
           (ret->second_len > 1 || ret->second[0] > 1);
}

static bool read_ec(const jv *jwk, struct jws_key *ret) {
    return str_is(jv_text(jv_get(jwk, "crv")), "P-256") &&
           bytes_of(jwk, "x", ret->first, COORDINATE, &ret->first_len) &&
           bytes_of(jwk, "y", ret->second, COORDINATE, &ret->second_len) &&
           ret->first_len == COORDINATE && ret->second_len == COORDINATE;
}

static bool read_okp(const jv *jwk, struct jws_key *ret) {
    return str_is(jv_text(jv_get(jwk, "crv")), "Ed25519") &&
           bytes_of(jwk, "x", ret->first, crypto_sign_PUBLICKEYBYTES, &ret->first_len) &&
           ret->first_len == crypto_sign_PUBLICKEYBYTES;
}

/* Is the key there for verifying? `use` and `key_ops` may both be missing. */
static bool verifies(const jv *jwk) {
    const jv *use = jv_get(jwk, "use"), *ops = jv_get(jwk, "key_ops");
    if (use != NULL && !str_is(jv_text(use), "sig"))
        return false;
    for (size_t i = 0; i < jv_len(ops); i++)
        if (str_is(jv_text(jv_at(ops, i)), "verify"))
            return true;
    return ops == NULL;
}

static bool read_key(const jv *jwk, struct jws_key *ret) {
    static const struct {
        const char *kty, *alg;
        enum jws_alg value;
        bool (*read)(const jv *jwk, struct jws_key *ret);
    } kinds[] = {{"RSA", "RS256", JWS_RS256, read_rsa},
                 {"EC", "ES256", JWS_ES256, read_ec},
                 {"OKP", "EdDSA", JWS_EDDSA, read_okp}};
    const jv *alg = jv_get(jwk, "alg");
    struct str kid = jv_text(jv_get(jwk, "kid")), kty = jv_text(jv_get(jwk, "kty"));
    if (kid.len == 0 || kid.len >= JWS_KID || !verifies(jwk))
        return false;
    memcpy(ret->kid, kid.ptr, kid.len);
    ret->kid[kid.len] = '\0';
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (!str_is(kty, kinds[i].kty) || (alg != NULL && !str_is(jv_text(alg), kinds[i].alg)))
            continue;
        ret->alg = kinds[i].value;
        return kinds[i].read(jwk, ret);
    }
    return false;
}

bool jws_keys_read(struct str text, struct jws_keys *ret, struct err *err) {
    jv *set CLEANUP(jv_unref) = NULL;
    if (!json_read(text, JSON_TOKENS, &set, err))
        return false;
    const jv *list = jv_get(set, "keys");
    ret->n = 0;
    for (size_t i = 0; i < jv_len(list) && ret->n < JWS_KEYS; i++) {
        struct jws_key key = {.kid = ""};
        /* Of two with the same name the first holds: a name must have one meaning. */
        if (read_key(jv_at(list, i), &key) && !jws_keys_find(ret, key.kid))
            ret->keys[ret->n++] = key;
    }
    return ret->n > 0 ||
           err_set(err, PROBLEM_VALIDATION, "The JWK set has no key for RS256, ES256 or EdDSA.");
}

static bool key_equal(const struct jws_key *a, const struct jws_key *b) {
    return a->alg == b->alg && strcmp(a->kid, b->kid) == 0 && a->first_len == b->first_len &&
           a->second_len == b->second_len && memcmp(a->first, b->first, a->first_len) == 0 &&
           memcmp(a->second, b->second, a->second_len) == 0;
}

bool jws_keys_equal(const struct jws_keys *a, const struct jws_keys *b) {
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!key_equal(&a->keys[i], &b->keys[i]))
            return false;
    return a->n == b->n;
}

const struct jws_key *jws_keys_find(const struct jws_keys *keys, const char *kid) {
    for (size_t i = 0; i < keys->n; i++)
        if (strcmp(keys->keys[i].kid, kid) == 0)
            return &keys->keys[i];
    return NULL;
}

/* ---- verifying ---- */

static gnutls_datum_t datum(const unsigned char *bytes, size_t len) {
    return (gnutls_datum_t){(unsigned char *)bytes, (unsigned)len};
}

static bool verify_rsa(gnutls_pubkey_t pubkey, const struct jws *jws, const struct jws_key *key,
                       const gnutls_datum_t *text) {
    gnutls_datum_t n = datum(key->first, key->first_len), e = datum(key->second, key->second_len),
                   signature = datum(jws->signature, jws->signature_len);
    return jws->signature_len == key->first_len &&
           gnutls_pubkey_import_rsa_raw(pubkey, &n, &e) == 0 &&
           gnutls_pubkey_verify_data2(pubkey, GNUTLS_SIGN_RSA_SHA256, 0, text, &signature) >= 0;
}

/* JWS has r and s side by side (RFC 7518 section 3.4), GnuTLS takes them as DER. */
static bool verify_ec(gnutls_pubkey_t pubkey, const struct jws *jws, const struct jws_key *key,
                      const gnutls_datum_t *text) {
    gnutls_datum_t x = datum(key->first, key->first_len), y = datum(key->second, key->second_len),
                   r = datum(jws->signature, COORDINATE),
                   s = datum(jws->signature + COORDINATE, COORDINATE), signature = {NULL, 0};
    if (jws->signature_len != 2 * COORDINATE ||
        gnutls_pubkey_import_ecc_raw(pubkey, GNUTLS_ECC_CURVE_SECP256R1, &x, &y) != 0 ||
        gnutls_encode_rs_value(&signature, &r, &s) != 0)
        return false;
    bool fine =
        gnutls_pubkey_verify_data2(pubkey, GNUTLS_SIGN_ECDSA_SHA256, 0, text, &signature) >= 0;
    gnutls_free(signature.data);
    return fine;
}

bool jws_verify(const struct jws *jws, const struct jws_key *key) {
    gnutls_datum_t text = datum((const unsigned char *)jws->covered.ptr, jws->covered.len);
    gnutls_pubkey_t pubkey;
    if (jws->alg != key->alg)
        return false;
    if (key->alg == JWS_EDDSA)
        return jws->signature_len == crypto_sign_BYTES &&
               crypto_sign_verify_detached(jws->signature, text.data, text.size, key->first) == 0;
    if (gnutls_pubkey_init(&pubkey) != 0)
        return false;
    bool fine = key->alg == JWS_RS256 ? verify_rsa(pubkey, jws, key, &text)
                                      : verify_ec(pubkey, jws, key, &text);
    gnutls_pubkey_deinit(pubkey);
    return fine;
}
