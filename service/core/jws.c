/* Takes a signed token (JWS) apart: checks its header strictly, and reads its payload once the
 * signature is verified. */
#include "core/jws.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 2048
#define HEADER_TOKENS 64
#define PAYLOAD_TOKENS 2000

static bool refuse(struct err *err, const char *why) {
    return err_set(err, PROBLEM_UNAUTHENTICATED, "The token is refused: %s.", why);
}

static bool is_kid(struct str text) {
    if (text.len == 0 || text.len >= JWS_KID)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* What could make a reader fetch, unpack or trust something that comes with the token itself. */
static bool is_forbidden(const char *name) {
    static const char *const names[] = {"zip", "crit", "jwk", "jku", "b64"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, "x5", 2) == 0;
}

static bool read_alg(struct str text, enum jws_alg *ret) {
    static const char *const names[] = {
        [JWS_RS256] = "RS256", [JWS_ES256] = "ES256", [JWS_EDDSA] = "EdDSA"};
    for (enum jws_alg alg = JWS_RS256; alg <= JWS_EDDSA; alg++)
        if (str_is(text, names[alg])) {
            *ret = alg;
            return true;
        }
    return false;
}

static bool copy_text(struct str text, char *ret, size_t room) {
    if (text.len >= room)
        return false;
    memcpy(ret, text.ptr, text.len);
    ret[text.len] = '\0';
    return true;
}

static bool read_members(const jv *header, struct jws *ret, struct err *err) {
    const jv *typ = jv_get(header, "typ");
    struct str kid = jv_text(jv_get(header, "kid"));
    for (void *it = jv_first(header); it; it = jv_next(header, it))
        if (is_forbidden(jv_key(it)))
            return refuse(err, "its header has a member that is not taken");
    if (!read_alg(jv_text(jv_get(header, "alg")), &ret->alg))
        return refuse(err, "its algorithm is not one of RS256, ES256, EdDSA");
    if (!is_kid(kid) || !copy_text(kid, ret->kid, sizeof ret->kid))
        return refuse(err, "it does not name its key by a kid of 1 to 64 letters, digits, _ and -");
    ret->typ[0] = '\0';
    if (typ != NULL && (!jv_text(typ).ptr || !copy_text(jv_text(typ), ret->typ, JWS_TYP)))
        return refuse(err, "its typ is malformed");
    return true;
}

static bool read_header(struct str part, struct jws *ret, struct err *err) {
    char text[HEADER_MAX];
    size_t len = 0;
    jv *header CLEANUP(jv_unref) = NULL;
    struct err wrong CLEANUP(err_release) = ERR_INIT;
    if (!base64url_decode(part, text, sizeof text, &len) || len == 0 || text[0] != '{' ||
        !json_read((struct str){text, len}, HEADER_TOKENS, &header, &wrong))
        return refuse(err, "its header is malformed");
    return read_members(header, ret, err);
}

static bool read_signature(struct str part, struct jws *ret, struct err *err) {
    return (base64url_decode(part, ret->signature, sizeof ret->signature, &ret->signature_len) &&
            ret->signature_len > 0) ||
           refuse(err, "its signature is malformed");
}

bool jws_read(struct str token, struct jws *ret, struct err *err) {
    struct str rest = token, header, payload;
    if (token.len > JWS_TEXT_MAX)
        return refuse(err, "it is longer than 8 KiB");
    if (!str_split(&rest, '.', &header) || !str_split(&rest, '.', &payload) || !rest.ptr ||
        payload.len == 0)
        return refuse(err, "it does not have three parts");
    ret->payload = payload;
    ret->covered = (struct str){token.ptr, header.len + 1 + payload.len};
    return read_header(header, ret, err) && read_signature(rest, ret, err);
}

bool jws_claims(const struct jws *jws, jv **ret, struct err *err) {
    struct err wrong CLEANUP(err_release) = ERR_INIT;
    size_t room = jws->payload.len, len = 0;
    char *text = malloc(room + 1);
    if (text == NULL)
        return err_memory(err);
    bool fine = base64url_decode(jws->payload, text, room, &len) && len > 0 && text[0] == '{' &&
                json_read((struct str){text, len}, PAYLOAD_TOKENS, ret, &wrong);
    free(text);
    return fine || refuse(err, "its payload is malformed");
}
