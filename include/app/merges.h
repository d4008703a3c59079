/* Two accounts that are one customer become one. */
#ifndef KAMD_APP_MERGES_H
#define KAMD_APP_MERGES_H

#include "app/records.h"

/* Body {source_id, take[]}: the account `source_id` becomes part of account `id`, and the answer is
 * that one; 202 with an operation where much lies below the source. 409 where both have what can be
 * there once only, or the source is a key account. */
use_case account_merge;
/* For the worker: the operation that is its own (`token`). *ret_more is false. */
bool merge_step(struct app *app, struct str operation, struct str token, bool *ret_more,
                struct err *err);

#endif
