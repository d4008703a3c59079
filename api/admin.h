/* Probes and metrics: all of the admin port; the public port serves /livez and /readyz through the
 * same functions. */
#ifndef API_ADMIN_H
#define API_ADMIN_H

#include "http.h"

struct admin {
    /* False: not ready, and *ret_reasons gets a JSON array of strings, e.g. ["database"]. May be
     * asked from several threads; must not block. */
    bool (*ready)(void *context, struct buf *ret_reasons);
    void *context;
    const char *version;
};

/* http_serve of the admin port; `context` is a struct admin. */
void admin_serve(void *context, struct request *request, struct answer *answer);
/* 200 {"status":"ok"}, whatever the state of anything. */
void admin_livez(struct answer *answer);
/* 200 {"status":"ok"} or 503 {"status":"unavailable","reasons":[...]}. */
void admin_readyz(const struct admin *admin, struct answer *answer);

#endif
