#include "conn.h"

#include "core/log.h"

#include <string.h>

static const struct answer_header standard[] = {
    {"Cache-Control", {"private, no-cache", 17}},
    {"Vary", {"Accept, Accept-Encoding, Authorization", 38}},
    {"X-Content-Type-Options", {"nosniff", 7}},
    {"Referrer-Policy", {"no-referrer", 11}},
    {"Content-Security-Policy", {"default-src 'none'", 18}},
};

/* A value with a control character would end the field, or make libmicrohttpd drop it: it is left
 * out. */
static bool is_sendable(struct str value) {
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return value.ptr != NULL;
}

static void put(struct _u_response *to, const char *name, struct str value) {
    if (is_sendable(value))
        u_map_put_binary(to->map_header, name, value.ptr, 0, value.len);
    else
        LOG(LOG_ERROR, "header_not_sendable", LOG_S("name", name));
}

static bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

size_t outgo(const struct request *request, struct answer *answer, struct _u_response *to) {
    for (size_t i = 0; i < answer->n_headers; i++)
        put(to, answer->headers[i].name, answer->headers[i].value);
    for (size_t i = 0; i < COUNT_OF(standard); i++) {
        if (!answer_has_header(answer, standard[i].name))
            put(to, standard[i].name, standard[i].value);
    }
    put(to, "X-Request-Id", str_of(request->id));
    if (answer->close)
        put(to, "Connection", STR("close"));
    to->status = answer->status;
    if (has_no_body(answer->status))
        return 0;
    if (answer->content_type != NULL)
        put(to, "Content-Type", str_of(answer->content_type));
    size_t len = 0;
    to->binary_body = buf_take(&answer->body, &len); /* ulfius frees it */
    to->binary_body_length = len;
    return len;
}
