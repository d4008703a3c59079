/* Spans of OpenTelemetry: what one request did, and how long each part took.
 *
 * Off until trace_open(): then nothing here reads a clock, takes memory or makes an id. On, a span
 * that ends is written as OTLP's JSON into a slot of a ring, without a lock, an allocation or a
 * system call beyond its id and two clocks; where the ring is full, the span is dropped and
 * counted. remote/otlp.h sends what the ring holds.
 *
 * A span is recorded where its parent is sampled (W3C Trace Context, trace-flags); of traces that
 * begin here, the share that trace_open() was given. Fields are static texts, codes, ids and
 * numbers, never what records hold. */
#ifndef KAMD_CORE_TRACE_H
#define KAMD_CORE_TRACE_H

#include "core/buf.h"
#include "core/random.h"

#define TRACEPARENT_TEXT 56 /* "00-", 32 digits, "-", 16 digits, "-01" and a NUL */
#define TRACE_SPAN_TEXT 1000

/* A span that has begun. Zeros: none, and the rest does nothing. */
struct trace {
    bool on;
    unsigned char trace_id[16];
    unsigned char span_id[8];
    unsigned char parent_id[8]; /* zeros: it begins the trace */
    int64_t started_us;         /* monotonic */
};

enum span_kind { SPAN_SERVER = 2, SPAN_CLIENT = 3 }; /* as OTLP numbers them */

struct span_field {
    const char *key;
    struct str text; /* absent: the number */
    int64_t number;
};
#define SPAN_S(key_, value) ((struct span_field){.key = (key_), .text = str_of(value)})
#define SPAN_T(key_, value) ((struct span_field){.key = (key_), .text = (value)})
#define SPAN_I(key_, value) ((struct span_field){.key = (key_), .number = (int64_t)(value)})

/* A ring of `room` spans, a power of two. `per_mille`: the share of the traces that begin here.
 * Before threads. */
bool trace_open(size_t room, int per_mille);
void trace_close(void);
bool trace_is_open(void);

/* A span below `parent`, a traceparent that is well formed or "" or absent; none where that is not
 * sampled. */
void trace_child(struct trace *ret, struct str parent);
/* The first span of a trace of its own, if the share allows. */
void trace_first(struct trace *ret, const struct randomness *randomness);
/* For what is called in the span: its traceparent. */
void trace_text(const struct trace *trace, char ret[static TRACEPARENT_TEXT]);

/* What is said of a span when it ends. */
struct span {
    enum span_kind kind;
    struct str name;                 /* as the semantic conventions have it */
    bool failed;                     /* its status is an error */
    const struct span_field *fields; /* one whose text is "" is left out */
    size_t n_fields;
};
void trace_end(struct trace *trace, const struct span *span);
#define TRACE_END(trace, kind, name, failed, ...)                                                  \
    trace_end((trace), &(const struct span){(kind), (name), (failed),                              \
                                            (const struct span_field[]){__VA_ARGS__},              \
                                            sizeof((const struct span_field[]){__VA_ARGS__}) /     \
                                                sizeof(struct span_field)})

/* For the one thread that sends: appends up to `most` spans, with commas between, and returns how
 * many. */
size_t trace_take(struct buf *ret, size_t most);
size_t trace_waiting(void);

enum trace_result { TRACE_SENT, TRACE_DROPPED, TRACE_REFUSED }; /* of METRIC_TRACE_SPANS */
bool trace_metrics(void);

#endif
