/* What is refused before anything else looks at a request, because two programs could read it
 * differently: framing (RFC 9112 sections 5, 6 and 11), duplicates of fields that decide something,
 * and paths with more than one spelling. libmicrohttpd 0.9.75 accepts most of it. Pure: no I/O, no
 * server. Every refusal is answered with Connection: close, so that what follows on the connection
 * is never read as a request. */
#ifndef API_GUARD_H
#define API_GUARD_H

#include "http.h"

#define GUARD_TARGET_MAX                                                                           \
    8000                    /* bytes of path and query; RFC 9112 section 3 asks for at least that */
#define GUARD_HEAD_MAX 8192 /* bytes of all field names and values */

/* False with PROBLEM_INVALID_REQUEST, PROBLEM_URI_TOO_LONG or PROBLEM_HEADERS_TOO_LARGE. `version`
 * is "HTTP/1.1". Looks at method, path, raw_query and headers; not at the body. */
bool guard_check(const struct request *request, struct str version, struct err *err);

/* False when a field line, as libmicrohttpd keeps it (name and value inside the receive buffer,
 * each line end overwritten with NUL), did not end in CRLF, held a NUL, or was folded: it then
 * shows only a part of the line as the value, or none of the rest. */
bool guard_line_is_whole(const char *name, size_t name_len, const char *value, size_t value_len);
/* The same for the request line, of which libmicrohttpd keeps the target with a NUL before and
 * after it: one space on each side, version 1.0 or 1.1, CRLF. */
bool guard_request_line_is_whole(const char *target);

#endif
