/* The store on a server that freezes, as a whole or in part, or is slow. The server is the test's
 * own. */
#include "redis_server.h"
#include "store_server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/types.h>

/* ---- frozen ---- */

static void all_frozen(void **state) {
    (void)state;
    SIZED(store, 4);
    ERR(err);

    sleep_ms(200); /* the pool is full */
    pg_server_signal(&server, SIGSTOP);
    int64_t start = now_us();
    assert_false(ask(store, TX_READ, "select 1", in_ms(1000), &err));
    assert_within(start, 1000);
    assert_true(now_us() - start >= 990000);
    assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
    expect_refusals(store);
    sleep_ms(3000); /* probes come and go */
    expect_refusals(store);
    pg_server_signal(&server, SIGCONT);
    int64_t took = works_within(store, 5000 + LATE_MS);
    assert_true(took >= 0);
    assert_int_equal(ask_int(store, "select 42"), 42);
}

/* Eight requests at once: those under way end at their deadline, the others at once. */
struct request {
    struct store *store;
    pthread_t thread;
    int64_t took_us;
    bool ok;
};

static void *make_request(void *arg) {
    struct request *request = arg;
    int64_t start = now_us();

    request->ok = ask(request->store, TX_WRITE,
                      "insert into thing values (1) on conflict do nothing", in_ms(1000), NULL);
    request->took_us = now_us() - start;
    return NULL;
}

static void frozen_under_load(void **state) {
    (void)state;
    SIZED(store, 2);
    struct request requests[8];

    sleep_ms(200);
    pg_server_signal(&server, SIGSTOP);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        requests[i] = (struct request){.store = store};
        assert_int_equal(pthread_create(&requests[i].thread, NULL, make_request, &requests[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        pthread_join(requests[i].thread, NULL);
        assert_false(requests[i].ok);
        assert_true(requests[i].took_us <= (1000 + LATE_MS) * 1000);
    }
    pg_server_signal(&server, SIGCONT);
    assert_true(works_within(store, 5000 + LATE_MS) >= 0);
}

/* One backend hangs, the server does not: a probe finds that out soon. */
static void one_backend_frozen(void **state) {
    (void)state;
    SIZED(store, 1);
    ERR(err);
    pid_t backend = (pid_t)ask_int(store, "select pg_backend_pid()");

    kill(backend, SIGSTOP);
    int64_t start = now_us();
    assert_false(ask(store, TX_READ, "select 1", in_ms(1000), &err));
    assert_within(start, 1000);
    assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
    assert_true(works_within(store, 2000 + LATE_MS) >= 0);
    assert_int_not_equal(ask_int(store, "select pg_backend_pid()"), backend);
    kill(backend, SIGCONT);
}

/* ---- slow ---- */

static void *answered_on(void *arg) {
    struct request *request = arg;
    deadline end = in_ms(3000);

    request->ok = true;
    while (request->ok && deadline_left_ms(end) > 0)
        request->ok = ask(request->store, TX_READ, "select 1", in_ms(2000), NULL);
    return NULL;
}

/* Both connections of the pool are there: the one that a deadline has closed was replaced. */
static void hold_both(struct store *store) {
    TX(one);
    TX(other);

    while (other == NULL) {
        tx_end(&one);
        if ((one = tx_begin(store, TX_READ, NULL, in_ms(2000), NULL)))
            (void)(other = tx_begin(store, TX_READ, NULL, in_ms(2000), NULL));
    }
}

/* One statement takes longer than its deadline while others are answered: nobody else is refused.
 */
static void one_statement_slow(void **state) {
    (void)state;
    SIZED(store, 2);
    ERR(err);
    struct request others = {.store = store};

    assert_int_equal(ask_int(store, "select 42"), 42);
    assert_int_equal(pthread_create(&others.thread, NULL, answered_on, &others), 0);
    for (int i = 0; i < 3; i++) {
        hold_both(store);
        assert_false(ask(store, TX_READ, "select pg_sleep(2)", in_ms(500), &err));
        assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
        assert_false(store_breaker_open(store));
        err_release(&err);
    }
    pthread_join(others.thread, NULL);
    assert_true(others.ok);
}

/* The connection for pings hangs and nobody is let in any more, but transactions are answered: the
 * server is there. Once it answers nobody, it is not. */
static void pings_hang_alone(void **state) {
    (void)state;
    SIZED(store, 1);
    struct request others = {.store = store};

    assert_true(store_ping(store, in_ms(2000), NULL));
    pid_t pings = (pid_t)ask_int(store, "select pid from pg_stat_activity where application_name ="
                                        " current_setting('application_name')"
                                        " and query like '%transaction_read_only%'"
                                        " and pid <> pg_backend_pid()"
                                        " order by backend_start desc limit 1");
    kill(server.pid, SIGSTOP);
    kill(pings, SIGSTOP);
    assert_int_equal(pthread_create(&others.thread, NULL, answered_on, &others), 0);
    assert_true(store_ping(store, in_ms(3000 + LATE_MS), NULL));
    assert_false(store_breaker_open(store));
    pthread_join(others.thread, NULL);
    assert_true(others.ok);
    assert_false(store_ping(store, in_ms(4000 + LATE_MS), NULL));
    assert_true(store_breaker_open(store));
    kill(pings, SIGCONT);
    kill(server.pid, SIGCONT);
    assert_true(works_within(store, 5000 + LATE_MS) >= 0);
}

/* Connections that work go on working when no new ones can be made. */
static void postmaster_frozen(void **state) {
    (void)state;
    SIZED(store, 1);

    assert_true(store_ping(store, in_ms(2000), NULL));
    kill(server.pid, SIGSTOP);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask_int(store, "select 42"), 42);
    assert_true(store_ping(store, in_ms(2000), NULL));
    kill(server.pid, SIGCONT);
}

static void frozen_before_the_first_connection(void **state) {
    (void)state;
    ERR(err);
    TX(tx);
    struct store *store = NULL;

    struct store_options options = store_fixture_options(server.url);
    pg_server_signal(&server, SIGSTOP);
    assert_ok(store_open(&options, &store, &err), err);
    int64_t start = now_us();
    assert_false((tx = tx_begin(store, TX_READ, NULL, in_ms(1000), &err)));
    assert_within(start, options.acquire_ms);
    start = now_us();
    assert_false(store_ping(store, in_ms(1000), NULL));
    assert_within(start, 1000);
    sleep_ms(2000);
    assert_true(store_breaker_open(store));
    pg_server_signal(&server, SIGCONT);
    assert_true(works_within(store, 5000 + LATE_MS) >= 0);
    store_close(store);
}

static void *go_on_late(void *arg) {
    (void)arg;
    sleep_ms(2500);
    pg_server_signal(&server, SIGCONT);
    return NULL;
}

static void slow_to_open(void **state) {
    (void)state;
    ERR(err);
    pthread_t late;
    struct store_options options = store_fixture_options(server.url);

    options.acquire_ms = options.connect_ms = 10000;
    pg_server_signal(&server, SIGSTOP);
    assert_int_equal(pthread_create(&late, NULL, go_on_late, NULL), 0);
    struct store *store = NULL;
    assert_ok(store_open(&options, &store, &err), err);
    assert_ok(ask(store, TX_READ, "select 1", in_ms(10000), &err), err);
    pthread_join(late, NULL);
    store_close(store);
}

static void closes_while_frozen(void **state) {
    (void)state;
    struct store *store = open_sized(2);

    sleep_ms(200);
    pg_server_signal(&server, SIGSTOP);
    assert_false(ask(store, TX_READ, "select 1", in_ms(200), NULL));
    sleep_ms(500);
    int64_t start = now_us();
    store_close(store);
    assert_within(start, 500);
    pg_server_signal(&server, SIGCONT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fault_test(all_frozen),
        fault_test(frozen_under_load),
        fault_test(one_backend_frozen),
        fault_test(one_statement_slow),
        fault_test(pings_hang_alone),
        fault_test(postmaster_frozen),
        fault_test(frozen_before_the_first_connection),
        fault_test(slow_to_open),
        fault_test(closes_while_frozen),
    };

    return cmocka_run_group_tests(tests, start_server, remove_server);
}
