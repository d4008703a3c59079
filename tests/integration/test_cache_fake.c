/* The cache and a server that is not Redis, or says no: whatever it answers is a miss, and soon. */
#include "cache_fixture.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/random.h"
#include "fake_redis.h"

static struct cache_options short_options(void) {
    struct cache_options options = cache_fixture_options();
    options.timeout_ms = 150;
    return options;
}

static void use(struct fake_redis *fake) {
    struct cache_options options = short_options();
    char text[VALUE_TEXT];
    struct cache_lease lease;
    fake_redis_start(fake);
    options.url = fake->url;
    struct cache *cache = cache_fixture_open(&options);
    int64_t start = now_ms();
    const struct cache_lease held = {.token = "00", .key = "c:01234567:1:account:a"};
    enum cache_outcome outcome = cache_read(cache, "account:a", text, &lease);
    assert_int_not_equal(outcome, CACHE_HIT);
    assert_false(cache_touch_one(cache, "account:a", 1));
    cache_fill(cache, &held, 1, STR("value"));
    assert_int_not_equal(cache_read(cache, "account:a", text, &lease), CACHE_HIT);
    assert_true(now_ms() - start < 2000);
    cache_close(cache);
    fake_redis_stop(fake);
}

#define BYTES(text) .bytes = "" text, .len = sizeof(text) - 1

static void a_server_that_does_not_greet_is_off(void **state) {
    (void)state;
    struct fake_redis fakes[] = {
        {BYTES("")},
        {BYTES(""), .hangs_up = true},
        {BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"), .hangs_up = true},
        {BYTES("-NOAUTH Authentication required.\r\n")},
        {BYTES("-LOADING Redis is loading the dataset in memory\r\n")},
        {BYTES("$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n")},
        {BYTES("$3\r\nabc\r\n$3\r\nabc\r\n$3\r\nabc\r\n$3\r\nabc\r\n$3\r\nabc\r\n")},
        {BYTES("$59\r\n# Server\r\nrun_id:0123456789012345678901234567890123456789\r\n\r\n"
               "$12\r\nrole:slave\r\n\r\n")},
        {BYTES("$59\r\n# Server\r\nrun_id:0123456789012345678901234567890123456789\r\n\r\n"
               "$13\r\nrole:master\r\n\r\n$3\r\nabc\r\n$3\r\nabc\r\n$3\r\nabc\r\n")},
    };
    if (cache_redis.pid == 0)
        skip();
    for (size_t i = 0; i < COUNT_OF(fakes); i++)
        use(&fakes[i]);
}

static void wrong_answers_are_misses(void **state) {
    (void)state;
    struct fake_redis fakes[] = {
        {BYTES("")},
        {BYTES(""), .hangs_up = true},
        {BYTES("$-1\r\n")},
        {BYTES("+OK\r\n")},
        {BYTES(":7\r\n")},
        {BYTES("*-1\r\n")},
        {BYTES("*0\r\n")},
        {BYTES("*2\r\n:1\r\n:0\r\n")},
        {BYTES("*1000000000\r\n")},
        {BYTES("*-1000000000\r\n")},
        {BYTES("$999999999999\r\n")},
        {BYTES("$-5\r\n")},
        {BYTES("$2147483647\r\nabc")},
        {BYTES("$5\r\nhel")},
        {BYTES("$5\r\nhel"), .hangs_up = true},
        {BYTES("$6\r\nV|1|xx\r\n")},
        {BYTES("$5\r\nV|1|\r\n")},
        {BYTES("$2\r\nV|\r\n")},
        {BYTES("$6\r\nV|1|xx\r\n$6\r\nV|1|xx\r\n")},
        {BYTES(":0\r\n"), .drips = true},
        {BYTES("$60\r\n01234567890123456789012345678901234567890123456789012345678\r\n"),
         .drips = true},
        {BYTES("\r\n\r\n\r\n")},
        {BYTES("\0\0\0\0\0\0\0\0")},
        {BYTES("-\r\n")},
        {BYTES("-LOADING Redis is loading the dataset in memory\r\n")},
        {BYTES("-READONLY You can't write against a read only replica.\r\n")},
        {BYTES("-ERR Error running script (call to f_1): @user_script:1: -READONLY You can't "
               "write.\r\n")},
        {BYTES("-OOM command not allowed when used memory > 'maxmemory'.\r\n")},
        {BYTES("-MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to "
               "disk.\r\n")},
        {BYTES("-MASTERDOWN Link with MASTER is down\r\n")},
        {BYTES("-BUSY Redis is busy running a script.\r\n")},
        {BYTES("-NOPERM this user has no permissions\r\n")},
        {BYTES("-NOSCRIPT No matching script.\r\n")},
        {BYTES("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")},
        {BYTES("-ERR unknown command\r\n")},
        {BYTES("-CLUSTERDOWN Hash slot not served\r\n")},
    };
    if (cache_redis.pid == 0)
        skip();
    for (size_t i = 0; i < COUNT_OF(fakes); i++) {
        fakes[i].greets = true;
        use(&fakes[i]);
    }
}

/* Bytes that nobody asked for, and a replica's refusal, are the end of a connection. */
static void a_doubtful_connection_is_not_used_again(void **state) {
    (void)state;
    struct fake_redis fakes[] = {
        {BYTES(":0\r\n:0\r\n")},
        {BYTES(":0\r\n:"), .drips = true},
        {BYTES("-READONLY You can't write against a read only replica.\r\n")},
        {BYTES("-ERR Error running script (call to f_1): @user_script:1: -READONLY You can't "
               "write.\r\n")},
    };
    struct cache_options options = cache_fixture_options();
    if (cache_redis.pid == 0)
        skip();
    for (size_t i = 0; i < COUNT_OF(fakes); i++) {
        fakes[i].greets = true;
        fake_redis_start(&fakes[i]);
        options.url = fakes[i].url;
        struct cache *cache = cache_fixture_open(&options);
        for (int n = 0; n < 3; n++) {
            char text[VALUE_TEXT];
            struct cache_lease lease;
            cache_read(cache, "account:a", text, &lease);
            sleep_ms(50);
        }
        assert_in_range(atomic_load(&fakes[i].connections), 3, 10);
        cache_close(cache);
        fake_redis_stop(&fakes[i]);
    }
}

/* Bytes of the protocol's own alphabet, so that many get past its first checks. */
static void random_answers_are_misses(void **state) {
    (void)state;
    static const char *const words[] = {"+",
                                        "-",
                                        ":",
                                        "$",
                                        "*",
                                        "\r\n",
                                        "0",
                                        "1",
                                        "2",
                                        "9",
                                        "V|",
                                        "L|",
                                        "T|",
                                        "|",
                                        "x",
                                        "-1",
                                        "$0\r\n\r\n",
                                        ":1\r\n",
                                        "$4\r\nV|1|\r\n",
                                        "*1\r\n",
                                        "\n",
                                        "\xff"};
    uint64_t seed = 20261122;
    const struct randomness random = randomness_seeded(&seed);
    if (cache_redis.pid == 0)
        skip();
    for (int round = 0; round < 100; round++) {
        CLEANUP(buf_release) struct buf answer = {0};
        buf_init(&answer, 4096);
        size_t n = 1 + random_below(&random, 20);
        for (size_t i = 0; i < n; i++)
            buf_text(&answer, words[random_below(&random, COUNT_OF(words))]);
        /* A number is what a confirmed invalidation looks like. */
        if (str_starts(buf_str(&answer), ":1\r\n"))
            continue;
        struct fake_redis fake = {.greets = round % 4 != 0,
                                  .hangs_up = round % 2 == 0,
                                  .bytes = answer.ptr,
                                  .len = answer.len};
        use(&fake);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, cache_fixture_clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_server_that_does_not_greet_is_off),
        TEST(wrong_answers_are_misses),
        TEST(a_doubtful_connection_is_not_used_again),
        TEST(random_answers_are_misses),
    };
    return cmocka_run_group_tests_name("cache and other servers", tests, cache_fixture_start,
                                       cache_fixture_stop);
}
