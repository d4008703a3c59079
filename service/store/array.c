/* Writes texts as a PostgreSQL array, to be the parameter of a statement. */
#include "store/array.h"

struct str pg_array_param(struct arena *arena, const struct str *items, size_t n) {
    size_t len = 2;
    for (size_t i = 0; i < n; i++)
        len += 2 * items[i].len + 3;
    char *text = arena_alloc(arena, len + 1);
    if (!text)
        return STR_ABSENT;
    size_t at = 0;
    text[at++] = '{';
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            text[at++] = ',';
        text[at++] = '"';
        for (size_t k = 0; k < items[i].len; k++) {
            if (items[i].ptr[k] == '"' || items[i].ptr[k] == '\\')
                text[at++] = '\\';
            text[at++] = items[i].ptr[k];
        }
        text[at++] = '"';
    }
    text[at++] = '}';
    text[at] = '\0';
    return (struct str){text, at};
}
