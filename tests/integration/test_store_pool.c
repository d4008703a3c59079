/* The pool on a server that works: who waits, for how long, and what becomes of connections that
 * ended. */
#include "redis_server.h"
#include "store_fixture.h"

#include "../../service/store/pool_state.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct store *open_sized(int size, int waiters, int acquire_ms) {
    struct store_options options = store_fixture_options(app_url());

    options.size = size;
    options.max_waiters = waiters;
    options.acquire_ms = acquire_ms;
    return store_fixture_open(&options);
}
#define SIZED(name, ...) CLEANUP(store_fixture_close) struct store *name = open_sized(__VA_ARGS__)

/* The pool opens its connections one after the other in the background. */
static void wait_until_full(int size) {
    for (int i = 0; i < 500; i++) {
        char text[16];
        int64_t n = 0;
        pg_say(app_url(),
               "select count(*) from pg_stat_activity where application_name = 'kamd-test' "
               "and datname = current_database() and state = 'idle'",
               text, sizeof(text));
        if (str_to_i64(str_of(text), &n) && n >= size)
            return;
        sleep_ms(20);
    }
    fail_msg("the pool did not fill up");
}

static void malformed_url(void **state) {
    (void)state;
    ERR(err);
    struct store *store = NULL;
    struct store_options options = store_fixture_options("postgresql://u:hunter2@h/db?nonsense=1");

    assert_false(store_open(&options, &store, &err));
    assert_null(store);
    /* A password in the url gets neither to clients nor to the log. */
    assert_null(strstr(err.detail, "hunter2"));
    assert_null(strstr(err.cause, "hunter2"));
}

static void nobody_listens(void **state) {
    (void)state;
    ERR(err);
    TX(tx);
    char url[80];
    struct store *store = NULL;

    snprintf(url, sizeof(url), "postgresql://u@127.0.0.1:%d/db", free_port());
    struct store_options options = store_fixture_options(url);
    assert_ok(store_open(&options, &store, &err), err);
    assert_false((tx = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)));
    /* The first may have been told that nothing became free in time; then it is known. */
    for (int i = 0; i < 200 && !store_breaker_open(store); i++)
        sleep_ms(10);
    err_release(&err);
    int64_t start = now_us();
    assert_false((tx = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)));
    assert_true(now_us() - start < LATE_MS * 1000);
    assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
    assert_int_equal(err.retry_after, 1);
    err_release(&err);
    assert_false(store_ping(store, in_ms(1000), &err));
    assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
    store_close(store);
}

static void exhausted(void **state) {
    (void)state;
    SIZED(store, 2, 16, 300);
    ERR(err);
    TX(a);
    TX(b);
    TX(c);

    wait_until_full(2);
    assert_ok((a = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
    assert_ok((b = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
    int64_t start = now_us();
    assert_false((c = tx_begin(store, TX_READ, NULL, in_ms(5000), &err)));
    int64_t took = (now_us() - start) / 1000;
    assert_problem(err, PROBLEM_OVERLOADED);
    assert_int_equal(err.retry_after, 1);
    assert_true(took >= 290 && took <= 300 + LATE_MS);
    /* The request's own deadline counts when it is earlier. */
    err_release(&err);
    start = now_us();
    assert_false((c = tx_begin(store, TX_READ, NULL, in_ms(100), &err)));
    took = (now_us() - start) / 1000;
    assert_true(took >= 90 && took <= 100 + LATE_MS);
    /* A pool in full use is not a server that is gone. */
    assert_false(store_breaker_open(store));
    err_release(&err);
    assert_ok(store_ping(store, in_ms(2000), &err), err);
    tx_end(&a);
    assert_ok((c = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
}

struct queued {
    struct store *store;
    pthread_t thread;
    int number;
    int *order;
    int *n_order;
    pthread_mutex_t *lock;
    bool ok;
    enum problem problem;
    int64_t took_us;
};

static void *queue_up(void *arg) {
    struct queued *queued = arg;
    ERR(err);
    TX(tx);
    int64_t start = now_us();

    tx = tx_begin(queued->store, TX_READ, NULL, in_ms(10000), &err);
    queued->ok = tx != NULL;
    queued->took_us = now_us() - start;
    queued->problem = err.problem;
    pthread_mutex_lock(queued->lock);
    if (queued->ok)
        queued->order[(*queued->n_order)++] = queued->number;
    pthread_mutex_unlock(queued->lock);
    return NULL;
}

static void first_come_first_served(void **state) {
    (void)state;
    SIZED(store, 1, 5, 10000);
    ERR(err);
    TX(holder);
    enum { N = 7 };
    struct queued queued[N];
    int order[N], n_order = 0;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    assert_ok((holder = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
    for (int i = 0; i < N; i++) {
        queued[i] = (struct queued){
            .store = store, .number = i, .order = order, .n_order = &n_order, .lock = &lock};
        assert_int_equal(pthread_create(&queued[i].thread, NULL, queue_up, &queued[i]), 0);
        sleep_ms(100);
    }
    /* Beyond five waiters the others were told at once. */
    tx_end(&holder);
    for (int i = 0; i < N; i++)
        pthread_join(queued[i].thread, NULL);
    assert_int_equal(n_order, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(order[i], i);
    for (int i = 5; i < N; i++) {
        assert_false(queued[i].ok);
        assert_int_equal(queued[i].problem, PROBLEM_OVERLOADED);
        assert_true(queued[i].took_us < LATE_MS * 1000);
    }
}

/* Ends all of the role's connections but the one that asks. */
static const char sql_end_others[] =
    "select count(pg_terminate_backend(pid, 2000)) from pg_stat_activity "
    "where pid <> pg_backend_pid() and usename = current_user "
    "and datname = current_database()";

static void ended_while_idle(void **state) {
    (void)state;
    SIZED(store, 4, 16, 5000);
    char text[16];

    for (int i = 0; i < 5; i++) {
        sleep_ms(100); /* the pool fills up */
        pg_say(app_url(), sql_end_others, text, sizeof(text));
        assert_string_not_equal(text, "0");
        /* Nobody notices. */
        assert_int_equal(ask_int(store, "select 1"), 1);
    }
    assert_false(store_breaker_open(store));
}

static void ended_while_in_use(void **state) {
    (void)state;
    SIZED(store, 1, 16, 5000);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    tx_query(tx, "select 1", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    pg_do(app_url(), sql_end_others);
    tx_query(tx, "select 2", NULL, 0);
    assert_false(tx_flush(tx, &err));
    assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
    assert_int_equal(err.retry_after, 1);
    tx_end(&tx);
    /* One lost link does not close the house. */
    assert_false(store_breaker_open(store));
    assert_int_equal(ask_int(store, "select 1"), 1);
}

/* The goodbye was there before COMMIT was sent: the transaction is known to be gone. */
static void ended_before_commit(void **state) {
    (void)state;
    SIZED(store, 1, 16, 5000);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    tx_query(tx, "select 1", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    pg_do(app_url(), sql_end_others);
    tx_query(tx, "select 2", NULL, 0);
    assert_false(tx_commit(tx, &err));
    assert_true(err.problem == PROBLEM_DATABASE_UNAVAILABLE ||
                err.problem == PROBLEM_OUTCOME_UNKNOWN);
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select 1"), 1);
}

static void old_ones_are_replaced(void **state) {
    (void)state;
    SIZED(store, 1, 16, 5000);
    ERR(err);
    struct conn *conn = NULL;
    int64_t before = ask_int(store, "select pg_backend_pid()");

    assert_int_equal(ask_int(store, "select pg_backend_pid()"), before);
    assert_ok(pool_acquire(store, in_ms(1000), &conn, &err), err);
    assert_true(conn->retire_us > now_us() + 1000000000);
    conn->retire_us = 0;
    pool_release(store, conn);
    assert_int_not_equal(ask_int(store, "select pg_backend_pid()"), before);
}

/* All are old at once, and no new one can be made: the password has changed in one place only. */
static void the_last_ones_stay(void **state) {
    (void)state;
    SIZED(store, 3, 16, 5000);
    ERR(err);
    struct conn *conns[3] = {NULL};
    int failures = 0;

    for (size_t i = 0; i < COUNT_OF(conns); i++) {
        assert_ok(pool_acquire(store, in_ms(5000), &conns[i], &err), err);
        conns[i]->retire_us = 0;
    }
    assert_ok(store_retarget(store, "postgresql://nobody:wrong@127.0.0.1:1/none", &err), err);
    for (size_t i = 0; i < COUNT_OF(conns); i++)
        pool_release(store, conns[i]);
    while (failures < 2) {
        pthread_mutex_lock(&store->lock);
        failures = store->failures;
        assert_int_equal(store->n_open, 2);
        pthread_mutex_unlock(&store->lock);
        sleep_ms(1);
    }
    assert_false(store_breaker_open(store));
    assert_int_equal(ask_int(store, "select 1"), 1);
    assert_ok(store_retarget(store, app_url(), &err), err);
    wait_until_full(3);
}

struct load {
    struct store *store;
    pthread_t thread;
    int failed;
};

static void *load(void *arg) {
    struct load *mine = arg;

    for (int i = 0; i < 200; i++) {
        char text[16];
        enum tx_mode mode = i % 2 ? TX_READ : TX_WRITE;
        const char *sql = i % 7 ? "select 42" : "select 1/0";
        TX(tx);
        bool ok = (tx = tx_begin(mine->store, mode, NULL, in_ms(10000), NULL)) &&
                  tx_ask(tx, sql, text, sizeof(text), NULL);
        if (ok ? strcmp(text, "42") != 0 : i % 7 != 0)
            mine->failed++;
    }
    return NULL;
}

static void many_threads(void **state) {
    (void)state;
    SIZED(store, 4, 64, 10000);
    struct load loads[16];

    for (size_t i = 0; i < COUNT_OF(loads); i++) {
        loads[i] = (struct load){.store = store};
        assert_int_equal(pthread_create(&loads[i].thread, NULL, load, &loads[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        assert_true(store_ping(store, in_ms(5000), NULL));
    for (size_t i = 0; i < COUNT_OF(loads); i++) {
        pthread_join(loads[i].thread, NULL);
        assert_int_equal(loads[i].failed, 0);
    }
    wait_until_full(4);
    char text[16];
    pg_say(app_url(),
           "select count(*) <= 5 from pg_stat_activity where application_name = 'kamd-test' "
           "and datname = current_database()",
           text, sizeof(text));
    assert_string_equal(text, "t"); /* four and the one for pings */
}

struct pinger {
    struct store *store;
    pthread_t thread;
    bool stop;
};

static void *ping_on(void *arg) {
    struct pinger *pinger = arg;

    while (!__atomic_load_n(&pinger->stop, __ATOMIC_RELAXED))
        store_ping(pinger->store, in_ms(1000), NULL);
    return NULL;
}

static void pings_do_not_starve_the_pool(void **state) {
    (void)state;
    struct store_options options = store_fixture_options(app_url());
    struct store *store = NULL;
    struct pinger pingers[4];
    ERR(err);

    options.size = 8;
    assert_ok(store_open(&options, &store, &err), err);
    for (size_t i = 0; i < COUNT_OF(pingers); i++) {
        pingers[i] = (struct pinger){.store = store};
        assert_int_equal(pthread_create(&pingers[i].thread, NULL, ping_on, &pingers[i]), 0);
    }
    wait_until_full(8);
    for (size_t i = 0; i < COUNT_OF(pingers); i++)
        __atomic_store_n(&pingers[i].stop, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < COUNT_OF(pingers); i++)
        pthread_join(pingers[i].thread, NULL);
    store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_url),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(exhausted),
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(ended_while_idle),
        cmocka_unit_test(ended_while_in_use),
        cmocka_unit_test(ended_before_commit),
        cmocka_unit_test(old_ones_are_replaced),
        cmocka_unit_test(the_last_ones_stay),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(pings_do_not_starve_the_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
