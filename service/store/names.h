/* The names of the statements that one connection has prepared: a set of hashes, bounded, only
 * growing. A statement's name is the hash of its text, so that all connections use the same names.
 */
#ifndef KAMD_STORE_NAMES_H
#define KAMD_STORE_NAMES_H

#include "core/str.h"

#define NAMES_MAX 512
#define NAME_TEXT 24

enum name_state {
    NAME_FREE,
    NAME_FORGOTTEN, /* known, but not prepared (any more) */
    NAME_SENT,      /* PREPARE is on its way; it may still turn out not to have been executed */
    NAME_PREPARED
};

struct names {
    uint64_t hashes[2 * NAMES_MAX];
    unsigned char states[2 * NAMES_MAX];
    size_t count;
};

/* The place of a statement's text; false when the set is full and the statement has to go unnamed.
 */
bool names_find(struct names *names, struct str sql, size_t *ret_place);
void name_text(uint64_t hash, char ret[static NAME_TEXT]);

#endif
