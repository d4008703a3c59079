/* Tokens of others: the gate on the header, keys of JWK sets, signatures by the RFCs' examples. */
#include "unit.h"

#include "core/buf.h"
#include "core/jws.h"
#include "core/start.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <stdlib.h>

#define PAYLOAD                                                                                    \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

static int start(void **state) {
    (void)state;
    return core_start() ? 0 : -1;
}

/* ---- the gate ---- */

/* header.payload.signature with this header; the others are in order. In memory of exactly its
 * size, so that AddressSanitizer sees a read beyond it. */
static bool gate(const char *header, const char *rest, struct jws *ret) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct buf text CLEANUP(buf_release);
    buf_init(&text, 1 << 16);
    buf_base64url(&text, header, strlen(header));
    buf_text(&text, rest);
    char *copy = malloc(text.len);
    assert_non_null(copy);
    memcpy(copy, text.ptr, text.len);
    bool fine = jws_read((struct str){copy, text.len}, ret, &err);
    assert_true(fine || err.problem == PROBLEM_UNAUTHENTICATED);
    free(copy);
    return fine;
}

static void headers(void **state) {
    static const struct {
        const char *header;
        bool fine;
    } cases[] = {
        {"{\"alg\":\"RS256\",\"kid\":\"a\"}", true},
        {"{\"alg\":\"ES256\",\"kid\":\"A-_9\",\"typ\":\"at+jwt\",\"nonce\":{\"x\":[1]}}", true},
        {"{\"alg\":\"EdDSA\",\"kid\":\"a\",\"typ\":\"JWT\"}", true},
        {" {\"alg\":\"RS256\",\"kid\":\"a\"}", false},
        {"{\"alg\":\"none\",\"kid\":\"a\"}", false},
        {"{\"alg\":\"HS256\",\"kid\":\"a\"}", false},
        {"{\"alg\":\"rs256\",\"kid\":\"a\"}", false},
        {"{\"alg\":\"RS512\",\"kid\":\"a\"}", false},
        {"{\"alg\":\"ES256K\",\"kid\":\"a\"}", false},
        {"{\"alg\":[\"RS256\"],\"kid\":\"a\"}", false},
        {"{\"kid\":\"a\"}", false},
        {"{\"alg\":\"RS256\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a b\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"../a\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\\u0000b\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":"
         "\"0123456789012345678901234567890123456789012345678901234567890123\"}",
         true},
        {"{\"alg\":\"RS256\",\"kid\":"
         "\"01234567890123456789012345678901234567890123456789012345678901234\"}",
         false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":7}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"0123456789012345678901234567890123456789\"}",
         false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"zip\":\"DEF\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"crit\":[\"exp\"]}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"jwk\":{}}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"jku\":\"https://x\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"x5c\":[]}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"x5u\":null}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"x5t#S256\":\"\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"a\",\"\\u007aip\":\"DEF\"}", false},
        {"{\"alg\":\"RS256\",\"alg\":\"none\",\"kid\":\"a\"}", false},
        {"[\"RS256\"]", false},
        {"{\"alg\":", false},
        {"", false},
    };
    struct jws jws;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_case(gate(cases[i].header, "." PAYLOAD ".AAAA", &jws) == cases[i].fine,
                    cases[i].header);
}

static void forms(void **state) {
    static const char good[] = "{\"alg\":\"RS256\",\"kid\":\"a\"}";
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "." PAYLOAD,
                                      "." PAYLOAD ".",
                                      "..AAAA",
                                      "." PAYLOAD ".AAAA.AAAA",
                                      "." PAYLOAD ".AAAA=",
                                      "." PAYLOAD ".A",
                                      "." PAYLOAD ".AA+/",
                                      "." PAYLOAD ".AAAB\n",
                                      "." PAYLOAD ".AB",
                                      "=." PAYLOAD ".AAAA"};
    struct jws jws;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_case(!gate(good, bad[i], &jws), bad[i]);
    /* At most 8 KiB in all. */
    struct buf rest CLEANUP(buf_release);
    buf_init(&rest, 1 << 16);
    buf_char(&rest, '.');
    while (rest.len < 8192 - 34 - 5) /* what the header takes, and the signature */
        buf_char(&rest, 'A');
    buf_text(&rest, ".AAAA");
    assert_true(gate(good, rest.ptr, &jws));
    assert_int_equal(jws.covered.len, 8192 - 5);
    buf_char(&rest, 'A');
    assert_false(gate(good, rest.ptr, &jws));
}

static void payloads(void **state) {
    static const struct {
        const char *json;
        bool fine;
    } cases[] = {{"{}", true},
                 {"{\"sub\":\"a\"}", true},
                 {"{\"sub\":\"a\",\"sub\":\"b\"}", false},
                 {"[]", false},
                 {"{\"a\":1} ", true},
                 {"{\"a\":1}x", false},
                 {"{\"a\":\"\\u0000\"}", false}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        struct buf text CLEANUP(buf_release);
        jv *claims CLEANUP(jv_unref) = NULL;
        buf_init(&text, 4096);
        buf_base64url(&text, cases[i].json, strlen(cases[i].json));
        struct jws jws = {.payload = buf_str(&text)};
        assert_case(jws_claims(&jws, &claims, &err) == cases[i].fine, cases[i].json);
    }
}

/* ---- signatures ---- */

#define RSA_N                                                                                      \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define RSA_JWK(more) "{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"" more "}"
#define EC_JWK(more)                                                                               \
    "{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\","                                             \
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                                       \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"" more "}"
#define ED_JWK(more)                                                                               \
    "{\"kty\":\"OKP\",\"kid\":\"d\",\"crv\":\"Ed25519\","                                          \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"" more "}"

/* RFC 7515 appendices A.2 and A.3, RFC 8037 appendix A.4. */
static const struct {
    enum jws_alg alg;
    const char *kid, *text, *signature;
} examples[] = {
    {JWS_RS256, "r", "eyJhbGciOiJSUzI1NiJ9." PAYLOAD,
     "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
     "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
     "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO"
     "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
    {JWS_ES256, "e", "eyJhbGciOiJFUzI1NiJ9." PAYLOAD,
     "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
    {JWS_EDDSA, "d", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
};

static void read_set(const char *text, struct jws_keys *ret) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    assert_case(jws_keys_read(str_of(text), ret, &err), text);
}

static void signatures(void **state) {
    struct jws_keys keys;
    (void)state;
    read_set("{\"keys\":[" RSA_JWK("") "," EC_JWK("") "," ED_JWK("") "]}", &keys);
    assert_int_equal(keys.n, 3);
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        char text[512];
        snprintf(text, sizeof text, "%s", examples[i].text);
        struct jws jws = {.alg = examples[i].alg, .covered = str_of(text)};
        assert_true(base64url_decode(str_of(examples[i].signature), jws.signature,
                                     sizeof jws.signature, &jws.signature_len));
        const struct jws_key *key = jws_keys_find(&keys, examples[i].kid);
        assert_non_null(key);
        assert_case(jws_verify(&jws, key), examples[i].kid);
        for (size_t k = 0; k < keys.n; k++) /* by no other key, whatever it says of itself */
            for (enum jws_alg alg = JWS_RS256; alg <= JWS_EDDSA; alg++) {
                jws.alg = alg;
                assert_true(jws_verify(&jws, &keys.keys[k]) ==
                            (&keys.keys[k] == key && alg == key->alg));
            }
        jws.alg = examples[i].alg;
        for (size_t at = 0; at < jws.signature_len; at += 7) {
            jws.signature[at] ^= 1;
            assert_false(jws_verify(&jws, key));
            jws.signature[at] ^= 1;
        }
        text[3] ^= 1;
        assert_false(jws_verify(&jws, key));
        text[3] ^= 1;
        jws.signature_len--;
        assert_false(jws_verify(&jws, key));
        memset(jws.signature, 0, sizeof jws.signature);
        jws.signature_len = examples[i].alg == JWS_RS256 ? 256 : 64;
        assert_false(jws_verify(&jws, key));
    }
}

static void put_number(unsigned char *at, const gnutls_datum_t *number) {
    size_t skip = number->size > 32 ? number->size - 32 : 0, len = number->size - skip;
    memset(at, 0, 32);
    memcpy(at + 32 - len, number->data + skip, len);
}

/* One in 128 signatures has a half that begins with a zero byte. */
static void es256_of_all_lengths(void **state) {
    gnutls_privkey_t private;
    gnutls_datum_t x, y;
    struct jws_key key = {.alg = JWS_ES256, .first_len = 32, .second_len = 32};
    bool short_one = false;
    (void)state;
    assert_int_equal(gnutls_privkey_init(&private), 0);
    assert_int_equal(gnutls_privkey_generate(private, GNUTLS_PK_ECDSA,
                                             GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    assert_int_equal(gnutls_privkey_export_ecc_raw(private, NULL, &x, &y, NULL), 0);
    put_number(key.first, &x);
    put_number(key.second, &y);
    for (int i = 0; i < 3000 && !(short_one && i > 300); i++) {
        struct jws jws = {.alg = JWS_ES256, .covered = STR("a.b"), .signature_len = 64};
        gnutls_datum_t text = {(unsigned char *)"a.b", 3}, signature, r, s;
        assert_int_equal(
            gnutls_privkey_sign_data2(private, GNUTLS_SIGN_ECDSA_SHA256, 0, &text, &signature), 0);
        assert_int_equal(gnutls_decode_rs_value(&signature, &r, &s), 0);
        put_number(jws.signature, &r);
        put_number(jws.signature + 32, &s);
        short_one = short_one || jws.signature[0] == 0 || jws.signature[32] == 0;
        assert_true(jws_verify(&jws, &key));
        gnutls_free(signature.data);
        gnutls_free(r.data);
        gnutls_free(s.data);
    }
    assert_true(short_one);
    gnutls_free(x.data);
    gnutls_free(y.data);
    gnutls_privkey_deinit(private);
}

static void key_sets(void **state) {
    static const struct {
        const char *key;
        bool fine;
    } cases[] = {
        {RSA_JWK(""), true},
        {RSA_JWK(",\"alg\":\"RS256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]"), true},
        {RSA_JWK(",\"alg\":\"RS512\""), false},
        {RSA_JWK(",\"alg\":7"), false},
        {RSA_JWK(",\"use\":\"enc\""), false},
        {RSA_JWK(",\"key_ops\":[\"encrypt\"]"), false},
        {RSA_JWK(",\"key_ops\":[]"), false},
        {EC_JWK(",\"alg\":\"ES256\""), true},
        {EC_JWK(",\"alg\":\"ES384\""), false},
        {EC_JWK(",\"alg\":\"EdDSA\""), false},
        {ED_JWK(",\"alg\":\"EdDSA\""), true},
        {"{\"kty\":\"oct\",\"kid\":\"o\",\"k\":\"AAAA\"}", false},
        {"{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", false},
        {"{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}", false},
        {"{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"" RSA_N "\",\"e\":\"Ag\"}", false},
        {"{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"" RSA_N "\"}", false},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}", false},
        {"{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-384\",\"x\":\"AAAA\",\"y\":\"AAAA\"}", false},
        {"{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}", false},
        {"{\"kty\":\"OKP\",\"kid\":\"d\",\"crv\":\"X25519\",\"x\":"
         "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         false},
        {"7", false},
    };
    struct jws_keys keys;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        char text[2048];
        snprintf(text, sizeof text, "{\"keys\":[%s]}", cases[i].key);
        assert_case(jws_keys_read(str_of(text), &keys, &err) == cases[i].fine, cases[i].key);
        /* Beside a usable one it does no harm, and a name has one meaning. */
        snprintf(text, sizeof text, "{\"keys\":[%s,%s]}", ED_JWK(""), cases[i].key);
        read_set(text, &keys);
        assert_int_equal(jws_keys_find(&keys, "d")->alg, JWS_EDDSA);
    }
    static const char *const none[] = {"{}", "{\"keys\":{}}", "{\"keys\":[]}", "[]", "null", "",
                                       "x"};
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        assert_case(!jws_keys_read(str_of(none[i]), &keys, &err), none[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),  cmocka_unit_test(forms),
        cmocka_unit_test(payloads), cmocka_unit_test(signatures),
        cmocka_unit_test(key_sets), cmocka_unit_test(es256_of_all_lengths),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
