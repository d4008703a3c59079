/* Hands over what one event stream has to send to its connection, and ends the stream. */
#include "feed/stream.h"

static void stir(struct stream *stream) {
    if (!stream->asleep)
        return;
    stream->asleep = false;
    stream->line->wake(stream->context);
}

void stream_end(struct stream *stream) {
    if (stream->waits && !stream->ended && stream->out.len == 0)
        buf_text(&stream->out, stream->nothing);
    stream->ended = true;
    stir(stream);
}

void stream_say(struct stream *stream, struct str text) {
    if (stream->ended)
        return;
    if (stream->taken == stream->out.len) {
        buf_reset(&stream->out);
        stream->taken = 0;
    }
    buf_put(&stream->out, text);
    stream->spoke_us = clock_mono(&clock_system);
    /* Too slow: what it holds is dropped, and it comes again from its last id. */
    if (stream->out.failed)
        stream_end(stream);
    else
        stir(stream);
}
