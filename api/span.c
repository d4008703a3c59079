/* Records the OpenTelemetry span of a finished HTTP request. The span names the pattern of the
 * route instead of the path and the query, because these can hold ids and personal data. */
#include "span.h"

#include <stdio.h>
#include <string.h>

#define NAME_TEXT 160

/* Methods that RFC 9110 and RFC 5789 know: a client's own words are no names of spans. */
static const char *known_method(struct str method) {
    static const char *const known[] = {"GET",  "POST",    "PATCH",   "PUT",  "DELETE",
                                        "HEAD", "OPTIONS", "CONNECT", "TRACE"};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_is(method, known[i]))
            return known[i];
    return NULL;
}

/* By the semantic conventions for HTTP servers. A path holds ids, a query names and numbers of
 * people: neither is told, but the route with its parameters' names. Probes have no span. */
void span_end(const struct request *request, const struct answer *answer, const struct route *route,
              const struct err *err) {
    char name[NAME_TEXT];
    struct trace trace = request->trace;
    const char *path = route ? route->path : "", *method = known_method(request->method);
    if (!trace.on || (route && (route->flags & ROUTE_FREE) != 0))
        return;
    snprintf(name, sizeof name, "%s%s%s", method ? method : "HTTP", path[0] ? " " : "", path);
    trace.started_us = request->started_us;
    TRACE_END(&trace, SPAN_SERVER, str_of(name), answer->status >= 500,
              SPAN_S("http.request.method", method ? method : "_OTHER"), SPAN_S("http.route", path),
              SPAN_S("url.path", path), SPAN_S("url.scheme", "http"),
              SPAN_I("http.response.status_code", answer->status),
              SPAN_S("error.type", err && err_is_set(err) ? problem_info(err->problem)->code : ""),
              SPAN_S("kamd.request_id", request->id));
}
