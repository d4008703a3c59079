/* What the tests of transactions share: tables of their own in the test's database, pools of one
 * connection, a caller and what the database must know of her. */
#ifndef KAMD_TESTS_INTEGRATION_STORE_TABLES_H
#define KAMD_TESTS_INTEGRATION_STORE_TABLES_H

#include "store_fixture.h"

/* Group setup and teardown: the schema store_test, with tables thing and later, and functions that
 * fail. Test setup: they are empty. */
int make_tables(void **state);
int drop_tables(void **state);
int empty_tables(void **state);
#define table_test(name) cmocka_unit_test_setup(name, empty_tables)

struct store *open_one(void);
#define ONE(name) CLEANUP(store_fixture_close) struct store *name = open_one()
int64_t backend(struct store *store);

extern const struct tx_context alice;
/* Reads what a transaction has told the database of its caller; what that is for her. */
extern const char sql_settings[];
extern const char settings_of_alice[];

#endif
