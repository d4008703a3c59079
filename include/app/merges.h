/* Two accounts that are one customer become one. */
#ifndef KAMD_APP_MERGES_H
#define KAMD_APP_MERGES_H

#include "app/operation.h"
#include "app/records.h"

extern const char *const merge_fields[]; /* what `take` may name; NULL-terminated */
/* Body {source_id, take[]}: the account `source_id` becomes part of account `id`, and the answer is
 * that one; 202 with an operation where much lies below the source. 409 where both have what can be
 * there once only, or the source is a key account. */
use_case account_merge;
/* For the worker: the operation that it has taken. *ret_more is false. */
bool merge_step(const struct taken_operation *operation, bool *ret_more, struct err *err);

#endif
