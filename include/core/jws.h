/* Tokens that others sign (JWS compact form, RFC 7515), read as RFC 8725 asks: a gate on the header
 * before anything else, three asymmetric algorithms, each bound to its key, and keys from a JWK set
 * only (RFC 7517). Verified by GnuTLS, Ed25519 by libsodium. No I/O. */
#ifndef KAMD_CORE_JWS_H
#define KAMD_CORE_JWS_H

#include "core/json.h"

enum jws_alg { JWS_RS256, JWS_ES256, JWS_EDDSA };

#define JWS_TEXT_MAX 8192 /* a longer token is refused unread */
#define JWS_KID 65
#define JWS_TYP 32
#define JWS_RSA_LEAST 256 /* bytes of a modulus: 2048 bits */
#define JWS_RSA_MOST 512

struct jws {
    enum jws_alg alg;
    char kid[JWS_KID];
    char typ[JWS_TYP];  /* "": none */
    struct str covered; /* what the signature is over; borrowed from the token */
    struct str payload; /* still encoded */
    unsigned char signature[JWS_RSA_MOST];
    size_t signature_len;
};

/* The gate. False with UNAUTHENTICATED: not three parts of strict base64url, too long, a header
 * with duplicate members or zip, crit, jwk, jku or x5*, another algorithm, or no kid of
 * ^[A-Za-z0-9_-]{1,64}$. The payload is not looked at. */
bool jws_read(struct str token, struct jws *ret, struct err *err);

struct jws_key {
    char kid[JWS_KID];
    enum jws_alg alg;
    /* Modulus and exponent; the point's coordinates; or the public key alone. */
    unsigned char first[JWS_RSA_MOST], second[32];
    size_t first_len, second_len;
};

#define JWS_KEYS 32
struct jws_keys {
    struct jws_key keys[JWS_KEYS];
    size_t n;
};

/* Of a JWK set: the keys that are there to verify one of the algorithms. Others are left out, as
 * RFC 7517 section 5 asks. False with VALIDATION: not a JWK set, or none of its keys is usable. */
bool jws_keys_read(struct str text, struct jws_keys *ret, struct err *err);
bool jws_keys_equal(const struct jws_keys *a, const struct jws_keys *b); /* in this order */
/* NULL when there is none. */
const struct jws_key *jws_keys_find(const struct jws_keys *keys, const char *kid);
/* Did the holder of the key sign exactly this? */
bool jws_verify(const struct jws *jws, const struct jws_key *key);
/* The payload of a token whose signature was verified, as an object. False with UNAUTHENTICATED. */
bool jws_claims(const struct jws *jws, jv **ret, struct err *err);

#endif
