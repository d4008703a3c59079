/* Nothing is lost: processes that are killed, that freeze, databases that go away, several workers
 * at once. */
#include "worker_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Of these ids (comma-separated) each came at least once, answered 200. Returns how often anything
 * came. */
static size_t all_came(struct sink *sink, const char *ids) {
    char id[64];
    size_t n = 0;
    struct str rest = str_of(ids);
    struct str one;

    while (str_split(&rest, ',', &one)) {
        snprintf(id, sizeof(id), "%.*s", STR_ARG(one));
        size_t times = sink_count_of(sink, id, NULL, 200);
        if (times == 0)
            fail_msg("event %s was lost", id);
        n += times;
    }
    return n;
}

static void killed_at(const char *point) {
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], account[UUID_TEXT], ids[2000];
    int status;

    endpoint_make(sink, "/hook", "account", "{}", endpoint);
    account_make(account);
    for (int i = 0; i < 20; i++)
        account_change(account);
    pid_t pid = worker_spawn(point);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    worker_open();
    event_ids(account, "%", ids, sizeof(ids));
    /* The lease of the lost one runs 5 s. */
    assert_true(
        sql_becomes("21", 30000, "select count(*) from webhook_attempt where status = 200"));
    all_came(sink, ids);
    assert_true(int_sql("select count(*) from webhook_attempt where error = 'worker_lost'") > 0);
    assert_int_equal(int_sql("select count(*) from webhook_retry"), 0);
}

static void killed_before_sending(void **state) {
    (void)state;
    killed_at("delivery_claimed:kill");
}

static void killed_after_sending(void **state) {
    (void)state;
    killed_at("delivery_sent:kill");
}

static void no_endpoint_twice(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], accounts[10][UUID_TEXT], path[16];

    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        endpoint_make(sink, path, i % 2 == 0 ? "parallel" : "account", "{}", endpoint);
    }
    for (int i = 0; i < 3; i++)
        worker_open();
    for (int i = 0; i < 10; i++)
        account_make(accounts[i]);
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < 10; i++)
            account_change(accounts[i]);
    assert_true(sink_wait(sink, NULL, 200, (size_t)6 * 210, 30000));
    sleep_ms(500);
    /* Without faults: each event once, whoever sends it. */
    assert_int_equal(sink_count(sink), 6 * 210);
    for (int i = 1; i < 6; i += 2) {
        snprintf(path, sizeof(path), "/%d", i);
        struct sink_request request;
        char last[10][64] = {{0}};
        for (size_t at = 0; sink_get(sink, at, &request); at++)
            for (int a = 0; a < 10 && strcmp(request.path, path) == 0; a++)
                if (strcmp(request.account_id, accounts[a]) == 0) {
                    const char *sequence = strstr(request.body, "\"sequence\":") + 11;
                    assert_true(atoi(sequence) == atoi(last[a]) + 1);
                    snprintf(last[a], sizeof(last[a]), "%d", atoi(sequence));
                }
    }
}

static pid_t frozen;
static int freeze_its_sender(const struct sink_request *request) {
    if (frozen != 0 && request->nth == 1 && strcmp(request->path, "/first") == 0) {
        siginfo_t stopped;
        kill(frozen, SIGSTOP);
        /* Its other threads run on until one of them has taken the signal; by then they may have
         * begun the next delivery, had they this one's answer. */
        waitid(P_PID, (id_t)frozen, &stopped, WSTOPPED | WNOWAIT);
        frozen = 0;
    }
    return 200;
}

/* One that comes back after its lease has run out sends nothing of what is the other's now, and
 * writes nothing over its work. */
static void frozen_and_back(void **state) {
    (void)state;
    struct sink *sink = sink_open(freeze_its_sender);
    char endpoint[UUID_TEXT], account[UUID_TEXT], ids[4000];
    int status;

    endpoint_make(sink, "/first", "account", "{}", endpoint);
    account_make(account);
    for (int i = 0; i < 30; i++)
        account_change(account);
    pid_t pid = frozen = worker_spawn("");
    assert_true(sink_wait(sink, NULL, 200, 1, 30000));
    worker_open();
    assert_true(sql_becomes(
        "31", 30000, "select count(distinct delivery_id) from webhook_attempt where status = 200"));
    event_ids(account, "%", ids, sizeof(ids));
    size_t came = all_came(sink, ids);
    kill(pid, SIGCONT);
    assert_true(sql_becomes(
        "31", 30000, "select count(distinct delivery_id) from webhook_attempt where status = 200"));
    for (int i = 0; i < 5; i++)
        account_change(account);
    assert_true(sql_becomes(
        "36", 30000, "select count(distinct delivery_id) from webhook_attempt where status = 200"));
    assert_int_equal(all_came(sink, ids), came);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    event_ids(account, "%", ids, sizeof(ids));
    all_came(sink, ids);
    assert_true(sql_becomes("0", 30000, "select count(*) from webhook_retry"));
}

/* The fence by itself: what one writes after another took over changes nothing, and it hears of it.
 */
static void fenced(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    const char *const a = "01970000-0000-7000-8000-00000000000a";
    const char *const b = "01970000-0000-7000-8000-00000000000b";
    const char settle[] =
        "select webhook_settle('%s', array(select row (id, endpoint_id, account_id, position, "
        "false,"
        " 1, 0, 'delivered', 0, 0, 1, 200, null, null, null)::webhook_result from "
        "webhook_delivery),"
        " array[row ('%s', 1000000, 0, 0, null, true, 'gone')::webhook_endpoint_result])";
    char endpoint[UUID_TEXT], account[UUID_TEXT], told[64];

    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    account_make(account);
    /* A connection that the test before left behind may still be at it. */
    for (int i = 0; i < 100; i++) {
        do_sql("select sequence_events()");
        if (int_sql("select count(*) from event_position p join event e on e.at = p.at"
                    " and e.seq = p.seq where e.account_id = '%s'",
                    account) == 1)
            break;
        sleep_ms(20);
    }
    do_sql("select worker_renew('%s', 'a', 60)", a);
    assert_int_equal(int_sql("select count(*) from webhook_claim('%s', '{}', 10, 10)", a), 1);
    do_sql("select worker_renew('%s', 'b', 60)", b);
    assert_int_equal(int_sql("select count(*) from webhook_claim('%s', '{}', 10, 10)", b), 0);
    do_sql("select worker_leave('%s')", a);
    assert_int_equal(int_sql("select n from webhook_claim('%s', '{}', 10, 10)", b), 2);
    run_sql(told, sizeof(told), settle, a, endpoint);
    assert_string_equal(told, ""); /* it gives back what is not its own any more: nothing to tell */
    assert_int_equal(int_sql("select count(*) from webhook_attempt where status = 200"), 0);
    assert_int_equal(
        int_sql(
            "select count(*) from webhook_endpoint_state where owner = '%s' and settled < 1000000",
            b),
        1);
    assert_int_equal(int_sql("select count(*) from webhook_endpoint where state = 'enabled'"), 1);
    run_sql(told, sizeof(told),
            "select webhook_settle('%s', '{}', array[row ('%s', 1000000, 0, 0, null, false, "
            "null)::webhook_endpoint_result])",
            a, endpoint);
    assert_string_equal(told, endpoint);
}

static void connections_cut(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], account[UUID_TEXT], ids[8000];

    endpoint_make(sink, "/hook", "account", "{}", endpoint);
    worker_open();
    account_make(account);
    for (int i = 0; i < 100; i++) {
        account_change(account);
        if (i % 10 == 5)
            do_sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = "
                   "current_user and pid <> pg_backend_pid()");
    }
    assert_true(
        sql_becomes("101", 30000,
                    "select count(distinct delivery_id) from webhook_attempt where status = 200"));
    event_ids(account, "%", ids, sizeof(ids));
    size_t came = all_came(sink, ids);
    print_message("101 events, connections cut 10 times: came %zu times\n", came);
    assert_true(sql_becomes("0", 30000, "select count(*) from webhook_retry"));
}

static void stops_cleanly(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], account[UUID_TEXT], ids[8000];

    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    account_make(account);
    for (int i = 0; i < 60; i++)
        account_change(account);
    for (int i = 0; i < 20; i++) {
        struct worker *worker = worker_open();
        sleep_ms(10 * i % 37);
        worker_close(worker);
    }
    worker_open();
    assert_true(sql_becomes(
        "61", 30000, "select count(distinct delivery_id) from webhook_attempt where status = 200"));
    event_ids(account, "%", ids, sizeof(ids));
    assert_int_equal(all_came(sink, ids), 61); /* none twice */
    assert_int_equal(int_sql("select count(*) from webhook_attempt where error = 'worker_lost'"),
                     0);
}

/* A worker died with much in hand: to put its lanes in order must take less than a claim may, or
 * nobody ever takes over. */
static void left_behind_much(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    const char *const a = "01970000-0000-7000-8000-00000000000a";
    const char *const b = "01970000-0000-7000-8000-00000000000b";
    char endpoint[UUID_TEXT], account[UUID_TEXT], sql[400];

    if (getenv("DATABASE_SUPERUSER_URL") == NULL)
        skip();
    endpoint_make(sink, "/hook", "account", "{}", endpoint);
    account_make(account);
    do_sql("select sequence_events()");
    do_sql("select worker_renew('%s', 'a', 60)", a);
    assert_true(
        sql_becomes("1", 10000, "select count(*) from webhook_claim('%s', '{}', 1, 10)", a));
    snprintf(sql, sizeof(sql),
             "insert into webhook_retry (delivery_id, endpoint_id, position, account_id, attempts, "
             "lane, state) select webhook_delivery_id(n, 1), '%s', n, '%s', 1, true, 'sending' "
             "from generate_series(1000001, 1010000) n",
             endpoint, account);
    pg_do(getenv("DATABASE_SUPERUSER_URL"), sql);
    do_sql("select worker_leave('%s')", a);
    do_sql("select worker_renew('%s', 'b', 60)", b);
    do_sql("set statement_timeout = '5s'");
    assert_true(int_sql("select count(*) from webhook_claim('%s', '{}', 128, 256)", b) > 0);
    assert_true(int_sql("select count(*) from webhook_retry where state = 'sending'") <= 128);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        worker_test(killed_before_sending),
        worker_test(killed_after_sending),
        worker_test(no_endpoint_twice),
        worker_test(frozen_and_back),
        worker_test(fenced),
        worker_test(connections_cut),
        worker_test(left_behind_much),
        worker_test(stops_cleanly),
    };
    worker_main(argc, argv);
    return cmocka_run_group_tests(tests, worker_group_start, worker_group_stop);
}
