/* Which route a method and a path find, which 404 and 405 they get where there is none, and that
 * a table with a mistake is refused at start. */
#include "unit.h"

#include "router.h"

static const struct route routes[] = {
    {.method = "GET", .path = "/livez"},
    {.method = "GET", .path = "/v1/accounts"},
    {.method = "POST", .path = "/v1/accounts"},
    {.method = "GET", .path = "/v1/accounts/{id}"},
    {.method = "PATCH", .path = "/v1/accounts/{account_id}"},
    {.method = "POST", .path = "/v1/accounts/{id}/restore"},
    {.method = "POST", .path = "/v1/accounts/search"},
    {.method = "GET", .path = "/v1/accounts/search/saved"},
    {.method = "PUT", .path = "/v1/accounts/by-external-id/{system}/{value}"},
    {.method = "PUT", .path = "/v1/imports/{id}/parts/{n}"},
    {.method = "OPTIONS", .path = "/own"},
    {.method = "GET", .path = "/own"},
    {.method = "GET", .path = "/docs/"},
};

struct fixture {
    struct router *router;
    struct arena arena;
    struct buf allow;
};

static int set_up(void **state) {
    static struct fixture fixture;
    struct err err CLEANUP(err_release) = ERR_INIT;
    fixture = (struct fixture){0};
    arena_init(&fixture.arena, 1 << 20);
    buf_init(&fixture.allow, 1000);
    *state = &fixture;
    return router_init(routes, COUNT_OF(routes), &fixture.router, &err) ? 0 : -1;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    router_release(fixture->router);
    arena_release(&fixture->arena);
    buf_release(&fixture->allow);
    return 0;
}

static enum match ask(struct fixture *fixture, const char *method, const char *path,
                      const struct route **route, struct path_args *args) {
    buf_reset(&fixture->allow);
    const struct request request = {
        .method = str_of(method), .path = str_of(path), .arena = &fixture->arena};
    return router_match(fixture->router, &request, route, args, &fixture->allow);
}

static void finds_rows(void **state) {
    static const struct {
        const char *method;
        const char *path;
        const char *row;
        const char *args[4]; /* name, value, ... */
    } cases[] = {
        {"GET", "/livez", "/livez", {NULL}},
        {"HEAD", "/livez", "/livez", {NULL}},
        {"GET", "/v1/accounts", "/v1/accounts", {NULL}},
        {"GET", "/v1/accounts/7", "/v1/accounts/{id}", {"id", "7"}},
        {"PATCH", "/v1/accounts/7", "/v1/accounts/{account_id}", {"account_id", "7"}},
        {"POST", "/v1/accounts/search", "/v1/accounts/search", {NULL}},
        {"GET", "/v1/accounts/search/saved", "/v1/accounts/search/saved", {NULL}},
        /* `search` leads on, but not to `restore`: {id} is tried. */
        {"POST", "/v1/accounts/search/restore", "/v1/accounts/{id}/restore", {"id", "search"}},
        {"PUT", "/v1/imports/a/parts/3", "/v1/imports/{id}/parts/{n}", {"id", "a", "n", "3"}},
        {"PUT",
         "/v1/accounts/by-external-id/s%20f/a%26b",
         "/v1/accounts/by-external-id/{system}/{value}",
         {"system", "s f", "value", "a&b"}},
        {"OPTIONS", "/own", "/own", {NULL}},
        {"GET", "/docs/", "/docs/", {NULL}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct route *route = NULL;
        struct path_args args;
        assert_case(ask(*state, cases[i].method, cases[i].path, &route, &args) == MATCH_FOUND,
                    cases[i].path);
        assert_string_equal(route->path, cases[i].row);
        size_t n = 0;
        for (size_t j = 0; j + 1 < 4 && cases[i].args[j] != NULL; j += 2, n++)
            assert_text(path_arg(&args, cases[i].args[j]), cases[i].args[j + 1]);
        assert_int_equal(args.n, n);
    }
}

static void finds_no_path(void **state) {
    static const char *const paths[] = {
        "",
        "livez",
        "/",
        "/livez/",
        "/Livez",
        "/v1",
        "/v1/accounts/",
        "/v1/accounts/7/",
        "/v1/accounts//restore",
        "/v1/accounts/%zz",
        "/v1/accounts/%00",
        "/docs",
        "/v1/accounts/7/restore/8",
        "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a",
    };
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        const struct route *route = NULL;
        struct path_args args;
        assert_case(ask(*state, "GET", paths[i], &route, &args) == MATCH_NO_PATH, paths[i]);
        assert_null(route);
    }
}

static void finds_no_method(void **state) {
    static const struct {
        const char *method;
        const char *path;
        const char *allow;
    } cases[] = {
        {"DELETE", "/v1/accounts", "GET, POST, HEAD, OPTIONS"},
        {"OPTIONS", "/v1/accounts", "GET, POST, HEAD, OPTIONS"},
        {"get", "/livez", "GET, HEAD, OPTIONS"},
        {"GET", "/v1/accounts/7/restore", "POST, OPTIONS"},
        {"HEAD", "/v1/accounts/7/restore", "POST, OPTIONS"},
        /* The literal is the resource, also where only {id} has the method. */
        {"PATCH", "/v1/accounts/search", "POST, OPTIONS"},
        {"POST", "/own", "OPTIONS, GET, HEAD"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture *fixture = *state;
        const struct route *route = NULL;
        struct path_args args;
        assert_case(ask(fixture, cases[i].method, cases[i].path, &route, &args) == MATCH_NO_METHOD,
                    cases[i].path);
        assert_text(buf_str(&fixture->allow), cases[i].allow);
    }
}

static void refuses_wrong_tables(void **state) {
    (void)state;
    static const struct {
        const char *name;
        struct route rows[2];
    } cases[] = {
        {"twice the same", {{.method = "GET", .path = "/a"}, {.method = "GET", .path = "/a"}}},
        {"same shape, other name",
         {{.method = "GET", .path = "/a/{x}"}, {.method = "GET", .path = "/a/{y}"}}},
        {"no slash", {{.method = "GET", .path = "/a"}, {.method = "GET", .path = "a"}}},
        {"no path", {{.method = "GET", .path = "/a"}, {.method = "GET", .path = NULL}}},
        {"no method", {{.method = "GET", .path = "/a"}, {.method = "", .path = "/b"}}},
        {"empty segment", {{.method = "GET", .path = "/a"}, {.method = "GET", .path = "/b//c"}}},
        {"half a name", {{.method = "GET", .path = "/a"}, {.method = "GET", .path = "/b/{c"}}},
        {"part of a segment",
         {{.method = "GET", .path = "/a"}, {.method = "GET", .path = "/b/c{d}"}}},
        {"five names",
         {{.method = "GET", .path = "/a"}, {.method = "GET", .path = "/{a}/{b}/{c}/{d}/{e}"}}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        struct router *router = NULL;
        assert_case(!router_init(cases[i].rows, 2, &router, &err), cases[i].name);
        assert_null(router);
        assert_int_equal(err.problem, PROBLEM_INTERNAL);
        assert_true(err.cause[0] != '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_no_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_no_method, set_up, tear_down),
        cmocka_unit_test(refuses_wrong_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
