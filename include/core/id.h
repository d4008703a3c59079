/* UUIDs (RFC 9562): version 7 for new records, version 5 for the ids of events (the id of what they
 * report). */
#ifndef KAMD_CORE_ID_H
#define KAMD_CORE_ID_H

#include "core/clock.h"
#include "core/random.h"
#include "core/str.h"

#define UUID_TEXT 37 /* 36 characters and a NUL */

struct uuid {
    unsigned char bytes[16];
};

struct uuid uuid_v7(const struct clock *clock, const struct randomness *randomness);
void uuid_text(const struct uuid *id, char ret[static UUID_TEXT]); /* lower case */
/* Canonical form of any version, either case; nothing else (no braces, no urn). */
bool uuid_parse(struct str text, struct uuid *ret);
bool uuid_is(struct str text);

#endif
