/* Borrowed text: comparing, trimming, splitting, numbers, hashing, and every kind of UTF-8 that
 * is valid or not. */
#include "unit.h"

static void equality(void **state) {
    (void)state;
    assert_true(str_eq(STR("abc"), str_of("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq(STR_ABSENT, STR_ABSENT));
    assert_false(str_eq(STR_ABSENT, STR("")));
    assert_true(str_eq(STR(""), (struct str){"x", 0}));
    assert_true(str_is(STR_ABSENT, NULL));
    assert_true(str_case_is(STR("X-Y"), "x-y"));
    assert_false(str_case_is(STR("X-Y"), "x-z"));
    /* Only ASCII is folded: '@' and '`' differ by the same bit as letters do. */
    assert_false(str_case_is(STR("@"), "`"));
    assert_false(str_case_is(STR("x"), "xy"));
}

static void ends(void **state) {
    (void)state;
    assert_true(str_starts(STR("Bearer x"), "Bearer "));
    assert_false(str_starts(STR("Bea"), "Bearer "));
    assert_false(str_starts(STR_ABSENT, ""));
    assert_true(str_ends(STR("a.json"), ".json"));
    assert_false(str_ends(STR("json"), ".json"));
    assert_text(str_trim(STR(" \t a b \t")), "a b");
    assert_text(str_trim(STR(" \t ")), "");
    assert_null(str_trim(STR_ABSENT).ptr);
}

static void splitting(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *parts[4];
    } cases[] = {
        {"a,,b", {"a", "", "b", NULL}}, {"a", {"a", NULL}},      {"", {"", NULL}},
        {",", {"", "", NULL}},          {"a,", {"a", "", NULL}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str rest = str_of(cases[i].text);
        struct str part;
        size_t n = 0;
        while (str_split(&rest, ',', &part))
            assert_text(part, cases[i].parts[n++]);
        assert_null(cases[i].parts[n]);
    }
    assert_false(str_split(&(struct str){NULL, 0}, ',', &(struct str){NULL, 0}));
}

static void numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"42", true, 42},
        {"-42", true, -42},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"92233720368547758070", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"0x10", false, 0},
        {"--1", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t value = 77;
        assert_case(str_to_i64(str_of(cases[i].text), &value) == cases[i].ok, cases[i].text);
        assert_case(value == (cases[i].ok ? cases[i].value : 77), cases[i].text);
    }
}

/* RFC 3629, and the boundaries of Unicode's table 3-7. `prefix` is what is well-formed before the
 * first bad byte. */
static void utf8(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t len, prefix, chars;
    } cases[] = {
        {"", 0, 0, 0},
        {"plain ASCII of more than eight bytes", 36, 36, 36},
        {"gr\xC3\xBC\xC3\x9F", 6, 6, 4},
        {"\xE2\x82\xAC", 3, 3, 1},
        {"\xF0\x9F\x98\x80", 4, 4, 1},
        {"\xC2\x80", 2, 2, 1},
        {"\xDF\xBF", 2, 2, 1},
        {"\xE0\xA0\x80", 3, 3, 1},
        {"\xED\x9F\xBF", 3, 3, 1},
        {"\xEE\x80\x80", 3, 3, 1},
        {"\xEF\xBF\xBF", 3, 3, 1},
        {"\xF0\x90\x80\x80", 4, 4, 1},
        {"\xF4\x8F\xBF\xBF", 4, 4, 1},
        {"a\0b", 3, 1, 0},
        {"12345678\0"
         "12345678",
         17, 8, 0},
        {"1234567890\xFF", 11, 10, 0},
        {"\x80", 1, 0, 0},
        {"\xC0\x80", 2, 0, 0},         /* overlong NUL */
        {"\xC1\xBF", 2, 0, 0},         /* overlong */
        {"\xE0\x9F\xBF", 3, 0, 0},     /* overlong */
        {"\xF0\x8F\xBF\xBF", 4, 0, 0}, /* overlong */
        {"\xED\xA0\x80", 3, 0, 0},     /* surrogate */
        {"\xED\xBF\xBF", 3, 0, 0},     /* surrogate */
        {"\xF4\x90\x80\x80", 4, 0, 0}, /* beyond U+10FFFF */
        {"\xF5\x80\x80\x80", 4, 0, 0},
        {"ab\xC3", 3, 2, 0}, /* cut off */
        {"\xE2\x82", 2, 0, 0},
        {"\xF0\x9F\x98", 3, 0, 0},
        {"\xC3"
         "a",
         2, 0, 0},
        {"\xE2\x82"
         "a",
         3, 0, 0},
        {"\xF0\x9F\x98"
         "a",
         4, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str text = {cases[i].text, cases[i].len};
        assert_int_equal(str_utf8_prefix(text), cases[i].prefix);
        assert_int_equal(str_is_utf8(text), cases[i].prefix == cases[i].len);
        if (cases[i].prefix == cases[i].len)
            assert_int_equal(str_chars(text), cases[i].chars);
    }
    assert_true(str_is_utf8(STR_ABSENT));
    assert_int_equal(str_char_len(STR("\xE2\x82\xAC"
                                      "1")),
                     3);
    assert_int_equal(str_char_len(STR("")), 0);
}

/* All 256 + 65536 texts of one and two bytes, against the definition in words. */
static void utf8_short_texts(void **state) {
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        char one[1] = {(char)a};
        assert_int_equal(str_is_utf8((struct str){one, 1}), a > 0 && a < 0x80);
        for (unsigned b = 0; b < 256; b++) {
            char two[2] = {(char)a, (char)b};
            bool ascii = a > 0 && a < 0x80 && b > 0 && b < 0x80;
            bool pair = a >= 0xC2 && a <= 0xDF && b >= 0x80 && b <= 0xBF;
            assert_int_equal(str_is_utf8((struct str){two, 2}), ascii || pair);
        }
    }
}

static void hashing(void **state) {
    (void)state;
    /* Vectors of draft-eastlake-fnv, 64 bits. */
    assert_true(str_hash(STR("")) == 0xcbf29ce484222325U);
    assert_true(str_hash(STR("a")) == 0xaf63dc4c8601ec8cU);
    assert_true(str_hash(STR("foobar")) == 0x85944171f73967e8U);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality), cmocka_unit_test(ends), cmocka_unit_test(splitting),
        cmocka_unit_test(numbers),  cmocka_unit_test(utf8), cmocka_unit_test(utf8_short_texts),
        cmocka_unit_test(hashing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
