/* Functions on borrowed text (struct str): compare, trim, split, parse integers, check UTF-8, hash.
 * None of them allocates memory or changes the text. */
#include "core/str.h"

#include <string.h>

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

struct str str_of(const char *text) {
    return text == NULL ? STR_ABSENT : (struct str){text, strlen(text)};
}

bool str_eq(struct str a, struct str b) {
    if ((a.ptr == NULL) != (b.ptr == NULL) || a.len != b.len)
        return false;
    return a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0;
}

bool str_is(struct str a, const char *text) { return str_eq(a, str_of(text)); }

bool str_case_is(struct str a, const char *text) {
    struct str b = str_of(text);

    if ((a.ptr == NULL) != (b.ptr == NULL) || a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

bool str_starts(struct str a, const char *prefix) {
    size_t len = strlen(prefix);

    return a.ptr != NULL && a.len >= len && memcmp(a.ptr, prefix, len) == 0;
}

bool str_ends(struct str a, const char *suffix) {
    size_t len = strlen(suffix);

    return a.ptr != NULL && a.len >= len && memcmp(a.ptr + a.len - len, suffix, len) == 0;
}

struct str str_trim(struct str a) {
    while (a.len > 0 && (a.ptr[0] == ' ' || a.ptr[0] == '\t')) {
        a.ptr++;
        a.len--;
    }
    while (a.len > 0 && (a.ptr[a.len - 1] == ' ' || a.ptr[a.len - 1] == '\t'))
        a.len--;
    return a;
}

bool str_split(struct str *rest, char separator, struct str *ret_head) {
    const char *at;

    if (rest->ptr == NULL)
        return false;
    at = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    if (at == NULL) {
        *ret_head = *rest;
        *rest = STR_ABSENT;
        return true;
    }
    size_t len = (size_t)(at - rest->ptr);
    *ret_head = (struct str){rest->ptr, len};
    *rest = (struct str){at + 1, rest->len - len - 1};
    return true;
}

bool str_to_i64(struct str a, int64_t *ret) {
    bool negative = a.len > 0 && a.ptr[0] == '-';
    int64_t value = 0;

    if (a.len == (negative ? 1U : 0U))
        return false;
    for (size_t i = negative ? 1 : 0; i < a.len; i++) {
        int digit = a.ptr[i] - '0';

        if (digit < 0 || digit > 9)
            return false;
        /* Built downwards for negatives, so that the smallest value fits. */
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

static bool continues(unsigned char c) { return (c & 0xC0) == 0x80; }

size_t str_char_len(struct str a) {
    const unsigned char *p = (const unsigned char *)a.ptr;

    if (a.len == 0 || p[0] == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        return a.len >= 2 && continues(p[1]) ? 2 : 0;
    if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        if (a.len < 3 || !continues(p[1]) || !continues(p[2]))
            return 0;
        /* E0 80..9F would be overlong, ED A0..BF a surrogate. */
        return (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ? 0 : 3;
    }
    if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        if (a.len < 4 || !continues(p[1]) || !continues(p[2]) || !continues(p[3]))
            return 0;
        /* F0 80..8F would be overlong, F4 90.. beyond U+10FFFF. */
        return (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F) ? 0 : 4;
    }
    return 0;
}

/* True when the eight bytes are ASCII without NUL: the common case, one word at a time. */
static bool plain_word(const char *p) {
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return (word & 0x8080808080808080U) == 0 &&
           ((word - 0x0101010101010101U) & ~word & 0x8080808080808080U) == 0;
}

size_t str_utf8_prefix(struct str a) {
    size_t at = 0;

    while (at < a.len) {
        if (a.len - at >= 8 && plain_word(a.ptr + at)) {
            at += 8;
            continue;
        }
        size_t len = str_char_len((struct str){a.ptr + at, a.len - at});
        if (len == 0)
            break;
        at += len;
    }
    return at;
}

bool str_is_utf8(struct str a) { return str_utf8_prefix(a) == a.len; }

size_t str_chars(struct str a) {
    size_t n = 0;

    for (size_t i = 0; i < a.len; i++)
        n += !continues((unsigned char)a.ptr[i]);
    return n;
}

uint64_t str_hash(struct str a) {
    uint64_t hash = 0xCBF29CE484222325U;

    for (size_t i = 0; i < a.len; i++)
        hash = (hash ^ (unsigned char)a.ptr[i]) * 0x100000001B3U;
    return hash;
}
