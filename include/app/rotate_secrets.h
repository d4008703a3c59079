/* Sealed values in the database, when master keys come and go. */
#ifndef KAMD_APP_SECRETS_H
#define KAMD_APP_SECRETS_H

#include "core/clock.h"
#include "core/crypto.h"

struct store;

/* Keeps the seeds of signing keys that followed from the master key until now. `store` is the
 * workers'. */
bool secrets_keep_seeds(struct store *store, const struct keyring *keyring, deadline when,
                        struct err *err);

struct secrets_report {
    size_t sealed; /* anew */
    size_t lost;   /* no key of the ring opens them */
};
/* Seals everything anew that the newest key did not seal, some at a time, each batch in a
 * transaction of its own: it may be stopped and begun again, also beside running deliveries. */
bool secrets_rotate(struct store *store, const struct keyring *keyring, struct secrets_report *ret,
                    struct err *err);

#endif
