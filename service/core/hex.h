/* One hex digit's value, or -1. */
#ifndef KAMD_CORE_HEX_H
#define KAMD_CORE_HEX_H

static inline int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
