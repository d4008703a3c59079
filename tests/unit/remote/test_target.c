/* Which addresses and URLs a webhook may go to, in every spelling of an address inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "remote/target.h"

static struct target_policy policy_of(bool http, const char *ports, const char *cidrs) {
    struct target_policy policy;
    struct err err CLEANUP(err_release) = ERR_INIT;
    assert_true(target_policy_init(&policy, http, str_of(ports), str_of(cidrs), &err));
    return policy;
}

static bool address_ok(const struct target_policy *policy, const char *text) {
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return target_address_ok(policy, (struct sockaddr *)&in);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return target_address_ok(policy, (struct sockaddr *)&in6);
}

/* First and last of every range that is not for the public. */
static void closed_addresses(void **state) {
    (void)state;
    static const char *const closed[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.9",
        "203.0.113.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:1::1",
        "2001:2::1",
        "2001:10::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "3fff:fff:ffff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    };
    struct target_policy policy = policy_of(false, "443", "");
    for (size_t i = 0; i < COUNT_OF(closed); i++)
        if (address_ok(&policy, closed[i]))
            fail_msg("%s was let through", closed[i]);
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(target_address_ok(&policy, &local));
}

static void open_addresses(void **state) {
    (void)state;
    static const char *const open[] = {
        "1.1.1.1",         "9.255.255.255",   "11.0.0.0",    "100.63.255.255",
        "100.128.0.0",     "126.255.255.255", "128.0.0.0",   "169.253.255.255",
        "172.15.255.255",  "172.32.0.0",      "192.0.1.0",   "192.167.255.255",
        "192.169.0.0",     "198.17.255.255",  "198.20.0.0",  "223.255.255.255",
        "::ffff:1.1.1.1",  "2000::1",         "2001:200::1", "2001:4860:4860::8888",
        "2606:4700::1111", "2a00::1",         "3ffe::1",
    };
    struct target_policy policy = policy_of(false, "443", "");
    for (size_t i = 0; i < COUNT_OF(open); i++)
        if (!address_ok(&policy, open[i]))
            fail_msg("%s was refused", open[i]);
}

static void allowed_cidrs(void **state) {
    (void)state;
    struct target_policy policy =
        policy_of(false, "443", "127.0.0.0/8, fd12::/15 ,10.1.2.3,::1/128");
    assert_true(address_ok(&policy, "127.9.9.9"));
    assert_true(address_ok(&policy, "::ffff:127.9.9.9"));
    assert_true(address_ok(&policy, "fd13:ffff::1"));
    assert_false(address_ok(&policy, "fd14::1"));
    assert_true(address_ok(&policy, "10.1.2.3"));
    assert_false(address_ok(&policy, "10.1.2.4"));
    assert_true(address_ok(&policy, "::1"));
    assert_false(address_ok(&policy, "::2"));
    assert_true(address_ok(&policy, "8.8.8.8"));
}

static void bad_settings(void **state) {
    (void)state;
    static const struct {
        const char *ports, *cidrs;
    } bad[] = {{"0", ""},       {"65536", ""},          {"443;80", ""},         {"", ""},
               {"any,443", ""}, {"443", "10/8"},        {"443", "10.0.0.0/33"}, {"443", "::/129"},
               {"443", "x"},    {"443", "10.0.0.0/-1"}, {"443", "10.0.0.0/8/8"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct target_policy policy;
        struct err err CLEANUP(err_release) = ERR_INIT;
        if (target_policy_init(&policy, false, str_of(bad[i].ports), str_of(bad[i].cidrs), &err))
            fail_msg("\"%s\", \"%s\" was taken", bad[i].ports, bad[i].cidrs);
        assert_int_equal(err.problem, PROBLEM_VALIDATION);
    }
}

static bool url_ok(const struct target_policy *policy, const char *url) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    bool ok = webhook_url_check(policy, str_of(url), "/url", &err);
    assert_int_equal(err.problem, ok ? PROBLEM_NONE : PROBLEM_VALIDATION);
    if (!ok)
        assert_string_equal(err.items[0].where, "/url");
    return ok;
}

/* Ways to write an address inside. */
static void closed_urls(void **state) {
    (void)state;
    static const char *const closed[] = {
        "",
        "/relative",
        "example.com/hook",
        "http://example.com/hook",
        "ftp://example.com/hook",
        "file:///etc/passwd",
        "gopher://127.0.0.1:443/_x",
        "javascript:alert(1)",
        "https://",
        "https:///hook",
        "https:/example.com/",
        "https:example.com/",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://:pass@example.com/",
        "https://example.com:80/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:5432/",
        "https://example.com/#part",
        "https://exa mple.com/",
        "https://example.com/a\nb",
        "https://example.com/\r\nX: y",
        "https://example.com\\@127.0.0.1/",
        "https://b\303\274cher.example/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://172.16.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2852039166/",
        "https://100.64.0.1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::127.0.0.1]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fc00::1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://%31%32%37.0.0.1/",
    };
    struct target_policy policy = policy_of(false, "443,8443", "");
    for (size_t i = 0; i < COUNT_OF(closed); i++)
        if (url_ok(&policy, closed[i]))
            fail_msg("%s was let through", closed[i]);
    char longer[2100] = "https://example.com/";
    memset(longer + strlen(longer), 'a', 2001 - strlen(longer));
    assert_false(url_ok(&policy, longer));
    longer[2000] = '\0';
    assert_true(url_ok(&policy, longer));
}

static void open_urls(void **state) {
    (void)state;
    static const char *const open[] = {"https://example.com",
                                       "https://example.com/hook?x=1&y=%20",
                                       "HTTPS://EXAMPLE.COM/",
                                       "https://example.com:8443/",
                                       "https://1.1.1.1/",
                                       "https://[2606:4700::1111]/",
                                       "https://xn--bcher-kva.example/",
                                       "https://a-b.c_d.example/~x/;y"};
    struct target_policy policy = policy_of(false, "443,8443", "");
    for (size_t i = 0; i < COUNT_OF(open); i++)
        if (!url_ok(&policy, open[i]))
            fail_msg("%s was refused", open[i]);
    struct target_policy local = policy_of(true, "any", "127.0.0.0/8");
    assert_true(url_ok(&local, "http://127.0.0.1:31337/hook"));
    assert_true(url_ok(&local, "http://localhost:31337/hook"));
    assert_false(url_ok(&local, "http://[::1]:31337/hook"));
    assert_false(url_ok(&local, "ftp://127.0.0.1/hook"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_addresses), cmocka_unit_test(open_addresses),
        cmocka_unit_test(allowed_cidrs),    cmocka_unit_test(bad_settings),
        cmocka_unit_test(closed_urls),      cmocka_unit_test(open_urls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
