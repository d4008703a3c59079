/* Compresses and decompresses bodies in the gzip format with zlib. The state of the compressor is
 * kept from answer to answer. */
#include "gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define LEVEL 1 /* a page of JSON: 3 times the speed of level 6 for a tenth more bytes */
#define GZIP_WINDOW (15 + 16)
#define MEMORY_LEVEL 8

struct gzip {
    z_stream stream;
};

static struct gzip *gzip_new(void) {
    struct gzip *state = calloc(1, sizeof *state);
    if (state != NULL && deflateInit2(&state->stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL,
                                      Z_DEFAULT_STRATEGY) != Z_OK) {
        free(state);
        return NULL;
    }
    return state;
}

void gzip_release(struct gzip *state) {
    if (state == NULL)
        return;
    deflateEnd(&state->stream);
    free(state);
}

/* Into `out`, which must take less than `len` bytes for this to succeed. */
static bool deflate_all(z_stream *stream, const char *bytes, size_t len, char *out,
                        size_t *ret_len) {
    if (deflateReset(stream) != Z_OK)
        return false;
    stream->next_in = (z_const Bytef *)(uintptr_t)bytes;
    stream->avail_in = (uInt)len;
    stream->next_out = (Bytef *)out;
    stream->avail_out = (uInt)len - 1;
    if (deflate(stream, Z_FINISH) != Z_STREAM_END)
        return false;
    *ret_len = stream->total_out;
    return true;
}

bool gzip_body(struct gzip **state, struct buf *body) {
    if (!buf_ok(body) || body->len < 2 || body->len > UINT_MAX)
        return false;
    if (*state == NULL)
        *state = gzip_new();
    char *out = *state != NULL ? malloc(body->len) : NULL;
    size_t len;
    if (out == NULL || !deflate_all(&(*state)->stream, body->ptr, body->len, out, &len)) {
        free(out);
        return false;
    }
    buf_reset(body);
    buf_add(body, out, len);
    free(out);
    return buf_ok(body);
}

bool gzip_open(const void *bytes, size_t len, size_t size, struct buf *body) {
    z_stream stream = {.next_in = (z_const Bytef *)(uintptr_t)bytes, .avail_in = (uInt)len};
    char *out = malloc(size + 1);
    bool ok = out != NULL && inflateInit2(&stream, GZIP_WINDOW) == Z_OK;
    if (ok) {
        stream.next_out = (Bytef *)out;
        stream.avail_out = (uInt)size + 1;
        ok = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == size;
        inflateEnd(&stream);
    }
    if (ok)
        buf_add(body, out, size);
    free(out);
    return ok && buf_ok(body);
}

bool gzip_pays(const char *content_type) {
    static const char *const words[] = {"json", "text/", "javascript", "xml", "yaml"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strstr(content_type, words[i]) != NULL)
            return true;
    }
    return false;
}
