/* One HTTP server: a few threads, each with an ulfius instance (libmicrohttpd, epoll) of its own,
 * and one thread that accepts connections and gives each to the thread with the fewest. The process
 * runs two: the public port and the admin port.
 *
 * What the server does before `serve` sees a request: sheds connections beyond the limit, cuts slow
 * clients (slow_client.h), refuses what is not framed or spelled unambiguously (http_strict.h),
 * gives it an id, a trace, a deadline and an arena. What it does after: standard headers, gzip,
 * HEAD without body, Connection: close while draining. */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "core/random.h"
#include "http.h"

#define SERVER_BODY_LIMIT ((size_t)8 << 20)

struct cidrs;

struct server_options {
    const char *host; /* "127.0.0.1", "::" (all addresses of both families), a name */
    int port;         /* 0: any free one */
    int threads;
    size_t connections; /* beyond: 503 and closed */
    size_t memory;      /* bytes of one connection's head */
    int header_seconds; /* the head of a request must have arrived by then */
    int body_seconds;   /* a whole request */
    int idle_seconds;   /* between requests */
    int request_ms;     /* struct request.when */
    size_t body_limit;  /* 0: SERVER_BODY_LIMIT. Longer ones come with body_too_large set */
    size_t arena_limit; /* bytes of struct request.arena; 0: 32 MiB */
    bool metrics;       /* count connections, shedding and cuts */
    const char *name;   /* static, for the log: "public", "admin" */
    http_serve serve;
    /* May be NULL: told of each answer that `serve` had no part in (guard, shedding), for log and
     * metrics. */
    void (*refused)(void *context, const struct request *request, const struct answer *answer);
    /* May be NULL: adds headers to each answer, also to those. */
    void (*adorn)(void *context, const struct request *request, struct answer *answer);
    void *context;
    const struct randomness *randomness; /* NULL: the system's */
    const struct cidrs *trusted;         /* proxies; NULL: none */
};

struct server;

/* Listens and serves at once. */
bool server_start(const struct server_options *options, struct server **ret, struct err *err);
int server_port(const struct server *server);
/* From now on every answer carries Connection: close. */
void server_drain(struct server *server);
/* Stops accepting, gives requests in flight `finish_ms` to be answered, closes the rest, frees.
 * NULL is allowed. */
void server_stop(struct server *server, int finish_ms);
/* Open connections, for tests and metrics. */
size_t server_connections(const struct server *server);

#endif
