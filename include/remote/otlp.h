/* Sends spans (core/trace.h) to a collector: OTLP/HTTP 1 with JSON bodies, from a thread of its
 * own. (https://opentelemetry.io/docs/specs/otlp/#otlphttp)
 *
 * A batch goes out when there are 512 spans, or a second after the last one. Where the collector is
 * away or answers 429, 502, 503 or 504, the batch is sent again, five times, after 1, 2, 4, 8 and
 * 16 seconds or as long as it asks for; then it is dropped. Meanwhile the ring fills, and what does
 * not fit is dropped: whatever the collector does, nobody else waits. METRIC_TRACE_SPANS counts. */
#ifndef KAMD_REMOTE_OTLP_H
#define KAMD_REMOTE_OTLP_H

#include "core/err.h"

struct otlp;

struct otlp_options {
    const char *endpoint; /* of the collector: http://host:4318; /v1/traces is added */
    const char *headers;  /* "name=value,...", values percent-encoded; "" = none */
    const char *ca_file;  /* PEM; "" = the system's */
    const char *version;  /* of this program */
    int per_mille;        /* of the traces that begin here */
};

/* Settings that otlp_start() would stumble over: items of `err` name them. */
bool otlp_check(const struct otlp_options *options, struct err *err);
/* Opens the ring and starts the thread; with an empty endpoint does nothing, and *ret is NULL.
 * After post_start(), before other threads. */
bool otlp_start(const struct otlp_options *options, struct otlp **ret, struct err *err);
/* Sends what waits, for two seconds at most. When no other thread makes spans any more. NULL is
 * allowed. */
void otlp_stop(struct otlp *otlp);

#endif
