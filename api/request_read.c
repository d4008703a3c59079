/* Fills our request (struct request) from what ulfius and libmicrohttpd have read: request id,
 * trace, headers, body and the client's address. The memory that libmicrohttpd has left for
 * the head of the answer is estimated here, too. */
#include "conn.h"
#include "forwarded.h"

#include "core/id.h"

#include <string.h>

#define HEADERS_MAX 200

static void pooled_random(void *self, void *bytes, size_t len) {
    struct http_thread *thread = self;
    unsigned char *at = bytes;
    while (len > 0) {
        if (thread->random_left == 0) {
            random_fill(thread->server->options.randomness, thread->random, POOLED_RANDOM);
            thread->random_left = POOLED_RANDOM;
        }
        size_t n = len < thread->random_left ? len : thread->random_left;
        memcpy(at, thread->random + POOLED_RANDOM - thread->random_left, n);
        thread->random_left -= n;
        at += n;
        len -= n;
    }
}

/* ---- ids ---- */

static bool is_request_id(struct str text) {
    if (text.ptr == NULL || text.len == 0 || text.len > 64)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static void set_id(struct request *request, const struct randomness *randomness) {
    size_t count;
    struct str sent = request_header(request, "X-Request-Id", &count);
    if (count == 1 && is_request_id(sent)) {
        memcpy(request->id, sent.ptr, sent.len);
        request->id[sent.len] = '\0';
        return;
    }
    struct uuid id = uuid_v7(&clock_system, randomness);
    uuid_text(&id, request->id);
}

static bool is_lower_hex(const char *text, size_t len, bool *ret_all_zero) {
    *ret_all_zero = true;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *ret_all_zero = *ret_all_zero && c == '0';
    }
    return true;
}

/* W3C Trace Context section 3.2: version-trace-parent-flags; a later version may add fields after a
 * dash. */
static bool is_traceparent(struct str text) {
    if (text.ptr == NULL || text.len < 55)
        return false;
    const char *p = text.ptr;
    bool version_zero, zero, unused;
    if (!is_lower_hex(p, 2, &version_zero) || (p[0] == 'f' && p[1] == 'f') || p[2] != '-')
        return false;
    if (!is_lower_hex(p + 3, 32, &zero) || zero || p[35] != '-')
        return false;
    if (!is_lower_hex(p + 36, 16, &zero) || zero || p[52] != '-' ||
        !is_lower_hex(p + 53, 2, &unused))
        return false;
    return text.len == 55 || (!version_zero && p[55] == '-');
}

static void write_hex(char *at, const unsigned char *bytes, size_t len) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        at[2 * i] = digits[bytes[i] >> 4];
        at[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static void set_traceparent(struct request *request, const struct randomness *randomness) {
    char *out = request->traceparent;
    size_t count;
    struct str sent = request_header(request, "traceparent", &count);
    if (count == 1 && is_traceparent(sent)) {
        memcpy(out, sent.ptr, 55);
        memcpy(out, "00", 2);
        trace_child(&request->trace, sent);
    } else {
        trace_first(&request->trace, randomness);
    }
    if (request->trace.on) {
        trace_text(&request->trace, out);
    } else if (out[0] == '\0') {
        unsigned char bytes[24];
        random_fill(randomness, bytes, sizeof bytes);
        bytes[0] |= 1; /* neither id may be all zeros */
        bytes[16] |= 1;
        memcpy(out, "00-", 3);
        write_hex(out + 3, bytes, 16);
        out[35] = '-';
        write_hex(out + 36, bytes + 16, 8);
        memcpy(out + 52, "-00", 3);
    }
    out[55] = '\0';
}

/* ---- header fields ---- */

struct collector {
    struct request *request;
    struct head_walk head;
    size_t room;
};

static enum MHD_Result collect(void *context, enum MHD_ValueKind kind, const char *name,
                               size_t name_len, const char *value, size_t value_len) {
    (void)kind;
    struct collector *into = context;
    struct request *request = into->request;
    if (request->n_headers == into->room || name == NULL || value == NULL)
        return MHD_NO;
    head_walk_field(&into->head, name, name_len, value, value_len);
    request->headers[request->n_headers++] = (struct header){
        .name = {name, name_len}, .value = str_trim((struct str){value, value_len})};
    return MHD_YES;
}

static bool collect_headers(const struct conn *conn, struct request *request, size_t head_size,
                            bool *ret_whole, struct err *err) {
    struct collector into = {.request = request, .head = conn->head};
    int n = MHD_get_connection_values_n(conn->mhd, MHD_HEADER_KIND, NULL, NULL);
    if (n > HEADERS_MAX)
        return err_set(err, PROBLEM_HEADERS_TOO_LARGE, "A request may have %d header fields.",
                       HEADERS_MAX);
    if (n > 0) {
        request->headers = arena_array(request->arena, (size_t)n, sizeof *request->headers);
        if (request->headers == NULL)
            return err_memory(err);
        into.room = (size_t)n;
        MHD_get_connection_values_n(conn->mhd, MHD_HEADER_KIND, collect, &into);
    }
    *ret_whole = head_walk_end(&into.head, conn->target, request->method.len, head_size);
    return true;
}

/* ---- the room that is left ---- */

/* libmicrohttpd keeps the head, a record of each field and cookie, a copy of the cookie line, and
 * the trailers in one piece of memory, in which the head of the answer needs room, too. It reads
 * into half of it, or into this much more than the head has, and what it reads there may be the
 * next request's. */
#define RECORD ((size_t)64)
#define AHEAD ((size_t)192)

struct use {
    const char *end; /* of the last line */
    size_t bytes;
};

static enum MHD_Result measure(void *context, enum MHD_ValueKind kind, const char *name,
                               size_t name_len, const char *value, size_t value_len) {
    struct use *use = context;
    use->bytes += RECORD;
    if (kind == MHD_HEADER_KIND && str_case_is((struct str){name, name_len}, "Cookie"))
        use->bytes += value_len + RECORD;
    if (kind == MHD_FOOTER_KIND && value != NULL && value + value_len > use->end)
        use->end = value + value_len + sizeof "\r\n\r\n";
    return MHD_YES;
}

static size_t room_left(const struct conn *conn, size_t method_len, size_t head_size) {
    const char *start = conn->target - 1 - method_len;
    struct use use = {.end = start + head_size};
    MHD_get_connection_values_n(conn->mhd, MHD_HEADER_KIND | MHD_COOKIE_KIND | MHD_FOOTER_KIND,
                                measure, &use);
    size_t memory = conn->thread->server->options.memory;
    size_t read = (size_t)(use.end - start) + AHEAD;
    use.bytes += read > memory / 2 ? read : memory / 2;
    return use.bytes < memory ? memory - use.bytes : 0;
}

/* ---- all of it ---- */

static void set_target(struct request *request, const struct _u_request *from) {
    request->method = str_of(from->http_verb);
    request->path = from->url_path != NULL ? str_of(from->url_path) : STR("");
    request->raw_query = STR("");
    const char *mark = from->http_url != NULL ? strchr(from->http_url, '?') : NULL;
    if (mark != NULL)
        request->raw_query = str_of(mark + 1);
}

static void set_body(struct request *request, const struct _u_request *from, size_t limit) {
    request->body_too_large = from->binary_body_length > limit;
    if (!request->body_too_large && from->binary_body != NULL)
        request->body = (struct str){from->binary_body, from->binary_body_length};
}

static void set_ids(struct request *request, struct http_thread *thread) {
    const struct randomness pooled = {.fill = pooled_random, .self = thread};
    set_id(request, &pooled);
    set_traceparent(request, &pooled);
}

void intake_unread(const struct conn *conn, struct request *request) {
    request->client = str_of(conn->client);
    request->started_us = clock_mono(&clock_system);
    request->method = request->path = STR("");
    set_ids(request, conn->thread);
}

bool intake(const struct conn *conn, const struct _u_request *from, struct request *request,
            struct err *err) {
    const struct server_options *options = &conn->thread->server->options;
    request->client = str_of(conn->client);
    request->started_us = clock_mono(&clock_system);
    request->when = deadline_in_ms(options->request_ms);
    set_target(request, from);
    set_body(request, from, options->body_limit);
    const union MHD_ConnectionInfo *head =
        MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t head_size = head != NULL ? head->header_size : 0;
    request->room = room_left(conn, request->method.len, head_size);
    bool whole = false;
    bool collected = collect_headers(conn, request, head_size, &whole, err);
    if (options->trusted != NULL && options->trusted->n > 0)
        request->client = forwarded_client(request, options->trusted, request->client);
    set_ids(request, conn->thread);
    if (!collected)
        return false;
    if (!whole)
        return err_set(err, PROBLEM_INVALID_REQUEST,
                       "Each line of the head must be complete: name, colon, value, CRLF.");
    return guard_check(request, str_of(from->http_protocol), err) &&
           request_read_query(request, err);
}
