/* Prepares the database for each test of the workers, makes endpoints, events and deliveries
 * there, and starts workers in this process and in others. */
#include "worker_fixture.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/id.h"
#include "core/log.h"
#include "core/start.h"
#include "domain/access.h"
#include "remote/post.h"
#include "store/migrate.h"

struct store *db;
struct keyring keys;
static struct config config;
static struct cache *cache;
static bool config_is_read;

static const char master[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/* What each test begins with. */
static const char *const presets[][2] = {
    {"KAMD_MASTER_KEY", master},
    {"KAMD_WEBHOOK_ALLOW_HTTP", "true"},
    {"KAMD_WEBHOOK_ALLOWED_CIDRS", "127.0.0.0/8"},
    {"KAMD_WEBHOOK_PORTS", "any"},
    {"KAMD_WEBHOOK_RETRY_MS", "50,50,50,50"},
    {"KAMD_WEBHOOK_CONNECT_MS", "1000"},
    {"KAMD_WEBHOOK_TOTAL_MS", "2000"},
    {"KAMD_WEBHOOK_IN_FLIGHT", "256"},
    {"KAMD_WEBHOOK_ENDPOINT_IN_FLIGHT", "4"},
    {"KAMD_POLL_MS", "20"},
    {"KAMD_FAULT", ""},
};

void setting(const char *name, const char *value) { setenv(name, value, 1); }

static const char *get_setting(const char *name) { return getenv(name); }

static void read_config(void) {
    ERR(err);

    if (config_is_read)
        config_release(&config);
    config_is_read = true;
    assert_ok(config_read(get_setting, &config, &err), err);
    assert_ok(keyring_init(&keys, str_of(master), &err), err);
}

static const char *worker_url(void) {
    const char *url = getenv("DATABASE_WORKER_URL");

    return url != NULL && url[0] != '\0' ? url : getenv("DATABASE_URL");
}

static struct store *open_store(int size) {
    struct store_options options = store_fixture_options(worker_url());

    options.size = size;
    return store_fixture_open(&options);
}

int worker_group_start(void **state) {
    struct cache_options none = {.url = "", .keyring = &keys};
    ERR(err);
    struct migrated done;

    (void)state;
    if (getenv("DATABASE_URL") == NULL || getenv("DATABASE_MIGRATE_URL") == NULL)
        return 0;
    if (!core_start() || !post_start() || !worker_metrics())
        return -1;
    log_set_level(LOG_ERROR);
    if (!migrate(getenv("DATABASE_MIGRATE_URL"), &done, &err)) {
        print_error("migrate: %s [%s]\n", err.detail, err.cause);
        return -1;
    }
    db = open_store(4);
    return cache_open(&none, &cache, &err) ? 0 : -1;
}

int worker_group_stop(void **state) {
    (void)state;
    if (db != NULL)
        store_close(db);
    if (cache != NULL)
        cache_close(cache);
    if (config_is_read)
        config_release(&config);
    return 0;
}

int worker_test_start(void **state) {
    (void)state;
    if (db == NULL)
        return 0;
    for (size_t i = 0; i < COUNT_OF(presets); i++)
        setting(presets[i][0], presets[i][1]);
    read_config();
    pg_do(owner_url(), "truncate webhook_retry, webhook_attempt, webhook_delivery,"
                       " webhook_endpoint_state, webhook_secret, webhook_endpoint, worker cascade");
    return 0;
}

struct running {
    struct worker *worker;
    struct store *store;
};
static struct running running[8];

static struct worker *start_worker(struct store *store) {
    ERR(err);
    struct worker *worker = NULL;
    const struct worker_options options = {.store = store,
                                           .cache = cache,
                                           .config = &config,
                                           .keyring = &keys,
                                           .randomness = &randomness_system};

    assert_ok(worker_start(&options, &worker, &err), err);
    return worker;
}

struct worker *worker_open(void) {
    bool first = true;

    if (db == NULL)
        skip();
    for (size_t i = 0; i < COUNT_OF(running); i++)
        first &= running[i].worker == NULL;
    if (first)
        read_config();
    for (size_t i = 0; i < COUNT_OF(running); i++) {
        if (running[i].worker != NULL)
            continue;
        running[i].store = open_store(4);
        running[i].worker = start_worker(running[i].store);
        return running[i].worker;
    }
    fail_msg("too many workers");
    return NULL;
}

void worker_close(struct worker *worker) {
    for (size_t i = 0; i < COUNT_OF(running); i++)
        if (worker != NULL && running[i].worker == worker) {
            worker_stop(running[i].worker);
            store_close(running[i].store);
            running[i] = (struct running){0};
        }
}

static struct sink *sinks[8];

struct sink *sink_open(int (*answer)(const struct sink_request *request)) {
    if (db == NULL)
        skip();
    for (size_t i = 0; i < COUNT_OF(sinks); i++) {
        if (sinks[i] != NULL)
            continue;
        sinks[i] = malloc(sizeof(*sinks[i]));
        sink_start(sinks[i], answer);
        return sinks[i];
    }
    fail_msg("too many sinks");
    return NULL;
}

static pid_t spawned; /* the last one */

/* Of a test that failed half-way it would take what is the next one's. */
static void spawned_stop(void) {
    if (spawned > 0 && waitpid(spawned, NULL, WNOHANG) == 0) {
        kill(spawned, SIGKILL);
        waitpid(spawned, NULL, 0);
    }
    spawned = 0;
}

int worker_test_stop(void **state) {
    (void)state;
    spawned_stop();
    for (size_t i = 0; i < COUNT_OF(running); i++)
        worker_close(running[i].worker);
    for (size_t i = 0; i < COUNT_OF(sinks); i++) {
        if (sinks[i] != NULL)
            sink_stop(sinks[i]);
        free(sinks[i]);
        sinks[i] = NULL;
    }
    return 0;
}

pid_t worker_spawn(const char *fault) {
    char program[] = "/proc/self/exe";
    char option[] = "--worker";
    char *const args[] = {program, option, NULL};

    setting("KAMD_FAULT", fault);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(program, args);
        _exit(127);
    }
    setting("KAMD_FAULT", "");
    spawned = pid;
    return pid;
}

void worker_main(int argc, char **argv) {
    if (argc != 2 || strcmp(argv[1], "--worker") != 0)
        return;
    if (worker_group_start(NULL) != 0)
        _exit(3);
    read_config();
    start_worker(db);
    for (;;)
        pause(); /* until it is killed */
}

/* ---- SQL
 * ----------------------------------------------------------------------------------------- */

static const struct tx_context everything = {
    .scope = STR("all"),
    .reach = REACH_EVERYTHING,
    .actor = STR("test"),
    .origin = STR("test"),
    .traceparent = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")};

static void run_text(const char *sql, char *ret, size_t room) {
    ERR(err);
    TX(tx);

    assert_ok((tx = tx_begin(db, TX_WRITE, &everything, in_ms(20000), &err)), err);
    size_t slot = tx_query_once(tx, sql, NULL, 0);
    assert_ok(tx_commit(tx, &err), err);
    struct str value = tx_rows(tx, slot) > 0 ? tx_value(tx, slot, 0, 0) : STR_ABSENT;
    if (room > 0)
        snprintf(ret, room, "%.*s", (int)value.len, value.ptr == NULL ? "" : value.ptr);
}

#define FORMAT(sql, format)                                                                        \
    char sql[8192];                                                                                \
    va_list args;                                                                                  \
    va_start(args, format);                                                                        \
    vsnprintf(sql, sizeof(sql), format, args);                                                     \
    va_end(args)

void run_sql(char *ret, size_t room, const char *format, ...) {
    FORMAT(sql, format);
    run_text(sql, ret, room);
}

void do_sql(const char *format, ...) {
    FORMAT(sql, format);
    run_text(sql, NULL, 0);
}

int64_t int_sql(const char *format, ...) {
    char text[40];
    int64_t value = 0;
    FORMAT(sql, format);
    run_text(sql, text, sizeof(text));
    assert_true(str_to_i64(str_of(text), &value));
    return value;
}

bool sql_becomes(const char *want, int ms, const char *format, ...) {
    char text[1000] = "";
    int64_t start = now_us();
    FORMAT(sql, format);

    while (now_us() - start < patient_us(ms)) {
        run_text(sql, text, sizeof(text));
        if (strcmp(text, want) == 0)
            return true;
        sleep_ms(10);
    }
    print_error("%s\n  is \"%s\" after %d ms, not \"%s\"\n", sql, text, ms, want);
    return false;
}

/* ---- what tests need
 * ------------------------------------------------------------------------------ */

static void new_id(char ret[static UUID_TEXT]) {
    struct uuid id = uuid_v7(&clock_system, &randomness_system);
    uuid_text(&id, ret);
}

void secret_make(const char *endpoint_id, unsigned char ret[static 32]) {
    char id[UUID_TEXT];
    char context[64];
    CLEANUP(buf_release) struct buf sealed = {.max = 1000};
    CLEANUP(buf_release) struct buf hex = {.max = 1000};

    new_id(id);
    random_fill(&randomness_system, ret, 32);
    snprintf(context, sizeof(context), "webhook_secret|%s", id);
    crypto_seal(keys.keys[CRYPTO_SECRETS], str_of(context), (struct str){(char *)ret, 32}, &sealed);
    buf_hex(&hex, sealed.ptr, sealed.len);
    char sql[600];
    snprintf(sql, sizeof(sql),
             "insert into webhook_secret (id, endpoint_id, sealed) values ('%s', '%s', '\\x%s')",
             id, endpoint_id, hex.ptr);
    pg_do(owner_url(), sql);
}

void endpoint_make(const struct sink *sink, const char *path, const char *ordering,
                   const char *event_types, char ret_id[static UUID_TEXT]) {
    unsigned char secret[32];

    new_id(ret_id);
    do_sql("insert into webhook_endpoint (id, url, ordering, event_types) values ('%s', "
           "'http://127.0.0.1:%d%s', '%s', '%s')",
           ret_id, sink->port, path, ordering, event_types);
    secret_make(ret_id, secret);
}

void account_make(char ret_id[static UUID_TEXT]) {
    new_id(ret_id);
    do_sql("insert into account (id, name) values ('%s', 'Account %s')", ret_id, ret_id);
}

void account_change(const char *id) {
    do_sql("update account set industry = clock_timestamp()::text, version = version + 1, "
           "updated_at = now() where id = '%s'",
           id);
}

void event_ids(const char *account_id, const char *type, char *ret, size_t room) {
    run_sql(ret, room,
            "select string_agg(id::text, ',' order by seq) from event where account_id = '%s' and "
            "type like '%s'",
            account_id, type);
}
