/* The table of problems (HTTP status, code, title, meaning), made from the list in problem.h, and
 * the lookup of a problem by its number or its code. */
#include "core/problem.h"

#include <string.h>

static const struct problem_info problems[] = {
    [PROBLEM_NONE] = {200, "none", "Nothing is wrong", "Not an error."},
#define X(name, status_, code_, title_, meaning_)                                                  \
    [PROBLEM_##                                                                                    \
        name] = {.status = (status_), .code = (code_), .title = (title_), .meaning = (meaning_)},
    PROBLEMS(X)
#undef X
};
_Static_assert(sizeof(problems) / sizeof(problems[0]) == PROBLEM_COUNT, "one row per problem");

const struct problem_info *problem_info(enum problem problem) {
    return &problems[(unsigned)problem < PROBLEM_COUNT ? problem : PROBLEM_INTERNAL];
}

enum problem problem_by_code(const char *code) {
    for (unsigned i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++)
        if (strcmp(problems[i].code, code) == 0)
            return (enum problem)i;
    return PROBLEM_NONE;
}
