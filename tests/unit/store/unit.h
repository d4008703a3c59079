/* What the unit tests of the store include. */
#ifndef KAMD_TESTS_UNIT_STORE_H
#define KAMD_TESTS_UNIT_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/err.h"
#include "core/str.h"

#include <stdio.h>
#include <string.h>

/* Names the case of a table that failed. */
#define assert_case(condition, name)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("case \"%s\"\n", (name));                                                  \
            _assert_true(0, #condition, __FILE__, __LINE__);                                       \
        }                                                                                          \
    } while (0)

#endif
