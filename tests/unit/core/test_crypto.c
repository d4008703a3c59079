/* Hashes, HMAC, sealing, signatures and API keys, against published vectors where there are
 * some; what an old master key sealed still opens. */
#include "unit.h"

#include "core/crypto.h"
#include "core/start.h"

static void assert_hex(const void *bytes, size_t len, const char *want) {
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 4096);
    buf_hex(&buf, bytes, len);
    assert_text(buf_str(&buf), want);
}

static void hashes(void **state) {
    (void)state;
    unsigned char digest[CRYPTO_SHA256];
    /* FIPS 180-4 examples. */
    sha256(STR("abc"), digest);
    assert_hex(digest, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(STR_ABSENT, digest);
    assert_hex(digest, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test cases 1, 2, 3 and 6. */
static void hmac(void **state) {
    (void)state;
    unsigned char digest[CRYPTO_SHA256];
    unsigned char key[131];
    unsigned char data[50];
    memset(key, 0x0B, 20);
    hmac_sha256(key, 20, &STR("Hi There"), 1, digest);
    assert_hex(digest, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    /* In parts it is the same. */
    const struct str parts[] = {STR("what do ya "), STR(""), STR_ABSENT, STR("want for nothing?")};
    hmac_sha256("Jefe", 4, parts, 4, digest);
    assert_hex(digest, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xAA, sizeof(key));
    memset(data, 0xDD, sizeof(data));
    hmac_sha256(key, 20, &(struct str){(char *)data, sizeof(data)}, 1, digest);
    assert_hex(digest, 32, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    hmac_sha256(key, 131, &STR("Test Using Larger Than Block-Size Key - Hash Key First"), 1,
                digest);
    assert_hex(digest, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_true(crypto_equal("abc", "abc", 3));
    assert_false(crypto_equal("abc", "abd", 3));
    assert_true(crypto_equal("abc", "xyz", 0));
}

static void keyrings(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct keyring a, b, c;
    assert_true(keyring_init(&a, STR("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), &err));
    assert_true(keyring_init(&b, STR("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"), &err));
    assert_true(keyring_init(&c, STR("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4="), &err));
    assert_memory_equal(&a, &b, sizeof(a));
    for (unsigned i = CRYPTO_CURSOR; i < CRYPTO_USES; i++) {
        assert_memory_not_equal(a.keys[i], c.keys[i], CRYPTO_KEY);
        for (unsigned j = i + 1; j < CRYPTO_USES; j++)
            assert_memory_not_equal(a.keys[i], a.keys[j], CRYPTO_KEY);
    }
    /* BLAKE2b(key = master, salt = 3, person = "kamdkeys"), as Python's hashlib gives it. Stored
     * values depend on it. */
    assert_hex(a.keys[CRYPTO_SECRETS], CRYPTO_KEY,
               "60a3129c76c3782435a18c92a049ecf79f13aadc21fdebefb7adecaf96098c1e");
    keyring_wipe(&a);
    assert_int_equal(a.keys[CRYPTO_SECRETS][0] | a.keys[CRYPTO_SECRETS][31], 0);
    static const char *const bad[] = {"", "AAAA", "not base64 at all",
                                      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
                                      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI="};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_case(!keyring_init(&c, str_of(bad[i]), &err), bad[i]);
        assert_string_equal(err.items[0].where, "KAMD_MASTER_KEY");
        assert_case(bad[i][0] == '\0' || strstr(err.detail, bad[i]) == NULL,
                    "secret in a sentence");
    }
}

static void sealing(void **state) {
    (void)state;
    static const unsigned char key[CRYPTO_KEY] = {1, 2, 3};
    static const unsigned char other[CRYPTO_KEY] = {1, 2, 4};
    struct arena arena CLEANUP(arena_release) = {.limit = 1 << 20};
    struct buf a CLEANUP(buf_release) = {0};
    struct buf b CLEANUP(buf_release) = {0};
    struct str plain;
    buf_init(&a, 4096);
    buf_init(&b, 4096);
    crypto_seal(key, STR("context"), STR("secret"), &a);
    crypto_seal(key, STR("context"), STR("secret"), &b);
    assert_int_equal(a.len, 6 + CRYPTO_SEAL_EXTRA);
    assert_memory_not_equal(a.ptr, b.ptr, a.len); /* a nonce of its own each time */
    assert_true(crypto_open(key, STR("context"), buf_str(&a), &arena, &plain));
    assert_text(plain, "secret");
    assert_int_equal(plain.ptr[6], '\0');
    assert_false(crypto_open(other, STR("context"), buf_str(&a), &arena, &plain));
    assert_false(crypto_open(key, STR("Context"), buf_str(&a), &arena, &plain));
    assert_false(crypto_open(key, STR_ABSENT, buf_str(&a), &arena, &plain));
    for (size_t len = 0; len < a.len; len++)
        assert_false(crypto_open(key, STR("context"), (struct str){a.ptr, len}, &arena, &plain));
    for (size_t bit = 0; bit < a.len * 8; bit++) {
        a.ptr[bit / 8] = (char)(a.ptr[bit / 8] ^ (1 << bit % 8));
        assert_false(crypto_open(key, STR("context"), buf_str(&a), &arena, &plain));
        a.ptr[bit / 8] = (char)(a.ptr[bit / 8] ^ (1 << bit % 8));
    }
    buf_reset(&b);
    crypto_seal(key, STR_ABSENT, STR_ABSENT, &b);
    assert_true(crypto_open(key, STR(""), buf_str(&b), &arena, &plain));
    assert_text(plain, "");
    struct buf small CLEANUP(buf_release) = {0};
    buf_init(&small, 40);
    crypto_seal(key, STR(""), STR("x"), &small);
    assert_false(buf_ok(&small));
    struct arena none = {.limit = 0};
    assert_false(crypto_open(key, STR(""), buf_str(&b), &none, &plain));
}

static void signatures(void **state) {
    (void)state;
    unsigned char key[CRYPTO_KEY] = {7}, public[CRYPTO_SIGN_PUBLIC], other[CRYPTO_SIGN_PUBLIC];
    unsigned char secret[CRYPTO_SIGN_SECRET], signature[CRYPTO_SIGNATURE];
    crypto_sign_pair(key, 2, other, secret);
    crypto_sign_pair(key, 1, public, secret);
    crypto_signature(secret, STR("text"), signature);
    assert_true(crypto_verify(public, STR("text"), signature));
    assert_false(crypto_verify(public, STR("texts"), signature));
    assert_false(crypto_verify(public, STR_ABSENT, signature));
    assert_false(crypto_verify(other, STR("text"), signature));
    for (size_t bit = 0; bit < sizeof signature * 8; bit++) {
        signature[bit / 8] = (unsigned char)(signature[bit / 8] ^ (1 << bit % 8));
        assert_false(crypto_verify(public, STR("text"), signature));
        signature[bit / 8] = (unsigned char)(signature[bit / 8] ^ (1 << bit % 8));
    }
}

static void api_keys(void **state) {
    (void)state;
    char key[API_KEY_TEXT], other[API_KEY_TEXT];
    api_key_make(other);
    for (int round = 0; round < 200; round++) {
        api_key_make(key);
        assert_int_equal(strlen(key), 59);
        assert_true(str_starts(str_of(key), "kamd_live_"));
        assert_true(api_key_is(str_of(key)));
        assert_string_not_equal(key, other);
    }
    /* Any other character at any place is noticed. */
    for (size_t i = 0; i < strlen(key); i++) {
        char was = key[i];
        key[i] = was == 'x' ? 'y' : 'x';
        assert_false(api_key_is(str_of(key)));
        key[i] = was;
    }
    static const char *const bad[] = {
        "", "kamd_live_", "kamd_live_0000000000000000000000000000000000000000000000000"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_case(!api_key_is(str_of(bad[i])), bad[i]);
    assert_false(api_key_is((struct str){key, 58}));
    assert_false(api_key_is(STR_ABSENT));
    /* CRC-32 of "kamd_live_" and 43 zeros, by zlib, in base62: the rule must not change, keys are
     * in use. */
    assert_true(api_key_is(STR("kamd_live_0000000000000000000000000000000000000000000247q3x")));
}

static int start(void **state) {
    (void)state;
    return core_start() && core_start() ? 0 : -1;
}

/* Values outlive the key that sealed them as long as it is in the ring, wherever it stands there.
 */
static void old_keys_open(void **state) {
    (void)state;
#define ONE "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define TWO "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4="
#define THREE "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh0"
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct arena arena CLEANUP(arena_release) = {0};
    struct keyring one, both, later, gone, many;
    struct buf sealed CLEANUP(buf_release) = {.max = 100}, bare CLEANUP(buf_release) = {.max = 100};
    struct str plain;
    arena_init(&arena, 4096);
    assert_true(keyring_init(&one, STR(ONE), &err));
    assert_true(keyring_init(&both, STR(TWO ", " ONE), &err));
    assert_true(keyring_init(&later, STR(THREE "\n" TWO "\n" ONE), &err));
    assert_true(keyring_init(&gone, STR(THREE "," TWO), &err));
    keyring_seal(&one, (struct seal){CRYPTO_SECRETS, STR("t|1|c")}, STR("hello"), &sealed);
    crypto_seal(one.keys[CRYPTO_SECRETS], STR("t|1|c"), STR("hello"), &bare);
    assert_int_equal(sealed.len, 5 + CRYPTO_MARK + CRYPTO_SEAL_EXTRA);
    const struct {
        const struct keyring *ring;
        bool opens;
    } cases[] = {{&one, true}, {&both, true}, {&later, true}, {&gone, false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct keyring *ring = cases[i].ring;
        assert_int_equal(keyring_open(ring, (struct seal){CRYPTO_SECRETS, STR("t|1|c")},
                                      buf_str(&sealed), &arena, &plain),
                         cases[i].opens);
        assert_int_equal(keyring_open(ring, (struct seal){CRYPTO_SECRETS, STR("t|1|c")},
                                      buf_str(&bare), &arena, &plain),
                         cases[i].opens);
        assert_false(keyring_open(ring, (struct seal){CRYPTO_SECRETS, STR("t|2|c")},
                                  buf_str(&sealed), &arena, &plain));
        assert_false(keyring_open(ring, (struct seal){CRYPTO_CACHE, STR("t|1|c")}, buf_str(&sealed),
                                  &arena, &plain));
        assert_int_equal(keyring_is_newest(ring, buf_str(&sealed)), i == 0);
    }
    /* The newest seals; nothing shorter than a mark is looked into. */
    buf_reset(&sealed);
    keyring_seal(&both, (struct seal){CRYPTO_SECRETS, STR("t|1|c")}, STR("hello"), &sealed);
    assert_false(keyring_open(&one, (struct seal){CRYPTO_SECRETS, STR("t|1|c")}, buf_str(&sealed),
                              &arena, &plain));
    for (size_t len = 0; len < sealed.len; len++)
        assert_false(keyring_open(&both, (struct seal){CRYPTO_SECRETS, STR("t|1|c")},
                                  (struct str){sealed.ptr, len}, &arena, &plain));
    assert_false(keyring_init(&many, STR(ONE "," ONE "," ONE "," ONE "," ONE), &err));
    assert_false(keyring_init(&many, STR(ONE ",,"), &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes),        cmocka_unit_test(hmac),       cmocka_unit_test(keyrings),
        cmocka_unit_test(sealing),       cmocka_unit_test(signatures), cmocka_unit_test(api_keys),
        cmocka_unit_test(old_keys_open),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
