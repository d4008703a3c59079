/* A request and an answer as the rest of the API sees them: no ulfius, no microhttpd. */
#ifndef KAMD_API_HTTP_H
#define KAMD_API_HTTP_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/trace.h"

struct header {
    struct str name; /* as sent */
    struct str value;
};

struct query {
    struct str name; /* percent-decoded, well-formed UTF-8 */
    struct str value;
};

struct request {
    struct str method;
    struct str path;      /* raw, as sent, without the query */
    struct str raw_query; /* raw, without '?' */
    struct query *query;  /* decoded, in order, repeats kept */
    size_t n_query;
    struct header *headers; /* each field line by itself, in order; repeats kept */
    size_t n_headers;
    struct str body;
    bool body_too_large; /* longer than the server's largest limit; body is then empty */
    struct str client;   /* its numeric address, IPv6 whole; behind proxies, forwarded.h */
    deadline when;       /* admission + request_ms */
    int64_t started_us;  /* monotonic */
    char id[72];         /* X-Request-Id, ours or the client's */
    char traceparent[TRACEPARENT_TEXT]; /* of the request's own span, if that is recorded */
    struct trace trace;
    size_t room;         /* bytes that libmicrohttpd has left for the head of the answer */
    struct arena *arena; /* freed after the answer */
};

struct answer_header {
    const char *name;
    struct str value;
};

#define ANSWER_HEADERS 24

struct answer {
    int status;
    const char *content_type; /* NULL: no body */
    struct answer_header headers[ANSWER_HEADERS];
    size_t n_headers;
    struct buf body;
    struct stream *stream; /* instead of a body, when it is set: what comes of it, until it ends */
    struct export *export; /* the same for an export (app/exports.h) */
    bool close;            /* Connection: close */
    size_t metrics_cell;   /* of LABELS_ROUTE */
};

/* First value of a header, ASCII case folded; absent if there is none. *ret_count (may be NULL) =
 * how often it was sent. */
struct str request_header(const struct request *request, const char *name, size_t *ret_count);
/* Sets a header; a second value for the same name replaces the first. Beyond ANSWER_HEADERS it is
 * dropped. The value must live until the answer is sent: static, or in the request's arena. */
void answer_header(struct answer *answer, const char *name, struct str value);
bool answer_has_header(const struct answer *answer, const char *name);

/* Fills request->query from raw_query: percent-decoded, '+' is a space, empty pairs left out. False
 * with PROBLEM_INVALID_REQUEST: a malformed escape, %00, not UTF-8, or more than 200. */
bool request_read_query(struct request *request, struct err *err);

/* How much the client wants `type` by `header` ("Accept" with "application/json", "Accept-Encoding"
 * with "gzip"), in thousandths (RFC 9110 section 12.4.2); the closest range decides; 0: not at all;
 * -1: the header was not sent. */
int request_accepts(const struct request *request, const char *header, const char *type);

/* What the server calls for every request that is well framed; it must set status. Runs on a pool
 * thread, must not block past request->when. */
typedef void (*http_serve)(void *context, struct request *request, struct answer *answer);

#endif
