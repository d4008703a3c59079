/* Sends an export as the body of an HTTP answer, block by block. An export that fails ends the
 * connection without the last chunk, so that the client does not take the file for whole. */
#include "download.h"

#include "app/exports.h"

#define BLOCK 65536

/* Broken off, it must not look whole: the connection ends without the last chunk. */
static ssize_t download_read(void *context, uint64_t offset, char *ret, size_t room) {
    (void)offset;
    long n = export_take(context, ret, room);
    return n > 0 ? n : n == 0 ? U_STREAM_END : U_STREAM_ERROR;
}

static void download_free(void *context) { export_close(context); }

void download_answer(struct conn *conn, struct export *export, bool head_only,
                     struct _u_response *to) {
    if (head_only ||
        ulfius_set_stream_response(to, (unsigned)to->status, download_read, download_free,
                                   U_STREAM_SIZE_UNKNOWN, BLOCK, export) != U_OK) {
        export_close(export);
        return;
    }
    conn_streams(conn);
}
