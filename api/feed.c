/* Sends an event stream or a long poll as the body of an HTTP answer. The connection is suspended
 * while the stream has nothing to send; libmicrohttpd does not watch a suspended connection, so
 * this file also finds out whether the client has closed it. */
#include "feed.h"

#include "app/stream_set.h"

#include <stdlib.h>
#include <sys/socket.h>

#define BLOCK 16384

struct feed {
    struct stream *stream;
    struct MHD_Connection *mhd;
    int fd;
};

static void feed_sleep(void *context) { MHD_suspend_connection(((struct feed *)context)->mhd); }
static void feed_wake(void *context) { MHD_resume_connection(((struct feed *)context)->mhd); }

/* libmicrohttpd does not watch a connection that is suspended. */
static bool feed_gone(void *context) {
    const struct feed *feed = context;
    char byte;
    return recv(feed->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static const struct stream_line line = {feed_sleep, feed_wake, feed_gone};

static ssize_t feed_read(void *context, uint64_t offset, char *ret, size_t room) {
    const struct feed *feed = context;
    (void)offset;
    long n = stream_take(feed->stream, ret, room);
    return n < 0 ? U_STREAM_END : n;
}

static void feed_free(void *context) {
    struct feed *feed = context;
    stream_close(feed->stream);
    free(feed);
}

void feed_answer(struct conn *conn, struct stream *stream, bool head_only, struct _u_response *to) {
    struct feed *feed = head_only ? NULL : malloc(sizeof *feed);
    if (feed == NULL) {
        stream_close(stream);
        return;
    }
    *feed = (struct feed){.stream = stream, .mhd = conn->mhd, .fd = conn->reaped.fd};
    stream_attach(stream, &line, feed);
    if (ulfius_set_stream_response(to, (unsigned)to->status, feed_read, feed_free,
                                   U_STREAM_SIZE_UNKNOWN, BLOCK, feed) != U_OK) {
        feed_free(feed);
        return;
    }
    conn_streams(conn);
}
