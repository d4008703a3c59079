/* The byte buffer: what it writes, that it stops exactly at its maximum and stays failed, and
 * how it escapes JSON. */
#include "unit.h"

#include "core/buf.h"

#include <stdlib.h>

static void writing(void **state) {
    (void)state;
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 4096);
    assert_text(buf_str(&buf), "");
    buf_text(&buf, "a");
    buf_char(&buf, 'b');
    buf_put(&buf, STR("cd"));
    buf_put(&buf, STR_ABSENT);
    buf_add(&buf, NULL, 0);
    buf_format(&buf, "<%d|%s>", -5, "x");
    buf_i64(&buf, INT64_MIN);
    buf_char(&buf, ' ');
    buf_i64(&buf, INT64_MAX);
    buf_char(&buf, ' ');
    buf_u64(&buf, UINT64_MAX);
    buf_char(&buf, ' ');
    buf_i64(&buf, 0);
    assert_true(buf_ok(&buf));
    assert_text(buf_str(&buf), "abcd<-5|x>-9223372036854775808 9223372036854775807 "
                               "18446744073709551615 0");
    assert_int_equal(buf.ptr[buf.len], '\0');
    memcpy(buf_extend(&buf, 3), "end", 3);
    assert_true(str_ends(buf_str(&buf), " 0end"));
    buf_reset(&buf);
    assert_text(buf_str(&buf), "");
}

static void maximum_is_exact_and_sticky(void **state) {
    (void)state;
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 10);
    buf_text(&buf, "0123456789");
    assert_true(buf_ok(&buf));
    assert_int_equal(buf.ptr[10], '\0');
    buf_char(&buf, 'x');
    assert_false(buf_ok(&buf));
    buf_add(&buf, "", 0);
    assert_false(buf_ok(&buf));
    assert_null(buf_str(&buf).ptr);
    assert_null(buf_extend(&buf, 0));
    assert_null(buf_take(&buf, NULL));
    buf_text(&buf, "again");
    assert_text(buf_str(&buf), "again");
    buf_format(&buf, "%11d", 1);
    assert_false(buf_ok(&buf));
    buf_reset(&buf);
    assert_true(buf_ok(&buf));
    buf_add(&buf, "x", SIZE_MAX);
    assert_false(buf_ok(&buf));
}

static void taking(void **state) {
    (void)state;
    struct buf buf CLEANUP(buf_release) = {0};
    size_t len = 9;
    buf_init(&buf, 100000);
    char *empty = buf_take(&buf, &len);
    assert_string_equal(empty, "");
    assert_int_equal(len, 0);
    free(empty);
    for (int i = 0; i < 10000; i++)
        buf_text(&buf, "0123456789");
    char *all = buf_take(&buf, &len);
    assert_int_equal(len, 100000);
    assert_int_equal(all[99999], '9');
    assert_int_equal(all[100000], '\0');
    free(all);
    assert_text(buf_str(&buf), "");
    buf_init(&buf, SIZE_MAX);
    buf_text(&buf, "no limit");
    assert_true(buf_ok(&buf));
}

static void json(void **state) {
    (void)state;
    static const struct {
        struct str text;
        const char *want;
    } cases[] = {
        {{NULL, 0}, "null"},
        {{"", 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
        {{"\b\f\n\r\t", 5}, "\"\\b\\f\\n\\r\\t\""},
        {{"\x01\x1f\x7f", 3}, "\"\\u0001\\u001f\x7f\""},
        {{"\0", 1}, "\"\\u0000\""},
        {{"\xE2\x80\xA8|\xE2\x80\xA9", 7}, "\"\\u2028|\\u2029\""},
        {{"\xE2\x80\xAA\xE2\x82\xAC", 6}, "\"\xE2\x80\xAA\xE2\x82\xAC\""},
        {{"</script>", 9}, "\"</script>\""},
        {{"\xE2\x80\xA8", 2}, "\"\xE2\x80\""}, /* what lies behind the text is not looked at */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf buf CLEANUP(buf_release) = {0};
        buf_init(&buf, 4096);
        buf_json(&buf, cases[i].text);
        assert_text(buf_str(&buf), cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing),
        cmocka_unit_test(maximum_is_exact_and_sticky),
        cmocka_unit_test(taking),
        cmocka_unit_test(json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
