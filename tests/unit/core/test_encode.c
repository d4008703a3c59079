/* Base64, base64url, hex and percent encoding: vectors of RFC 4648, bytes that must be refused,
 * and random bytes there and back. */
#include "unit.h"

#include "core/buf.h"
#include "core/random.h"

#include <stdlib.h>

static void base64_vectors(void **state) {
    (void)state;
    /* RFC 4648 section 10, and one with both special characters. */
    static const struct {
        const char *plain, *coded, *url;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xFB\xEF\xBE\xFF\xFF", "++++//8=", "----__8"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf buf CLEANUP(buf_release) = {0};
        char back[16];
        size_t len = 99;
        buf_init(&buf, 64);
        buf_base64(&buf, cases[i].plain, strlen(cases[i].plain));
        assert_text(buf_str(&buf), cases[i].coded);
        assert_true(base64_decode(buf_str(&buf), back, strlen(cases[i].plain), &len));
        assert_text(((struct str){back, len}), cases[i].plain);
        buf_reset(&buf);
        buf_base64url(&buf, cases[i].plain, strlen(cases[i].plain));
        assert_text(buf_str(&buf), cases[i].url);
        assert_true(base64url_decode(buf_str(&buf), back, sizeof(back), &len));
        assert_text(((struct str){back, len}), cases[i].plain);
    }
}

static void base64_refusals(void **state) {
    (void)state;
    static const char *const bad[] = {"Z",    "Zg",    "Zg=",      "Zg===", "Z===",    "====",
                                      "Zg=a", "Zm9v=", "Zm9v====", "Zh==",  "Zm9=",    "Zm 9v",
                                      "Zm9-", "Zm9_",  "Zm9v\n",   "=Zm9",  "Zg==Zg=="};
    static const char *const bad_url[] = {"Z",    "Zg==", "Zm8=", "Zm9+",
                                          "Zm9/", "Zh",   "Zm9",  "Zm9vZ"};
    char back[32];
    size_t len;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_case(!base64_decode(str_of(bad[i]), back, sizeof(back), &len), bad[i]);
    for (size_t i = 0; i < COUNT_OF(bad_url); i++)
        assert_case(!base64url_decode(str_of(bad_url[i]), back, sizeof(back), &len), bad_url[i]);
    assert_false(base64_decode(STR("Zm9v"), back, 2, &len));
    assert_true(base64_decode(STR("Zm9v"), back, 3, &len));
    assert_false(base64url_decode(STR("Zm8"), back, 1, &len));
}

/* What is written is read back, and each accepted text is the only spelling of its bytes. */
static void base64_random(void **state) {
    (void)state;
    uint64_t seed = 4648;
    struct randomness randomness = randomness_seeded(&seed);
    for (int round = 0; round < 5000; round++) {
        struct buf buf CLEANUP(buf_release) = {0};
        unsigned char bytes[64], back[64];
        size_t n = (size_t)random_below(&randomness, sizeof(bytes) + 1);
        size_t len;
        random_fill(&randomness, bytes, n);
        buf_init(&buf, 256);
        buf_base64url(&buf, bytes, n);
        assert_true(base64url_decode(buf_str(&buf), back, sizeof(back), &len));
        assert_int_equal(len, n);
        assert_memory_equal(back, bytes, n);
        if (n == 0)
            continue;
        /* Another last character either is refused or means other bytes. */
        char was = buf.ptr[buf.len - 1];
        buf.ptr[buf.len - 1] = was == 'A' ? 'B' : 'A';
        if (base64url_decode(buf_str(&buf), back, sizeof(back), &len))
            assert_true(memcmp(back, bytes, n) != 0);
    }
}

static void hex_and_percent(void **state) {
    (void)state;
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 64);
    buf_hex(&buf, "\x00\x9A\xFF", 3);
    assert_text(buf_str(&buf), "009aff");
    buf_reset(&buf);
    buf_percent(&buf, STR("aZ09-._~ /?%\xC3\xBC"));
    assert_text(buf_str(&buf), "aZ09-._~%20%2F%3F%25%C3%BC");
}

static void percent(void **state) {
    (void)state;
    static const struct {
        struct str text;
        bool plus;
        const char *want; /* NULL: refused */
    } cases[] = {
        {{"", 0}, false, ""},         {{"a%20b", 5}, false, "a b"},
        {{"a+b", 3}, false, "a+b"},   {{"a+b", 3}, true, "a b"},
        {{"%2b", 3}, true, "+"},      {{"%c3%BC", 6}, false, "\xC3\xBC"},
        {{"%2525", 5}, false, "%25"}, /* once only */
        {{"%", 1}, false, NULL},      {{"%4", 2}, false, NULL},
        {{"%4g", 3}, false, NULL},    {{"%g4", 3}, false, NULL},
        {{"% 1", 3}, false, NULL},    {{"%+1", 3}, false, NULL},
        {{"%00", 3}, false, NULL},    {{"a\0b", 3}, false, NULL},
        {{"%41%", 4}, false, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char back[16];
        size_t len = 0;
        bool ok = percent_decode(cases[i].text, cases[i].plus, back, &len);
        assert_case(ok == (cases[i].want != NULL), cases[i].text.ptr);
        if (ok)
            assert_text(((struct str){back, len}), cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_vectors), cmocka_unit_test(base64_refusals),
        cmocka_unit_test(base64_random),  cmocka_unit_test(hex_and_percent),
        cmocka_unit_test(percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
