/* Statements against a real server: values and parameters, large ones and many, those that
 * fail, prepared ones. */
#include "store_tables.h"

#include <stdio.h>
#include <string.h>

/* ---- values ---- */

static void values_come_back(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    TX(tx);
    const struct str params[] = {STR("Zürich \xf0\x9f\x92\xa1 'quoted' \\"), STR(""), STR_ABSENT,
                                 STR("-9007199254740993"), STR("t")};

    assert_ok((tx = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
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

    assert_ok((tx = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
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

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(2000), &err)), err);
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
    assert_ok((tx = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
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
    assert_ok((tx = tx_begin(store, TX_READ, NULL, in_ms(30000), &err)), err);
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
    assert_ok((tx = tx_begin(store, TX_READ, NULL, in_ms(30000), &err)), err);
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

    assert_ok((tx = tx_begin(store, TX_WRITE, NULL, in_ms(30000), &err)), err);
    for (int i = 1; i <= 3000; i++) {
        struct str param = {text, (size_t)snprintf(text, sizeof(text), "%d", i)};
        last = tx_query(tx, "insert into store_test.thing(id) values ($1::int)", &param, 1);
    }
    assert_ok(tx_commit(tx, &err), err);
    assert_int_equal(tx_affected(tx, last), 1);
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 3000);
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
        assert_false(ask(store, TX_WRITE, cases[i].sql, in_ms(2000), &err));
        assert_problem(err, cases[i].problem);
        err_release(&err);
        assert_false(ask(store, TX_READ, cases[i].sql, in_ms(2000), &err));
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
                     in_ms(2000), &err));
    assert_int_equal(err.n_items, 1);
    assert_string_equal(err.items[0].where, "/name");
    err_release(&err);
    assert_false(ask(store, TX_WRITE, "select store_test.refuse()", in_ms(2000), &err));
    assert_string_equal(err.detail, "The list is full.");
    assert_string_equal(err.extra, "\"weakest\": []");
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
        assert_ok((tx = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
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

    assert_ok((tx = tx_begin(store, TX_READ, NULL, in_ms(2000), &err)), err);
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
        assert_false(ask(store, TX_READ, "select nonsense", in_ms(2000), NULL));
}

static void names_are_bounded(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    char sql[600][24];

    for (int i = 0; i < 600; i += 100) {
        TX(tx);
        assert_ok((tx = tx_begin(store, TX_READ, NULL, in_ms(10000), &err)), err);
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

    assert_ok((tx = tx_begin(store, TX_WRITE, &alice, in_ms(2000), &err)), err);
    tx_query(tx, "insert into store_test.thing(id) values (1)", NULL, 0);
    tx_savepoint(tx);
    size_t seen = tx_query(tx, sql_settings, NULL, 0);
    assert_ok(tx_commit(tx, &err), err);
    assert_true(str_is(tx_value(tx, seen, 0, 0), settings_of_alice));
    tx_end(&tx);
    assert_int_equal(ask_int(store, "select count(*) from store_test.thing"), 1);
    assert_int_equal(ask_int(store, "select count(*) from pg_prepared_statements"), 0);
}

static bool select_all(struct store *store, deadline when, size_t *ret_columns, struct err *err) {
    TX(tx);
    size_t slot;
    bool done;

    if (!(tx = tx_begin(store, TX_WRITE, NULL, when, err)))
        return false;
    do {
        slot = tx_query(tx, "select * from store_test.later", NULL, 0);
        done = tx_flush(tx, err) && tx_commit(tx, err);
    } while (!done && tx_repeat(tx, err));
    *ret_columns = done ? tx_columns(tx, slot) : 0;
    return done;
}

/* A migration under a running program: the prepared statement's result has another shape now. */
static void changed_table_is_survived(void **state) {
    (void)state;
    ONE(store);
    ERR(err);
    size_t columns = 0;

    assert_ok(select_all(store, in_ms(2000), &columns, &err), err);
    assert_int_equal(columns, 1);
    pg_do(owner_url(), "alter table store_test.later add column more int");
    assert_ok(select_all(store, in_ms(3000), &columns, &err), err);
    assert_int_equal(columns, 2);
    pg_do(owner_url(), "alter table store_test.later drop column more");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        table_test(values_come_back),
        table_test(parameters_are_copied),
        table_test(nul_is_refused),
        table_test(many_parameters),
        table_test(large_both_ways),
        table_test(much_behind_a_slow_one),
        table_test(thousands_of_statements),
        table_test(errors_leave_the_connection_usable),
        table_test(error_fields_reach_the_client),
        table_test(statements_are_prepared_once),
        table_test(skipped_prepare_is_not_remembered),
        table_test(names_are_bounded),
        table_test(works_without_prepared_statements),
        table_test(changed_table_is_survived),
    };

    return cmocka_run_group_tests(tests, make_tables, drop_tables);
}
