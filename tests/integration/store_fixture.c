/* Opens pools on the test's database, and runs the short transactions that many tests of the
 * store need. */
#include "store_fixture.h"

#include "core/crypto.h"
#include "redis_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *url_of(const char *name) {
    const char *url = getenv(name);

    if (url == NULL || url[0] == '\0') {
        print_message("%s is not set: nothing to test against\n", name);
        skip();
    }
    return url;
}

const char *app_url(void) { return url_of("DATABASE_URL"); }

const char *owner_url(void) { return url_of("DATABASE_MIGRATE_URL"); }

struct store_options store_fixture_options(const char *url) {
    return (struct store_options){.url = url,
                                  .name = "test",
                                  .size = 4,
                                  .max_waiters = 16,
                                  .acquire_ms = 1000 + LATE_MS,
                                  .prepared = true};
}

struct store *store_fixture_open(const struct store_options *options) {
    ERR(err);
    struct store *store = NULL;

    assert_true(crypto_start()); /* jitter needs randomness */
    assert_ok(store_open(options, &store, &err), err);
    /* The first connection takes a moment. */
    assert_true(works_within(store, 5000) >= 0);
    return store;
}

void store_fixture_close(struct store **store) {
    store_close(*store);
    *store = NULL;
}

void check_ok(bool ok, const struct err *err, const char *what, const char *file, int line) {
    if (ok)
        return;
    print_error("%s: %s: %s [%s]\n", what, problem_info(err->problem)->code, err->detail,
                err->cause);
    _fail(file, line);
}

void check_problem(const struct err *err, enum problem want, const char *file, int line) {
    if (err->problem == want)
        return;
    print_error("got %s (%s [%s]), want %s\n",
                err->problem == PROBLEM_NONE ? "no error" : problem_info(err->problem)->code,
                err->detail, err->cause, problem_info(want)->code);
    _fail(file, line);
}

deadline in_ms(int64_t ms) { return deadline_in_ms(ms); }

int64_t now_us(void) { return clock_mono(&clock_system); }

bool tx_ask(struct tx *tx, const char *sql, char *ret, size_t room, struct err *err) {
    size_t slot = tx_query(tx, sql, NULL, 0);
    if (!tx_commit(tx, err))
        return false;
    struct str value = tx_value(tx, slot, 0, 0);
    if (room > 0)
        snprintf(ret, room, "%.*s", (int)value.len, value.ptr == NULL ? "" : value.ptr);
    return true;
}

bool ask(struct store *store, enum tx_mode mode, const char *sql, deadline when, struct err *err) {
    TX(tx);

    return (tx = tx_begin(store, mode, NULL, when, err)) && tx_ask(tx, sql, NULL, 0, err);
}

void say(struct store *store, const char *sql, char *ret, size_t room) {
    TX(tx);
    ERR(err);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(10000), &err)), err);
    assert_ok(tx_ask(tx, sql, ret, room, &err), err);
}

int64_t ask_int(struct store *store, const char *sql) {
    char text[32];
    int64_t value = 0;

    say(store, sql, text, sizeof(text));
    assert_true(str_to_i64(str_of(text), &value));
    return value;
}

int64_t works_within(struct store *store, int ms) {
    int64_t start = now_us();

    while (now_us() - start <= (int64_t)ms * 1000) {
        if (ask(store, TX_READ, "select 1", in_ms(1000), NULL))
            return (now_us() - start) / 1000;
        sleep_ms(10);
    }
    return -1;
}
