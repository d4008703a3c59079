/* Requests that two programs could read differently are refused: header fields, framing,
 * targets, and heads that libmicrohttpd reads more leniently than others do. */
#include "unit.h"

#include "http_strict.h"

/* Reads "Name: value" lines into a request. */
static void fill(struct request *request, const char *target, const char *lines) {
    struct str rest = str_of(target);
    str_split(&rest, ' ', &request->method);
    struct str path;
    str_split(&rest, '?', &path);
    request->path = path.ptr != NULL ? path : STR("");
    request->raw_query = rest.ptr != NULL ? rest : STR("");
    request->headers = arena_array(request->arena, 32, sizeof *request->headers);
    struct str all = str_of(lines);
    struct str line;
    while (all.len > 0 && str_split(&all, '\n', &line)) {
        struct header *header = &request->headers[request->n_headers++];
        str_split(&line, ':', &header->name);
        header->value = str_trim(line);
    }
}

static enum problem check(const char *target, const char *lines, const char *version) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct arena arena CLEANUP(arena_release) = {0};
    arena_init(&arena, 1 << 20);
    struct request request = {.arena = &arena};
    fill(&request, target, lines);
    bool ok = guard_check(&request, str_of(version), &err);
    assert_true(ok == !err_is_set(&err));
    return err.problem;
}

static void lets_pass(void **state) {
    (void)state;
    static const struct {
        const char *target;
        const char *lines;
    } cases[] = {
        {"GET /", "Host: a"},
        {"GET /v1/accounts?a=b&c=%20&d", "Host: [::1]:8080"},
        {"GET /a%20b/%C3%A9/a:b@c,d;e=f", "Host: a"},
        {"GET /docs/", "Host: a\nX-A: b\nx-a: c"},
        {"GET /", "Host: a\nContent-Length: 0"},
        {"POST /", "Host: a\nContent-Length: 12"},
        {"POST /", "Host: a\nTransfer-Encoding: chunked"},
        {"PATCH /", "Host: a\nTransfer-Encoding: Chunked"},
        {"DELETE /x", "Host: a"},
        {"M-SEARCH /x", "Host: a"},
        {"GET /", "Host: a\nX: tab\there"},
        {"GET /", "Host: a\nX: caf\xc3\xa9"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_case(check(cases[i].target, cases[i].lines, "HTTP/1.1") == PROBLEM_NONE,
                    cases[i].target);
    assert_int_equal(check("GET /", "", "HTTP/1.0"), PROBLEM_NONE);
}

static void refuses_fields(void **state) {
    (void)state;
    static const char *const cases[] = {
        "Content-Length: 4\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nContent-Length: 4",
        "Content-Length: 4\nContent-Length: 4",
        "Content-Length: 4\ncontent-length: 5",
        "Content-Length: 4, 4",
        "Content-Length: +4",
        "Content-Length: -4",
        "Content-Length: 4 4",
        "Content-Length: 0x4",
        "Content-Length: ",
        "Content-Length: 1000000000000000000000",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: ",
        "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X A: b",
        "X\tA: b",
        ": b",
        "X(A): b",
        "X: a\rb",
        "X: a\001b",
        "X: a\177b",
        "Host: b",
        "host: a",
        "Authorization: a\nauthorization: a",
        "Idempotency-Key: a\nIdempotency-Key: a",
        "If-Match: a\nIf-Match: a",
        "If-None-Match: a\nIf-None-Match: a",
        "Content-Type: a\nContent-Type: a",
        "X-Request-Id: a\nX-Request-ID: a",
        "traceparent: a\nTraceparent: a",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char lines[200];
        snprintf(lines, sizeof lines, "Host: a\n%s", cases[i]);
        assert_case(check("POST /", lines, "HTTP/1.1") == PROBLEM_INVALID_REQUEST, cases[i]);
    }
    static const char *const hosts[] = {"", "X: y", "Host:", "Host: a/b", "Host: a b", "Host: a@b"};
    for (size_t i = 0; i < COUNT_OF(hosts); i++)
        assert_case(check("GET /", hosts[i], "HTTP/1.1") == PROBLEM_INVALID_REQUEST, hosts[i]);
}

static void refuses_bodies(void **state) {
    (void)state;
    static const char *const methods[] = {"GET /", "HEAD /", "DELETE /", "OPTIONS /"};
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        assert_case(check(methods[i], "Host: a\nContent-Length: 1", "HTTP/1.1") ==
                        PROBLEM_INVALID_REQUEST,
                    methods[i]);
        assert_case(check(methods[i], "Host: a\nTransfer-Encoding: chunked", "HTTP/1.1") ==
                        PROBLEM_INVALID_REQUEST,
                    methods[i]);
    }
    assert_int_equal(check("POST /", "Host: a\nTransfer-Encoding: chunked", "HTTP/1.0"),
                     PROBLEM_INVALID_REQUEST);
}

static void refuses_targets(void **state) {
    (void)state;
    static const char *const targets[] = {
        "GET *",          "GET http://a/", "GET a",          "GET /a b",    "GET /\"",
        "GET /%",         "GET /%2",       "GET /%zz",       "GET /%00",    "GET /%2f",
        "GET /%2F",       "GET /%5c",      "GET /%0d%0a",    "GET /%7f",    "GET /%61",
        "GET /%2e%2e",    "GET /..",       "GET /a/../b",    "GET /.",      "GET /a/./b",
        "GET //",         "GET /a//b",     "GET /%ff",       "GET /%C0%80", "GET /\xc3\xa9",
        "GET /?\xc3\xa9", "GET /?a=\001b", "GET /%ED%A0%80", "GET /a\\b",   "G@T /",
    };
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        assert_case(check(targets[i], "Host: a", "HTTP/1.1") == PROBLEM_INVALID_REQUEST,
                    targets[i]);
    static const char *const versions[] = {"", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "http/1.1"};
    for (size_t i = 0; i < COUNT_OF(versions); i++)
        assert_case(check("GET /", "Host: a", versions[i]) == PROBLEM_INVALID_REQUEST, versions[i]);
}

static void has_limits(void **state) {
    (void)state;
    static char target[GUARD_TARGET_MAX + 10] = "GET /";
    memset(target + 5, 'a', GUARD_TARGET_MAX - 1);
    assert_int_equal(check(target, "Host: a", "HTTP/1.1"), PROBLEM_NONE);
    target[4 + GUARD_TARGET_MAX] = 'a';
    assert_int_equal(check(target, "Host: a", "HTTP/1.1"), PROBLEM_URI_TOO_LONG);
    static char lines[GUARD_HEAD_MAX + 20] = "Host: a\nX: ";
    memset(lines + 11, 'a', GUARD_HEAD_MAX - 6);
    assert_int_equal(check("GET /", lines, "HTTP/1.1"), PROBLEM_NONE);
    lines[11 + GUARD_HEAD_MAX - 6] = 'a';
    assert_int_equal(check("GET /", lines, "HTTP/1.1"), PROBLEM_HEADERS_TOO_LARGE);
}

/* `head` as libmicrohttpd leaves it: '|' stands for each NUL that it wrote. */
static bool walk(const char *head, size_t n_fields, const char *const *values) {
    char bytes[200];
    size_t len = strlen(head);
    assert_true(len < sizeof bytes);
    for (size_t i = 0; i <= len; i++)
        bytes[i] = head[i] == '|' ? '\0' : head[i];
    struct head_walk walk;
    const char *target = bytes + strlen(bytes) + 1;
    head_walk_start(&walk, target);
    const char *at = target + strlen(target) + 1 + 10;
    for (size_t i = 0; i < n_fields; i++) {
        const char *value = strstr(at + strlen(at) + 1, values[i]);
        assert_non_null(value);
        head_walk_field(&walk, at, strlen(at), value, strlen(value));
        at = value + strlen(value) + 1;
        at += strspn(at, " \t\r"); /* what libmicrohttpd 1.0 leaves of a line's end */
        at++;
    }
    return head_walk_end(&walk, target, strlen(bytes), len);
}

static void walks_heads(void **state) {
    (void)state;
    static const char *const values[] = {"a", "b"};
    assert_true(walk("GET|/|HTTP/1.1||||", 0, values));
    assert_true(walk("GET|/|HTTP/1.1||Host| a||||", 1, values));
    assert_true(walk("GET|/x|HTTP/1.0||Host|a||X| \t b||||", 2, values));
    /* A second space, another version, a bare LF after the request line. */
    assert_false(walk("GET|/|HTTP/1.2||Host| a||||", 1, values));
    assert_false(walk("GET|/|HTTP/1.1 |Host| a||||", 1, values));
    /* A bare LF at the end of the head; a line dropped; one more NUL. */
    assert_false(walk("GET|/|HTTP/1.1||Host| a|||", 1, values));
    assert_false(walk("GET|/|HTTP/1.1||Host| a||| x||", 1, values));
    assert_false(walk("GET|/|HTTP/1.1||Host| a|||||", 1, values));
    assert_false(walk("GET|/|HTTP/1.1||Host|: a||||", 1, values));
}

/* 1.0 leaves CR and LF as they came but for the byte after a value. */
static void walks_heads_of_1_0(void **state) {
    (void)state;
    static const char *const values[] = {"a", "b"};
    assert_true(walk("GET|/|HTTP/1.1|\n\r\n", 0, values));
    assert_true(walk("GET|/|HTTP/1.1|\nHost| a|\n\r\n", 1, values));
    assert_true(walk("GET|/|HTTP/1.0|\nHost|a|\nX| \t b|\n\r\n", 2, values));
    /* Blanks after values; what follows the last one may be overwritten. */
    assert_true(walk("GET|/|HTTP/1.1|\nHost|a|\r\nX|b| \t\r\n\r\n", 2, values));
    assert_true(walk("GET|/|HTTP/1.1|\nHost|a| \t\r\nX|b|bod", 2, values));
    /* A bare LF after the request line, after blanks, with a NUL, at the end. */
    assert_false(walk("GET|/|HTTP/1.1|XHost|a|\n\r\n", 1, values));
    assert_false(walk("GET|/|HTTP/1.1|\nHost|a| \nX|b|\n\r\n", 2, values));
    assert_false(walk("GET|/|HTTP/1.1|\nHost|a||X|b|\n\r\n", 2, values));
    assert_false(walk("GET|/|HTTP/1.1|\nHost|a|\n", 1, values));
    assert_false(walk("GET|/|HTTP/1.1|\nHost|: a|\n\r\n", 1, values));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_heads_of_1_0), cmocka_unit_test(lets_pass),
        cmocka_unit_test(refuses_fields),     cmocka_unit_test(refuses_bodies),
        cmocka_unit_test(refuses_targets),    cmocka_unit_test(has_limits),
        cmocka_unit_test(walks_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
