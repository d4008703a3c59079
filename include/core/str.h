/* Borrowed text: a pointer and a length, not NUL-terminated, never owned.
 * A str with ptr == NULL is "absent" (SQL NULL, no such header); {"" , 0} is empty text. */
#ifndef KAMD_CORE_STR_H
#define KAMD_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *ptr;
    size_t len;
};

/* A parameter of a request's query or path, decoded. */
struct param {
    struct str name;
    struct str value;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_ABSENT ((struct str){NULL, 0})
/* For printf: "%.*s", STR_ARG(s) */
#define STR_ARG(s) (int)(s).len, (s).ptr

struct str str_of(const char *text);     /* NULL gives STR_ABSENT */
bool str_eq(struct str a, struct str b); /* absent equals only absent */
bool str_is(struct str a, const char *text);
bool str_case_is(struct str a, const char *text); /* ASCII case folded */
bool str_starts(struct str a, const char *prefix);
bool str_ends(struct str a, const char *suffix);
struct str str_trim(struct str a); /* spaces and tabs at both ends */
/* Cuts `rest` at the first `separator`: the part before it is *ret_head and `rest` becomes what is
 * after. False once `rest` is absent. "a,,b" gives "a", "", "b". */
bool str_split(struct str *rest, char separator, struct str *ret_head);
/* Decimal, optional '-', no spaces, no leading '+'. False when it does not fit. */
bool str_to_i64(struct str a, int64_t *ret);
/* Well-formed UTF-8 without NUL, surrogates or overlong forms (RFC 3629). */
bool str_is_utf8(struct str a);
/* Length of the longest prefix for which str_is_utf8 holds: where to cut, or where the first bad
 * byte is. */
size_t str_utf8_prefix(struct str a);
/* Bytes of the well-formed character (not NUL) that `a` begins with; 0 when there is none. */
size_t str_char_len(struct str a);
/* Number of Unicode scalar values in well-formed UTF-8. */
size_t str_chars(struct str a);
/* FNV-1a, 64 bits: for hash tables and prepared-statement names, never for secrets. */
uint64_t str_hash(struct str a);

#endif
