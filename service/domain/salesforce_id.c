/* Checks Salesforce record ids, and turns ids of 15 characters into ids of 18: the last three
 * encode which of the others are capitals. */
#include "domain/salesforce_id.h"

#include <string.h>

#define CHUNKS 3
#define CHUNK_LEN 5
#define SHORT_LEN (CHUNKS * CHUNK_LEN)
#define LONG_LEN (SHORT_LEN + CHUNKS)

static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

static bool is_id_char(char c) {
    return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Three chunks of five; bit i is set where the chunk's character i is A-Z; the value indexes the
 * alphabet. */
static void checksum(const char *id, char ret[static CHUNKS]) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

    for (size_t chunk = 0; chunk < CHUNKS; chunk++) {
        unsigned bits = 0;

        for (unsigned i = 0; i < CHUNK_LEN; i++)
            bits |= (unsigned)is_upper(id[chunk * CHUNK_LEN + i]) << i;
        ret[chunk] = alphabet[bits];
    }
}

const char *check_salesforce_id(struct str text) {
    char expected[CHUNKS];

    if (text.len != SHORT_LEN && text.len != LONG_LEN)
        return "must be a Salesforce id of 15 or 18 characters";
    for (size_t i = 0; i < text.len; i++)
        if (!is_id_char(text.ptr[i]))
            return "must be a Salesforce id: only letters A-Z, a-z and digits";
    checksum(text.ptr, expected);
    if (text.len == LONG_LEN && memcmp(text.ptr + SHORT_LEN, expected, CHUNKS) != 0)
        return "is not a Salesforce id: its last three characters do not fit the case of the "
               "others";
    return NULL;
}

bool salesforce_id_parse(struct str text, char ret[static SALESFORCE_ID_TEXT]) {
    if (check_salesforce_id(text) != NULL)
        return false;
    memcpy(ret, text.ptr, SHORT_LEN);
    checksum(text.ptr, ret + SHORT_LEN);
    ret[LONG_LEN] = '\0';
    return true;
}
