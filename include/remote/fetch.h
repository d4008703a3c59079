/* One GET of a document that an operator named: no proxy, no redirects, no cookies, TLS 1.2 or
 * newer with verified certificates. Blocks, so it is for threads of their own. post_start() comes
 * first.
 */
#ifndef KAMD_REMOTE_FETCH_H
#define KAMD_REMOTE_FETCH_H

#include "core/buf.h"
#include "core/err.h"

#include <stdatomic.h>

struct fetch_options {
    bool allow_http; /* beside https */
    int connect_ms, total_ms;
    const char *agent;       /* User-Agent */
    const atomic_bool *stop; /* once true, the fetch ends soon */
};

/* Appends the body of a 200 to `ret`, whose maximum is the body's. False with INTERNAL and the
 * cause for the log. */
bool fetch_document(const struct fetch_options *options, const char *url, struct buf *ret,
                    struct err *err);

#endif
