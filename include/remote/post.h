/* Many POSTs at once, without blocking: the only user of libcurl's transfers.
 *
 * No proxy (also not from the environment), no redirects, no cookies, no decompression, HTTP/2
 * where TLS offers it or else HTTP/1.1, TLS 1.2 or newer with verified certificates; the address is
 * judged when the socket is opened, after name resolution, so that a name cannot change its mind
 * (DNS rebinding). Connections are kept for 60 s. A response is read up to 64 KiB, of which the
 * first KiB is kept. */
#ifndef KAMD_REMOTE_POST_H
#define KAMD_REMOTE_POST_H

#include "core/clock.h"
#include "core/err.h"
#include "remote/target.h"

struct poster; /* one thread at a time; poster_wake() from any */

struct poster_options {
    const struct target_policy *policy; /* borrowed */
    int connect_ms;
    int total_ms;
    const char *agent;   /* User-Agent */
    const char *ca_file; /* PEM; empty: the system's */
    size_t in_flight;    /* at most */
};

#define POST_EXCERPT 1024
#define POST_ADDRESS 48
#define POST_HEADERS 16

struct post_request {
    struct str url;
    struct str
        headers[POST_HEADERS]; /* "Name: value"; refused when they hold a control character */
    size_t n_headers;
    struct str body; /* borrowed until the result is out */
    void *tag;
};

struct post_result {
    void *tag;
    int status;        /* 0: no response */
    const char *error; /* static: "address_not_allowed", "timeout", ...; NULL after a complete
                          response, or one that was cut */
    int64_t taken_us;
    int retry_after; /* seconds, 0 = none */
    char address[POST_ADDRESS];
    char excerpt[POST_EXCERPT + 1]; /* well-formed UTF-8 without control characters */
};

/* Once, before threads. */
bool post_start(void);
bool poster_open(const struct poster_options *options, struct poster **ret, struct err *err);
/* Breaks off what is in flight; no results come of it. */
void poster_abort(struct poster *poster);
void poster_close(struct poster *poster);
size_t poster_in_flight(const struct poster *poster);
/* False: the request cannot be made (OVERLOADED: in_flight reached or no memory; VALIDATION: header
 * or URL). */
bool poster_send(struct poster *poster, const struct post_request *request, struct err *err);
/* Goes on with all transfers for up to `wait_ms`, or until one ends or poster_wake(); writes up to
 * `room` results. */
size_t poster_run(struct poster *poster, int wait_ms, struct post_result *ret, size_t room);
void poster_wake(struct poster *poster);

#endif
