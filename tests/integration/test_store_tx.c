/* Transactions against a real server: statements, errors, savepoints, context, repeats. */
#include "redis_server.h"
#include "store_fixture.h"

#include "../../service/store/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALICE "018f0000-0000-7000-8000-00000000a11c"

static const struct tx_context alice = {.scope = STR("acl"),
                                        .user_id = STR(ALICE),
                                        .reach = 5,
                                        .actor = STR("user:" ALICE),
                                        .origin = STR("api"),
                                        .request_id = STR("r-1"),
                                        .traceparent = STR("00-1-2-3")};
static const char sql_settings[] =
    "select concat_ws('|', current_setting('kamd.scope'), current_setting('kamd.user_id'), "
    "current_setting('kamd.actor'), current_setting('kamd.origin'), "
    "current_setting('kamd.request_id'), current_setting('kamd.traceparent'), "
    "current_setting('kamd.areas'))";
static const char settings_of_alice[] = "acl|" ALICE "|user:" ALICE "|api|r-1|00-1-2-3|5";

/* ---- the test's own tables ---- */

static int make_tables(void **state) {
    (void)state;
    const char *url = getenv("DATABASE_MIGRATE_URL");

    if (url != NULL)
        pg_do(url,
              "drop schema if exists store_test cascade; create schema store_test;"
              "grant usage on schema store_test to public;"
              "create table store_test.thing(id int primary key, name text unique, parent_id int "
              "references store_test.thing(id) deferrable, n int check (n >= 0));"
              "create table store_test.later(id int unique deferrable initially deferred);"
              "create sequence store_test.tries;"
              "create function store_test.flaky(good_at int, state text) returns int "
              "language plpgsql as $$ declare t int := nextval('store_test.tries'); begin "
              "if t < good_at then raise exception using errcode = state; end if; return t; end $$;"
              "create function store_test.refuse() returns int language plpgsql as $$ begin "
              "raise exception using errcode = 'KD409', message = 'key_account_cap_reached', "
              "detail = 'The list is full.', hint = '{\"weakest\": []}'; end $$;"
              "grant execute on all functions in schema store_test to public;"
              "grant all on all tables in schema store_test to public;"
              "grant all on all sequences in schema store_test to public;");
    return 0;
}

static int drop_tables(void **state) {
    (void)state;
    const char *url = getenv("DATABASE_MIGRATE_URL");

    if (url != NULL)
        pg_do(url, "drop schema if exists store_test cascade");
    return 0;
}

static int empty_tables(void **state) {
    (void)state;
    const char *url = getenv("DATABASE_MIGRATE_URL");

    if (url != NULL)
        pg_do(url, "truncate store_test.thing, store_test.later; "
                   "alter sequence store_test.tries restart");
    return 0;
}

static struct store *open_one(void) {
    struct store_options options = store_fixture_options(app_url());

    owner_url();
    options.size = 1;
    return store_fixture_open(&options);
}
#define ONE(name) CLEANUP(store_fixture_close) struct store *name = open_one()

static int64_t backend(struct store *store) { return ask_int(store, "select pg_backend_pid()"); }

/* ---- values ---- */

static void values_come_back(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    const struct str params[] = {STR("Zürich \xf0\x9f\x92\xa1 'quoted' \\"), STR(""), STR_ABSENT,
                                 STR("-9007199254740993"), STR("t")};

    assert_ok(tx_begin(store, TX_READ, NULL, in_ms(2000), &tx, &err), err);
    size_t slot =
        tx_query(tx, "select $1::text, $2::text, $3::text, $4::bigint, $5::bool", params, 5);
    size_t none = tx_query(tx, "select 1 where false", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    assert_int_equal(tx_rows(tx, slot), 1);
    assert_int_equal(tx_columns(tx, slot), 5);
    assert_true(str_eq(tx_value(tx, slot, 0, 0), params[0]));
    assert_int_equal(tx_value(tx, slot, 0, 0).ptr[params[0].len], '\0');
    assert_true(str_is(tx_value(tx, slot, 0, 1), ""));
    assert_null(tx_value(tx, slot, 0, 2).ptr);
    assert_int_equal(tx_int(tx, slot, 0, 2), 0);
    assert_true(tx_int(tx, slot, 0, 3) == -9007199254740993);
    assert_true(tx_bool(tx, slot, 0, 4));
    assert_false(tx_bool(tx, slot, 0, 2));
    /* Beyond the ends there is nothing. */
    assert_null(tx_value(tx, slot, 1, 0).ptr);
    assert_null(tx_value(tx, slot, 0, 5).ptr);
    assert_int_equal(tx_rows(tx, none), 0);
    assert_int_equal(tx_rows(tx, 999), 0);
    assert_int_equal(tx_rows(tx, SIZE_MAX), 0);
}

static void parameters_are_copied(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    char text[] = "first";

    assert_ok(tx_begin(store, TX_READ, NULL, in_ms(2000), &tx, &err), err);
    struct str param = str_of(text);
    size_t a = tx_query(tx, "select $1::text", &param, 1);
    memcpy(text, "other", 5);
    size_t b = tx_query(tx, "select $1::text", &param, 1);
    assert_ok(tx_flush(tx, &err), err);
    assert_true(str_is(tx_value(tx, a, 0, 0), "first"));
    assert_true(str_is(tx_value(tx, b, 0, 0), "other"));
    /* Results stay when there is another round trip. */
    size_t c = tx_query(tx, "select 3", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    assert_int_equal(tx_int(tx, c, 0, 0), 3);
    assert_true(str_is(tx_value(tx, a, 0, 0), "first"));
}

static void nul_is_refused(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    struct str param = {"a\0b", 3};

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(2000), &tx, &err), err);
    tx_query(tx, "insert into store_test.thing(id, name) values (1, $1)", &param, 1);
    assert_false(tx_commit(tx, &err));
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);
}

static void many_parameters(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    struct str params[100];
    char sql[1000] = "select $1::int";

    for (size_t i = 0; i < COUNT_OF(params); i++) {
        params[i] = STR("2");
        if (i > 0)
            snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), "+$%zu", i + 1);
    }
    assert_ok(tx_begin(store, TX_READ, NULL, in_ms(2000), &tx, &err), err);
    size_t slot = tx_query(tx, sql, params, COUNT_OF(params));
    assert_ok(tx_flush(tx, &err), err);
    assert_int_equal(tx_int(tx, slot, 0, 0), 200);
}

/* Both directions at once, far more than the sockets hold: neither side may wait for the other. */
static void large_both_ways(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    const size_t size = 1 << 20;
    char *text = test_malloc(size);
    size_t slots[24];

    memset(text, 'x', size);
    assert_ok(tx_begin(store, TX_READ, NULL, in_ms(30000), &tx, &err), err);
    /* The role's own limit counts the time that the answer waits to be read here. */
    tx_query(tx, "select set_config('statement_timeout', '30s', true)", NULL, 0);
    struct str param = {text, size};
    for (size_t i = 0; i < COUNT_OF(slots); i++)
        slots[i] = tx_query(tx, "select $1::text || $1::text", &param, 1);
    size_t rows =
        tx_query(tx, "select i, repeat('y', 100) from generate_series(1, 100000) i", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    for (size_t i = 0; i < COUNT_OF(slots); i++)
        assert_int_equal(tx_value(tx, slots[i], 0, 0).len, 2 * size);
    assert_int_equal(tx_rows(tx, rows), 100000);
    assert_int_equal(tx_int(tx, rows, 99999, 0), 100000);
    test_free(text);
}

/* A statement that takes its time, and more behind it than the sockets hold: the server reads
 * nothing meanwhile, and is not taken for gone. */
static void much_behind_a_slow_one(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    const size_t size = 1 << 20;
    char *text = test_malloc(size);
    struct str param = {text, size};
    size_t slots[24];

    memset(text, 'x', size);
    assert_ok(tx_begin(store, TX_READ, NULL, in_ms(30000), &tx, &err), err);
    tx_query(tx, "select set_config('statement_timeout', '30s', true)", NULL, 0);
    tx_query(tx, "select pg_sleep(5)", NULL, 0);
    for (size_t i = 0; i < COUNT_OF(slots); i++)
        slots[i] = tx_query(tx, "select length($1::text)", &param, 1);
    assert_ok(tx_flush(tx, &err), err);
    for (size_t i = 0; i < COUNT_OF(slots); i++)
        assert_int_equal(tx_int(tx, slots[i], 0, 0), size);
    test_free(text);
}

static void thousands_of_statements(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    size_t last = 0;
    char text[16];

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(30000), &tx, &err), err);
    for (int i = 1; i <= 3000; i++) {
        struct str param = {text, (size_t)snprintf(text, sizeof(text), "%d", i)};
        last = tx_query(tx, "insert into store_test.thing(id) values ($1::int)", &param, 1);
    }
    assert_ok(tx_commit(tx, &err), err);
    assert_int_equal(tx_affected(tx, last), 1);
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 3000);
}

/* ---- transactions ---- */

static void commit_keeps_and_end_rolls_back(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(2000), &tx, &err), err);
    size_t slot = tx_query(tx, "insert into store_test.thing(id) values (1), (2)", NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    assert_int_equal(tx_affected(tx, slot), 2);
    tx_end(&tx);
    assert_null(tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(2000), &tx, &err), err);
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
        assert_ok(tx_begin(store, modes[i], NULL, in_ms(2000), &tx, &err), err);
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

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(2000), &tx, &err), err);
    assert_ok(tx_flush(tx, &err), err);
    assert_ok(tx_commit(tx, &err), err);
}

/* set_config(..., true) and the statements before one Sync share an implicit transaction. */
static void read_is_one_transaction_each_flush(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok(tx_begin(store, TX_READ, &alice, in_ms(2000), &tx, &err), err);
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
        assert_ok(tx_begin(store, cases[i].mode, &alice, in_ms(2000), &tx, &err), err);
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

static void errors_leave_the_connection_usable(void **state) {
    (void)state;
    ONE(store);
    static const struct {
        const char *sql;
        enum problem problem;
    } cases[] = {
        {"selct 1", PROBLEM_INTERNAL},
        {"select 1/0", PROBLEM_VALIDATION},
        {"select store_test.refuse()", PROBLEM_KEY_CAP_REACHED},
        {"insert into store_test.thing(id) values (1), (1)", PROBLEM_ALREADY_EXISTS},
        {"insert into store_test.thing(id, parent_id) values (1, 2)", PROBLEM_VALIDATION},
        {"insert into store_test.thing(id, n) values (1, -1)", PROBLEM_VALIDATION},
        {"insert into store_test.later values (1), (1)", PROBLEM_ALREADY_EXISTS}, /* at COMMIT */
        {"select store_test.flaky(1000, '57014')", PROBLEM_OVERLOADED},
    };
    int64_t pid = backend(store);

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ERR(err);
        assert_false(ask(store, TX_WRITE, cases[i].sql, in_ms(2000), NULL, 0, &err));
        assert_problem(err, cases[i].problem);
        err_release(&err);
        assert_false(ask(store, TX_READ, cases[i].sql, in_ms(2000), NULL, 0, &err));
        assert_problem(err, cases[i].problem);
        assert_int_equal(backend(store), pid);
    }
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);
    assert_false(store_breaker_open(store));
}

static void error_fields_reach_the_client(void **state) {
    (void)state;
    ONE(store);
    ERR(err);

    assert_false(ask(store, TX_WRITE,
                     "insert into store_test.thing(id, name) values (1, 'a'), (2, 'a')",
                     in_ms(2000), NULL, 0, &err));
    assert_int_equal(err.n_items, 1);
    assert_string_equal(err.items[0].where, "/name");
    err_release(&err);
    assert_false(ask(store, TX_WRITE, "select store_test.refuse()", in_ms(2000), NULL, 0, &err));
    assert_string_equal(err.detail, "The list is full.");
    assert_string_equal(err.extra, "\"weakest\": []");
}

static void nothing_behind_an_error_is_done(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(2000), &tx, &err), err);
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

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(1), &tx, &err), err);
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

/* ---- prepared statements ---- */

static const char sql_prepared[] =
    "select count(*) from pg_prepared_statements where name like 'k%'";

static void statements_are_prepared_once(void **state) {
    (void)state;
    ONE(store);
    ERR(err);

    for (int i = 0; i < 3; i++) {
        TX(tx);
        assert_ok(tx_begin(store, TX_READ, NULL, in_ms(2000), &tx, &err), err);
        size_t a = tx_query(tx, "select 'twice in one flush'", NULL, 0);
        size_t b = tx_query(tx, "select 'twice in one flush'", NULL, 0);
        tx_query_once(tx, "select 'never prepared'", NULL, 0);
        assert_ok(tx_flush(tx, &err), err);
        assert_int_equal(tx_rows(tx, a), 1);
        assert_int_equal(tx_rows(tx, b), 1);
    }
    assert_int_equal(ask_int(store, "select count(*) from pg_prepared_statements "
                                    "where statement like 'select ''%'"),
                     1);
}

/* A PREPARE behind an error was not executed, and must be sent again. */
static void skipped_prepare_is_not_remembered(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok(tx_begin(store, TX_READ, NULL, in_ms(2000), &tx, &err), err);
    tx_query(tx, "select 1/0", NULL, 0);
    tx_query(tx, "select 'behind the error'", NULL, 0);
    assert_false(tx_flush(tx, &err));
    tx_end(&tx);
    err_release(&err);
    int64_t pid = backend(store);
    char text[32];
    say(store, "select 'behind the error'", text, sizeof(text));
    assert_string_equal(text, "behind the error");
    assert_int_equal(backend(store), pid);
    /* So was one that the server refused to prepare. */
    for (int i = 0; i < 2; i++)
        assert_false(ask(store, TX_READ, "select nonsense", in_ms(2000), NULL, 0, NULL));
}

static void names_are_bounded(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    char sql[600][24];

    for (int i = 0; i < 600; i += 100) {
        TX(tx);
        assert_ok(tx_begin(store, TX_READ, NULL, in_ms(10000), &tx, &err), err);
        size_t slot = 0;
        for (int j = i; j < i + 100; j++) {
            snprintf(sql[j], sizeof(sql[j]), "select %d", j);
            slot = tx_query(tx, sql[j], NULL, 0);
        }
        assert_ok(tx_flush(tx, &err), err);
        assert_int_equal(tx_int(tx, slot, 0, 0), i + 99);
    }
    int64_t n = ask_int(store, sql_prepared);
    assert_true(n > 400 && n <= 512);
}

static void works_without_prepared_statements(void **state) {
    (void)state;
    struct store_options options = store_fixture_options(app_url());
    owner_url();
    options.size = 1;
    options.prepared = false;
    STORE(store, &options);
    ERR(err);
    TX(tx);

    assert_ok(tx_begin(store, TX_WRITE, &alice, in_ms(2000), &tx, &err), err);
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    tx_savepoint(tx);
    size_t seen = tx_query(tx, sql_settings, NULL, 0);
    assert_ok(tx_commit(tx, &err), err);
    assert_true(str_is(tx_value(tx, seen, 0, 0), settings_of_alice));
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 1);
    assert_int_equal(ask_int(store, "select count(*) from pg_prepared_statements"), 0);
}

static bool select_all(struct tx *tx, void *arg, struct err *err) {
    size_t slot = tx_query(tx, "select * from store_test.later", NULL, 0);

    if (!tx_flush(tx, err))
        return false;
    *(size_t *)arg = tx_columns(tx, slot);
    return true;
}

/* A migration under a running program: the prepared statement's result has another shape now. */
static void changed_table_is_survived(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    size_t columns = 0;

    assert_ok(store_run(store, NULL, in_ms(2000), select_all, NULL, &columns, &err), err);
    assert_int_equal(columns, 1);
    pg_do(owner_url(), "alter table store_test.later add column more int");
    assert_ok(store_run(store, NULL, in_ms(3000), select_all, NULL, &columns, &err), err);
    assert_int_equal(columns, 2);
    pg_do(owner_url(), "alter table store_test.later drop column more");
}

/* ---- savepoints ---- */

static void savepoint_saves_the_rest(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);

    assert_ok(tx_begin(store, TX_WRITE, &alice, in_ms(2000), &tx, &err), err);
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

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(2000), &tx, &err), err);
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

    assert_ok(tx_begin(store, TX_WRITE, NULL, in_ms(2000), &tx, &err), err);
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

/* ---- store_run ---- */

struct attempts {
    int n;
    const char *sql;
};

static bool count_and_try(struct tx *tx, void *arg, struct err *err) {
    struct attempts *attempts = arg;

    attempts->n++;
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    tx_query(tx, attempts->sql, NULL, 0);
    return tx_flush(tx, err);
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
        struct attempts attempts = {.sql = cases[i].sql};
        pg_do(owner_url(), "truncate store_test.thing; alter sequence store_test.tries restart");
        bool ok = store_run(store, NULL, in_ms(3000), count_and_try, NULL, &attempts, &err);
        assert_int_equal(ok, cases[i].ok);
        assert_int_equal(attempts.n, cases[i].attempts);
        assert_int_equal(err.problem != PROBLEM_NONE, !ok);
        assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), ok ? 1 : 0);
    }
}

static bool refuse_after_writing(struct tx *tx, void *arg, struct err *err) {
    (void)arg;
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    return tx_flush(tx, err) && err_set(err, PROBLEM_FORBIDDEN, "No.");
}

static void early_end_rolls_back(void **state) {
    (void)state;
    ONE(store);
    ERR(err);

    assert_false(store_run(store, NULL, in_ms(2000), refuse_after_writing, NULL, NULL, &err));
    assert_problem(err, PROBLEM_FORBIDDEN);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup(name, empty_tables)
    const struct CMUnitTest tests[] = {
        T(values_come_back),
        T(parameters_are_copied),
        T(nul_is_refused),
        T(many_parameters),
        T(large_both_ways),
        T(much_behind_a_slow_one),
        T(thousands_of_statements),
        T(commit_keeps_and_end_rolls_back),
        T(queued_is_not_done),
        T(empty_transaction),
        T(read_is_one_transaction_each_flush),
        T(context_is_gone_afterwards),
        T(errors_leave_the_connection_usable),
        T(error_fields_reach_the_client),
        T(nothing_behind_an_error_is_done),
        T(late_before_it_begins),
        T(statements_are_prepared_once),
        T(skipped_prepare_is_not_remembered),
        T(names_are_bounded),
        T(works_without_prepared_statements),
        T(changed_table_is_survived),
        T(savepoint_saves_the_rest),
        T(no_savepoint_no_way_back),
        T(old_savepoint_holds),
        T(repeats_what_others_caused),
        T(early_end_rolls_back),
    };

    return cmocka_run_group_tests(tests, make_tables, drop_tables);
}
