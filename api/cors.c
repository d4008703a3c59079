/* Adds the CORS headers to answers, also to those of preflight requests, for web pages whose origin
 * is on the configured allow-list. */
#include "cors.h"

static bool allowed(const char *origins, struct str origin) {
    struct str rest = str_of(origins), one;
    while (str_split(&rest, ',', &one))
        if (str_eq(str_trim(one), origin))
            return true;
    return false;
}

static struct str header_of(const struct answer *answer, const char *name) {
    for (size_t i = 0; i < answer->n_headers; i++)
        if (str_case_is(str_of(answer->headers[i].name), name))
            return answer->headers[i].value;
    return STR_ABSENT;
}

/* The question before the request: the browser sends it by itself, without a key. */
static bool is_preflight(const struct request *request, const struct answer *answer) {
    return str_is(request->method, "OPTIONS") && answer->status == 204 &&
           request_header(request, "Access-Control-Request-Method", NULL).ptr;
}

void cors_answer(const char *origins, const struct request *request, struct answer *answer) {
    size_t count;
    struct str origin = request_header(request, "Origin", &count);
    if (origins[0] == '\0')
        return;
    /* Also where the origin is not allowed, or there is none: a shared cache must know. */
    answer_header(answer, "Vary", STR("Accept, Accept-Encoding, Authorization, Origin"));
    if (count != 1 || origin.len == 0 || !allowed(origins, origin))
        return;
    answer_header(answer, "Access-Control-Allow-Origin", origin);
    if (!is_preflight(request, answer)) {
        answer_header(answer, "Access-Control-Expose-Headers",
                      STR("Accept-Patch, Accept-Post, Allow, Deprecation, ETag, "
                          "Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, "
                          "Retry-After, Sunset, WWW-Authenticate, X-Request-Id"));
        return;
    }
    answer_header(answer, "Access-Control-Allow-Methods", header_of(answer, "Allow"));
    answer_header(answer, "Access-Control-Allow-Headers",
                  STR("authorization, content-type, idempotency-key, if-match, if-none-match, "
                      "last-event-id, traceparent, x-request-id"));
    answer_header(answer, "Access-Control-Max-Age", STR("600"));
}
