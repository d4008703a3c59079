/* Where webhooks never go: addresses inside, however they are written, whatever a name resolves to,
 * and wherever a receiver or the environment would send us. */

/* This program stands between libcurl and the C library: it answers names as an attacker's name
 * server would, and sees every connect(). A public address is led to a receiver here; anything
 * else is a failure. */
#include <dlfcn.h>
#include <netdb.h>

#include "worker_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/start.h"
#include "remote/post.h"

#define PUBLIC "93.184.216.34"

/* 29 ways to write an address inside. */
static const char *const spellings[] = {
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "10.0.0.1",
    "0xa000001",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "2852039166",
    "100.64.0.1",
    "198.18.0.1",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[fe80::1]",
    "[fc00::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fec0::1]",
};
_Static_assert(COUNT_OF(spellings) == 29, "as reliability.md counts them");

static struct target_policy policy;
static struct poster *poster;
static struct sink sink;
static atomic_int inside;  /* connections to where none may go */
static atomic_int outside; /* to the public address */
static atomic_int asked;   /* how often a name was looked up */

/* ---- between libcurl and the C library --------------------------------------------------------
 */

int connect(int fd, const struct sockaddr *to, socklen_t len);
int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret);

int connect(int fd, const struct sockaddr *to, socklen_t len) {
    int (*really)(int, const struct sockaddr *, socklen_t);
    struct sockaddr_in in;
    char text[INET_ADDRSTRLEN] = "";

    *(void **)&really = dlsym(RTLD_NEXT, "connect");
    if (to->sa_family != AF_INET && to->sa_family != AF_INET6)
        return really(fd, to, len);
    if (to->sa_family == AF_INET) {
        memcpy(&in, to, sizeof(in));
        inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
    }
    if (strcmp(text, PUBLIC) != 0) {
        inside++;
        errno = ECONNREFUSED;
        return -1;
    }
    outside++;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons((uint16_t)sink.port);
    return really(fd, (struct sockaddr *)&in, sizeof(in));
}

/* "inside-7.test" is spelling 7; "turns.test" is public once, and then inside; "both.test" is both
 * at once, inside first; any other name ending in .test is public. */
static const char *answer_of(const char *name, char *room, size_t size) {
    if (strncmp(name, "inside-", 7) == 0) {
        snprintf(room, size, "%s",
                 spellings[atoi(name + 7)] + (spellings[atoi(name + 7)][0] == '['));
        room[strcspn(room, "]")] = '\0';
        return room;
    }
    if (strcmp(name, "turns.test") == 0)
        return asked++ == 0 ? PUBLIC : "127.0.0.1";
    return strcmp(name, "both.test") == 0 ? "127.0.0.1" : PUBLIC;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret) {
    int (*really)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    struct addrinfo numeric = {.ai_socktype = SOCK_STREAM};
    size_t len = name == NULL ? 0 : strlen(name);
    char room[64];

    *(void **)&really = dlsym(RTLD_NEXT, "getaddrinfo");
    if (len < 5 || strcmp(name + len - 5, ".test") != 0)
        return really(name, service, hints, ret);
    int code = really(answer_of(name, room, sizeof(room)), service, &numeric, ret);
    if (code == 0 && strcmp(name, "both.test") == 0) {
        struct addrinfo *last = *ret;
        while (last->ai_next != NULL)
            last = last->ai_next;
        code = really(PUBLIC, service, &numeric, &last->ai_next);
    }
    return code;
}

/* ---- the fixture ------------------------------------------------------------------------------
 */

static void open_poster(void) {
    ERR(err);
    struct poster_options options = {
        .policy = &policy, .connect_ms = 15000, .total_ms = 20000, .agent = "test", .in_flight = 4};

    assert_ok(target_policy_init(&policy, true, STR("any"), STR(""), &err), err);
    assert_ok(poster_open(&options, &poster, &err), err);
}

static int start(void **state) {
    (void)state;
    inside = outside = asked = 0;
    sink_start(&sink, NULL);
    open_poster();
    return 0;
}

static int stop(void **state) {
    (void)state;
    poster_close(poster);
    poster = NULL;
    sink_stop(&sink);
    return 0;
}

static struct post_result post(const char *url) {
    ERR(err);
    struct post_request request = {.url = str_of(url), .body = STR("{}")};
    struct post_result result = {0};
    int64_t since = now_us();

    assert_ok(poster_send(poster, &request, &err), err);
    while (poster_run(poster, 100, &result, 1) == 0)
        if (now_us() - since > 60000000)
            fail_msg("no result of %s", url);
    return result;
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void written_into_the_address(void **state) {
    (void)state;
    char url[128];

    for (size_t i = 0; i < COUNT_OF(spellings); i++) {
        ERR(err);
        snprintf(url, sizeof(url), "http://%s:%d/", spellings[i], sink.port);
        struct post_request request = {.url = str_of(url), .body = STR("{}")};
        if (poster_send(poster, &request, &err))
            fail_msg("%s was taken", url);
        assert_problem(err, PROBLEM_VALIDATION);
    }
    assert_int_equal(inside, 0);
    assert_int_equal(sink.connections, 0);
}

/* What the check of the address cannot see, the socket does. */
static void resolved_from_a_name(void **state) {
    (void)state;
    char url[128];

    for (size_t i = 0; i < COUNT_OF(spellings); i++) {
        snprintf(url, sizeof(url), "http://inside-%zu.test:%d/", i, sink.port);
        struct post_result result = post(url);
        /* "127.0.0.1." is no address for the resolver. */
        if (strcmp(spellings[i], "127.0.0.1.") != 0)
            assert_string_equal(result.error, "address_not_allowed");
        assert_int_equal(result.status, 0);
        assert_string_equal(result.address, "");
    }
    assert_int_equal(inside, 0);
    assert_int_equal(sink.connections, 0);
}

static void name_that_changes_its_mind(void **state) {
    (void)state;

    assert_int_equal(post("http://turns.test/").status, 200);
    assert_int_equal(outside, 1);
    /* Forgets names and connections, as time does. */
    poster_close(poster);
    open_poster();
    assert_string_equal(post("http://turns.test/").error, "address_not_allowed");
    assert_true(asked >= 2);
    assert_int_equal(inside, 0);
    assert_int_equal(outside, 1);
}

/* Only the public one of a name's addresses is tried. */
static void name_with_both(void **state) {
    (void)state;

    post("http://both.test/");
    assert_int_equal(inside, 0);
}

static int moved(const struct sink_request *request) {
    (void)request;
    return 307;
}

/* A redirect is a failure, and proxies of the environment are none of ours. */
static void redirects_and_proxies(void **state) {
    (void)state;
    static const char *const to[] = {
        "Location: http://127.0.0.1:9/\r\n", "Location: http://inside-0.test/\r\n",
        "Location: https://[::1]/\r\n", "Location: file:///etc/passwd\r\n"};
    static const char *const names[] = {"http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        setenv(names[i], "http://10.1.2.3:9/", 1);
    sink.answer = moved;
    for (size_t i = 0; i < COUNT_OF(to); i++) {
        sink.header = to[i];
        struct post_result result = post("http://public.test/");
        assert_int_equal(result.status, 307);
        assert_null(result.error);
    }
    for (size_t i = 0; i < COUNT_OF(names); i++)
        unsetenv(names[i]);
    assert_int_equal(inside, 0);
    assert_true(outside >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_into_the_address, start, stop),
        cmocka_unit_test_setup_teardown(resolved_from_a_name, start, stop),
        cmocka_unit_test_setup_teardown(name_that_changes_its_mind, start, stop),
        cmocka_unit_test_setup_teardown(name_with_both, start, stop),
        cmocka_unit_test_setup_teardown(redirects_and_proxies, start, stop),
    };
    if (!core_start() || !post_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
