/* Keeps a record of each client connection from its start to its end, and counts the connections
 * against the limit. The pointer to the record travels through ulfius in the `timeout` field of
 * ulfius's request, the only field that ulfius leaves alone. */
#include "conn.h"

#include "core/metrics.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Exported by libulfius, declared nowhere: without them its requests leak or crash. */
void *ulfius_uri_logger(void *cls, const char *uri);
void mhd_request_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                           enum MHD_RequestTerminationCode toe);

_Static_assert(sizeof(unsigned long) >= sizeof(void *), "a pointer travels in request->timeout");

static void write_client(const struct sockaddr *address, char ret[static INET6_ADDRSTRLEN]) {
    ret[0] = '\0';
    if (address == NULL)
        return;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, ret, INET6_ADDRSTRLEN);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], ret, INET6_ADDRSTRLEN);
        else
            inet_ntop(AF_INET6, &v6->sin6_addr, ret, INET6_ADDRSTRLEN);
    }
}

static bool admit(struct server *server) {
    if (atomic_fetch_add(&server->admitted, 1) < server->options.connections)
        return true;
    atomic_fetch_sub(&server->admitted, 1);
    return false;
}

static struct conn *conn_new(struct http_thread *thread, struct MHD_Connection *mhd) {
    struct server *server = thread->server;
    struct conn *conn = calloc(1, sizeof *conn);
    /* What it points to is only good until the next question. */
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (conn == NULL || info == NULL) {
        free(conn);
        return NULL;
    }
    int fd = info->connect_fd;
    conn->thread = thread;
    conn->mhd = mhd;
    conn->shed = !admit(server);
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    write_client(info != NULL ? info->client_addr : NULL, conn->client);
    reaper_add(server->reaper, &conn->reaped, fd,
               conn->shed ? &server->shed_limits : &server->limits);
    if (server->options.metrics) {
        metrics_add(METRIC_HTTP_CONNECTIONS, 0, 1);
        if (conn->shed)
            metrics_count(METRIC_HTTP_SHED, 0, 1);
    }
    return conn;
}

/* Called before libmicrohttpd closes the descriptor. */
static void conn_free(struct http_thread *thread, struct conn *conn) {
    bool counted = true;
    if (conn != NULL) {
        reaper_remove(thread->server->reaper, &conn->reaped);
        if (!conn->shed && !conn->streams)
            atomic_fetch_sub(&thread->server->admitted, 1);
        if (thread->server->options.metrics)
            metrics_add(METRIC_HTTP_CONNECTIONS, 0, -1);
        counted = !conn->streams;
        free(conn);
    }
    if (counted)
        atomic_fetch_sub(&thread->connections, 1);
    atomic_fetch_sub(&thread->server->open, 1);
}

void conn_notify(void *context, struct MHD_Connection *mhd, void **socket_context,
                 enum MHD_ConnectionNotificationCode code) {
    struct http_thread *thread = context;
    switch (code) {
    case MHD_CONNECTION_NOTIFY_STARTED:
        *socket_context = conn_new(thread, mhd);
        break;
    case MHD_CONNECTION_NOTIFY_CLOSED:
        conn_free(thread, *socket_context);
        *socket_context = NULL;
        break;
    }
}

void conn_streams(struct conn *conn) {
    conn->streams = true;
    if (!conn->shed)
        atomic_fetch_sub(&conn->thread->server->admitted, 1);
    atomic_fetch_sub(&conn->thread->connections, 1);
}

struct conn *conn_of_mhd(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

/* request_read_query reads the query, from ulfius's copy. libmicrohttpd would keep a record of each
 * parameter beside the head, and 0.9.75 falls silent when there is no room for one: it reads up to
 * a NUL, in this buffer of its own. */
static void hide_query(const char *uri) {
    char *query = strchr(uri, '?');
    if (query != NULL)
        query[1] = '\0';
}

void *conn_request_line(void *context, const char *uri, struct MHD_Connection *mhd) {
    struct http_thread *thread = context;
    struct conn *conn = conn_of_mhd(mhd);
    if (conn == NULL || uri == NULL)
        return NULL; /* ulfius then closes the connection */
    struct connection_info_struct *info = ulfius_uri_logger(NULL, uri);
    if (info == NULL)
        return NULL;
    /* Of ulfius's request this is the one field that reaches the endpoint untouched. */
    info->request->timeout = (unsigned long)(uintptr_t)conn;
    conn->target = uri;
    head_walk_start(&conn->head, uri);
    hide_query(uri);
    atomic_fetch_add(&thread->in_flight, 1);
    reaper_request(thread->server->reaper, &conn->reaped, &info->callback_first_iteration,
                   &info->request->binary_body_length);
    return info;
}

struct conn *conn_of(const struct _u_request *request) {
    return (struct conn *)(uintptr_t)request->timeout;
}

void conn_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                    enum MHD_RequestTerminationCode code) {
    struct http_thread *thread = context;
    struct conn *conn = conn_of_mhd(mhd);
    if (*request_context != NULL && conn != NULL) {
        conn->answering = false;
        reaper_done(thread->server->reaper, &conn->reaped);
        atomic_fetch_sub(&thread->in_flight, 1);
    }
    mhd_request_completed(NULL, mhd, request_context, code);
}
