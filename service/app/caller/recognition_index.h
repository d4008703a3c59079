/* How key accounts are recognised: one reading of them, held in memory by the directory. Private to
 * the app layer. */
#ifndef KAMD_APP_CALLER_RECOGNITION_INDEX_H
#define KAMD_APP_CALLER_RECOGNITION_INDEX_H

#include "app/directory.h"
#include "base/transaction.h"

/* Immutable once it is read; all of it lives in the arena given. */
struct recognition_index {
    struct recognition_account *accounts; /* by id */
    size_t n_accounts;
    struct recognition_entry *entries; /* by kind, value, account number */
    size_t n_entries;
};

struct recognition_slots {
    size_t accounts, identifiers;
};

void recognition_index_ask(struct tx *tx, struct recognition_slots *ret);
/* After the flush. False: out of memory. */
bool recognition_index_read(struct tx *tx, const struct recognition_slots *slots,
                            struct arena *arena, struct recognition_index *ret);
/* The members of the answer without braces; false: nobody is known by this. An e-mail address that
 * is not stored is recognised by its domain, a host name by a domain above it. */
bool recognition_index_find(const struct recognition_index *index, enum identifier kind,
                            struct str value, struct buf *ret_members);

#endif
