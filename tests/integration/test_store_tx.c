/* Transactions against a real server: what they keep, context, savepoints, repeats. */
#include "redis_server.h"
#include "store_tables.h"

#include "../../service/store/pool.h"

#include <stdio.h>
#include <string.h>

/* ---- transactions ---- */

static void commit_keeps_and_end_rolls_back(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    size_t slot = tx_query(tx, "insert into store_test.thing(id) values (1), (2)", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    assert_int_equal(tx_affected(tx, slot), 2);
    tx_end(&tx);
    assert_null(tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    tx_query(tx, "insert into store_test.thing(id) values (2)", NULL, 0);
    assert_ok(tx_commit(tx, &err), err);
    assert_false(tx_flush(tx, &err)); /* over */
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 2);
}

/* What was queued and never flushed must not happen, in neither mode. */
static void queued_is_not_done(void **state) {
    (void)state;
    ONE(store);
    static const enum tx_mode modes[] = {TX_READ, TX_WRITE};

    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        ERR(err);
        TX(tx);
        assert_ok((tx = tx_begin(store, modes[i], NULL, in_ms(2000), &err)), err);
        tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
        tx_end(&tx);
        assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);
    }
}

static void empty_transaction(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    assert_ok(tx_flush(tx, &err), err);
    assert_ok(tx_commit(tx, &err), err);
}

/* set_config(..., true) and the statements before one Sync share an implicit transaction. */
static void read_is_one_transaction_each_flush(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_READ, &alice, in_ms(2000), &err)), err);
    size_t a = tx_query(tx, "select pg_current_xact_id()", NULL, 0);
    size_t seen = tx_query(tx, sql_settings, NULL, 0);
    size_t b = tx_query(tx, "select pg_current_xact_id()", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    assert_true(tx_int(tx, a, 0, 0) > 0);
    assert_int_equal(tx_int(tx, a, 0, 0), tx_int(tx, b, 0, 0));
    assert_true(str_is(tx_value(tx, seen, 0, 0), settings_of_alice));
    size_t c = tx_query(tx, "select pg_current_xact_id()", NULL, 0);
    seen = tx_query(tx, sql_settings, NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    assert_int_not_equal(tx_int(tx, a, 0, 0), tx_int(tx, c, 0, 0));
    assert_true(str_is(tx_value(tx, seen, 0, 0), settings_of_alice));
}

/* Reads the settings on the pool's one connection, without a context that would overwrite them. */
static void expect_nobody(struct store *store) {
    ERR(err);
    struct conn *conn = NULL;
    PGresult *result = NULL;

    assert_ok(pool_acquire(store, in_ms(1000), &conn, &err), err);
    assert_true(PQsendQueryParams(conn->pg, sql_settings, 0, NULL, NULL, NULL, NULL, 0));
    assert_true(PQpipelineSync(conn->pg));
    assert_int_equal(conn_result(conn, in_ms(1000), &result), WAIT_READY);
    assert_string_equal(PQgetvalue(result, 0, 0), "||||||");
    PQclear(result);
    assert_int_equal(conn_result(conn, in_ms(1000), &result), WAIT_READY);
    assert_null(result);
    assert_int_equal(conn_result(conn, in_ms(1000), &result), WAIT_READY);
    assert_int_equal(PQresultStatus(result), PGRES_PIPELINE_SYNC);
    PQclear(result);
    pool_release(store, conn);
}

static void context_is_gone_afterwards(void **state) {
    (void)state;
    ONE(store);
    static const struct {
        enum tx_mode mode;
        const char *sql;
        enum { FLUSH, COMMIT, END } how;
    } cases[] = {{TX_READ, "select 1", FLUSH},    {TX_READ, "select 1/0", FLUSH},
                 {TX_WRITE, "select 1", COMMIT},  {TX_WRITE, "select 1", FLUSH},
                 {TX_WRITE, "select 1/0", FLUSH}, {TX_WRITE, "select 1/0", COMMIT},
                 {TX_WRITE, "select 1", END}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ERR(err);
        TX(tx);
        assert_ok((tx = tx_begin(store, cases[i].mode, &alice, in_ms(2000), &err)), err);
        size_t seen = tx_query(tx, sql_settings, NULL, 0);
        tx_query(tx, cases[i].sql, NULL, 0);
        bool ok = cases[i].how == COMMIT  ? tx_commit(tx, &err)
                  : cases[i].how == FLUSH ? tx_flush(tx, &err)
                                          : false;
        assert_int_equal(ok, cases[i].how != END && strchr(cases[i].sql, '/') == NULL);
        if (ok)
            assert_true(str_is(tx_value(tx, seen, 0, 0), settings_of_alice));
        tx_end(&tx);
        expect_nobody(store);
    }
}

/* ---- errors ---- */

static void nothing_behind_an_error_is_done(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    size_t slot = tx_query(tx, "select 1/0", NULL, 0);
    tx_query(tx, "insert into store_test.thing(id) values (2)", NULL, 0);
    assert_false(tx_commit(tx, &err));
    assert_problem(err, PROBLEM_VALIDATION);
    assert_int_equal(tx_rows(tx, slot), 0);
    err_release(&err);
    assert_int_equal(tx_query(tx, "select 1", NULL, 0), SIZE_MAX);
    assert_false(tx_commit(tx, &err));
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);
}

static void late_before_it_begins(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    int64_t pid = backend(store);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(1), &err)), err);
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    sleep_ms(3);
    assert_false(tx_commit(tx, &err));
    /* Nothing was sent, so it is known that nothing happened, and the server is not to blame. */
    assert_problem(err, PROBLEM_OVERLOADED);
    tx_end(&tx);
    assert_false(store_breaker_open(store));
    assert_int_equal(backend(store), pid);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);
}

/* ---- savepoints ---- */

static void savepoint_saves_the_rest(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, &alice, in_ms(2000), &err)), err);
    for (int i = 0; i < 10; i++) {
        char text[8];
        struct str param = {text, (size_t)snprintf(text, sizeof(text), "%d", i)};
        tx_savepoint(tx);
        tx_query(tx, "insert into store_test.thing(id) values ($1::int)", &param, 1);
        if (i % 3 == 1)
            tx_query(tx, "select 1/0", NULL, 0);
        if (i % 3 == 1) {
            assert_false(tx_flush(tx, &err));
            assert_problem(err, PROBLEM_VALIDATION);
            err_release(&err);
            assert_ok(tx_rollback_to_savepoint(tx, &err), err);
        } else {
            assert_ok(tx_flush(tx, &err), err);
        }
    }
    size_t seen = tx_query(tx, sql_settings, NULL, 0);
    assert_ok(tx_commit(tx, &err), err);
    assert_true(str_is(tx_value(tx, seen, 0, 0), settings_of_alice));
    tx_end(&tx);
    char text[32];
    say(store, "select string_agg(id::text, ',' order by id) from store_test.thing", text,
        sizeof(text));
    assert_string_equal(text, "0,2,3,5,6,8,9");
}

static void no_savepoint_no_way_back(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    int64_t pid = backend(store);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    /* The error is in front of the savepoint, which was never made. */
    tx_query(tx, "select 1/0", NULL, 0);
    tx_savepoint(tx);
    assert_false(tx_flush(tx, &err));
    err_release(&err);
    assert_false(tx_rollback_to_savepoint(tx, &err));
    assert_false(tx_commit(tx, &err));
    tx_end(&tx);
    assert_int_equal(backend(store), pid);
}

/* Back to where the last successful flush left the transaction, also when a new savepoint failed to
 * come about. */
static void old_savepoint_holds(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    tx_savepoint(tx);
    tx_query(tx, "insert into store_test.thing(id) values (2)", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    tx_query(tx, "select 1/0", NULL, 0);
    tx_savepoint(tx);
    assert_false(tx_flush(tx, &err));
    err_release(&err);
    assert_ok(tx_rollback_to_savepoint(tx, &err), err);
    assert_ok(tx_commit(tx, &err), err);
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select sum(id) from store_test.thing"), 1);
}

/* ---- repetitions ---- */

/* Returns the number of attempts. */
static int insert_beside(struct store *store, const char *sql, bool *ret_done, struct err *err) {
    TX(tx);
    int attempts = 0;

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(3000), err)), *err);
    do {
        attempts++;
        tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
        tx_query(tx, sql, NULL, 0);
        *ret_done = tx_flush(tx, err) && tx_commit(tx, err);
    } while (!*ret_done && tx_repeat(tx, err));
    return attempts;
}

static void repeats_what_others_caused(void **state) {
    (void)state;
    ONE(store);
    static const struct {
        const char *sql;
        bool ok;
        int attempts;
    } cases[] = {{"select store_test.flaky(3, '40001')", true, 3},
                 {"select store_test.flaky(2, '40P01')", true, 2},
                 {"select store_test.flaky(100, '40001')", false, 4},
                 {"select store_test.flaky(2, '23505')", false, 1},
                 {"select store_test.flaky(1, '40001')", true, 1}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ERR(err);
        bool ok;
        pg_do(owner_url(), "truncate store_test.thing; alter sequence store_test.tries restart");
        int attempts = insert_beside(store, cases[i].sql, &ok, &err);
        assert_int_equal(ok, cases[i].ok);
        assert_int_equal(attempts, cases[i].attempts);
        assert_int_equal(err.problem != PROBLEM_NONE, !ok);
        assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), ok ? 1 : 0);
    }
}

/* What was written by the caller's own choice is not done again. */
static void early_end_rolls_back(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    err_set(&err, PROBLEM_FORBIDDEN, "No.");
    assert_false(tx_repeat(tx, &err));
    tx_end(&tx);
    assert_problem(err, PROBLEM_FORBIDDEN);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        table_test(commit_keeps_and_end_rolls_back),
        table_test(queued_is_not_done),
        table_test(empty_transaction),
        table_test(read_is_one_transaction_each_flush),
        table_test(context_is_gone_afterwards),
        table_test(nothing_behind_an_error_is_done),
        table_test(late_before_it_begins),
        table_test(savepoint_saves_the_rest),
        table_test(no_savepoint_no_way_back),
        table_test(old_savepoint_holds),
        table_test(repeats_what_others_caused),
        table_test(early_end_rolls_back),
    };

    return cmocka_run_group_tests(tests, make_tables, drop_tables);
}
