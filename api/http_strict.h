/* What is refused before anything else looks at a request, because two programs could read it
 * differently: framing (RFC 9112 sections 5, 6 and 11), duplicates of fields that decide something,
 * and paths with more than one spelling. libmicrohttpd 0.9.75 accepts most of it. Pure: no I/O, no
 * server. Every refusal is answered with Connection: close, so that what follows on the connection
 * is never read as a request. */
#ifndef API_HTTP_STRICT_H
#define API_HTTP_STRICT_H

#include "http.h"

#define GUARD_TARGET_MAX                                                                           \
    8000                    /* bytes of path and query; RFC 9112 section 3 asks for at least that */
#define GUARD_HEAD_MAX 8192 /* bytes of all field names and values */

/* False with PROBLEM_INVALID_REQUEST, PROBLEM_URI_TOO_LONG or PROBLEM_HEADERS_TOO_LARGE. `version`
 * is "HTTP/1.1". Looks at method, path, raw_query and headers; not at the body. */
bool guard_check(const struct request *request, struct str version, struct err *err);

/* The layout of a request's head in libmicrohttpd's receive buffer, which keeps the lines as they
 * came and overwrites only separators with NUL. The lines that it reports must tile the head
 * exactly, each ended by CRLF, or else it saw another request than a strict reader would: 0.9.75
 * takes a bare LF for a line end, ends a value at a NUL, drops the rest of a folded line, and takes
 * a line that starts with a colon for the end of the head. Of a line's end it overwrites both
 * bytes; 1.0 only the first that follows the value, which may be a blank, and it uses what follows
 * the last value again before the head is looked at. */
struct head_walk {
    const char *at;  /* where the next line must start */
    const char *end; /* of the last value */
    bool keeps_ends; /* 1.0: line ends stay but for one byte, values come without blanks around */
    bool whole;
};

/* `target` is the request target as the URI-log callback gets it. */
void head_walk_start(struct head_walk *walk, const char *target);
void head_walk_field(struct head_walk *walk, const char *name, size_t name_len, const char *value,
                     size_t value_len);
/* True when the head, `size` bytes from the method on, is whole. */
bool head_walk_end(const struct head_walk *walk, const char *target, size_t method_len,
                   size_t size);

#endif
