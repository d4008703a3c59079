/* Starts a PostgreSQL server for the tests of the store's faults before the first of them, and
 * removes it after the last. */
#include "store_server.h"

#include "redis_server.h"

#include <signal.h>

struct pg_server server;

int start_server(void **state) {
    (void)state;
    if (!pg_server_init(&server) || !pg_server_start(&server)) {
        print_message("PostgreSQL could not be started\n");
        pg_server_remove(&server);
        return -1;
    }
    pg_do(server.url, "create table thing(id int primary key, n int default 0)");
    return 0;
}

int remove_server(void **state) {
    (void)state;
    pg_server_remove(&server);
    return 0;
}

int thaw(void **state) {
    (void)state;
    pg_server_signal(&server, SIGCONT);
    return 0;
}

struct store *open_sized(int size) {
    struct store_options options = store_fixture_options(server.url);

    pg_do(server.url, "truncate thing");
    options.size = size;
    return store_fixture_open(&options);
}

void expect_refusals(struct store *store) {
    assert_true(store_breaker_open(store));
    for (int i = 0; i < 3; i++) {
        ERR(err);
        TX(tx);
        int64_t start = now_us();
        assert_false((tx = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)));
        assert_within(start, 0);
        assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
        assert_int_equal(err.retry_after, 1);
        err_release(&err);
        start = now_us();
        assert_false(store_ping(store, in_ms(2000), &err));
        assert_within(start, 0);
        sleep_ms(50);
    }
}
