/* The HTTP client of webhooks on its own: where it goes, how long, and what it makes of answers. */
#include "worker_fixture.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/start.h"
#include "remote/post.h"

static struct target_policy policy;
static struct poster *poster;

static void open_poster(const char *cidrs, size_t in_flight) {
    ERR(err);
    struct poster_options options = {.policy = &policy,
                                     .connect_ms = 1000,
                                     .total_ms = 1500,
                                     .agent = "test",
                                     .in_flight = in_flight};

    assert_ok(target_policy_init(&policy, true, STR("any"), str_of(cidrs), &err), err);
    assert_ok(poster_open(&options, &poster, &err), err);
}

static int close_poster(void **state) {
    (void)state;
    poster_close(poster);
    poster = NULL;
    return 0;
}

static struct post_request request_of(const char *url) {
    return (struct post_request){.url = str_of(url), .body = STR("{\"type\":\"x\"}")};
}

static struct post_result wait_result(void) {
    struct post_result result = {0};
    int64_t start = now_us();

    while (poster_run(poster, 100, &result, 1) == 0)
        if (now_us() - start > 10000000)
            fail_msg("no result");
    return result;
}

static struct post_result post(const char *url) {
    ERR(err);
    struct post_request request = request_of(url);

    assert_ok(poster_send(poster, &request, &err), err);
    return wait_result();
}

static void keeps_connections(void **state) {
    (void)state;
    struct sink sink;
    char url[64];

    sink_start(&sink, NULL);
    open_poster("127.0.0.0/8", 4);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/a", sink.port);
    for (int i = 0; i < 5; i++) {
        struct post_result result = post(url);
        assert_int_equal(result.status, 200);
        assert_null(result.error);
        assert_string_equal(result.excerpt, "seen  ?");
    }
    assert_int_equal(sink.connections, 1);
    sink_stop(&sink);
}

/* The one way around the judgement of addresses that an operator's environment would open. */
static void no_proxy(void **state) {
    (void)state;
    struct sink sink, proxy;
    char url[64];

    sink_start(&sink, NULL);
    sink_start(&proxy, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", proxy.port);
    static const char *const names[] = {"http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        setenv(names[i], url, 1);
    unsetenv("no_proxy");
    open_poster("127.0.0.0/8", 4);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/a", sink.port);
    assert_int_equal(post(url).status, 200);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        unsetenv(names[i]);
    assert_int_equal(sink_count(&sink), 1);
    assert_int_equal(proxy.connections, 0);
    sink_stop(&sink);
    sink_stop(&proxy);
}

/* A name that this machine resolves to an address inside. */
static bool inside_name(char *ret, size_t room) {
    static const char *const names[] = {"ip6-localhost", "ip6-loopback", "localhost.localdomain"};
    struct addrinfo *found;

    for (size_t i = 0; i < COUNT_OF(names) + 1; i++) {
        if (i == 0)
            gethostname(ret, room);
        else
            snprintf(ret, room, "%s", names[i - 1]);
        if (getaddrinfo(ret, "80", &(struct addrinfo){.ai_socktype = SOCK_STREAM}, &found) != 0)
            continue;
        bool inside = true;
        struct target_policy none = {.any_port = true};
        for (struct addrinfo *a = found; a != NULL; a = a->ai_next)
            inside &= !target_address_ok(&none, a->ai_addr);
        freeaddrinfo(found);
        if (inside)
            return true;
    }
    return false;
}

static void name_that_leads_inside(void **state) {
    (void)state;
    char name[128], url[256];

    if (!inside_name(name, sizeof(name)))
        skip();
    open_poster("", 4);
    snprintf(url, sizeof(url), "http://%s:9/a", name);
    struct post_result result = post(url);
    assert_int_equal(result.status, 0);
    assert_string_equal(result.error, "address_not_allowed");
    assert_string_equal(result.address, "");
}

static void refused(void **state) {
    (void)state;
    char url[64];

    open_poster("127.0.0.0/8", 4);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/a", free_port());
    assert_string_equal(post(url).error, "connection_refused");
}

static int silent(const struct sink_request *request) {
    (void)request;
    return SINK_HANG;
}

static void limits(void **state) {
    (void)state;
    ERR(err);
    ERR(second);
    ERR(third);
    struct sink sink;
    struct post_result result;
    char url[64];

    sink_start(&sink, silent);
    open_poster("127.0.0.0/8", 2);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/a", sink.port);
    struct post_request request = request_of(url);
    assert_ok(poster_send(poster, &request, &err), err);
    assert_ok(poster_send(poster, &request, &err), err);
    assert_false(poster_send(poster, &request, &err));
    assert_problem(err, PROBLEM_OVERLOADED);
    result = wait_result();
    assert_string_equal(result.error, "timeout");
    assert_true(result.taken_us >= 1400000 && result.taken_us < 5000000);
    wait_result();
    /* One place is free again; the other is broken off. */
    assert_ok(poster_send(poster, &request, &second), second);
    poster_abort(poster);
    assert_int_equal(poster_in_flight(poster), 0);
    assert_int_equal(poster_run(poster, 50, &result, 1), 0);
    /* No line of a header comes from elsewhere. */
    request.headers[0] = STR("X-A: b\r\nX-C: d");
    request.n_headers = 1;
    assert_false(poster_send(poster, &request, &third));
    assert_problem(third, PROBLEM_VALIDATION);
    sink_stop(&sink);
}

static void *wake_later(void *arg) {
    (void)arg;
    sleep_ms(100);
    poster_wake(poster);
    return NULL;
}

static void wakes(void **state) {
    (void)state;
    struct post_result result;
    pthread_t thread;
    int64_t start = now_us();

    open_poster("", 2);
    assert_int_equal(pthread_create(&thread, NULL, wake_later, NULL), 0);
    assert_int_equal(poster_run(poster, 20000, &result, 1), 0);
    assert_true(now_us() - start < 5000000);
    pthread_join(thread, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(keeps_connections, close_poster),
        cmocka_unit_test_teardown(no_proxy, close_poster),
        cmocka_unit_test_teardown(name_that_leads_inside, close_poster),
        cmocka_unit_test_teardown(refused, close_poster),
        cmocka_unit_test_teardown(limits, close_poster),
        cmocka_unit_test_teardown(wakes, close_poster),
    };
    if (!core_start() || !post_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
