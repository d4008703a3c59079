/* What is read by id is planned once for a connection: to plan it takes seven times as long as to
 * execute it. */
#include "store_fixture.h"

#include "domain/access.h"
#include "store/record.h"

/* PostgreSQL makes a plan for the values at hand five times before it looks for a general one. */
#define TIMES 8

static void read_often(struct store *store, const char *sql) {
    const struct tx_context context = {.scope = STR("all"), .reach = AREAS_ALL};
    const struct str ids = STR("{01970000-0000-7000-8000-000000000001}");

    for (int i = 0; i < TIMES; i++) {
        TX(tx);
        ERR(err);
        assert_ok((tx = tx_begin(store, TX_READ, &context, in_ms(10000), &err)), err);
        /* As with many accounts: this database has next to none. */
        tx_query(tx, "select set_config('enable_seqscan', 'off', true)", NULL, 0);
        tx_query(tx, sql, &ids, 1);
        assert_ok(tx_flush(tx, &err), err);
    }
}

static void records_are_planned_once(void **state) {
    (void)state;
    struct store_options options = store_fixture_options(app_url());
    ERR(err);

    options.size = 1;
    STORE(store, &options);
    assert_ok(record_sql_init(&err), err);
    for (int narrow = 0; narrow < 2; narrow++) {
        read_often(store, record_sql(RES_ACCOUNT, narrow != 0)->get);
        read_often(store, record_sql(RES_ACCOUNT, narrow != 0)->get_any);
        read_often(store, record_sql(RES_CONTACT, narrow != 0)->get);
    }
    assert_int_equal(ask_int(store, "select count(*) from pg_prepared_statements where statement "
                                    "like 'select t.id%' and generic_plans > 0"),
                     6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(records_are_planned_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
