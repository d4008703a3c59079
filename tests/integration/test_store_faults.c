/* The store on a server that dies, in COMMIT too, turns read-only, does not replicate or refuses
 * connections. The server is the test's own. */
#include "redis_server.h"
#include "store_server.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- COMMIT ---- */

static void frozen_during_commit(void **state) {
    (void)state;
    SIZED(store, 1);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(1500), &err)), err);
    tx_query(tx, "insert into thing values (1)", NULL, 0);
    size_t pid = tx_query(tx, "select pg_backend_pid()", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    pid_t backend = (pid_t)tx_int(tx, pid, 0, 0);
    kill(backend, SIGSTOP);
    int64_t start = now_us();
    assert_false(tx_commit(tx, &err));
    assert_within(start, 1500);
    assert_problem(err, PROBLEM_OUTCOME_UNKNOWN);
    assert_int_equal(err.retry_after, 1);
    tx_end(&tx);
    kill(backend, SIGCONT);
    assert_true(works_within(store, 3000 + LATE_MS) >= 0);
}

static void *kill_soon(void *arg) {
    sleep_ms(300);
    kill(*(pid_t *)arg, SIGKILL);
    return NULL;
}

/* The postmaster serves on until it notices that a backend was killed: then it drops every
 * connection, also one that has nothing to do with it. */
static void until_dropped(PGconn *witness) {
    for (int64_t start = now_us(); PQstatus(witness) == CONNECTION_OK; sleep_ms(10)) {
        assert_within(start, 10000);
        PQclear(PQexec(witness, "select 1"));
    }
    PQfinish(witness);
}

static void killed_during_commit(void **state) {
    (void)state;
    SIZED(store, 1);
    ERR(err);
    TX(tx);
    pthread_t thread;
    PGconn *witness = PQconnectdb(server.url);

    assert_int_equal(PQstatus(witness), CONNECTION_OK);
    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(5000), &err)), err);
    tx_query(tx, "insert into thing values (1)", NULL, 0);
    size_t pid = tx_query(tx, "select pg_backend_pid()", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    pid_t backend = (pid_t)tx_int(tx, pid, 0, 0);
    kill(backend, SIGSTOP);
    assert_int_equal(pthread_create(&thread, NULL, kill_soon, &backend), 0);
    int64_t start = now_us();
    assert_false(tx_commit(tx, &err));
    assert_within(start, 2000); /* long before the deadline */
    assert_problem(err, PROBLEM_OUTCOME_UNKNOWN);
    pthread_join(thread, NULL);
    tx_end(&tx);
    /* The server restarts itself after a backend's death. */
    until_dropped(witness);
    assert_true(works_within(store, 10000 + LATE_MS) >= 0);
    assert_int_equal(ask_int(store, "select count(*) from thing"), 0);
}

static void *cancel_soon(void *arg) {
    (void)arg;
    sleep_ms(500);
    pg_do(server.url,
          "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'");
    return NULL;
}

/* A standby that never answers: COMMIT waits for ever, and a cancelled wait looks like success but
 * for a warning. */
static void not_replicated(void **state) {
    (void)state;
    SIZED(store, 1);
    pthread_t thread;

    pg_do(server.url, "alter system set synchronous_standby_names = 'nobody'");
    pg_do(server.url, "select pg_reload_conf()");
    sleep_ms(500);
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        ERR(err);
        if (cancelled)
            assert_int_equal(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
        int64_t start = now_us();
        const char *sql =
            cancelled ? "insert into thing values (1)" : "insert into thing values (2)";
        assert_false(ask(store, TX_WRITE, sql, in_ms(2000), &err));
        assert_problem(err, PROBLEM_OUTCOME_UNKNOWN);
        assert_within(start, cancelled ? 1500 : 2000);
        if (cancelled)
            pthread_join(thread, NULL);
        assert_true(works_within(store, 5000 + LATE_MS) >= 0);
    }
    pg_do(server.url, "alter system reset synchronous_standby_names");
    pg_do(server.url, "select pg_reload_conf()");
    sleep_ms(500);
    /* It did happen: that is what the unknown outcome was about. */
    assert_int_equal(ask_int(store, "select count(*) from thing where id = 1"), 1);
}

/* ---- killed and restarted ---- */

struct writer {
    struct store *store;
    pthread_t thread;
    int first;
    char acknowledged[2000];
    int n_other;
    bool stop;
};

static void *write_on(void *arg) {
    struct writer *writer = arg;

    for (int i = 0;
         i < (int)sizeof(writer->acknowledged) && !__atomic_load_n(&writer->stop, __ATOMIC_RELAXED);
         i++) {
        ERR(err);
        char sql[64];
        snprintf(sql, sizeof(sql), "insert into thing values (%d)", writer->first + i);
        writer->acknowledged[i] = ask(writer->store, TX_WRITE, sql, in_ms(1000), &err);
        if (err.problem != PROBLEM_NONE && err.problem != PROBLEM_DATABASE_UNAVAILABLE &&
            err.problem != PROBLEM_OUTCOME_UNKNOWN && err.problem != PROBLEM_OVERLOADED)
            writer->n_other++;
        if (!writer->acknowledged[i])
            sleep_ms(20);
    }
    return NULL;
}

static void killed_and_restarted(void **state) {
    (void)state;
    SIZED(store, 4);
    static struct writer writers[4];
    int acknowledged = 0;

    pg_do(server.url, "alter system set fsync = on");
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct writer){.store = store, .first = i * 10000};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        sleep_ms(400);
        pg_server_kill(&server);
        sleep_ms(300);
        assert_true(pg_server_start(&server));
        assert_true(works_within(store, 5000 + LATE_MS) >= 0);
    }
    for (int i = 0; i < 4; i++)
        __atomic_store_n(&writers[i].stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_int_equal(writers[i].n_other, 0);
        for (int j = 0; j < (int)sizeof(writers[i].acknowledged); j++) {
            char sql[64];
            if (!writers[i].acknowledged[j])
                continue;
            acknowledged++;
            snprintf(sql, sizeof(sql), "select count(*) from thing where id = %d",
                     writers[i].first + j);
            assert_int_equal(ask_int(store, sql), 1);
        }
    }
    assert_true(acknowledged > 100);
    pg_do(server.url, "alter system reset fsync");
}

/* ---- read-only, short of connections, silent hosts ---- */

static void make_writable(void) {
    char url[160];

    snprintf(url, sizeof(url), "%s&options=-cdefault_transaction_read_only%%3Doff", server.url);
    pg_do(url, "alter system reset default_transaction_read_only");
    pg_do(url, "select pg_reload_conf()");
}

static void read_only(void **state) {
    (void)state;
    SIZED(store, 2);
    ERR(err);

    sleep_ms(200);
    pg_do(server.url, "alter system set default_transaction_read_only = on");
    pg_do(server.url, "select pg_reload_conf()");
    sleep_ms(300);
    assert_false(ask(store, TX_WRITE, "insert into thing values (1)", in_ms(2000), &err));
    assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
    assert_int_equal(err.retry_after, 1);
    expect_refusals(store);
    sleep_ms(1000);
    assert_true(store_breaker_open(store));
    make_writable();
    assert_true(works_within(store, 5000 + LATE_MS) >= 0);
    char text[8];
    say(store, "insert into thing values (1) returning id", text, sizeof(text));
}

static void ping_finds_read_only(void **state) {
    (void)state;
    SIZED(store, 2);
    ERR(err);

    assert_true(store_ping(store, in_ms(2000), NULL));
    pg_do(server.url, "alter system set default_transaction_read_only = on");
    pg_do(server.url, "select pg_reload_conf()");
    sleep_ms(300);
    assert_false(store_ping(store, in_ms(2000), &err));
    assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
    make_writable();
    assert_true(works_within(store, 5000 + LATE_MS) >= 0);
    assert_true(store_ping(store, in_ms(2000), NULL));
}

/* Fewer connections than wished for are no outage. */
static void short_of_connections(void **state) {
    (void)state;
    char url[128];

    pg_do(server.url, "drop role if exists limited; create role limited login connection limit 2");
    snprintf(url, sizeof(url), "postgresql://limited@127.0.0.1:%d/postgres", server.port);
    struct store_options options = store_fixture_options(url);
    STORE(store, &options);
    /* Meanwhile the pool tries for the others, in vain. */
    for (int i = 0; i < 80; i++) {
        assert_int_equal(ask_int(store, "select 42"), 42);
        sleep_ms(20);
    }
    assert_false(store_breaker_open(store));
}

/* The first of two hosts takes connections and says nothing. */
static void silent_host(void **state) {
    (void)state;
    char url[160];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int port = free_port();

    address.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    snprintf(url, sizeof(url), "postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres", port,
             server.port);
    struct store_options options = store_fixture_options(url);
    STORE(store, &options); /* within 5 s */
    close(fd);
    assert_int_equal(ask_int(store, "select 42"), 42);
}

/* ---- deadlocks ---- */

struct crossing {
    struct store *store;
    pthread_barrier_t *barrier;
    const char *first, *second;
    int attempts;
    bool ok;
};

static bool lock_both(struct tx *tx, struct crossing *crossing) {
    static const char sql[] = "update thing set n = n + 1 where id = $1::int";
    struct str first = str_of(crossing->first), second = str_of(crossing->second);

    tx_query(tx, sql, &first, 1);
    if (!tx_flush(tx, NULL))
        return false;
    if (crossing->attempts++ == 0)
        pthread_barrier_wait(crossing->barrier);
    tx_query(tx, sql, &second, 1);
    return tx_flush(tx, NULL) && tx_commit(tx, NULL);
}

static void *cross(void *arg) {
    struct crossing *crossing = arg;
    TX(tx);

    if (!(tx = tx_begin(crossing->store, TX_WRITE, NULL, in_ms(10000), NULL)))
        return NULL;
    do
        crossing->ok = lock_both(tx, crossing);
    while (!crossing->ok && tx_repeat(tx, NULL));
    return NULL;
}

static void deadlock_is_repeated(void **state) {
    (void)state;
    SIZED(store, 4);
    pthread_barrier_t barrier;
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    struct crossing a = {store, &barrier, "1", "2", 0, false};
    struct crossing b = {store, &barrier, "2", "1", 0, false};

    say(store, "insert into thing values (1), (2)", NULL, 0);
    assert_int_equal(pthread_create(&thread, NULL, cross, &a), 0);
    cross(&b);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&barrier);
    assert_true(a.ok && b.ok);
    assert_true(a.attempts + b.attempts > 2);
    assert_int_equal(ask_int(store, "select sum(n) from thing"), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fault_test(frozen_during_commit),
        fault_test(killed_during_commit),
        fault_test(not_replicated),
        fault_test(killed_and_restarted),
        fault_test(read_only),
        fault_test(ping_finds_read_only),
        fault_test(short_of_connections),
        fault_test(silent_host),
        fault_test(deadlock_is_repeated),
    };

    return cmocka_run_group_tests(tests, start_server, remove_server);
}
