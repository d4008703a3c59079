/* Refuses requests that two programs could read differently (request smuggling). guard_check()
 * checks method, path, header fields and framing; the head_walk functions check that
 * libmicrohttpd's lenient parser has read the head as a strict parser would. */
#include "http_strict.h"

#include <string.h>

static bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_token_char(char c) {
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (!is_token_char(text.ptr[i]))
            return false;
    }
    return text.len > 0;
}

static bool refuse(struct err *err, const char *detail) {
    return err_set(err, PROBLEM_INVALID_REQUEST, "%s", detail);
}

static bool refuse_header(struct err *err, const char *name, const char *code, const char *detail) {
    err_add(err, PROBLEM_INVALID_REQUEST, ERR_HEADER(name), code, "%s", detail);
    return refuse(err, detail);
}

/* ---- request line ---- */

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 section 3.3, and no escape of a character that needs none, of '/', of '\' or of a
 * control: one spelling for one path. */
static bool check_path_bytes(struct str path, struct err *err) {
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (is_alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL))
            continue;
        if (c != '%')
            return refuse(err, "The path has a character that must be percent-encoded.");
        int high = i + 2 < path.len ? hex_value(path.ptr[i + 1]) : -1;
        int low = i + 2 < path.len ? hex_value(path.ptr[i + 2]) : -1;
        if (high < 0 || low < 0)
            return refuse(err, "The path has a malformed percent escape.");
        char decoded = (char)(high * 16 + low);
        if (is_alnum(decoded) || (decoded != '\0' && strchr("-._~", decoded) != NULL))
            return refuse(err, "The path percent-encodes a character that needs no encoding.");
        if ((high * 16 + low) < 0x20 || decoded == 0x7f || decoded == '/' || decoded == '\\')
            return refuse(err, "The path must not hold an encoded slash or control character.");
        i += 2;
    }
    return true;
}

static bool check_path_text(const struct request *request, struct err *err) {
    if (memchr(request->path.ptr, '%', request->path.len) == NULL)
        return true;
    char *decoded = arena_alloc(request->arena, request->path.len + 1);
    size_t len;
    if (decoded == NULL)
        return err_memory(err);
    return (percent_decode(request->path, false, decoded, &len) &&
            str_is_utf8((struct str){decoded, len})) ||
           refuse(err, "The path must be UTF-8 under its percent escapes.");
}

static bool check_segments(struct str path, struct err *err) {
    struct str rest = {path.ptr + 1, path.len - 1};
    struct str segment;
    while (str_split(&rest, '/', &segment)) {
        if (str_is(segment, ".") || str_is(segment, ".."))
            return refuse(err, "The path must not hold the segments . and ..");
        if (segment.len == 0 && rest.ptr != NULL)
            return refuse(err, "The path must not hold empty segments.");
    }
    return true;
}

static bool check_query_bytes(struct str query, struct err *err) {
    for (size_t i = 0; i < query.len; i++) {
        unsigned char c = (unsigned char)query.ptr[i];
        if (c <= 0x20 || c >= 0x7f)
            return refuse(err, "The query has a character that must be percent-encoded.");
    }
    return true;
}

static bool check_target(const struct request *request, struct err *err) {
    if (request->path.len + request->raw_query.len > GUARD_TARGET_MAX)
        return err_set(err, PROBLEM_URI_TOO_LONG, "Path and query may have %d bytes.",
                       GUARD_TARGET_MAX);
    if (request->path.len == 0 || request->path.ptr[0] != '/')
        return refuse(err, "The request target must be a path that starts with /.");
    return check_path_bytes(request->path, err) && check_segments(request->path, err) &&
           check_path_text(request, err) && check_query_bytes(request->raw_query, err);
}

/* ---- fields ---- */

static bool check_bytes(const struct request *request, struct err *err) {
    size_t sum = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        struct str name = request->headers[i].name;
        struct str value = request->headers[i].value;
        sum += name.len + value.len;
        if (!is_token(name))
            return refuse(err, "A header name has a character that is not allowed there.");
        for (size_t j = 0; j < value.len; j++) {
            unsigned char c = (unsigned char)value.ptr[j];
            if ((c < 0x20 && c != '\t') || c == 0x7f)
                return refuse(err, "A header value has a control character.");
        }
    }
    if (sum > GUARD_HEAD_MAX)
        return err_set(err, PROBLEM_HEADERS_TOO_LARGE,
                       "All header fields together may have %d bytes.", GUARD_HEAD_MAX);
    return true;
}

static bool check_duplicates(const struct request *request, struct err *err) {
    static const char *const once[] = {
        "Authorization", "Idempotency-Key",  "If-Match", "If-None-Match",
        "Content-Type",  "Content-Length",   "Host",     "X-Request-Id",
        "traceparent",   "Transfer-Encoding"};
    for (size_t i = 0; i < COUNT_OF(once); i++) {
        size_t count;
        request_header(request, once[i], &count);
        if (count > 1)
            return refuse_header(err, once[i], "duplicate", "This header may be sent only once.");
    }
    return true;
}

static bool check_host(const struct request *request, struct str version, struct err *err) {
    struct str host = request_header(request, "Host", NULL);
    if (host.ptr == NULL)
        return str_is(version, "HTTP/1.0") ||
               refuse_header(err, "Host", "required", "The Host header is missing.");
    for (size_t i = 0; i < host.len; i++) {
        if (!is_alnum(host.ptr[i]) && strchr("-._~:[]%", host.ptr[i]) == NULL)
            return refuse_header(err, "Host", "malformed", "The Host header is malformed.");
    }
    return host.len > 0 || refuse_header(err, "Host", "malformed", "The Host header is empty.");
}

static bool check_length(struct str length, struct err *err) {
    for (size_t i = 0; i < length.len; i++) {
        if (length.ptr[i] < '0' || length.ptr[i] > '9')
            return refuse_header(err, "Content-Length", "malformed",
                                 "Content-Length must be a plain number.");
    }
    return (length.len > 0 && length.len <= 18) ||
           refuse_header(err, "Content-Length", "malformed",
                         "Content-Length must have 1 to 18 digits.");
}

static bool takes_no_body(struct str method) {
    return str_is(method, "GET") || str_is(method, "HEAD") || str_is(method, "DELETE") ||
           str_is(method, "OPTIONS");
}

static bool check_framing(const struct request *request, struct str version, struct err *err) {
    struct str length = request_header(request, "Content-Length", NULL);
    struct str coding = request_header(request, "Transfer-Encoding", NULL);
    if (length.ptr != NULL && coding.ptr != NULL)
        return refuse_header(err, "Transfer-Encoding", "conflict",
                             "Content-Length and Transfer-Encoding must not come together.");
    if (length.ptr != NULL && !check_length(length, err))
        return false;
    if (coding.ptr != NULL && !str_case_is(coding, "chunked"))
        return refuse_header(err, "Transfer-Encoding", "unsupported",
                             "The only transfer coding is chunked.");
    if (coding.ptr != NULL && str_is(version, "HTTP/1.0"))
        return refuse_header(err, "Transfer-Encoding", "unsupported",
                             "HTTP/1.0 has no transfer codings.");
    int64_t bytes = 0;
    bool body = coding.ptr != NULL || (str_to_i64(length, &bytes) && bytes > 0);
    return !body || !takes_no_body(request->method) ||
           refuse(err, "A request with this method must not have a body.");
}

bool guard_check(const struct request *request, struct str version, struct err *err) {
    if (!str_is(version, "HTTP/1.1") && !str_is(version, "HTTP/1.0"))
        return refuse(err, "The HTTP version must be 1.1 or 1.0.");
    if (!is_token(request->method) || request->method.len > 24)
        return refuse(err, "The method is malformed.");
    return check_bytes(request, err) && check_duplicates(request, err) &&
           check_host(request, version, err) && check_framing(request, version, err) &&
           check_target(request, err);
}

/* One space, the target, one space, the version, CRLF. */
void head_walk_start(struct head_walk *walk, const char *target) {
    const char *version = target + strlen(target) + 1;
    walk->end = version + 8;
    walk->at = version + 10;
    walk->whole = target[-1] == '\0' && strncmp(version, "HTTP/1.", 7) == 0 &&
                  (version[7] == '0' || version[7] == '1') && version[8] == '\0';
    walk->keeps_ends = walk->whole && version[9] == '\n';
    walk->whole = walk->whole && (walk->keeps_ends || version[9] == '\0');
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* Does the line that holds walk->end end where the next one, at `next`, starts? Of a line that
 * another follows the end is still in the buffer. */
static bool line_ends(const struct head_walk *walk, const char *next) {
    const char *at = walk->end + 1;
    if (!walk->keeps_ends)
        return next == walk->at;
    if (next <= at)
        return false;
    if (*at != '\n') { /* what was overwritten is not CR, but the first of some blanks */
        while (is_blank(*at))
            at++;
        if (*at++ != '\r')
            return false;
    }
    return *at == '\n' && next == at + 1;
}

void head_walk_field(struct head_walk *walk, const char *name, size_t name_len, const char *value,
                     size_t value_len) {
    if (!walk->whole)
        return;
    walk->whole = line_ends(walk, name) && value > name && (size_t)(value - name) > name_len;
    for (const char *gap = name + name_len + 1; walk->whole && gap < value; gap++)
        walk->whole = is_blank(*gap);
    walk->end = value + value_len;
    walk->at = walk->end + 2;
}

bool head_walk_end(const struct head_walk *walk, const char *target, size_t method_len,
                   size_t size) {
    const char *start = target - 1 - method_len;
    size_t least = (size_t)(walk->at + 2 - start);
    return walk->whole && (walk->keeps_ends ? size >= least : size == least);
}
