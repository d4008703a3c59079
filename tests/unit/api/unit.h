/* What every unit test of this layer includes: cmocka with the headers it needs, and comparison of
 * text. */
#ifndef KAMD_TESTS_UNIT_H
#define KAMD_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/err.h"
#include "core/str.h"

#include <stdio.h>
#include <string.h>

/* Shows both texts when they differ. */
static inline void check_text(struct str got, const char *want, const char *file, int line) {
    if (!str_is(got, want)) {
        print_error("got  \"%.*s\"\nwant \"%s\"\n", STR_ARG(got), want);
        _assert_true(0, "same text", file, line);
    }
}
#define assert_text(got, want) check_text((got), (want), __FILE__, __LINE__)

/* Names the case of a table that failed. */
#define assert_case(condition, name)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("case \"%s\"\n", (name));                                                  \
            _assert_true(0, #condition, __FILE__, __LINE__);                                       \
        }                                                                                          \
    } while (0)

#endif
