/* What the tests of the store share: pools on the test's database, short forms of common
 * transactions. */
#ifndef KAMD_TESTS_INTEGRATION_STORE_FIXTURE_H
#define KAMD_TESTS_INTEGRATION_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pg_server.h"
#include "store/store.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LATE_MS 1000 /* how much later than its deadline a call may end */
#else
#define LATE_MS 200
#endif

/* The test's database, as the application's role and as the schema's owner. Skip the test when
 * there is none. */
const char *app_url(void);
const char *owner_url(void);

/* Size 4, 16 waiters, 1 s (more under a sanitizer), prepared statements. */
struct store_options store_fixture_options(const char *url);
struct store *store_fixture_open(const struct store_options *options);
void store_fixture_close(struct store **store);
#define STORE(name, ...)                                                                           \
    CLEANUP(store_fixture_close) struct store *name = store_fixture_open(__VA_ARGS__)
#define ERR(name) CLEANUP(err_release) struct err name = ERR_INIT
#define TX(name) CLEANUP(tx_end) struct tx *name = NULL

/* Shows the error before it fails the test. */
#define assert_ok(condition, err) check_ok((condition), &(err), #condition, __FILE__, __LINE__)
void check_ok(bool ok, const struct err *err, const char *what, const char *file, int line);
#define assert_problem(err, want) check_problem(&(err), (want), __FILE__, __LINE__)
void check_problem(const struct err *err, enum problem want, const char *file, int line);

deadline in_ms(int64_t ms);
int64_t now_us(void);
/* A transaction's only statement, without parameters. Copies the first value. */
bool tx_ask(struct tx *tx, const char *sql, char *ret, size_t room, struct err *err);
/* In a transaction of its own, whatever it answers. */
bool ask(struct store *store, enum tx_mode mode, const char *sql, deadline when, struct err *err);
/* In one where nothing may fail. */
void say(struct store *store, const char *sql, char *ret, size_t room);
int64_t ask_int(struct store *store, const char *sql);
/* Tries until it works; the milliseconds that took, -1 after `ms`. */
int64_t works_within(struct store *store, int ms);

#endif
