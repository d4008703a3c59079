/* Whose address a request counts for: X-Forwarded-For is believed when trusted proxies have
 * written it, and only as far as they have. */
#include "unit.h"

#include "forwarded.h"

#include <string.h>

/* The client of a connection from `peer` that sent these lines of X-Forwarded-For, one by one. */
static void assert_client(const char *trusted, const char *peer, const char *lines,
                          const char *want) {
    struct arena arena CLEANUP(arena_release) = {0};
    struct header headers[8];
    struct cidrs cidrs;
    arena_init(&arena, 1 << 16);
    struct request request = {.arena = &arena, .headers = headers};
    struct str rest = str_of(lines), line;
    while (rest.ptr != NULL && rest.len > 0 && str_split(&rest, '\n', &line)) {
        headers[request.n_headers++] = (struct header){STR("Via"), STR("1.1 192.0.2.99")};
        headers[request.n_headers] = (struct header){
            request.n_headers > 2 ? STR("X-FORWARDED-FOR") : STR("X-Forwarded-For"), line};
        request.n_headers++;
    }
    assert_true(cidrs_parse(str_of(trusted), &cidrs));
    struct str got = forwarded_client(&request, &cidrs, str_of(peer));
    if (!str_is(got, want))
        fail_msg("trusted %s, from %s: %s: %.*s instead of %s", trusted, peer, lines, STR_ARG(got),
                 want);
}

#define PROXIES "10.0.0.0/8, fd00::/8,192.168.1.1"

static void proxies_are_believed(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"10.0.0.1", "198.51.100.7", "198.51.100.7"},
        {"10.0.0.1", "198.51.100.7, 10.1.2.3", "198.51.100.7"},
        {"10.0.0.1", "198.51.100.7,192.168.1.1 ,\t10.1.2.3", "198.51.100.7"},
        {"fd00::1", "2001:DB8:0:0::7", "2001:db8::7"},
        {"10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"},
        {"10.0.0.1", "[2001:db8::7]", "2001:db8::7"},
        {"10.0.0.1", "198.51.100.7:4711", "198.51.100.7"},
        {"10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"},
        /* HAProxy adds a line of its own. */
        {"10.0.0.1", "198.51.100.9\n198.51.100.7", "198.51.100.7"},
        {"10.0.0.1", "198.51.100.7\n10.1.2.3", "198.51.100.7"},
        /* From inside: all of them are trusted, and the first is the client. */
        {"10.0.0.1", "10.9.9.9, 10.1.2.3", "10.9.9.9"},
        {"10.0.0.1", "", "10.0.0.1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_client(PROXIES, cases[i][0], cases[i][1], cases[i][2]);
}

static void nobody_else_is(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        /* Not through a proxy. */
        {"198.51.100.7", "203.0.113.5", "198.51.100.7"},
        {"11.0.0.1", "203.0.113.5", "11.0.0.1"},
        {"192.168.1.2", "203.0.113.5", "192.168.1.2"},
        /* What the client wrote himself stands left of what the proxy saw. */
        {"10.0.0.1", "203.0.113.5, 198.51.100.7", "198.51.100.7"},
        {"10.0.0.1", "203.0.113.5\n198.51.100.7", "198.51.100.7"},
        {"10.0.0.1", "10.6.6.6, 198.51.100.7, 10.1.2.3", "198.51.100.7"},
        /* What is no address ends the search at the last proxy. */
        {"10.0.0.1", "203.0.113.5, unknown", "10.0.0.1"},
        {"10.0.0.1", "203.0.113.5, unknown, 10.1.2.3", "10.1.2.3"},
        {"10.0.0.1", "203.0.113.5,", "10.0.0.1"},
        {"10.0.0.1", ",", "10.0.0.1"},
        {"10.0.0.1", "203.0.113.5\n,", "10.0.0.1"},
        {"10.0.0.1", "_secret", "10.0.0.1"},
        {"10.0.0.1", "[2001:db8::7", "10.0.0.1"},
        {"10.0.0.1", "fe80::1%eth0", "10.0.0.1"},
        {"10.0.0.1", "198.51.100.7 198.51.100.8", "10.0.0.1"},
        {"10.0.0.1", "0x7f.1", "10.0.0.1"},
        {"", "203.0.113.5", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_client(PROXIES, cases[i][0], cases[i][1], cases[i][2]);
    assert_client("", "10.0.0.1", "203.0.113.5", "10.0.0.1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proxies_are_believed),
        cmocka_unit_test(nobody_else_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
