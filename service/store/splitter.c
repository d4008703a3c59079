/* Splits a file of SQL into statements at the semicolons that stand outside of quotes, dollar
 * quotes and comments. */
#include "splitter.h"

#include <string.h>

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* Each skip_ takes the place of an opening and returns the place behind the closing, or the end. */

static size_t skip_line(struct str sql, size_t at) {
    const char *end = memchr(sql.ptr + at, '\n', sql.len - at);

    return end == NULL ? sql.len : (size_t)(end - sql.ptr) + 1;
}

/* SQL's block comments nest. */
static size_t skip_block(struct str sql, size_t at) {
    size_t depth = 0;

    while (at + 1 < sql.len) {
        if (memcmp(sql.ptr + at, "/*", 2) == 0) {
            depth++;
            at += 2;
        } else if (memcmp(sql.ptr + at, "*/", 2) == 0) {
            at += 2;
            if (--depth == 0)
                return at;
        } else {
            at++;
        }
    }
    return sql.len;
}

/* A doubled quote needs no care: it ends one text and begins the next. */
static size_t skip_quoted(struct str sql, size_t at, bool backslashes) {
    char quote = sql.ptr[at++];

    while (at < sql.len && sql.ptr[at] != quote)
        at += backslashes && sql.ptr[at] == '\\' ? 2 : 1;
    return at < sql.len ? at + 1 : sql.len;
}

/* $tag$ ... $tag$; a lone $ (as in $1) is skipped by itself. */
static size_t skip_dollar(struct str sql, size_t at) {
    size_t end = at + 1;

    if (at > 0 && is_name(sql.ptr[at - 1]))
        return end;
    while (end < sql.len && is_name(sql.ptr[end]))
        end++;
    if (end == sql.len || sql.ptr[end] != '$' || (sql.ptr[at + 1] >= '0' && sql.ptr[at + 1] <= '9'))
        return at + 1;
    size_t tag = end + 1 - at;
    for (end++; end + tag <= sql.len; end++)
        if (memcmp(sql.ptr + end, sql.ptr + at, tag) == 0)
            return end + tag;
    return sql.len;
}

static size_t skip(struct str sql, size_t at) {
    char next = at + 1 < sql.len ? sql.ptr[at + 1] : '\0';

    switch (sql.ptr[at]) {
    case '-':
        return next == '-' ? skip_line(sql, at) : at + 1;
    case '/':
        return next == '*' ? skip_block(sql, at) : at + 1;
    case '\'': {
        bool escapes = at > 0 && (sql.ptr[at - 1] == 'e' || sql.ptr[at - 1] == 'E') &&
                       (at == 1 || !is_name(sql.ptr[at - 2]));
        return skip_quoted(sql, at, escapes);
    }
    case '"':
        return skip_quoted(sql, at, false);
    case '$':
        return skip_dollar(sql, at);
    default:
        return at + 1;
    }
}

static bool is_comment(struct str sql, size_t at) {
    return at + 1 < sql.len &&
           (memcmp(sql.ptr + at, "--", 2) == 0 || memcmp(sql.ptr + at, "/*", 2) == 0);
}

bool sql_next(struct str *rest, struct str *ret_statement) {
    size_t start = 0;

    while (start < rest->len &&
           (is_space(rest->ptr[start]) || rest->ptr[start] == ';' || is_comment(*rest, start)))
        start = is_comment(*rest, start) ? skip(*rest, start) : start + 1;
    if (start == rest->len)
        return false;
    size_t end = start;
    while (end < rest->len && rest->ptr[end] != ';')
        end = skip(*rest, end);
    *ret_statement = (struct str){rest->ptr + start, end - start};
    *rest = (struct str){rest->ptr + end, rest->len - end};
    return true;
}
