/* Settings: their defaults, which source wins, and that every bad value is reported at once. */
#include "unit.h"

#include "core/config.h"

#include "settings_file.h"

#include <stdlib.h>
#include <unistd.h>

/* A made-up environment: NAME=value texts, ended by NULL. */
static const char *environment[16];

static const char *fake_getenv(const char *name) {
    for (const char **at = environment; *at != NULL; at++) {
        struct str rest = str_of(*at);
        struct str head;
        str_split(&rest, '=', &head);
        if (str_is(head, name))
            return rest.ptr;
    }
    return NULL;
}

static void set_environment(const char *const *texts) {
    size_t n = 0;
    for (; texts != NULL && texts[n] != NULL; n++)
        environment[n] = texts[n];
    environment[n] = NULL;
}
#define ENVIRONMENT(...) set_environment((const char *const[]){__VA_ARGS__, NULL})

static char paths[4][40];

/* A temporary file with this content; `slot` is where its path is kept. */
static const char *file_with(size_t slot, const void *bytes, size_t len) {
    snprintf(paths[slot], sizeof(paths[slot]), "/tmp/kamd-config-XXXXXX");
    int fd = mkstemp(paths[slot]);
    assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
    return paths[slot];
}

static int forget_files(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        if (paths[i][0] != '\0')
            unlink(paths[i]);
    memset(paths, 0, sizeof(paths));
    return 0;
}

static void defaults(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct config config CLEANUP(config_release) = {.arena = NULL};
    set_environment(NULL);
    assert_true(config_read(fake_getenv, &config, &err));
    assert_int_equal(config.port, 8080);
    assert_string_equal(config.host, "127.0.0.1");
    assert_true(config.cache_lease && config.worker);
    assert_false(config.webhook_allow_http);
    assert_string_equal(config.database_url, "");
    assert_string_equal(config.database_worker_url, "");
}

static void sources(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct config config CLEANUP(config_release) = {.arena = NULL};
    char file[64], secret[64], url[96];
    static const char text[] =
        "# settings\n\n KAMD_PORT = 1000 \r\nKAMD_HOST=::1\n"
        "KAMD_POLL_MS=50\nDATABASE_URL=postgres://u:p=w@h/db # not a comment";
    snprintf(file, sizeof(file), "KAMD_CONFIG_FILE=%s", file_with(0, text, sizeof(text) - 1));
    snprintf(secret, sizeof(secret), "KAMD_MASTER_KEY_FILE=%s", file_with(1, "abc \n\n", 6));
    snprintf(url, sizeof(url), "DATABASE_WORKER_URL_FILE=%s", file_with(2, "worker\r\n", 8));
    ENVIRONMENT(file, secret, url, "KAMD_PORT=2000", "KAMD_WORKER=0", "KAMD_MASTER_KEY=loses",
                "KAMD_LOG_LEVEL=debug", "KAMD_DRAIN_MS=0");
    bool ok = config_read(fake_getenv, &config, &err);
    for (size_t i = 0; i < err.n_items; i++)
        print_error("%s\n", err.items[i].detail);
    assert_true(ok);
    assert_int_equal(config.port, 2000);
    assert_string_equal(config.host, "::1");
    assert_int_equal(config.poll_ms, 50);
    assert_int_equal(config.drain_ms, 0);
    assert_false(config.worker);
    assert_string_equal(config.master_key, "abc \n"); /* only the last newline goes */
    assert_string_equal(config.database_url, "postgres://u:p=w@h/db # not a comment");
    assert_string_equal(config.database_worker_url, "worker");
    assert_string_equal(config.database_migrate_url, config.database_url);
}

static void file_in_file(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct config config CLEANUP(config_release) = {.arena = NULL};
    char text[128], file[64];
    int len = snprintf(text, sizeof(text), "REDIS_URL_FILE=%s\n", file_with(0, "redis://h:1", 11));
    snprintf(file, sizeof(file), "KAMD_CONFIG_FILE=%s", file_with(1, text, (size_t)len));
    ENVIRONMENT(file);
    assert_true(config_read(fake_getenv, &config, &err));
    assert_string_equal(config.redis_url, "redis://h:1");
}

static bool names(const struct err *err, const char *where) {
    for (size_t i = 0; i < err->n_items; i++)
        if (strcmp(err->items[i].where, where) == 0)
            return true;
    return false;
}

static void every_bad_value_at_once(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct config config = {.port = 7};
    char file[64], secret[64];
    static const char text[] = "KAMD_PROT=1\nnonsense\nKAMD_HOST=\xFF\nKAMD_POLL_MS=9\n";
    snprintf(file, sizeof(file), "KAMD_CONFIG_FILE=%s", file_with(0, text, sizeof(text) - 1));
    snprintf(secret, sizeof(secret), "KAMD_MASTER_KEY_FILE=%s", file_with(1, "a\0b", 3));
    ENVIRONMENT(file, secret, "KAMD_PORT=65536", "KAMD_DB_POOL=0", "KAMD_REQUEST_MS=1e3",
                "KAMD_CACHE_MS=", "KAMD_WORKER=yes", "KAMD_LOG_LEVEL=loud", "REDIS_URL=a\xFF",
                "DATABASE_URL_FILE=/nonexistent/kamd");
    assert_false(config_read(fake_getenv, &config, &err));
    assert_int_equal(config.port, 7); /* untouched */
    assert_int_equal(err.problem, PROBLEM_VALIDATION);
    static const char *const want[] = {"KAMD_CONFIG_FILE", "KAMD_MASTER_KEY", "KAMD_PORT",
                                       "KAMD_DB_POOL",     "KAMD_REQUEST_MS", "KAMD_CACHE_MS",
                                       "KAMD_WORKER",      "KAMD_LOG_LEVEL",  "REDIS_URL",
                                       "DATABASE_URL",     "KAMD_POLL_MS"};
    for (size_t i = 0; i < COUNT_OF(want); i++)
        assert_case(names(&err, want[i]), want[i]);
    assert_int_equal(err.n_items, COUNT_OF(want) + 2); /* three lines of the file */
    assert_string_equal(err.items[0].detail, "Line 1 of the settings file is not NAME=value with a "
                                             "name from the table.");
    assert_true(strstr(err.items[2].detail, "Line 3") == err.items[2].detail);
}

static void missing_file(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct config config = {.arena = NULL};
    ENVIRONMENT("KAMD_CONFIG_FILE=/nonexistent/kamd");
    assert_false(config_read(fake_getenv, &config, &err));
    assert_string_equal(err.items[0].where, "KAMD_CONFIG_FILE");
    char *large = calloc(1, 300000);
    char file[64];
    memset(large, '\n', 300000);
    snprintf(file, sizeof(file), "KAMD_CONFIG_FILE=%s", file_with(0, large, 300000));
    free(large);
    ENVIRONMENT(file);
    assert_false(config_read(fake_getenv, &config, &err));
    ENVIRONMENT("KAMD_CONFIG_FILE=/tmp"); /* a folder */
    assert_false(config_read(fake_getenv, &config, &err));
}

/* What `--print-defaults` prints can be used as KAMD_CONFIG_FILE, and changes nothing. */
static void printed_defaults(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct config config CLEANUP(config_release) = {.arena = NULL};
    struct buf buf CLEANUP(buf_release) = {0};
    char file[64];
    buf_init(&buf, 65536);
    config_print_defaults(&buf);
    assert_true(buf_ok(&buf));
    assert_non_null(
        strstr(buf.ptr, "# Port of the API; 0: any free one. (0 to 65535)\nKAMD_PORT=8080\n"));
    assert_non_null(strstr(buf.ptr, "\nKAMD_MASTER_KEY=\n"));
    snprintf(file, sizeof(file), "KAMD_CONFIG_FILE=%s", file_with(0, buf.ptr, buf.len));
    ENVIRONMENT(file);
    assert_true(config_read(fake_getenv, &config, &err));
    assert_int_equal(config.http_connections, 4096);
}

static void unknown(void **state) {
    (void)state;
    char *entries[] = {"KAMD_API_KEY=x",    "KAMD_URL=x",   "KAMD_ADMIN_URL=x", "PATH=/bin",
                       "KAMD_PORT=1",       "KAMD_PORTS=1", "KAMD_PORT_FILE=x", "KAMD_CONFIG_FILE=",
                       "KAMD_PORT_FILES=1", "KAMD_=",       "KAMDX=1",          NULL};
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 1000);
    config_unknown(entries, &buf);
    assert_text(buf_str(&buf), "KAMD_PORTS,KAMD_PORT_FILES,KAMD_");
}

static void origins(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool fine;
    } cases[] = {
        {"KAMD_TRUSTED_PROXIES=", true},
        {"KAMD_TRUSTED_PROXIES=10.0.0.0/8, fd00::/8,192.0.2.1", true},
        {"KAMD_TRUSTED_PROXIES=10.0.0.0/33", false},
        {"KAMD_TRUSTED_PROXIES=ingress.example.com", false},
        {"KAMD_TRUSTED_PROXIES=10.0.0.0/8 192.0.2.1", false},
        {"KAMD_CORS_ORIGINS=", true},
        {"KAMD_CORS_ORIGINS=https://app.example.com, http://127.0.0.1:3000,http://[::1]:80", true},
        {"KAMD_CORS_ORIGINS=*", false},
        {"KAMD_CORS_ORIGINS=null", false},
        {"KAMD_CORS_ORIGINS=https://", false},
        {"KAMD_CORS_ORIGINS=https://app.example.com/", false},
        {"KAMD_CORS_ORIGINS=https://App.example.com", false},
        {"KAMD_CORS_ORIGINS=https://*.example.com", false},
        {"KAMD_CORS_ORIGINS=https://a.example.com,,https://b.example.com", false},
        {"KAMD_CORS_ORIGINS=ftp://a.example.com", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        struct config config CLEANUP(config_release) = {.arena = NULL};
        ENVIRONMENT(cases[i].text);
        assert_case(config_read(fake_getenv, &config, &err) == cases[i].fine, cases[i].text);
    }
}

static void lines(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum settings_step step;
        const char *name, *value;
    } cases[] = {
        {"", SETTINGS_END, NULL, NULL},           {"\n # x\n\r\n\t\n", SETTINGS_END, NULL, NULL},
        {"A=b", SETTINGS_LINE, "A", "b"},         {"\n A_1 = b c \n", SETTINGS_LINE, "A_1", "b c"},
        {"A=", SETTINGS_LINE, "A", ""},           {"A==", SETTINGS_LINE, "A", "="},
        {"A=\"b\"", SETTINGS_LINE, "A", "\"b\""}, {"A", SETTINGS_BAD, NULL, NULL},
        {"=b", SETTINGS_BAD, NULL, NULL},         {"a=b", SETTINGS_BAD, NULL, NULL},
        {"export A=b", SETTINGS_BAD, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str rest = str_of(cases[i].text);
        struct settings_line line = {.number = 0};
        assert_case(settings_next(&rest, &line) == cases[i].step, cases[i].text);
        if (cases[i].step != SETTINGS_LINE)
            continue;
        assert_text(line.name, cases[i].name);
        assert_text(line.value, cases[i].value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test_teardown(sources, forget_files),
        cmocka_unit_test_teardown(file_in_file, forget_files),
        cmocka_unit_test_teardown(every_bad_value_at_once, forget_files),
        cmocka_unit_test_teardown(missing_file, forget_files),
        cmocka_unit_test_teardown(printed_defaults, forget_files),
        cmocka_unit_test(unknown),
        cmocka_unit_test(origins),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
