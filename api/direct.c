/* Replaces answers that libmicrohttpd would send wrongly or not at all. An answer whose head does
 * not fit into libmicrohttpd's memory goes straight to the socket, and our own MHD_queue_response()
 * puts a problem document in the place of the library's HTML refusals. */
#include "conn.h"

#include "problem.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define HEAD_MAX ((size_t)64 << 10)
#define UNREAD_MAX ((size_t)1 << 20)
#define OWN_LINES ((size_t)192) /* libmicrohttpd's own of a head: status, Date, length, the end */

static void write_head(const struct _u_response *from, struct buf *head) {
    time_t now = time(NULL);
    struct tm utc;
    char date[40];
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    buf_format(head, "HTTP/1.1 %ld %s\r\nDate: %s\r\n", from->status,
               MHD_get_reason_phrase_for((unsigned)from->status), date);
    for (int i = 0; i < from->map_header->nb_values; i++)
        buf_format(head, "%s: %s\r\n", from->map_header->keys[i], from->map_header->values[i]);
    if (from->status != 204 && from->status != 304)
        buf_format(head, "Content-Length: %zu\r\n", from->binary_body_length);
    if (!u_map_has_key_case(from->map_header, "Connection"))
        buf_text(head, "Connection: close\r\n");
    buf_text(head, "\r\n");
}

/* Closing with input unread would reset the connection, and the client could lose the answer. */
static void read_unread(int fd) {
    char unread[4096];
    size_t n = 0;
    while (n < UNREAD_MAX && recv(fd, unread, sizeof unread, MSG_DONTWAIT) > 0)
        n += sizeof unread;
}

/* All at once, because this thread waits for no client: what does not fit into the socket's buffer
 * is lost, and the client sees it by the length. libmicrohttpd fails to send more, and closes. */
static void say(int fd, const struct _u_response *from, bool head_only) {
    struct buf head;
    buf_init(&head, HEAD_MAX);
    write_head(from, &head);
    struct iovec parts[] = {{head.ptr, head.len}, {from->binary_body, from->binary_body_length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = head_only ? 1 : 2};
    int room = (int)(head.len + from->binary_body_length);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (buf_ok(&head))
        (void)sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    buf_release(&head);
    read_unread(fd);
}

static void refuse(const struct conn *conn, struct request *request, enum problem problem,
                   struct _u_response *to) {
    const struct server_options *options = &conn->thread->server->options;
    struct answer answer = {.close = true};
    buf_init(&answer.body, HEAD_MAX);
    problem_say(problem, request, &answer,
                problem == PROBLEM_INVALID_REQUEST ? "The request is not as RFC 9112 has it."
                                                   : NULL);
    if (options->refused != NULL)
        options->refused(options->context, request, &answer);
    if (options->adorn != NULL)
        options->adorn(options->context, request, &answer);
    outgo(conn->thread, request, &answer, to);
    buf_release(&answer.body);
}

static size_t head_size(const struct _u_map *map) {
    size_t size = OWN_LINES;
    for (int i = 0; i < map->nb_values; i++)
        size += strlen(map->keys[i]) + map->lengths[i] + strlen(": \r\n");
    return size;
}

void direct_if_narrow(const struct conn *conn, struct request *request, bool endless,
                      const struct _u_response *to) {
    struct _u_response refusal;
    if (head_size(to->map_header) <= request->room)
        return;
    if (!endless) {
        say(conn->reaped.fd, to, str_is(request->method, "HEAD"));
    } else if (ulfius_init_response(&refusal) == U_OK) {
        refuse(conn, request, PROBLEM_HEADERS_TOO_LARGE, &refusal);
        say(conn->reaped.fd, &refusal, false);
        ulfius_clean_response(&refusal);
    }
}

/* ---- what libmicrohttpd refuses by itself ---- */

/* To the other statuses it says what it likes: no request of a client that means well has them. */
static enum problem problem_of(unsigned status) {
    switch (status) {
    case MHD_HTTP_BAD_REQUEST:
        return PROBLEM_INVALID_REQUEST;
    case MHD_HTTP_CONTENT_TOO_LARGE:
        return PROBLEM_PAYLOAD_TOO_LARGE;
    case MHD_HTTP_URI_TOO_LONG:
        return PROBLEM_URI_TOO_LONG;
    case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE:
        return PROBLEM_HEADERS_TOO_LARGE;
    default:
        return PROBLEM_NONE;
    }
}

/* What 0.9.75 refuses by then gets a second head from it. */
static bool head_is_whole(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *head =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return head != NULL && head->header_size > 0;
}

static struct MHD_Response *response_of(const struct _u_response *from) {
    struct MHD_Response *response = MHD_create_response_from_buffer(
        from->binary_body_length, from->binary_body, MHD_RESPMEM_MUST_COPY);
    for (int i = 0; response != NULL && i < from->map_header->nb_values; i++)
        MHD_add_response_header(response, from->map_header->keys[i], from->map_header->values[i]);
    return response;
}

typedef enum MHD_Result queue(struct MHD_Connection *, unsigned, struct MHD_Response *);
static queue *queue_response;

static void find_queue(void) { queue_response = (queue *)dlsym(RTLD_NEXT, "MHD_queue_response"); }

static enum MHD_Result queue_refusal(struct conn *conn, enum problem problem,
                                     struct MHD_Response *theirs) {
    struct request request = {.arena = &conn->thread->arena};
    struct _u_response to;
    if (ulfius_init_response(&to) != U_OK)
        return MHD_NO;
    intake_unread(conn, &request);
    refuse(conn, &request, problem, &to);
    bool whole = head_is_whole(conn->mhd);
    struct MHD_Response *ours = whole ? NULL : response_of(&to);
    if (whole)
        say(conn->reaped.fd, &to, false);
    else
        read_unread(conn->reaped.fd);
    enum MHD_Result result =
        queue_response(conn->mhd, (unsigned)to.status, ours != NULL ? ours : theirs);
    if (ours != NULL)
        MHD_destroy_response(ours);
    ulfius_clean_response(&to);
    arena_reset(request.arena);
    return result;
}

/* Stands before the function of this name, for ulfius and for libmicrohttpd itself. */
enum MHD_Result MHD_queue_response(struct MHD_Connection *mhd, unsigned status,
                                   struct MHD_Response *response) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_queue);
    struct conn *conn = conn_of_mhd(mhd);
    enum problem problem = problem_of(status);
    if (conn == NULL || conn->answering || problem == PROBLEM_NONE)
        return queue_response(mhd, status, response);
    return queue_refusal(conn, problem, response);
}
