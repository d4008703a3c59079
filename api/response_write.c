/* Hands our answer (struct answer) over to ulfius: adds the standard security and cache headers,
 * leaves out header values that cannot be sent, and compresses the body when the client accepts
 * gzip. */
#include "conn.h"

#include "core/log.h"

#include <orcania.h>
#include <string.h>

#define OWN_HEADERS 3 /* X-Request-Id, Content-Type, Connection */

static const struct answer_header standard[] = {
    {"Cache-Control", {"private, no-cache", 17}},
    {"Vary", {"Accept, Accept-Encoding, Authorization", 38}},
    {"X-Content-Type-Options", {"nosniff", 7}},
    {"Referrer-Policy", {"no-referrer", 11}},
    {"Content-Security-Policy", {"default-src 'none'; frame-ancestors 'none'", 42}},
    {"X-Frame-Options", {"DENY", 4}},
    {"Cross-Origin-Resource-Policy", {"same-origin", 11}},
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

/* Room for all headers at once: u_map_put would grow three arrays and search for each. */
static bool make_room(struct _u_map *map, size_t n) {
    char **keys = o_realloc(map->keys, (n + 1) * sizeof *keys);
    if (keys != NULL)
        map->keys = keys;
    char **values = o_realloc(map->values, (n + 1) * sizeof *values);
    if (values != NULL)
        map->values = values;
    size_t *lengths = o_realloc(map->lengths, (n + 1) * sizeof *lengths);
    if (lengths != NULL)
        map->lengths = lengths;
    return keys != NULL && values != NULL && lengths != NULL;
}

/* `name` is new in the map, and the map has room. Without memory the header is left out. */
static void put(struct _u_response *to, const char *name, struct str value) {
    struct _u_map *map = to->map_header;
    if (!is_sendable(value)) {
        LOG(LOG_ERROR, "header_not_sendable", LOG_S("name", name));
        return;
    }
    char *key = o_strdup(name);
    char *copy = o_malloc(value.len + 1);
    if (key == NULL || copy == NULL) {
        o_free(key);
        o_free(copy);
        return;
    }
    memcpy(copy, value.ptr, value.len);
    copy[value.len] = '\0';
    size_t at = (size_t)map->nb_values++;
    map->keys[at] = key;
    map->values[at] = copy;
    map->lengths[at] = value.len;
    map->keys[at + 1] = NULL;
    map->values[at + 1] = NULL;
    map->lengths[at + 1] = 0;
}

static bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

static void put_headers(const struct request *request, const struct answer *answer,
                        struct _u_response *to) {
    if (!make_room(to->map_header, ANSWER_HEADERS + COUNT_OF(standard) + OWN_HEADERS))
        return;
    for (size_t i = 0; i < answer->n_headers; i++)
        put(to, answer->headers[i].name, answer->headers[i].value);
    for (size_t i = 0; i < COUNT_OF(standard); i++) {
        if (!answer_has_header(answer, standard[i].name))
            put(to, standard[i].name, standard[i].value);
    }
    put(to, "X-Request-Id", str_of(request->id));
    if (answer->content_type != NULL && !has_no_body(answer->status))
        put(to, "Content-Type", str_of(answer->content_type));
    if (answer->close)
        put(to, "Connection", STR("close"));
}

/* The ETag stays as it is: it names the resource's state, and clients send it back whatever coding
 * they read it in. */
static void encode(struct http_thread *thread, const struct request *request,
                   struct answer *answer) {
    if (answer->body.len < GZIP_LEAST || answer->content_type == NULL ||
        has_no_body(answer->status) || !gzip_pays(answer->content_type) ||
        answer_has_header(answer, "Content-Encoding") ||
        request_accepts(request, "Accept-Encoding", "gzip") <= 0)
        return;
    if (gzip_body(&thread->gzip, &answer->body))
        answer_header(answer, "Content-Encoding", STR("gzip"));
}

size_t outgo(struct http_thread *thread, const struct request *request, struct answer *answer,
             struct _u_response *to) {
    encode(thread, request, answer);
    put_headers(request, answer, to);
    to->status = answer->status;
    if (has_no_body(answer->status))
        return 0;
    size_t len = 0;
    to->binary_body = buf_take(&answer->body, &len); /* ulfius frees it */
    to->binary_body_length = len;
    return len;
}
