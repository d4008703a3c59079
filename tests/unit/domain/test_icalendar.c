/* iCalendar lines: escaped, folded, never inside of a character. */
#include "domain/icalendar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void lines_are(struct str value, bool text, const char *expected) {
    struct buf buf;

    buf_init(&buf, 4096);
    if (text)
        ical_text(&buf, "SUMMARY", value);
    else
        ical_line(&buf, "SUMMARY", value);
    assert_true(buf_ok(&buf));
    assert_string_equal(buf_str(&buf).ptr, expected);
    buf_release(&buf);
}

static void escaped(void **state) {
    (void)state;
    lines_are(STR("a,b;c\\d\ne\r\tf\x01\x7fg"), true, "SUMMARY:a\\,b\\;c\\\\d\\ne\tfg\r\n");
    lines_are(STR("20260101;x,y"), false, "SUMMARY:20260101;x,y\r\n");
    lines_are(STR(""), true, "SUMMARY:\r\n");
    lines_are(STR("a\xff"
                  "b"),
              true, "SUMMARY:ab\r\n");
}

/* However long, and wherever a character of two, three or four octets or an escape meets the end.
 */
static void folded(void **state) {
    static const char *const parts[] = {"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x92\xa7", ","};

    (void)state;
    for (size_t lead = 0; lead < 80; lead++)
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            char text[1024];
            struct buf buf;
            size_t len = 0;

            for (; len < lead; len++)
                text[len] = '-';
            while (len < 900) {
                memcpy(text + len, parts[p], strlen(parts[p]));
                len += strlen(parts[p]);
            }
            buf_init(&buf, 8192);
            ical_text(&buf, "SUMMARY", (struct str){text, len});
            struct str rest = buf_str(&buf);
            size_t back = 0;
            for (bool first = true; rest.len > 0; first = false) {
                size_t line = (size_t)(strstr(rest.ptr, "\r\n") - rest.ptr);
                size_t skip = first ? strlen("SUMMARY:") : 1;
                assert_in_range(line, 1, 75);
                assert_true(str_is_utf8((struct str){rest.ptr, line}));
                assert_true(first || rest.ptr[0] == ' ');
                for (size_t i = skip; i < line; i++)
                    back += rest.ptr[i] != '\\';
                rest = (struct str){rest.ptr + line + 2, rest.len - line - 2};
            }
            assert_int_equal(back, len);
            buf_release(&buf);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escaped),
        cmocka_unit_test(folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
