/* The encodings of buf.h: percent (RFC 3986), base64 and base64url (RFC 4648), hex. */
#include "core/buf.h"

#include "hex.h"

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void buf_percent(struct buf *buf, struct str text) {
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (unreserved(text.ptr[i]))
            buf_char(buf, text.ptr[i]);
        else
            buf_add(buf, (const char[]){'%', digits[c >> 4], digits[c & 15]}, 3);
    }
}

void buf_hex(struct buf *buf, const void *bytes, size_t len) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;

    for (size_t i = 0; i < len; i++)
        buf_add(buf, (const char[]){digits[p[i] >> 4], digits[p[i] & 15]}, 2);
}

static void encode64(struct buf *buf, const unsigned char *p, size_t len, const char *alphabet,
                     bool padded) {
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t word = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                        (n > 2 ? (uint32_t)p[i + 2] : 0);
        char four[4] = {alphabet[word >> 18], alphabet[word >> 12 & 63], '=', '='};

        if (n > 1)
            four[2] = alphabet[word >> 6 & 63];
        if (n > 2)
            four[3] = alphabet[word & 63];
        buf_add(buf, four, padded ? 4 : n + 1);
    }
}

void buf_base64(struct buf *buf, const void *bytes, size_t len) {
    encode64(buf, bytes, len, base64_alphabet, true);
}

void buf_base64url(struct buf *buf, const void *bytes, size_t len) {
    encode64(buf, bytes, len, base64url_alphabet, false);
}

/* The six bits of a character, or -1. */
static int six_bits(char c, const char *alphabet) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == alphabet[62] ? 62 : c == alphabet[63] ? 63 : -1;
}

static bool decode64(struct str text, const char *alphabet, unsigned char *ret, size_t room,
                     size_t *ret_len) {
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t len = text.len / 4 * 3 + (text.len % 4 == 0 ? 0 : text.len % 4 - 1);
    size_t at = 0;

    if (text.len % 4 == 1 || len > room)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int six = six_bits(text.ptr[i], alphabet);

        if (six < 0)
            return false;
        bits = (bits << 6 | (uint32_t)six) & 0xFFFFFF;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            ret[at++] = (unsigned char)(bits >> n_bits);
        }
    }
    /* Left-over bits must be zero, so that a value has one spelling only. */
    if ((bits & ((1U << n_bits) - 1)) != 0)
        return false;
    *ret_len = len;
    return true;
}

bool base64_decode(struct str text, void *ret, size_t room, size_t *ret_len) {
    if (text.len % 4 != 0)
        return false;
    for (int i = 0; i < 2 && text.len > 0 && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    return decode64(text, base64_alphabet, ret, room, ret_len);
}

bool base64url_decode(struct str text, void *ret, size_t room, size_t *ret_len) {
    return decode64(text, base64url_alphabet, ret, room, ret_len);
}

bool bytea_decode(struct str text, void *ret, size_t room, size_t *ret_len) {
    unsigned char *bytes = ret;

    if (text.len % 2 != 0 || !str_starts(text, "\\x") || text.len / 2 - 1 > room)
        return false;
    for (size_t i = 2; i < text.len; i += 2) {
        int high = hex_digit(text.ptr[i]);
        int low = hex_digit(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i / 2 - 1] = (unsigned char)(high << 4 | low);
    }
    *ret_len = text.len / 2 - 1;
    return true;
}

bool percent_decode(struct str text, bool plus_is_space, char *ret, size_t *ret_len) {
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            int high = text.len - i > 2 ? hex_digit(text.ptr[i + 1]) : -1;
            int low = text.len - i > 2 ? hex_digit(text.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        ret[len++] = c;
    }
    *ret_len = len;
    return true;
}
