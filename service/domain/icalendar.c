/* Writes lines of iCalendar (RFC 5545): text values are escaped, and lines are folded at 75 octets,
 * never inside a UTF-8 character. */
#include "domain/icalendar.h"

#include <string.h>

#define LINE_OCTETS 75

/* `used`: octets of the line so far. */
static void put(struct buf *ret, const char *bytes, size_t len, size_t *used) {
    if (*used + len > LINE_OCTETS) {
        buf_text(ret, "\r\n ");
        *used = 1;
    }
    buf_add(ret, bytes, len);
    *used += len;
}

static void put_char(struct buf *ret, struct str one, bool escape, size_t *used) {
    char c = one.ptr[0];

    if (!escape || (unsigned char)c > 0x7f)
        put(ret, one.ptr, one.len, used);
    else if (c == '\n')
        put(ret, "\\n", 2, used);
    else if (c == '\\' || c == ';' || c == ',')
        put(ret, (const char[]){'\\', c}, 2, used);
    else if (((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t')
        put(ret, &c, 1, used);
}

static void line(struct buf *ret, const char *name, struct str value, bool escape) {
    size_t used = strlen(name) + 1;

    buf_text(ret, name);
    buf_char(ret, ':');
    for (size_t at = 0; at < value.len;) {
        struct str rest = {value.ptr + at, value.len - at};
        size_t len = str_char_len(rest);
        if (len > 0)
            put_char(ret, (struct str){rest.ptr, len}, escape, &used);
        at += len > 0 ? len : 1;
    }
    buf_text(ret, "\r\n");
}

void ical_line(struct buf *ret, const char *name, struct str value) {
    line(ret, name, value, false);
}

void ical_text(struct buf *ret, const char *name, struct str value) {
    line(ret, name, value, true);
}
