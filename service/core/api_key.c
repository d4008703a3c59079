/* Makes the text of API keys (a prefix, 256 random bits and a check sum, in base62), and tells
 * whether a text can be one. */
#include "core/crypto.h"

#include <sodium.h>
#include <string.h>

#define KEY_PREFIX "kamd_live_"
#define KEY_PREFIX_LEN (sizeof(KEY_PREFIX) - 1)
#define KEY_RANDOM 43 /* 62^43 > 2^256 */
#define KEY_SUM 6     /* 62^6 > 2^32 */
#define KEY_LEN (KEY_PREFIX_LEN + KEY_RANDOM + KEY_SUM)
_Static_assert(KEY_LEN < API_KEY_TEXT, "a key and its NUL fit");

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* CRC-32 of zlib and Ethernet, bit by bit: keys are short. */
static uint32_t crc32(const char *bytes, size_t len) {
    uint32_t crc = 0xFFFFFFFFU;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320U & (0 - (crc & 1)));
    }
    return ~crc;
}

/* Writes the big-endian number `bytes` in `width` base62 digits; leaves zero in `bytes`. */
static void write_base62(unsigned char *bytes, size_t len, char *ret, size_t width) {
    for (size_t digit = width; digit-- > 0;) {
        unsigned rest = 0;

        for (size_t i = 0; i < len; i++) {
            unsigned part = rest << 8 | bytes[i];
            bytes[i] = (unsigned char)(part / 62);
            rest = part % 62;
        }
        ret[digit] = base62[rest];
    }
}

/* The check sum covers the prefix, too. */
static void write_sum(const char *key, char ret[static KEY_SUM]) {
    uint32_t crc = crc32(key, KEY_PREFIX_LEN + KEY_RANDOM);
    unsigned char bytes[4] = {(unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
                              (unsigned char)(crc >> 8), (unsigned char)crc};

    write_base62(bytes, sizeof(bytes), ret, KEY_SUM);
}

void api_key_make(char ret[static API_KEY_TEXT]) {
    unsigned char bytes[32];

    randombytes_buf(bytes, sizeof(bytes));
    memcpy(ret, KEY_PREFIX, KEY_PREFIX_LEN);
    write_base62(bytes, sizeof(bytes), ret + KEY_PREFIX_LEN, KEY_RANDOM);
    write_sum(ret, ret + KEY_PREFIX_LEN + KEY_RANDOM);
    ret[KEY_LEN] = '\0';
    sodium_memzero(bytes, sizeof(bytes));
}

bool api_key_is(struct str text) {
    char sum[KEY_SUM];

    if (text.len != KEY_LEN || !str_starts(text, KEY_PREFIX))
        return false;
    for (size_t i = KEY_PREFIX_LEN; i < KEY_LEN; i++)
        if (text.ptr[i] == '\0' || strchr(base62, text.ptr[i]) == NULL)
            return false;
    write_sum(text.ptr, sum);
    return memcmp(sum, text.ptr + KEY_PREFIX_LEN + KEY_RANDOM, KEY_SUM) == 0;
}
