/* The protocol's three steps, and the token bucket, as Lua scripts: Redis runs each as one atomic
 * step. */
#ifndef KAMD_SERVICE_CACHE_SCRIPT_H
#define KAMD_SERVICE_CACHE_SCRIPT_H

#include <stdbool.h>

enum script {
    SCRIPT_GET, /* KEYS key; ARGV token, value_ms. An entry "V|..." (hit), 0 (the lease is yours) or
                   2 (taken) */
    SCRIPT_FILL, /* KEYS key; ARGV token, value_ms, version, sealed. 1 = stored, 0 = refused */
    SCRIPT_INVALIDATE, /* KEYS keys...; ARGV value_ms, then one version for each key. The number of
                          keys */
    SCRIPT_TAKE, /* KEYS bucket; ARGV rate, burst, n. The bucket's debt after it in microseconds, or
                    -1 - the debt when there are no n tokens */
    SCRIPT_COUNT
};

/* `lease` false: plain cache-aside with SET and DEL, which is known to answer with stale values. */
const char *script_text(enum script script, bool lease);

#endif
