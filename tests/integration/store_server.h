/* What the tests of the store's faults share: a PostgreSQL of the program's own, to freeze, to kill
 * and to set up, and pools on it. */
#ifndef KAMD_TESTS_INTEGRATION_STORE_SERVER_H
#define KAMD_TESTS_INTEGRATION_STORE_SERVER_H

#include "store_fixture.h"

extern struct pg_server server;

/* Group setup and teardown: the server, with an empty table thing(id int primary key, n int). */
int start_server(void **state);
int remove_server(void **state);
/* After each test, also a failed one: the next finds a server that runs. */
int thaw(void **state);
#define fault_test(name) cmocka_unit_test_teardown(name, thaw)

/* A pool of this size on the server; the table is empty then. */
struct store *open_sized(int size);
#define SIZED(name, size) CLEANUP(store_fixture_close) struct store *name = open_sized(size)

#define assert_within(start_us, ms) assert_true(now_us() - (start_us) <= ((ms) + LATE_MS) * 1000)
/* Calls are refused at once, and say so, until the server is back. */
void expect_refusals(struct store *store);

#endif
