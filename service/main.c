/* kamd: reads the configuration, wires the parts, starts them, and stops them in reverse. */
#include "api/api.h"
#include "app/directory.h"
#include "app/erasures.h"
#include "app/issuer.h"
#include "app/keys.h"
#include "app/readiness.h"
#include "app/reload.h"
#include "app/rotate_secrets.h"
#include "cache/cache.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/start.h"
#include "core/trace.h"
#include "remote/otlp.h"
#include "remote/post.h"
#include "store/migrate.h"
#include "store/record.h"
#include "store/store.h"
#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef KAMD_VERSION
#define KAMD_VERSION "0.1.0"
#endif

extern char **environ;

struct process {
    struct config config;
    struct keyring keyring;
    struct store *store, *worker_store;
    struct cache *cache;
    struct app app;
    struct readiness *readiness;
    struct reload *reload;
    struct worker *worker;
    struct api *api;
    struct otlp *otlp;
};

enum { CELL_API, CELL_WORKER };

static const char *read_environment(const char *name) { return getenv(name); }

static int fail(const char *what, struct err *err) {
    log_err(LOG_ERROR, what, err);
    for (size_t i = 0; i < err->n_items; i++)
        LOG(LOG_ERROR, what, LOG_S("setting", err->items[i].where),
            LOG_S("detail", err->items[i].detail));
    err_release(err);
    return 1;
}

/* ---- parts ---- */

static bool open_store_for(const struct config *config, bool worker, int connect_ms,
                           struct store **ret, struct err *err) {
    struct store_options options = {
        .url = worker ? config->database_worker_url : config->database_url,
        .name = worker ? "worker" : "api",
        .metrics_cell = worker ? CELL_WORKER : CELL_API,
        .size = worker ? config->db_worker_pool : config->db_pool,
        .max_waiters = config->db_waiters,
        .acquire_ms = config->db_acquire_ms,
        .connect_ms = connect_ms,
        .prepared = config->db_prepared,
        .max_age_s = config->db_max_age_seconds,
    };
    return store_open(&options, ret, err);
}

static bool open_store(const struct config *config, bool worker, struct store **ret,
                       struct err *err) {
    return open_store_for(config, worker, 0, ret, err);
}

#define CONSOLE_MS 10000 /* there is no hurry, and nobody else who waits */
static bool open_console_store(struct process *process, bool worker, struct err *err) {
    process->config.db_acquire_ms = CONSOLE_MS;
    return open_store_for(&process->config, worker, CONSOLE_MS,
                          worker ? &process->worker_store : &process->store, err);
}

static bool open_cache(struct process *process, struct err *err) {
    const struct config *config = &process->config;
    struct cache_options options = {
        .url = config->redis_url,
        .keyring = &process->keyring,
        .value_ms = config->cache_ms,
        .timeout_ms = config->redis_ms,
        .lease = config->cache_lease,
    };
    return cache_open(&options, &process->cache, err);
}

static struct otlp_options otlp_options(const struct config *config) {
    return (struct otlp_options){
        .endpoint = config->otlp_endpoint ? config->otlp_endpoint : "",
        .headers = config->otlp_headers ? config->otlp_headers : "",
        .ca_file = config->otlp_ca_file,
        .version = KAMD_VERSION,
        .per_mille = config->otlp_sample,
    };
}

static bool start_metrics(void) {
    static const char *const pools[] = {"pool=\"api\"", "pool=\"worker\""};
    return metrics_labels(LABELS_POOL, pools, COUNT_OF(pools)) && trace_metrics() &&
           api_metrics() && worker_metrics();
}

/* How long a start waits for the database. Without the seeds the keys follow from the master key,
 * as they do now, until the next start. */
#define SEEDS_MS 1000
static void keep_seeds(struct process *process) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    if (!secrets_keep_seeds(process->worker_store, &process->keyring, deadline_in_ms(SEEDS_MS),
                            &err))
        log_err(LOG_WARN, "seeds_not_kept", &err);
}

static bool watch_readiness(struct process *process, bool with_api, struct err *err) {
    const struct readiness_options options = {.store = with_api ? process->store : NULL,
                                              .worker_store = process->worker_store,
                                              .version = KAMD_VERSION,
                                              .ask_ms = process->config.request_ms / 2};
    return readiness_start(&options, &process->readiness, err);
}

static bool start_parts(struct process *process, bool with_api, bool with_worker, struct err *err) {
    struct config *config = &process->config;
    if (!keyring_init(&process->keyring, str_of(config->master_key), err) || !record_sql_init(err))
        return false;
    if (!start_metrics() || !post_start())
        return err_set(err, PROBLEM_INTERNAL, "A part could not be initialised.");
    const struct otlp_options otlp = otlp_options(config);
    if (!otlp_start(&otlp, &process->otlp, err) ||
        !open_store(config, false, &process->store, err) || !open_cache(process, err))
        return false;
    process->app = (struct app){
        .config = config,
        .keyring = &process->keyring,
        .clock = &clock_system,
        .randomness = &randomness_system,
        .store = process->store,
        .cache = process->cache,
        .version = KAMD_VERSION,
    };
    if (!directory_start(&process->app, &process->app.directory, err) ||
        (with_worker && !open_store(config, true, &process->worker_store, err)) ||
        !watch_readiness(process, with_api, err))
        return false;
    if (!with_worker)
        return true;
    struct worker_options options = {.store = process->worker_store,
                                     .cache = process->cache,
                                     .config = config,
                                     .keyring = &process->keyring,
                                     .randomness = &randomness_system};
    keep_seeds(process);
    return worker_start(&options, &process->worker, err);
}

static void stop_parts(struct process *process) {
    reload_stop(process->reload);
    api_stop(process->api);
    worker_stop(process->worker);
    readiness_stop(process->readiness);
    issuer_stop(process->app.issuer);
    directory_stop(process->app.directory);
    if (process->worker_store)
        store_close(process->worker_store);
    if (process->cache)
        cache_close(process->cache);
    if (process->store)
        store_close(process->store);
    otlp_stop(process->otlp);
    keyring_wipe(&process->keyring);
}

/* ---- commands ---- */

/* SIGTERM, SIGINT and SIGHUP are waited for, in this thread only. */
static void block_signals(sigset_t *ret) {
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGHUP);
    pthread_sigmask(SIG_BLOCK, ret, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void wait_for_stop(const struct process *process, const sigset_t *signals) {
    int number = 0;
    while (sigwait(signals, &number) != 0 || number == SIGHUP)
        if (number == SIGHUP)
            reload_now(process->reload);
    LOG(LOG_INFO, "stopping", LOG_I("signal", number));
}

static bool watch_settings(struct process *process, struct err *err) {
    struct reload_options options = {.getenv_ = read_environment,
                                     .config = &process->config,
                                     .store = process->store,
                                     .worker_store = process->worker_store};
    return reload_start(&options, &process->reload, err);
}

static int serve(struct process *process, bool api, bool worker) {
    struct err err = ERR_INIT;
    sigset_t signals;
    block_signals(&signals);
    log_start();
    if (!start_parts(process, api, worker, &err) || !watch_settings(process, &err) ||
        (api && !issuer_start(&process->app, &process->app.issuer, &err)) ||
        !api_start(&process->app,
                   &(const struct api_options){api, readiness_ask, process->readiness},
                   &process->api, &err)) {
        stop_parts(process);
        return fail("not_started", &err);
    }
    if (api)
        LOG(LOG_INFO, "listening", LOG_S("host", process->config.host),
            LOG_I("port", api_port(process->api)),
            LOG_I("admin_port", api_admin_port(process->api)), LOG_S("version", KAMD_VERSION));
    else
        LOG(LOG_INFO, "working", LOG_I("admin_port", api_admin_port(process->api)),
            LOG_S("version", KAMD_VERSION));
    wait_for_stop(process, &signals);
    api_drain(process->api);
    if (api)
        usleep((useconds_t)process->config.drain_ms * 1000);
    stop_parts(process);
    LOG(LOG_INFO, "stopped", LOG_S("version", KAMD_VERSION));
    return 0;
}

static int migrate_command(const struct process *process) {
    struct err err = ERR_INIT;
    struct migrated done = {0};
    if (!migrate(process->config.database_migrate_url, &done, &err))
        return fail("not_migrated", &err);
    printf("%d migrations and %d schema files applied, the schema is up to date\n", done.migrations,
           done.files);
    return 0;
}

static void check_url(const char *url, const char *setting, struct err *err) {
    if (url != NULL && url[0] != '\0')
        store_check_url(url, setting, err);
}

/* Everything that `serve`, `worker` or `migrate` would stumble over before they talk to anybody. */
static void check_all(const struct config *config, struct keyring *keyring, struct err *err) {
    struct err why = ERR_INIT;
    struct claims_rules rules;

    if (config->database_url != NULL && config->database_url[0] == '\0')
        err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("DATABASE_URL"), "required",
                "DATABASE_URL is missing.");
    check_url(config->database_url, "DATABASE_URL", err);
    if (config->database_worker_url != config->database_url)
        check_url(config->database_worker_url, "DATABASE_WORKER_URL", err);
    if (config->database_migrate_url != config->database_url)
        check_url(config->database_migrate_url, "DATABASE_MIGRATE_URL", err);
    if (config->redis_url != NULL)
        cache_check_url(config->redis_url, err);
    if (config->webhook_retry_ms != NULL && config->webhook_ports != NULL &&
        config->webhook_allowed_cidrs != NULL)
        worker_check(config, err);
    if (config->master_key != NULL && !keyring_init(keyring, str_of(config->master_key), &why))
        err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("KAMD_MASTER_KEY"), "malformed", "%s",
                why.detail);
    err_release(&why);
    keyring_wipe(keyring);
    const struct otlp_options otlp = otlp_options(config);
    otlp_check(&otlp, err);
    issuer_rules(config, &rules, err);
}

static int config_check(struct process *process) {
    struct err err = ERR_INIT;
    struct buf unknown;

    config_read_partly(read_environment, &process->config, &err);
    check_all(&process->config, &process->keyring, &err);
    buf_init(&unknown, 4096);
    config_unknown(environ, &unknown);
    for (size_t i = 0; i < err.n_items; i++) {
        bool named = str_starts(str_of(err.items[i].detail), err.items[i].where);
        printf("%s%s%s\n", named ? "" : err.items[i].where, named ? "" : ": ", err.items[i].detail);
    }
    if (unknown.len > 0)
        printf("unknown settings, perhaps misspelt: %s\n", unknown.ptr);
    int status = err_is_set(&err) || unknown.len > 0 ? 1 : 0;
    if (status == 0)
        puts("the configuration is fine");
    buf_release(&unknown);
    err_release(&err);
    return status;
}

static int print(void (*write_text)(struct buf *ret)) {
    struct buf text;
    buf_init(&text, (size_t)16 << 20);
    write_text(&text);
    bool fine = buf_ok(&text) && fwrite(text.ptr, 1, text.len, stdout) == text.len;
    buf_release(&text);
    return fine ? 0 : 1;
}

static int usage(void) {
    fputs(
        "kamd " KAMD_VERSION ": key account management\n\n"
        "  kamd serve [--no-worker]     serve the API, and run the workers\n"
        "  kamd worker                  run the workers alone\n"
        "  kamd migrate                 bring the schema up to date\n"
        "  kamd api-key create --role ROLE --name NAME [--user-id ID] [--expires-at TIME]\n"
        "  kamd rotate-secrets          seal secrets in the database anew with the newest master "
        "key\n"
        "  kamd erase-again < IDS       after a restore: erase whom the ledger or the input names\n"
        "  kamd config check            read the configuration and say what is wrong\n"
        "  kamd --print-defaults        all settings with their defaults\n"
        "  kamd --print-api             routes, resources and problems as JSON\n"
        "  kamd --version\n",
        stderr);
    return 2;
}

/* The first key of an installation: there is nobody yet who could make it through the API. */
static int api_key_command(struct process *process, int argc, char **argv) {
    struct err err = ERR_INIT;
    CLEANUP(jv_unref) jv *doc = jv_new_object();
    struct principal who = {
        .id = "00000000-0000-0000-0000-000000000000", .actor = "console", .role = ROLE_ADMIN};
    struct arena arena;
    struct outcome outcome;
    for (int i = 0; i + 1 < argc; i += 2)
        if (strncmp(argv[i], "--", 2) == 0)
            jv_set(doc,
                   strcmp(argv[i], "--user-id") == 0      ? "user_id"
                   : strcmp(argv[i], "--expires-at") == 0 ? "expires_at"
                                                          : argv[i] + 2,
                   jv_new_text(str_of(argv[i + 1])));
    if (argc % 2 != 0)
        return usage();
    if (!open_console_store(process, false, &err))
        return fail("no_key", &err);
    process->app = (struct app){.config = &process->config,
                                .clock = &clock_system,
                                .randomness = &randomness_system,
                                .store = process->store};
    arena_init(&arena, (size_t)1 << 20);
    outcome_init(&outcome);
    struct action action = {.app = &process->app,
                            .who = &who,
                            .arena = &arena,
                            .when = deadline_in_ms(CONSOLE_MS),
                            .origin = STR("console")};
    action.doc = doc;
    bool fine = api_key_create(&action, &outcome, &err);
    CLEANUP(jv_unref) jv *answer = NULL;
    if (fine && json_read(buf_str(&outcome.body), JSON_TOKENS, &answer, &err))
        printf("%.*s\n", STR_ARG(jv_text(jv_get(answer, "key"))));
    outcome_release(&outcome);
    arena_release(&arena);
    stop_parts(process);
    return fine ? 0 : fail("no_key", &err);
}

/* After a new master key has been put before the old one, and before the old one is taken away. */
static int rotate_command(struct process *process) {
    struct err err = ERR_INIT;
    struct secrets_report report = {.sealed = 0};
    bool fine = keyring_init(&process->keyring, str_of(process->config.master_key), &err) &&
                open_console_store(process, true, &err) &&
                secrets_rotate(process->worker_store, &process->keyring, &report, &err);
    stop_parts(process);
    if (!fine)
        return fail("not_rotated", &err);
    printf("%zu secrets sealed anew, %zu that no key opens\n", report.sealed, report.lost);
    return report.lost > 0;
}

/* One id in each line of the input: whom backups may have brought back. The ledger says the others.
 */
static bool read_ids(struct arena *arena, struct str *ret, size_t room, size_t *ret_n,
                     struct err *err) {
    char line[256];
    *ret_n = 0;
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        struct str id = str_trim(str_of(line));
        if (id.len == 0)
            continue;
        if (!uuid_is(id) || *ret_n == room)
            return err_set(err, PROBLEM_VALIDATION,
                           "The input has one contact's id in each line, at most %zu.", room);
        ret[*ret_n] = arena_str(arena, id);
        if (!ret[(*ret_n)++].ptr)
            return err_memory(err);
    }
    return true;
}

#define IDS_MOST 100000
static int erase_again_command(struct process *process) {
    struct err err = ERR_INIT;
    CLEANUP(arena_release) struct arena arena = {0};
    size_t n = 0, erased = 0;
    arena_init(&arena, (size_t)32 << 20);
    struct str *ids = arena_array(&arena, IDS_MOST, sizeof *ids);
    bool fine = (ids || err_memory(&err)) && read_ids(&arena, ids, IDS_MOST, &n, &err) &&
                open_console_store(process, true, &err) &&
                erase_again(process->worker_store, ids, n, &erased, &err);
    stop_parts(process);
    printf("%zu contacts erased again\n", erased);
    return fine ? 0 : fail("not_erased", &err);
}

static int run(struct process *process, int argc, char **argv) {
    const char *command = argv[1], *second = argc > 2 ? argv[2] : "";
    if (strcmp(command, "serve") == 0)
        return serve(process, true, process->config.worker && strcmp(second, "--no-worker") != 0);
    if (strcmp(command, "worker") == 0)
        return serve(process, false, true);
    if (strcmp(command, "migrate") == 0)
        return migrate_command(process);
    if (strcmp(command, "rotate-secrets") == 0)
        return rotate_command(process);
    if (strcmp(command, "erase-again") == 0)
        return erase_again_command(process);
    if (strcmp(command, "api-key") == 0 && strcmp(second, "create") == 0)
        return api_key_command(process, argc - 3, argv + 3);
    return usage();
}

int main(int argc, char **argv) {
    static struct process process;
    struct err err = ERR_INIT;
    enum log_level level = LOG_INFO;
    if (argc < 2)
        return usage();
    if (!core_start())
        return 1;
    if (strcmp(argv[1], "--version") == 0)
        return puts("kamd " KAMD_VERSION) == EOF;
    if (strcmp(argv[1], "--print-defaults") == 0)
        return print(config_print_defaults);
    if (strcmp(argv[1], "--print-api") == 0)
        return print(api_print);
    if (strcmp(argv[1], "config") == 0 && argc > 2 && strcmp(argv[2], "check") == 0) {
        int status = config_check(&process);
        config_release(&process.config);
        return status;
    }
    if (!config_read(read_environment, &process.config, &err))
        return fail("bad_configuration", &err);
    if (log_level_parse(str_of(process.config.log_level), &level))
        log_set_level(level);
    int status = run(&process, argc, argv);
    log_stop();
    config_release(&process.config);
    return status;
}
