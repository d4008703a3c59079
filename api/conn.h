/* What the files of the server share: threads, connections, and the way from ulfius's request back
 * to them. */
#ifndef API_CONN_H
#define API_CONN_H

#include "gzip.h"
#include "http_strict.h"
#include "server.h"
#include "slow_client.h"

#include <netinet/in.h>
#include <ulfius.h>

#define POOLED_RANDOM 1024

/* One thread, with an ulfius instance of its own. */
struct http_thread {
    struct server *server;
    struct _u_instance instance;
    bool started;
    bool initialised;
    atomic_size_t connections; /* given to it and not yet closed */
    atomic_size_t in_flight;   /* requests, from the first line to the end of the answer */
    atomic_bool working;       /* in a handler */
    /* Used by its own thread only. One system call for many ids. */
    unsigned char random[POOLED_RANDOM];
    size_t random_left;
    struct gzip *gzip;
    struct arena arena; /* of the one request that it works on */
};

struct server {
    struct server_options options;
    struct listener *listener;
    struct reaper *reaper;
    struct http_thread *threads;
    size_t next_thread; /* the accepting thread's */
    size_t hard_limit;
    atomic_size_t open;     /* all connections */
    atomic_size_t admitted; /* those that are served, at most options.connections */

    atomic_bool draining;
    struct reaper_limits limits;
    struct reaper_limits shed_limits;
};

struct conn {
    struct reaped reaped;
    struct http_thread *thread;
    struct MHD_Connection *mhd;
    bool shed;      /* over the limit: whatever it asks is answered 503 */
    bool streams;   /* no longer counted among the connections */
    bool answering; /* the present request has reached us */
    /* Of the present request, in libmicrohttpd's receive buffer: for comparing addresses only. */
    const char *target;
    struct head_walk head;
    char client[INET6_ADDRSTRLEN];
};

/* ulfius_uri_logger with the connection noted in the request; conn_of finds it again. */
void *conn_request_line(void *thread, const char *uri, struct MHD_Connection *mhd);
struct conn *conn_of(const struct _u_request *request);
struct conn *conn_of_mhd(struct MHD_Connection *mhd);
void conn_notify(void *thread, struct MHD_Connection *mhd, void **socket_context,
                 enum MHD_ConnectionNotificationCode code);
/* From now on it is a stream, which has a limit of its own. */
void conn_streams(struct conn *conn);
void conn_completed(void *thread, struct MHD_Connection *mhd, void **request_context,
                    enum MHD_RequestTerminationCode code);

/* ulfius's one endpoint: from its request to `serve` and back. */
int exchange_serve(const struct _u_request *from, struct _u_response *to, void *thread);

/* Fills `request` from the connection and ulfius's copy, and refuses what http_strict.h refuses.
 * Also after a refusal, id, traceparent, client, method and path are set. */
bool intake(const struct conn *conn, const struct _u_request *from, struct request *request,
            struct err *err);
/* Fills the request of which libmicrohttpd could not read the head: id, traceparent, client. */
void intake_unread(const struct conn *conn, struct request *request);
/* Standard headers, encoding, and the way into ulfius's response. Returns the bytes of the body
 * that will be sent. */
size_t outgo(struct http_thread *thread, const struct request *request, struct answer *answer,
             struct _u_response *to);
/* An answer goes to the socket past libmicrohttpd where that would say nothing, or something else:
 * where its memory has no room for the answer's head (an endless one is refused then), and where it
 * refuses a request by itself, which it does in HTML, 0.9.75 also with two heads. */
void direct_if_narrow(const struct conn *conn, struct request *request, bool endless,
                      const struct _u_response *to);

#endif
