/* Persons: what is kept about one, and its erasure for good; erasure.sql. */
#ifndef KAMD_APP_ERASURES_H
#define KAMD_APP_ERASURES_H

#include "app/operation.h"
#include "app/records.h"

struct store;

/* Everything that is kept about a contact, in pages; page_size and cursor. For who sees all
 * accounts; written down as a read of its own. */
use_case personal_data_list;
/* Body {reason, replace_in[]}: 202 with an operation, whose result says what was erased and where
 * the person is still named in free text. 409 when it was done before. */
use_case contact_erase;
/* For the worker: the operation that it has taken. *ret_more is false. */
bool erasure_step(const struct taken_operation *operation, bool *ret_more, struct err *err);

/* After a restore: erases once more whom the ledger, or `ids`, names and who is back, each in a
 * transaction of its own. `store` is the workers'. */
bool erase_again(struct store *store, const struct str *ids, size_t n, size_t *ret_erased,
                 struct err *err);

#endif
