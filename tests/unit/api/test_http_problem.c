/* What a client is told of an error: the problem document, what it keeps secret, its type by
 * content negotiation, and the page of each kind of problem. */
#include "unit.h"

#include "admin.h"
#include "core/json.h"
#include "problem.h"

#include <stdlib.h>

struct fixture {
    struct arena arena;
    struct header headers[4];
    struct request request;
    struct answer answer;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    arena_init(&fixture->arena, 1 << 20);
    fixture->request = (struct request){.method = STR("GET"),
                                        .path = STR("/v1/x"),
                                        .headers = fixture->headers,
                                        .arena = &fixture->arena,
                                        .id = "req-1"};
    buf_init(&fixture->answer.body, 1 << 20);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    buf_release(&fixture->answer.body);
    arena_release(&fixture->arena);
    free(fixture);
    return 0;
}

static void send_header(struct fixture *fixture, const char *name, const char *value) {
    fixture->headers[fixture->request.n_headers++] = (struct header){str_of(name), str_of(value)};
}

static struct str header_of(const struct fixture *fixture, const char *name) {
    for (size_t i = 0; i < fixture->answer.n_headers; i++) {
        if (str_case_is(str_of(fixture->answer.headers[i].name), name))
            return fixture->answer.headers[i].value;
    }
    return STR_ABSENT;
}

static jv *body_of(struct fixture *fixture) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    jv *body = NULL;
    if (!json_read(buf_str(&fixture->answer.body), JSON_TOKENS, &body, &err))
        fail_msg("not JSON: %s", fixture->answer.body.ptr);
    return body;
}

static void says_all(void **state) {
    struct fixture *fixture = *state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    err_add(&err, PROBLEM_VALIDATION, ERR_POINTER("/name"), "required", "A name, please.");
    err_add(&err, PROBLEM_VALIDATION, ERR_PARAMETER("limit"), "unknown", "What \"limit\"?");
    err_add(&err, PROBLEM_VALIDATION, ERR_HEADER("If-Match"), "malformed", "Not an etag.");
    err_set(&err, PROBLEM_PRECONDITION_FAILED, "Somebody was faster.");
    err.retry_after = 7;
    snprintf(err.etag, sizeof err.etag, "\"abc\"");
    err.extra = strdup("\"weakest\":[1,2]");
    problem_answer(&err, &fixture->request, &fixture->answer);
    assert_int_equal(fixture->answer.status, 412);
    assert_string_equal(fixture->answer.content_type, "application/problem+json");
    assert_text(header_of(fixture, "Retry-After"), "7");
    assert_text(header_of(fixture, "ETag"), "\"abc\"");
    jv *body CLEANUP(jv_unref) = body_of(fixture);
    assert_text(jv_text(jv_get(body, "type")), "/problems/precondition_failed");
    assert_text(jv_text(jv_get(body, "detail")), "Somebody was faster.");
    assert_text(jv_text(jv_get(body, "instance")), "/v1/x");
    assert_text(jv_text(jv_get(body, "request_id")), "req-1");
    assert_text(jv_text(jv_get(body, "current_etag")), "\"abc\"");
    assert_int_equal(jv_int(jv_get(body, "status")), 412);
    assert_int_equal(jv_int(jv_get(body, "retry_after_seconds")), 7);
    assert_int_equal(jv_len(jv_get(body, "weakest")), 2);
    jv *errors = jv_get(body, "errors");
    assert_int_equal(jv_len(errors), 3);
    assert_text(jv_text(jv_get(jv_at(errors, 0), "pointer")), "/name");
    assert_text(jv_text(jv_get(jv_at(errors, 1), "parameter")), "limit");
    assert_text(jv_text(jv_get(jv_at(errors, 1), "detail")), "What \"limit\"?");
    assert_text(jv_text(jv_get(jv_at(errors, 2), "header")), "If-Match");
    assert_text(jv_text(jv_get(jv_at(errors, 2), "code")), "malformed");
}

/* Many clients show nothing but the detail. */
static void detail_names_the_place(void **state) {
    static const struct {
        const char *where, *detail, *want;
        int n;
    } cases[] = {
        {"/name", "is required", "name is required", 1},
        {"/emails/0", "is too long", "emails/0 is too long (and 2 more, see errors)", 3},
        {"colour", "colour is no parameter here.", "colour is no parameter here.", 2},
        {"/sections/a", "The section is empty.", "The section is empty.", 1},
        {"", "must be an object", "must be an object", 1},
        {"/\xc3", "is odd", "is odd", 1},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        for (int n = 0; n < cases[i].n; n++)
            err_add(&err, PROBLEM_VALIDATION, ERR_POINTER(cases[i].where), "x", "%s",
                    cases[i].detail);
        problem_answer(&err, &fixture->request, &fixture->answer);
        jv *body CLEANUP(jv_unref) = body_of(fixture);
        assert_text(jv_text(jv_get(body, "detail")), cases[i].want);
        assert_text(jv_text(jv_get(jv_at(jv_get(body, "errors"), 0), "detail")), cases[i].detail);
    }
}

static void hides_internals(void **state) {
    struct fixture *fixture = *state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    err_set(&err, PROBLEM_INTERNAL, "secret table");
    err_cause(&err, "secret cause");
    problem_answer(&err, &fixture->request, &fixture->answer);
    assert_int_equal(fixture->answer.status, 500);
    assert_null(strstr(fixture->answer.body.ptr, "secret"));
    /* Nothing set, but asked for: our mistake, not a 200. */
    struct err none CLEANUP(err_release) = ERR_INIT;
    problem_answer(&none, &fixture->request, &fixture->answer);
    assert_int_equal(fixture->answer.status, 500);
}

static void survives_bad_text(void **state) {
    struct fixture *fixture = *state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    fixture->request.path = STR("/\xff");
    err_add(&err, PROBLEM_INVALID_REQUEST, ERR_POINTER("/\xc3"), "x", "\xff");
    err_set(&err, PROBLEM_INVALID_REQUEST, "cut here \xc3");
    problem_answer(&err, &fixture->request, &fixture->answer);
    jv *body CLEANUP(jv_unref) = body_of(fixture);
    assert_int_equal(jv_int(jv_get(body, "status")), 400);
}

static void answers_every_problem(void **state) {
    struct fixture *fixture = *state;
    for (int problem = PROBLEM_NONE + 1; problem < PROBLEM_COUNT; problem++) {
        fixture->answer.n_headers = 0;
        problem_say((enum problem)problem, &fixture->request, &fixture->answer, NULL);
        const struct problem_info *info = problem_info((enum problem)problem);
        jv *body CLEANUP(jv_unref) = body_of(fixture);
        assert_text(jv_text(jv_get(body, "code")), info->code);
        assert_true(jv_text(jv_get(body, "detail")).len > 0);
        assert_int_equal(fixture->answer.status, info->status);
        assert_true(info->status != 503 || header_of(fixture, "Retry-After").ptr != NULL);
        jv *page CLEANUP(jv_unref) = NULL;
        assert_true(problem_page(str_of(info->code), &fixture->request, &fixture->answer));
        assert_int_equal(fixture->answer.status, 200);
        page = body_of(fixture);
        assert_text(jv_text(jv_get(page, "title")), info->title);
    }
}

static void shows_pages(void **state) {
    struct fixture *fixture = *state;
    assert_false(problem_page(STR("nonsense"), &fixture->request, &fixture->answer));
    assert_false(problem_page(STR(""), &fixture->request, &fixture->answer));
    assert_false(problem_page(STR("not_found\0x"), &fixture->request, &fixture->answer));
    assert_int_equal(fixture->answer.status, 0);
    send_header(fixture, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    assert_true(problem_page(STR("not_found"), &fixture->request, &fixture->answer));
    assert_string_equal(fixture->answer.content_type, "text/html; charset=utf-8");
    assert_non_null(strstr(fixture->answer.body.ptr, "<h1>"));
}

static void negotiates(void **state) {
    static const struct {
        const char *accept;
        const char *type;
    } cases[] = {
        {NULL, "application/problem+json"},
        {"*/*", "application/problem+json"},
        {"application/*", "application/problem+json"},
        {"application/json", "application/json"},
        {"application/json;q=0.5", "application/json"},
        {"Application/JSON ; charset=utf-8", "application/json"},
        {"application/json, application/problem+json", "application/problem+json"},
        {"application/json, */*;q=0.1", "application/problem+json"},
        {"application/json, application/problem+json;q=0", "application/json"},
        {"text/html", "application/problem+json"},
        {"", "application/problem+json"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture *fixture = *state;
        fixture->request.n_headers = 0;
        if (cases[i].accept != NULL)
            send_header(fixture, "accept", cases[i].accept);
        problem_say(PROBLEM_NOT_FOUND, &fixture->request, &fixture->answer, NULL);
        assert_case(strcmp(fixture->answer.content_type, cases[i].type) == 0,
                    cases[i].accept != NULL ? cases[i].accept : "none");
    }
}

static void weighs(void **state) {
    static const struct {
        const char *accept;
        int want;
    } cases[] = {
        {"gzip", 1000},
        {"gzip;q=0.5", 500},
        {"gzip; q=0", 0},
        {"br", 0},
        {"*", 1000},
        {"*;q=0.25", 250},
        {"br, *;q=0.1", 100},
        {"gzip;q=0, *", 0},
        {"gzip;q=1.000", 1000},
        {"gzip;q=1.001", 0},
        {"gzip;q=2", 0},
        {"gzip;q=x", 0},
        {"GZIP", 1000},
        {"identity, gzip", 1000},
        {"gzipx", 0},
        {"", 0},
        {",,gzip", 1000},
        {"gzip;q=0.1234", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture *fixture = *state;
        fixture->request.n_headers = 0;
        send_header(fixture, "Accept-Encoding", cases[i].accept);
        assert_case(request_accepts(&fixture->request, "Accept-Encoding", "gzip") == cases[i].want,
                    cases[i].accept);
    }
}

static void finds_headers(void **state) {
    struct fixture *fixture = *state;
    send_header(fixture, "X-A", "1");
    send_header(fixture, "x-a", "2");
    size_t count;
    assert_text(request_header(&fixture->request, "X-a", &count), "1");
    assert_int_equal(count, 2);
    assert_null(request_header(&fixture->request, "X", NULL).ptr);
    answer_header(&fixture->answer, "Vary", STR("a"));
    answer_header(&fixture->answer, "vary", STR("b"));
    assert_text(header_of(fixture, "Vary"), "b");
    for (size_t i = 0; i < ANSWER_HEADERS + 5; i++)
        answer_header(&fixture->answer, arena_format(&fixture->arena, "X-%zu", i), STR("x"));
    assert_int_equal(fixture->answer.n_headers, ANSWER_HEADERS);
}

static bool not_ready(void *context, struct buf *reasons) {
    (void)context;
    buf_text(reasons, "[\"database\"]");
    return false;
}
static bool is_ready(void *context, struct buf *reasons) {
    (void)context;
    (void)reasons;
    return true;
}

static void probes(void **state) {
    struct fixture *fixture = *state;
    struct admin admin = {.ready = not_ready, .version = "1"};
    static const struct {
        const char *method;
        const char *path;
        int status;
        const char *part;
    } cases[] = {
        {"GET", "/livez", 200, "ok"},
        {"HEAD", "/livez", 200, "ok"},
        {"GET", "/readyz", 503, "[\"database\"]"},
        {"GET", "/metrics", 200, "kamd_http_connections"},
        {"POST", "/metrics", 405, "method_not_allowed"},
        {"GET", "/", 404, "not_found"},
        {"GET", "/metrics/", 404, "not_found"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fixture->request.method = str_of(cases[i].method);
        fixture->request.path = str_of(cases[i].path);
        buf_reset(&fixture->answer.body);
        admin_serve(&admin, &fixture->request, &fixture->answer);
        assert_case(fixture->answer.status == cases[i].status, cases[i].path);
        assert_non_null(strstr(fixture->answer.body.ptr, cases[i].part));
    }
    admin.ready = is_ready;
    admin_readyz(&admin, &fixture->answer);
    assert_int_equal(fixture->answer.status, 200);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(says_all),
        TEST(detail_names_the_place),
        TEST(hides_internals),
        TEST(survives_bad_text),
        TEST(answers_every_problem),
        TEST(shows_pages),
        TEST(negotiates),
        TEST(weighs),
        TEST(finds_headers),
        TEST(probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
