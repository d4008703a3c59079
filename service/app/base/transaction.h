/* The transaction of a use case, in the name of who asked for it. Private to the app layer. */
#ifndef KAMD_APP_BASE_TRANSACTION_H
#define KAMD_APP_BASE_TRANSACTION_H

#include "app/app.h"
#include "store/store.h"

/* Who acts, for row level security, history and events. */
struct tx_context action_context(const struct action *action);

/* A read: queue statements, tx_flush() once, read their slots, tx_end(). */
bool read_begin(struct action *action, struct tx **ret, struct err *err);

#endif
