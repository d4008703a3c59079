/* What every unit test of this layer includes. */
#ifndef KAMD_TESTS_UNIT_CACHE_H
#define KAMD_TESTS_UNIT_CACHE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/err.h"
#include "core/str.h"

/* Names the case of a table that failed. */
#define assert_case(condition, name)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("case \"%s\"\n", (name));                                                  \
            _assert_true(0, #condition, __FILE__, __LINE__);                                       \
        }                                                                                          \
    } while (0)

#endif
