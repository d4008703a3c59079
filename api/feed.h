/* An answer that does not end: what a stream (app/stream_set.h) has to say, sent as it comes. While
 * there is nothing to say the connection is suspended and holds no thread; nor does it count among
 * the connections, of which there may be fewer. Private to the server. */
#ifndef API_FEED_H
#define API_FEED_H

#include "conn.h"

/* Makes `to` the stream's answer; takes the stream over in any case. */
void feed_answer(struct conn *conn, struct stream *stream, bool head_only, struct _u_response *to);

#endif
