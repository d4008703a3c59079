/* A growing byte buffer with a stated maximum. Failure (over the maximum, out of memory) is sticky:
 * write everything, then ask buf_ok() once. */
#ifndef KAMD_CORE_BUF_H
#define KAMD_CORE_BUF_H

#include "core/cleanup.h"
#include "core/str.h"

struct buf {
    char *ptr; /* NUL-terminated whenever it is not NULL */
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

void buf_init(struct buf *buf, size_t max);
/* In `size` bytes of the caller's, NUL included: never grows, and is not released. */
void buf_over(struct buf *buf, char *memory, size_t size);
void buf_release(struct buf *buf);
void buf_reset(struct buf *buf); /* empty again, memory kept, failure forgotten */
bool buf_ok(const struct buf *buf);
struct str
buf_str(const struct buf *buf); /* borrowed until the next change; absent after a failure */
/* Hands the memory (malloc'd, NUL-terminated) to the caller; the buffer becomes empty. NULL after a
 * failure. */
char *buf_take(struct buf *buf, size_t *ret_len);

void buf_add(struct buf *buf, const void *bytes, size_t len);
/* Room for `len` bytes at the end, counted as written; the caller fills it at once. NULL after a
 * failure. */
char *buf_extend(struct buf *buf, size_t len);
void buf_text(struct buf *buf, const char *text);
void buf_put(struct buf *buf, struct str text);
void buf_char(struct buf *buf, char c);
void buf_i64(struct buf *buf, int64_t value);
void buf_u64(struct buf *buf, uint64_t value);
void buf_format(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* A JSON string with quotes (RFC 8259): escapes '"', '\\', controls, and U+2028/2029. Absent gives
 * null. The text must be well-formed UTF-8. */
void buf_json(struct buf *buf, struct str text);
/* Percent-encoding of everything outside RFC 3986 "unreserved". */
void buf_percent(struct buf *buf, struct str text);
void buf_base64(struct buf *buf, const void *bytes, size_t len);    /* RFC 4648 section 4, padded */
void buf_base64url(struct buf *buf, const void *bytes, size_t len); /* section 5, no padding */
void buf_hex(struct buf *buf, const void *bytes, size_t len);       /* lower case */

/* Decoders; false on any character outside the alphabet or a wrong length. *ret_len <= room. */
bool base64_decode(struct str text, void *ret, size_t room, size_t *ret_len);
bool base64url_decode(struct str text, void *ret, size_t room, size_t *ret_len);
/* bytea as PostgreSQL writes it: "\\x" and lower-case digits. */
bool bytea_decode(struct str text, void *ret, size_t room, size_t *ret_len);
/* RFC 3986 percent-decoding in place of nothing: writes at most text.len bytes to ret. False on a
 * bad escape or %00. */
bool percent_decode(struct str text, bool plus_is_space, char *ret, size_t *ret_len);

#endif
