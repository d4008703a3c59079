/* The byte buffer, which doubles its memory up to a maximum, and what writes text, numbers and JSON
 * strings into the buffer. The other encodings of buf.h are in encode.c. */
#include "core/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 128

void buf_init(struct buf *buf, size_t max) {
    /* One less than all, so that the NUL has room in the arithmetic, too. */
    *buf = (struct buf){.max = max < SIZE_MAX ? max : SIZE_MAX - 1};
}

void buf_over(struct buf *buf, char *memory, size_t size) {
    *buf = (struct buf){.ptr = memory, .cap = size, .max = size - 1};
    memory[0] = '\0';
}

void buf_release(struct buf *buf) {
    free(buf->ptr);
    buf_init(buf, buf->max);
}

void buf_reset(struct buf *buf) {
    buf->len = 0;
    buf->failed = false;
    if (buf->ptr != NULL)
        buf->ptr[0] = '\0';
}

bool buf_ok(const struct buf *buf) { return !buf->failed; }

struct str buf_str(const struct buf *buf) {
    if (buf->failed)
        return STR_ABSENT;
    return buf->ptr == NULL ? STR("") : (struct str){buf->ptr, buf->len};
}

/* Room for `more` bytes and the NUL. */
static bool buf_grow(struct buf *buf, size_t more) {
    size_t cap = buf->cap == 0 ? BUF_FIRST : buf->cap;

    if (buf->failed || more > buf->max - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + more + 1;
    if (need <= buf->cap)
        return true;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > buf->max + 1)
        cap = buf->max + 1;
    char *ptr = realloc(buf->ptr, cap);
    if (ptr == NULL) {
        buf->failed = true;
        return false;
    }
    buf->ptr = ptr;
    buf->cap = cap;
    return true;
}

char *buf_take(struct buf *buf, size_t *ret_len) {
    char *ptr = NULL;
    size_t len = buf->len;

    if (buf_grow(buf, 0)) {
        buf->ptr[len] = '\0';
        ptr = TAKE(buf->ptr);
    }
    buf_release(buf);
    if (ptr != NULL && ret_len != NULL)
        *ret_len = len;
    return ptr;
}

char *buf_extend(struct buf *buf, size_t len) {
    if (!buf_grow(buf, len))
        return NULL;
    char *at = buf->ptr + buf->len;
    buf->len += len;
    buf->ptr[buf->len] = '\0';
    return at;
}

void buf_add(struct buf *buf, const void *bytes, size_t len) {
    char *at = buf_extend(buf, len);

    if (at != NULL && len > 0)
        memcpy(at, bytes, len);
}

void buf_text(struct buf *buf, const char *text) { buf_add(buf, text, strlen(text)); }

void buf_put(struct buf *buf, struct str text) { buf_add(buf, text.ptr, text.len); }

void buf_char(struct buf *buf, char c) { buf_add(buf, &c, 1); }

void buf_u64(struct buf *buf, uint64_t value) {
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_add(buf, digits + at, sizeof(digits) - at);
}

void buf_i64(struct buf *buf, int64_t value) {
    if (value < 0)
        buf_char(buf, '-');
    /* Negated as unsigned, because the smallest int64_t has no positive twin. */
    buf_u64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_format(struct buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !buf_grow(buf, (size_t)len)) {
        buf->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

/* Bytes of the escape that replaces what text[at] begins, or 0 when it stands for itself. *ret_len
 * is what it replaces. */
static size_t json_escape(struct str text, size_t at, char ret[static 8], size_t *ret_len) {
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    unsigned char c = (unsigned char)text.ptr[at];

    *ret_len = 1;
    if (c >= 0x20 && c != '"' && c != '\\') {
        /* U+2028 and U+2029 are line ends to JavaScript before ES2019. */
        if (c != 0xE2 || text.len - at < 3 || (unsigned char)text.ptr[at + 1] != 0x80 ||
            ((unsigned char)text.ptr[at + 2] & 0xFE) != 0xA8)
            return 0;
        *ret_len = 3;
        memcpy(ret, (unsigned char)text.ptr[at + 2] == 0xA8 ? "\\u2028" : "\\u2029", 6);
        return 6;
    }
    for (size_t i = 0; i + 1 < sizeof(shorts); i += 2)
        if ((unsigned char)shorts[i] == c) {
            ret[0] = '\\';
            ret[1] = shorts[i + 1];
            return 2;
        }
    snprintf(ret, 8, "\\u%04x", (unsigned)c);
    return 6;
}

void buf_json(struct buf *buf, struct str text) {
    size_t start = 0;

    if (text.ptr == NULL) {
        buf_text(buf, "null");
        return;
    }
    buf_char(buf, '"');
    for (size_t at = 0; at < text.len;) {
        char escape[8];
        size_t replaced;
        size_t len = json_escape(text, at, escape, &replaced);
        if (len > 0) {
            buf_add(buf, text.ptr + start, at - start);
            buf_add(buf, escape, len);
            start = at + replaced;
        }
        at += replaced;
    }
    buf_add(buf, text.ptr + start, text.len - start);
    buf_char(buf, '"');
}
