/* How key accounts are recognised: one reading of them, held in memory by the directory. Private to
 * the app layer. */
#ifndef KAMD_APP_ROSTER_H
#define KAMD_APP_ROSTER_H

#include "app/directory.h"
#include "frame.h"

/* Immutable once it is read; all of it lives in the arena given. */
struct roster {
    struct roster_account *accounts; /* by id */
    size_t n_accounts;
    struct roster_entry *entries; /* by kind, value, account number */
    size_t n_entries;
};

struct roster_slots {
    size_t accounts, identifiers;
};

void roster_ask(struct tx *tx, struct roster_slots *ret);
/* After the flush. False: out of memory. */
bool roster_read(struct tx *tx, const struct roster_slots *slots, struct arena *arena,
                 struct roster *ret);
/* The members of the answer without braces; false: nobody is known by this. An e-mail address that
 * is not stored is recognised by its domain, a host name by a domain above it. */
bool roster_find(const struct roster *roster, enum identifier kind, struct str value,
                 struct buf *ret_members);

#endif
