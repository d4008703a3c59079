/* Formats events as JSON lines, which a writer thread writes from two buffers under one lock. When
 * the output is too slow, lines are dropped and counted; no request waits. */
#include "core/log.h"

#include "core/buf.h"
#include "core/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_TEXT_MAX 2048
#define LOG_LINE_MAX 65536
#define QUEUE_MAX (1U << 20)
#define GATHER_MS 5
#define STUCK_MS 1000

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

/* What a sink does not take is lost: a log must not stop the service. */
static void write_out(const char *bytes, size_t len) {
    int fd = atomic_load_explicit(&sink, memory_order_relaxed);
    int saved = errno;

    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n >= 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            if (poll(&room, 1, STUCK_MS) <= 0)
                break;
        } else if (errno != EINTR) {
            break;
        }
    }
    errno = saved;
}

/* ---- the writer ---- */

/* A system call per line cost a request a third of its time, with threads waiting for each other in
 * the file's lock, and a reader that is slow, or stuck, held up requests. So lines gather here and
 * one thread writes them; when it cannot, they are counted and dropped. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pthread_t thread;
    bool running, stopping;
    char buffers[2][QUEUE_MAX]; /* one fills while the other is written */
    unsigned filling;
    size_t len;
    uint64_t lost;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static void write_queue(void) {
    const char *bytes = queue.buffers[queue.filling];
    size_t len = queue.len;
    uint64_t lost = queue.lost;

    queue.filling = !queue.filling;
    queue.len = 0;
    queue.lost = 0;
    pthread_mutex_unlock(&queue.lock);
    write_out(bytes, len);
    if (lost > 0)
        LOG(LOG_WARN, "log_lines_lost", LOG_I("lines", lost));
    pthread_mutex_lock(&queue.lock);
}

static void *run_queue(void *unused) {
    (void)unused;
    pthread_mutex_lock(&queue.lock);
    while (!queue.stopping || queue.len > 0) {
        while (queue.len == 0 && !queue.stopping)
            pthread_cond_wait(&queue.filled, &queue.lock);
        if (!queue.stopping) {
            pthread_mutex_unlock(&queue.lock);
            nanosleep(&(struct timespec){.tv_nsec = GATHER_MS * 1000000L}, NULL);
            pthread_mutex_lock(&queue.lock);
        }
        write_queue();
    }
    queue.running = false;
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

bool log_start(void) {
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&queue.lock);
    queue.stopping = false;
    queue.running = pthread_create(&queue.thread, NULL, run_queue, NULL) == 0;
    bool running = queue.running;
    pthread_mutex_unlock(&queue.lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return running;
}

void log_stop(void) {
    pthread_mutex_lock(&queue.lock);
    bool running = queue.running;
    queue.stopping = true;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
    if (running)
        pthread_join(queue.thread, NULL);
}

/* Without the writer: one write(2), so that lines of several threads do not mix. */
static void write_line(struct str line) {
    pthread_mutex_lock(&queue.lock);
    bool queued = queue.running;
    if (queued && line.len <= QUEUE_MAX - queue.len) {
        memcpy(queue.buffers[queue.filling] + queue.len, line.ptr, line.len);
        if (queue.len == 0)
            pthread_cond_signal(&queue.filled);
        queue.len += line.len;
    } else if (queued) {
        queue.lost++;
    }
    pthread_mutex_unlock(&queue.lock);
    if (!queued)
        write_out(line.ptr, line.len);
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
