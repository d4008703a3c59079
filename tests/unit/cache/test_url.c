/* Redis URLs: what each part of them becomes, and which ones are refused. */
#include "unit.h"

#include "url.h"

struct good {
    const char *text;
    struct url url;
};

static void urls(void **state) {
    (void)state;
    static const struct good cases[] = {
        {"redis://localhost", {.host = "localhost", .port = 6379}},
        {"redis://localhost/", {.host = "localhost", .port = 6379}},
        {"redis://10.0.0.1:6380/15", {.host = "10.0.0.1", .port = 6380, .db = 15}},
        {"redis://[::1]", {.host = "::1", .port = 6379}},
        {"redis://[fe80::1]:7000/1", {.host = "fe80::1", .port = 7000, .db = 1}},
        {"redis://:secret@r", {.host = "r", .port = 6379, .password = "secret"}},
        {"redis://kamd:secret@r:1", {.host = "r", .port = 1, .user = "kamd", .password = "secret"}},
        {"redis://u:a%40b%2Fc%3A@r/2",
         {.host = "r", .port = 6379, .user = "u", .password = "a@b/c:", .db = 2}},
        {"redis://u:a@b@r", {.host = "r", .port = 6379, .user = "u", .password = "a@b"}},
        {"redis://u:a:b@r", {.host = "r", .port = 6379, .user = "u", .password = "a:b"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct url got;
        assert_case(url_parse(cases[i].text, &got, NULL), cases[i].text);
        assert_string_equal(got.host, cases[i].url.host);
        assert_string_equal(got.user, cases[i].url.user);
        assert_string_equal(got.password, cases[i].url.password);
        assert_case(got.port == cases[i].url.port && got.db == cases[i].url.db, cases[i].text);
    }
}

static void refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "redis",
        "redis:/x",
        "http://localhost",
        "rediss://localhost",
        "redis://",
        "redis:///0",
        "redis://:6379",
        "redis://localhost:",
        "redis://localhost:0",
        "redis://localhost:65536",
        "redis://localhost:x",
        "redis://localhost/x",
        "redis://localhost/-1",
        "redis://localhost/0/1",
        "redis://user@localhost",
        "redis://u:%zz@localhost",
        "redis://u:%00@localhost",
        "redis://[::1",
        "redis://[]",
        "redis://[::1]x",
        "redis://::1",
        "redis://secret:secret@",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct url got = {.port = 4711};
        struct err err CLEANUP(err_release) = ERR_INIT;
        assert_case(!url_parse(cases[i], &got, &err), cases[i]);
        assert_case(err_is_set(&err) && got.port == 4711, cases[i]);
        assert_null(strstr(err.detail, "secret"));
        assert_null(strstr(err.cause, "secret"));
    }
}

static void parts_have_at_most_255_bytes(void **state) {
    (void)state;
    char text[600];
    struct url got;
    for (int len = 254; len <= 257; len++) {
        snprintf(text, sizeof(text), "redis://%0*d", len, 0);
        assert_int_equal(url_parse(text, &got, NULL), len <= 255);
        snprintf(text, sizeof(text), "redis://:%0*d@r", len, 0);
        assert_int_equal(url_parse(text, &got, NULL), len <= 255);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),
        cmocka_unit_test(refused),
        cmocka_unit_test(parts_have_at_most_255_bytes),
    };
    return cmocka_run_group_tests_name("url of Redis", tests, NULL, NULL);
}
