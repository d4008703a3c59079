/* Reads the settings from defaults, settings file, environment and NAME_FILE, and checks their
 * values. All errors are collected, so that an operator sees every one at once. */
#include "core/config.h"

#include "core/cidr.h"
#include "core/log.h"

#include "process.h"
#include "settings_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE "KAMD_CONFIG_FILE"
#define CONFIG_MEMORY (4U << 20)
#define FILE_MAX (256U << 10)

enum setting_type { SETTING_TEXT, SETTING_INT, SETTING_BOOL };

struct setting {
    enum setting_type type;
    bool secret;
    const char *name;
    const char *preset;
    int min, max;
    size_t offset;
    const char *help;
};

static const struct setting table[] = {
#define X(field, type_, name_, preset_, min_, max_, secret_, help_)                                \
    {.type = SETTING_##type_,                                                                      \
     .secret = (secret_),                                                                          \
     .name = (name_),                                                                              \
     .preset = (preset_),                                                                          \
     .min = (min_),                                                                                \
     .max = (max_),                                                                                \
     .offset = offsetof(struct config, field),                                                     \
     .help = (help_)},
    SETTINGS(X)
#undef X
};

/* What the sources say so far: a value per row of the table, later sources over earlier ones. */
struct reading {
    const char *(*getenv_)(const char *name);
    struct arena *arena;
    struct str values[COUNT_OF(table)];
    struct err *err;
};

static bool bad(struct err *err, const char *where, const char *code, const char *sentence) {
    return err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER(where), code, "%s %s", where, sentence);
}

/* The row of `name`, or of `name` without "_FILE" (then *ret_file). COUNT_OF(table) when there is
 * none. */
static size_t find(struct str name, bool *ret_file) {
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        size_t len = strlen(table[i].name);
        if (name.len < len || memcmp(name.ptr, table[i].name, len) != 0)
            continue;
        *ret_file = name.len > len;
        if (name.len == len || str_is((struct str){name.ptr + len, name.len - len}, "_FILE"))
            return i;
    }
    return COUNT_OF(table);
}

/* A whole small file; false when it cannot be read or is larger than FILE_MAX. */
static bool read_small(const char *path, struct arena *arena, struct str *ret) {
    char *text = arena_alloc(arena, FILE_MAX + 1);
    int fd = text == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t got = fd < 0 ? -1 : 1;

    while (got > 0 && len <= FILE_MAX) {
        got = read(fd, text + len, FILE_MAX + 1 - len);
        len += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    if (got < 0 || len > FILE_MAX)
        return false;
    *ret = (struct str){text, len};
    return true;
}

/* NAME_FILE: the value is the file's content without its last newline. */
static void take_file(struct reading *in, size_t row, const char *path) {
    struct arena scratch CLEANUP(arena_release) = {.limit = 2 * FILE_MAX};
    struct str text;

    if (!read_small(path, &scratch, &text)) {
        bad(in->err, table[row].name, "unreadable", "names a _FILE that cannot be read.");
        return;
    }
    if (str_ends(text, "\n"))
        text.len--;
    if (str_ends(text, "\r"))
        text.len--;
    if (!str_is_utf8(text))
        bad(in->err, table[row].name, "malformed", "holds NUL or bytes that are not UTF-8.");
    else
        in->values[row] = arena_str(in->arena, text);
}

static bool take_settings_line(struct reading *in, const struct settings_line *line) {
    bool is_file = false;
    size_t row = find(line->name, &is_file);

    if (row == COUNT_OF(table))
        return false;
    if (!is_file) {
        in->values[row] = arena_str(in->arena, line->value);
        return true;
    }
    const char *path = arena_copy(in->arena, line->value);
    if (path != NULL)
        take_file(in, row, path);
    return true;
}

static void take_config_file(struct reading *in) {
    struct arena scratch CLEANUP(arena_release) = {.limit = 2 * FILE_MAX};
    const char *path = in->getenv_(CONFIG_FILE);
    struct settings_line line = {.number = 0};
    struct str rest;
    enum settings_step step;

    if (path == NULL || path[0] == '\0')
        return;
    if (!read_small(path, &scratch, &rest)) {
        bad(in->err, CONFIG_FILE, "unreadable", "names a file that cannot be read.");
        return;
    }
    while ((step = settings_next(&rest, &line)) != SETTINGS_END)
        if (step == SETTINGS_BAD || !take_settings_line(in, &line))
            err_add(in->err, PROBLEM_VALIDATION, ERR_PARAMETER(CONFIG_FILE), "malformed",
                    "Line %zu of the settings file is not NAME=value with a name from the table.",
                    line.number);
}

static void take_environment(struct reading *in, size_t row) {
    char name[80];
    const char *value = in->getenv_(table[row].name);

    if (value != NULL && !str_is_utf8(str_of(value)))
        bad(in->err, table[row].name, "malformed", "holds bytes that are not UTF-8.");
    else if (value != NULL)
        in->values[row] = arena_str(in->arena, str_of(value));
    snprintf(name, sizeof(name), "%s_FILE", table[row].name);
    const char *path = in->getenv_(name);
    if (path != NULL && path[0] != '\0')
        take_file(in, row, path);
}

static bool to_bool(struct str text, bool *ret) {
    *ret = str_is(text, "true") || str_is(text, "1");
    return *ret || str_is(text, "false") || str_is(text, "0");
}

static void convert(struct reading *in, size_t row, char *config) {
    const struct setting *setting = &table[row];
    struct str text = in->values[row];
    void *field = config + setting->offset;
    int64_t number;

    switch (setting->type) {
    case SETTING_TEXT: {
        const char *copy = text.ptr; /* arena_str ends it with NUL, and it holds no other */
        memcpy(field, &copy, sizeof(copy));
        break;
    }
    case SETTING_BOOL:
        if (!to_bool(text, field))
            bad(in->err, setting->name, "wrong_type", "must be true or false.");
        break;
    case SETTING_INT:
        if (!str_to_i64(text, &number) || number < setting->min || number > setting->max) {
            err_add(in->err, PROBLEM_VALIDATION, ERR_PARAMETER(setting->name), "out_of_range",
                    "%s must be a whole number from %d to %d.", setting->name, setting->min,
                    setting->max);
            break;
        }
        memcpy(field, &(int){(int)number}, sizeof(int));
        break;
    }
}

/* As browsers write them (RFC 6454 section 6.2): lower case, without a path, exactly comparable. */
static bool is_origin(struct str text) {
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t len = strlen(schemes[i]);
        if (!str_starts(text, schemes[i]) || text.len == len)
            continue;
        for (size_t at = len; at < text.len; at++)
            if (memchr("abcdefghijklmnopqrstuvwxyz0123456789.-:[]", text.ptr[at], 41) == NULL)
                return false;
        return true;
    }
    return false;
}

static void check_origins(struct str list, struct err *err) {
    struct str one;
    while (list.len > 0 && str_split(&list, ',', &one))
        if (!is_origin(str_trim(one)))
            err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("KAMD_CORS_ORIGINS"), "malformed",
                    "KAMD_CORS_ORIGINS must be origins in lower case, such as "
                    "https://app.example.com, separated by commas.");
}

static void check_proxies(struct str list, struct err *err) {
    struct cidrs cidrs;
    if (!cidrs_parse(list, &cidrs))
        err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("KAMD_TRUSTED_PROXIES"), "malformed",
                "KAMD_TRUSTED_PROXIES must be up to %d CIDRs such as 10.0.0.0/8 or fd00::/8, "
                "separated by commas.",
                CIDRS_MAX);
}

static int threads_for(int cpus) { return cpus < 2 ? 8 : cpus > 8 ? 32 : 4 * cpus; }

/* What the types cannot say, and the values that others stand in for. */
static void finish(struct config *config, struct err *err) {
    enum log_level level;

    if (!log_level_parse(str_of(config->log_level), &level))
        bad(err, "KAMD_LOG_LEVEL", "unknown_value", "must be debug, info, warn or error.");
    check_origins(str_of(config->cors_origins), err);
    check_proxies(str_of(config->trusted_proxies), err);
    if (config->database_worker_url[0] == '\0')
        config->database_worker_url = config->database_url;
    if (config->database_migrate_url[0] == '\0')
        config->database_migrate_url = config->database_url;
    if (config->http_threads == 0)
        config->http_threads = threads_for(process_cpus());
}

static bool read_all(struct reading *in, struct config *config) {
    for (size_t i = 0; i < COUNT_OF(table); i++)
        in->values[i] = arena_str(in->arena, str_of(table[i].preset));
    take_config_file(in);
    for (size_t i = 0; i < COUNT_OF(table); i++)
        take_environment(in, i);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (in->values[i].ptr == NULL)
            return err_memory(in->err);
        convert(in, i, (char *)config);
    }
    finish(config, in->err);
    return !err_is_set(in->err);
}

bool config_read_partly(const char *(*getenv_)(const char *name), struct config *ret,
                        struct err *err) {
    *ret = (struct config){.arena = malloc(sizeof(struct arena))};
    struct reading in = {.getenv_ = getenv_, .arena = ret->arena, .err = err};

    if (ret->arena == NULL)
        return err_memory(err);
    arena_init(ret->arena, CONFIG_MEMORY);
    return read_all(&in, ret);
}

bool config_read(const char *(*getenv_)(const char *name), struct config *ret, struct err *err) {
    struct config config;

    if (!config_read_partly(getenv_, &config, err)) {
        config_release(&config);
        return false;
    }
    *ret = config;
    return true;
}

void config_release(struct config *config) {
    if (config->arena != NULL)
        arena_release(config->arena);
    free(config->arena);
    *config = (struct config){.arena = NULL};
}

static bool same(const struct setting *setting, const char *a, const char *b) {
    switch (setting->type) {
    case SETTING_TEXT: {
        const char *texts[2];
        memcpy(&texts[0], a + setting->offset, sizeof(char *));
        memcpy(&texts[1], b + setting->offset, sizeof(char *));
        return strcmp(texts[0], texts[1]) == 0;
    }
    case SETTING_INT:
        return memcmp(a + setting->offset, b + setting->offset, sizeof(int)) == 0;
    case SETTING_BOOL:
        return a[setting->offset] == b[setting->offset];
    }
    return true;
}

void config_differences(const struct config *a, const struct config *b, struct buf *ret) {
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (same(&table[i], (const char *)a, (const char *)b))
            continue;
        buf_text(ret, ret->len > 0 ? "," : "");
        buf_text(ret, table[i].name);
    }
}

void config_print_defaults(struct buf *ret) {
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        buf_format(ret, "%s# %s", i > 0 ? "\n" : "", table[i].help);
        if (table[i].type == SETTING_INT)
            buf_format(ret, " (%d to %d)", table[i].min, table[i].max);
        if (table[i].secret)
            buf_format(ret, " A secret: better as %s_FILE.", table[i].name);
        buf_format(ret, "\n%s=%s\n", table[i].name, table[i].secret ? "" : table[i].preset);
    }
}

/* What `make start` writes into .run/env for clients, beside the settings. */
static bool is_for_clients(struct str name) {
    return str_is(name, "KAMD_URL") || str_is(name, "KAMD_ADMIN_URL") ||
           str_is(name, "KAMD_API_KEY");
}

void config_unknown(char **environment, struct buf *ret) {
    for (char **at = environment; *at != NULL; at++) {
        struct str rest = str_of(*at);
        struct str name;
        bool is_file;

        str_split(&rest, '=', &name);
        if (!str_starts(name, "KAMD_") || str_is(name, CONFIG_FILE) || is_for_clients(name) ||
            find(name, &is_file) < COUNT_OF(table))
            continue;
        if (buf_str(ret).len > 0)
            buf_char(ret, ',');
        buf_put(ret, name);
    }
}
