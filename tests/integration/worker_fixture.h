/* What the tests of the workers share: a migrated database, endpoints with secrets, workers in this
 * process and in others. */
#ifndef KAMD_TESTS_INTEGRATION_WORKER_FIXTURE_H
#define KAMD_TESTS_INTEGRATION_WORKER_FIXTURE_H

#include "store_fixture.h"

#include "core/id.h"
#include "redis_server.h"
#include "worker/worker.h"
#include "worker_sink.h"

extern struct store *db; /* as the workers' role */
extern struct keyring keys;

/* Group setup: skips (no `db`) without a database. Test setup: no endpoints, quick settings. */
int worker_group_start(void **state);
int worker_group_stop(void **state);
int worker_test_start(void **state);
/* Test teardown: ends the workers, then the sinks, also of a test that failed half-way. */
int worker_test_stop(void **state);
#define worker_test(name) cmocka_unit_test_setup_teardown(name, worker_test_start, worker_test_stop)

/* A receiver until the end of the test. Skips without a database. */
struct sink *sink_open(int (*answer)(const struct sink_request *request));

/* A setting for workers started from now on, until the next test. */
void setting(const char *name, const char *value);

/* A worker in this process, until worker_close() or the end of the test. */
struct worker *worker_open(void);
void worker_close(struct worker *worker);
/* The same in a process of its own (this program again). */
pid_t worker_spawn(const char *fault);
/* main() of a test program with workers: runs the worker when it was spawned for that, never
 * returns then. */
void worker_main(int argc, char **argv);

/* Makes an endpoint at the sink with one secret; `fields` are further columns and values, as
 * "ordering = account". */
void endpoint_make(const struct sink *sink, const char *path, const char *ordering,
                   const char *event_types, char ret_id[static UUID_TEXT]);
/* A further live secret; its bytes. */
void secret_make(const char *endpoint_id, unsigned char ret[static 32]);

/* One statement as the workers' role in scope 'all'; the first value, "" when there is none. */
void run_sql(char *ret, size_t room, const char *format, ...) PRINTF_LIKE(3, 4);
void do_sql(const char *format, ...) PRINTF_LIKE(1, 2);
int64_t int_sql(const char *format, ...) PRINTF_LIKE(1, 2);
/* Waits until the statement gives this text. */
bool sql_becomes(const char *want, int ms, const char *format, ...) PRINTF_LIKE(3, 4);

void account_make(char ret_id[static UUID_TEXT]);
void account_change(const char *id);
/* The ids of all events of an account, oldest first, comma-separated. */
void event_ids(const char *account_id, const char *type, char *ret, size_t room);

#endif
