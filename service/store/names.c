/* A hash table of the statements that a connection has prepared, with open addressing and at most
 * NAMES_MAX entries. A statement is named after the hash of its text. */
#include "names.h"

#include <stdio.h>

bool names_find(struct names *names, struct str sql, size_t *ret_place) {
    const size_t room = sizeof(names->states);
    uint64_t hash = str_hash(sql);
    size_t at = (size_t)(hash % room);

    /* Half of the places stay free, so the walk ends. */
    while (names->states[at] != NAME_FREE && names->hashes[at] != hash)
        at = (at + 1) % room;
    if (names->states[at] == NAME_FREE) {
        if (names->count == NAMES_MAX)
            return false;
        names->count++;
        names->hashes[at] = hash;
        names->states[at] = NAME_FORGOTTEN;
    }
    *ret_place = at;
    return true;
}

void name_text(uint64_t hash, char ret[static NAME_TEXT]) {
    snprintf(ret, NAME_TEXT, "k%016llx", (unsigned long long)hash);
}
