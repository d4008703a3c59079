/* Makes UUIDs of version 7, which begin with the time and so sort by it, and converts UUIDs to text
 * and back. */
#include "core/id.h"

#include "hex.h"

#include <string.h>

struct uuid uuid_v7(const struct clock *clock, const struct randomness *randomness) {
    uint64_t ms = (uint64_t)(clock_wall(clock) / 1000);
    struct uuid id;

    for (size_t i = 0; i < 6; i++)
        id.bytes[i] = (unsigned char)(ms >> (40 - 8 * i));
    random_fill(randomness, id.bytes + 6, 10);
    id.bytes[6] = (unsigned char)((id.bytes[6] & 0x0F) | 0x70); /* version 7 */
    id.bytes[8] = (unsigned char)((id.bytes[8] & 0x3F) | 0x80); /* variant of RFC 9562 */
    return id;
}

static bool dash_at(size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

void uuid_text(const struct uuid *id, char ret[static UUID_TEXT]) {
    static const char digits[] = "0123456789abcdef";
    size_t nibble = 0;

    for (size_t i = 0; i < UUID_TEXT - 1; i++) {
        if (dash_at(i)) {
            ret[i] = '-';
            continue;
        }
        unsigned byte = id->bytes[nibble / 2];
        ret[i] = digits[nibble % 2 == 0 ? byte >> 4 : byte & 15];
        nibble++;
    }
    ret[UUID_TEXT - 1] = '\0';
}

bool uuid_parse(struct str text, struct uuid *ret) {
    struct uuid id = {{0}};
    size_t nibble = 0;

    if (text.len != UUID_TEXT - 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.ptr[i]);

        if (dash_at(i) != (text.ptr[i] == '-') || (digit < 0 && !dash_at(i)))
            return false;
        if (dash_at(i))
            continue;
        id.bytes[nibble / 2] = (unsigned char)(id.bytes[nibble / 2] << 4 | digit);
        nibble++;
    }
    *ret = id;
    return true;
}

bool uuid_is(struct str text) {
    struct uuid id;

    return uuid_parse(text, &id);
}
