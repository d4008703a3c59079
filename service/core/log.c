#include "core/log.h"

#include "core/buf.h"
#include "core/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_TEXT_MAX 2048
#define LOG_LINE_MAX 65536

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static atomic_int least = LOG_INFO;
static atomic_int sink = STDERR_FILENO;

void log_set_level(enum log_level level) {
    atomic_store_explicit(&least, (int)level, memory_order_relaxed);
}

bool log_level_parse(struct str text, enum log_level *ret) {
    for (unsigned i = 0; i < COUNT_OF(level_names); i++)
        if (str_is(text, level_names[i])) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

void log_set_fd(int fd) { atomic_store_explicit(&sink, fd, memory_order_relaxed); }

bool log_enabled(enum log_level level) {
    return (int)level >= atomic_load_explicit(&least, memory_order_relaxed);
}

/* The scalar value of a well-formed sequence of 2 to 4 bytes. */
static uint32_t scalar(const char *p, size_t len) {
    uint32_t value = (unsigned char)p[0] & (0xFFU >> (len + 1));

    for (size_t i = 1; i < len; i++)
        value = value << 6 | ((unsigned char)p[i] & 0x3FU);
    return value;
}

/* Characters that would let a value redraw the terminal or the page that shows the log: C1 controls
 * and DEL, line and paragraph separators, and the bidirectional controls of Unicode's "Trojan
 * Source" report. */
static bool redraws(uint32_t c) {
    return (c >= 0x7F && c <= 0x9F) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* One character of a value, escaped where needed; returns the bytes it took from `rest`. */
static size_t put_char(struct buf *line, struct str rest) {
    unsigned char c = (unsigned char)rest.ptr[0];
    size_t len = str_char_len(rest);

    if (c < 0x20 || c == '"' || c == '\\' || c == 0x7F) {
        buf_format(line, c == '"' || c == '\\' ? "\\%c" : "\\u%04x", c);
        return 1;
    }
    if (len == 0) {
        buf_text(line, "\xEF\xBF\xBD"); /* U+FFFD for each byte that is not UTF-8 */
        return 1;
    }
    if (len == 1 || !redraws(scalar(rest.ptr, len)))
        buf_add(line, rest.ptr, len);
    else
        buf_format(line, "\\u%04x", (unsigned)scalar(rest.ptr, len));
    return len;
}

/* How many bytes at the start stand for themselves without a closer look. */
static size_t plain_run(struct str text) {
    size_t n = 0;

    while (n < text.len && text.ptr[n] >= 0x20 && text.ptr[n] < 0x7F && text.ptr[n] != '"' &&
           text.ptr[n] != '\\')
        n++;
    return n;
}

static void put_text(struct buf *line, struct str text) {
    size_t at = 0;

    if (text.ptr == NULL) {
        buf_text(line, "null");
        return;
    }
    buf_char(line, '"');
    while (at < text.len && at < LOG_TEXT_MAX) {
        size_t end = text.len < LOG_TEXT_MAX ? text.len : LOG_TEXT_MAX;
        size_t run = plain_run((struct str){text.ptr + at, end - at});
        buf_add(line, text.ptr + at, run);
        at += run;
        if (at < end)
            at += put_char(line, (struct str){text.ptr + at, text.len - at});
    }
    if (at < text.len)
        buf_text(line, "\xE2\x80\xA6"); /* an ellipsis: it was cut */
    buf_char(line, '"');
}

/* Microseconds as milliseconds with three places. */
static void put_ms(struct buf *line, int64_t us) {
    uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;

    buf_format(line, "%s%llu.%03u", us < 0 ? "-" : "", (unsigned long long)(size / 1000),
               (unsigned)(size % 1000));
}

static void put_field(struct buf *line, const struct log_field *field) {
    buf_char(line, ',');
    put_text(line, str_of(field->name));
    buf_char(line, ':');
    switch (field->kind) {
    case LOG_FIELD_STR:
        put_text(line, field->text);
        break;
    case LOG_FIELD_INT:
        buf_i64(line, field->number);
        break;
    case LOG_FIELD_MS:
        put_ms(line, field->number);
        break;
    }
}

/* One write(2), so that lines of several threads do not mix (pipes keep up to PIPE_BUF, 4 KiB,
 * together). What a sink does not take is lost: a log must not stop the service. */
static void write_line(struct str line) {
    int fd = atomic_load_explicit(&sink, memory_order_relaxed);
    int saved = errno;

    while (write(fd, line.ptr, line.len) < 0 && errno == EINTR)
        continue;
    errno = saved;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t n_fields) {
    char now[TIME_TEXT];
    struct buf line CLEANUP(buf_release) = {0};

    if (!log_enabled(level))
        return;
    buf_init(&line, LOG_LINE_MAX);
    time_text(clock_wall(&clock_system), now);
    buf_format(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", now, level_names[level]);
    put_text(&line, str_of(event));
    for (size_t i = 0; i < n_fields; i++)
        put_field(&line, &fields[i]);
    buf_text(&line, "}\n");
    write_line(buf_ok(&line) ? buf_str(&line)
                             : STR("{\"level\":\"error\",\"event\":\"log_line_lost\"}\n"));
}

void log_err(enum log_level level, const char *event, const struct err *err) {
    struct log_field fields[5] = {LOG_S("problem", problem_info(err->problem)->code),
                                  LOG_S("detail", err->detail)};
    size_t n = 2;

    if (err->cause[0] != '\0')
        fields[n++] = LOG_S("cause", err->cause);
    if (err->n_items > 0) {
        fields[n++] = LOG_I("violations", err->n_items);
        fields[n++] = LOG_S("first_violation", err->items[0].where);
    }
    log_write(level, event, fields, n);
}
