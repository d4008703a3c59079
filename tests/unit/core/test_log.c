/* Lines of the log are valid JSON whatever is written into them, and a log that nobody reads
 * holds up no thread. */
#include "unit.h"

#include "core/json.h"
#include "core/log.h"
#include "core/start.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int sink = -1;
static char seen[1 << 20];

/* All that was written since the last call. */
static struct str logged(void) {
    ssize_t len = pread(sink, seen, sizeof(seen), 0);
    assert_true(len >= 0);
    assert_int_equal(ftruncate(sink, 0), 0);
    assert_true(lseek(sink, 0, SEEK_SET) == 0);
    return (struct str){seen, (size_t)len};
}

/* The one line that was written, from its "event" on, without '}' and newline. */
static struct str one_line(void) {
    struct str line = logged();
    assert_true(str_ends(line, "}\n"));
    assert_true(str_starts(line, "{\"time\":\"2"));
    const char *at = memmem(line.ptr, line.len, "\"event\":", 8);
    assert_non_null(at);
    return (struct str){at, line.len - (size_t)(at - line.ptr) - 2};
}

static void fields(void **state) {
    (void)state;
    LOG(LOG_INFO, "request", LOG_S("path", "/v1"), LOG_T("cut", ((struct str){"abcdef", 3})),
        LOG_I("status", 200), LOG_MS("ms", 12345), LOG_MS("back", -1500), LOG_MS("zero", 0),
        LOG_S("none", NULL));
    assert_text(one_line(), "\"event\":\"request\",\"path\":\"/v1\",\"cut\":\"abc\",\"status\":200,"
                            "\"ms\":12.345,\"back\":-1.500,\"zero\":0.000,\"none\":null");
    log_write(LOG_ERROR, "bare", NULL, 0);
    struct str line = logged();
    assert_true(memmem(line.ptr, line.len, ",\"level\":\"error\",\"event\":\"bare\"}", 32) != NULL);
    /* {"time":"2026-11-21T23:56:00.123456Z", */
    assert_true(line.ptr[8] == '"' && line.ptr[19] == 'T' && line.ptr[35] == 'Z');
}

static void escaping(void **state) {
    (void)state;
    static const struct {
        struct str text;
        const char *want;
    } cases[] = {
        {{"", 0}, ""},
        {{"a\"b\\c", 5}, "a\\\"b\\\\c"},
        {{"\n{\"fake\":1}", 11}, "\\u000a{\\\"fake\\\":1}"},
        {{"\0\x1b[31m\x7f", 7}, "\\u0000\\u001b[31m\\u007f"},
        {{"%n%s", 4}, "%n%s"},
        {{"gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80", 15},
         "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80"},
        {{"\xC2\x9B\xC2\x80\xC2\xA0", 6}, "\\u009b\\u0080\xC2\xA0"}, /* C1 */
        {{"\xE2\x80\xAE\xE2\x81\xA6\xD8\x9C\xE2\x80\x8F", 11}, "\\u202e\\u2066\\u061c\\u200f"},
        {{"\xE2\x80\xA8\xE2\x80\xA9", 6}, "\\u2028\\u2029"},
        {{"\xE2\x80\xAF\xE2\x81\xA5", 6}, "\xE2\x80\xAF\xE2\x81\xA5"}, /* just outside */
        {{"a\xFFz\xE2\x82", 5}, "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD"},
        {{"\xED\xA0\x80", 3}, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf want CLEANUP(buf_release) = {0};
        buf_init(&want, 4096);
        buf_format(&want, "\"event\":\"e\",\"v\":\"%s\"", cases[i].want);
        LOG(LOG_WARN, "e", LOG_T("v", cases[i].text));
        assert_text(one_line(), want.ptr);
    }
}

/* Whatever the bytes are, the line is one line of JSON in UTF-8. */
static void any_bytes(void **state) {
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b += 5) {
            struct err err CLEANUP(err_release) = ERR_INIT;
            jv *value CLEANUP(jv_unref) = NULL;
            char text[] = {'x', (char)a, (char)b, (char)0xA8, 'y'};
            LOG(LOG_INFO, "e", LOG_T("v", ((struct str){text, sizeof(text)})));
            struct str line = logged();
            assert_int_equal(line.ptr[line.len - 1], '\n');
            line.len--;
            assert_null(memchr(line.ptr, '\n', line.len));
            if (a == 0 || b == 0)
                continue; /* written as \u0000, which the reader refuses on purpose */
            assert_true(json_read(line, JSON_TOKENS, &value, &err));
        }
}

static void cut(void **state) {
    (void)state;
    static char text[70000];
    memset(text, 'a', sizeof(text));
    LOG(LOG_INFO, "e", LOG_T("v", ((struct str){text, 2048})));
    assert_int_equal(one_line().len, 2048 + strlen("\"event\":\"e\",\"v\":\"\""));
    LOG(LOG_INFO, "e", LOG_T("v", ((struct str){text, sizeof(text)})));
    struct str line = one_line();
    assert_true(str_ends(line, "aaa\xE2\x80\xA6\""));
    assert_int_equal(line.len, 2048 + 3 + strlen("\"event\":\"e\",\"v\":\"\""));
    /* A character that straddles the limit is kept whole. */
    memcpy(text + 2047, "\xC3\xBC", 2);
    LOG(LOG_INFO, "e", LOG_T("v", ((struct str){text, sizeof(text)})));
    assert_true(str_ends(one_line(), "a\xC3\xBC\xE2\x80\xA6\""));
    /* More fields than a line may hold: said so, not cut in the middle. */
    struct log_field many[40];
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = LOG_T("v", ((struct str){text, sizeof(text)}));
    log_write(LOG_INFO, "e", many, COUNT_OF(many));
    assert_true(str_ends(logged(), "\"event\":\"log_line_lost\"}\n"));
}

static void levels(void **state) {
    (void)state;
    enum log_level level;
    assert_true(log_level_parse(STR("debug"), &level) && level == LOG_DEBUG);
    assert_true(log_level_parse(STR("error"), &level) && level == LOG_ERROR);
    assert_false(log_level_parse(STR("Error"), &level));
    assert_false(log_level_parse(STR_ABSENT, &level));
    log_set_level(LOG_WARN);
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_WARN));
    log_write(LOG_INFO, "quiet", NULL, 0);
    assert_int_equal(logged().len, 0);
    log_write(LOG_WARN, "loud", NULL, 0);
    assert_text(one_line(), "\"event\":\"loud\"");
    log_set_level(LOG_INFO);
}

static void errors(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    err_set(&err, PROBLEM_CONFLICT, "No.");
    log_err(LOG_WARN, "refused", &err);
    assert_text(one_line(), "\"event\":\"refused\",\"problem\":\"conflict\",\"detail\":\"No.\"");
    err_cause(&err, "because");
    err_add(&err, PROBLEM_VALIDATION, ERR_POINTER("/a"), "required", "x");
    log_set_fd(-1); /* a sink that takes nothing: no harm, and errno is the caller's */
    errno = ENOENT;
    log_err(LOG_WARN, "refused", &err);
    assert_int_equal(errno, ENOENT);
    log_set_fd(sink);
    log_err(LOG_WARN, "refused", &err);
    assert_text(one_line(), "\"event\":\"refused\",\"problem\":\"conflict\",\"detail\":\"No.\","
                            "\"cause\":\"because\",\"violations\":1,\"first_violation\":\"/a\"");
}

#define THREADS 8
#define LINES 200

static void *write_lines(void *name) {
    for (int i = 0; i < LINES; i++)
        LOG(LOG_INFO, "thread", LOG_S("name", name), LOG_I("i", i));
    return NULL;
}

/* Reads a pipe to its end into `seen`. */
static void *collect(void *fd) {
    static struct str all;
    ssize_t got;
    all = (struct str){seen, 0};
    while ((got = read(*(int *)fd, seen + all.len, sizeof(seen) - all.len)) > 0)
        all.len += (size_t)got;
    return &all;
}

/* Lines of several threads through a pipe stay whole, and none is lost. */
static void threads(void **state) {
    (void)state;
    static const char *const names[THREADS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    pthread_t ids[THREADS], reader;
    int ends[2];
    void *all;
    assert_int_equal(pipe(ends), 0);
    log_set_fd(ends[1]);
    assert_int_equal(pthread_create(&reader, NULL, collect, &ends[0]), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, write_lines, (void *)names[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    close(ends[1]);
    log_set_fd(sink);
    pthread_join(reader, &all);
    close(ends[0]);
    struct str rest = *(struct str *)all;
    struct str line;
    size_t n = 0;
    while (str_split(&rest, '\n', &line) && line.len > 0) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        jv *value CLEANUP(jv_unref) = NULL;
        assert_true(json_read(line, JSON_TOKENS, &value, &err));
        n++;
    }
    assert_int_equal(n, THREADS * LINES);
}

static size_t lines_of(struct str text, const char *event) {
    size_t n = 0;
    struct str line;
    while (str_split(&text, '\n', &line))
        n += line.len > 0 && memmem(line.ptr, line.len, event, strlen(event)) != NULL;
    return n;
}

/* The writer loses nothing and keeps the order; after log_stop() lines go out directly again. */
static void writer(void **state) {
    (void)state;
    assert_true(log_start());
    for (int i = 0; i < 1000; i++)
        LOG(LOG_INFO, "queued", LOG_I("i", i));
    log_stop();
    LOG(LOG_INFO, "direct", LOG_I("i", 1000));
    struct str all = logged();
    struct str line;
    int64_t expected = 0;
    while (str_split(&all, '\n', &line) && line.len > 0) {
        const char *at = memmem(line.ptr, line.len, "\"i\":", 4);
        assert_non_null(at);
        assert_int_equal(atoll(at + 4), expected++);
    }
    assert_int_equal(expected, 1001);
    log_stop(); /* twice is harmless */
}

static void *stop_and_close(void *end) {
    log_stop();
    log_set_fd(sink);
    close(*(int *)end);
    return NULL;
}

/* Nobody reads the pipe: who logs goes on at once, and the loss is told when there is room again.
 */
static void stuck(void **state) {
    (void)state;
    enum { MANY = 60000 }; /* twice what two buffers hold */
    static char text[8 << 20];
    int ends[2];
    size_t len = 0;
    ssize_t n;
    assert_int_equal(pipe(ends), 0);
    log_set_fd(ends[1]);
    assert_true(log_start());
    for (int i = 0; i < MANY; i++)
        LOG(LOG_INFO, "flood", LOG_I("i", i));
    pthread_t stopper;
    assert_int_equal(pthread_create(&stopper, NULL, stop_and_close, &ends[1]), 0);
    while ((n = read(ends[0], text + len, sizeof(text) - len)) > 0)
        len += (size_t)n;
    pthread_join(stopper, NULL);
    close(ends[0]);
    size_t flood = lines_of((struct str){text, len}, "\"flood\"");
    assert_true(flood > 1000 && flood < MANY);
    assert_true(lines_of((struct str){text, len}, "\"log_lines_lost\"") > 0);
}

static int start(void **state) {
    (void)state;
    sink = memfd_create("log", MFD_CLOEXEC);
    log_set_fd(sink);
    return core_start() && sink >= 0 ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    log_set_fd(STDERR_FILENO);
    return close(sink);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),  cmocka_unit_test(escaping), cmocka_unit_test(any_bytes),
        cmocka_unit_test(cut),     cmocka_unit_test(levels),   cmocka_unit_test(errors),
        cmocka_unit_test(threads), cmocka_unit_test(writer),   cmocka_unit_test(stuck),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
