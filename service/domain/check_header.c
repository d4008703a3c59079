/* Checks the HTTP header fields that a user adds to the webhooks of an endpoint. Names that HTTP,
 * the message or its signature needs are reserved. */
#include "domain/check.h"

#include <string.h>

/* Of HTTP (RFC 9110 7.6.1, hop by hop), of the message that kamd makes, and of its signature. A
 * trailing '-' means all that begin so. */
static const char *const reserved[] = {
    "connection", "keep-alive",        "proxy-",      "te",
    "trailer",    "transfer-encoding", "upgrade",     "host",
    "expect",     "content-",          "webhook-",    "svix-",
    "user-agent", "accept-encoding",   "traceparent", "tracestate",
};

static bool is_reserved(struct str name) {
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        size_t len = strlen(reserved[i]);
        bool group = reserved[i][len - 1] == '-';
        struct str begin = {name.ptr, name.len < len ? name.len : len};
        if (str_case_is(group ? begin : name, reserved[i]))
            return true;
    }
    return false;
}

const char *check_header_name(struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return "must have letters, digits, - and _ only";
    }
    if (text.len == 0 || text.len > 64)
        return "must have 1 to 64 characters";
    return is_reserved(text) ? "must not be one that HTTP, the message or its signature needs"
                             : NULL;
}

const char *check_header_value(struct str text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] > '~')
            return "must be printable ASCII";
    if (text.len == 0 || text.len > 1000)
        return "must have 1 to 1000 characters";
    return text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' '
               ? "must not begin or end with a space"
               : NULL;
}
