/* Starts and stops an HTTP server: its threads, each with an ulfius instance of its own, and
 * the choice of the thread that gets a new connection, or the refusal when there are too many. The
 * logging and the memory allocation of the libraries are set up here, too. */
#include "conn.h"

#include "core/log.h"
#include "core/metrics.h"
#include "listener.h"

#include "app/stream_set.h"

#include <errno.h>
#include <malloc.h>
#include <orcania.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <yder.h>

#define STACK_SIZE ((size_t)1 << 20)
#define ARENA_LIMIT ((size_t)32 << 20)
#define SHED_US 2000000
#define STOP_STEP_MS 10
#define LIBRARY_LINES_PER_SECOND 5

/* ---- what the libraries say ---- */

/* Clients can make libmicrohttpd complain at will; the log must not be theirs to fill. */
static void log_library(const char *library, const char *text) {
    static atomic_llong second;
    static atomic_int lines;
    long long now = clock_mono(&clock_system) / 1000000;
    if (atomic_exchange(&second, now) != now)
        atomic_store(&lines, 0);
    if (atomic_fetch_add(&lines, 1) < LIBRARY_LINES_PER_SECOND)
        LOG(LOG_WARN, "http_library", LOG_S("library", library),
            LOG_T("text", str_trim(str_of(text))));
}

/* `format` is libmicrohttpd's own; what clients sent is only ever among the arguments. */
PRINTF_LIKE(2, 0) static void log_mhd(void *context, const char *format, va_list arguments) {
    (void)context;
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_library("libmicrohttpd", text);
}

static void log_yder(void *context, const char *app, const time_t date, const unsigned long level,
                     const char *text) {
    (void)context;
    (void)app;
    (void)date;
    (void)level;
    log_library("ulfius", text);
}

static void redirect_yder(void) {
    y_init_logs("kamd", Y_LOG_MODE_CALLBACK, Y_LOG_LEVEL_ERROR, NULL, NULL);
    y_set_logs_callback(log_yder, NULL, NULL);
}

/* ---- threads ---- */

/* 0.9.75 would answer a missing Host itself, with its head sent twice; http_strict.h refuses that,
 * and all else that it lets pass. 1.0 refuses by itself what is not RFC 9112, a bare LF, folded
 * lines and blanks in the target among it. */
#if MHD_VERSION >= 0x00097701
#define STRICTNESS                                                                                 \
    { MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL }
#else
#define STRICTNESS                                                                                 \
    { MHD_OPTION_STRICT_FOR_CLIENT, 0, NULL }
#endif

static bool start_daemon(struct http_thread *thread) {
    const struct server *server = thread->server;
    const struct server_options *o = &server->options;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_mhd, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)conn_completed, thread},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)conn_request_line, thread},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)conn_notify, thread},
        /* Never reached: the accepting thread sheds long before. */
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(server->hard_limit + 1), NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)o->memory, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, o->idle_seconds, NULL},
        {MHD_OPTION_THREAD_STACK_SIZE, (intptr_t)STACK_SIZE, NULL},
        STRICTNESS,
        {MHD_OPTION_END, 0, NULL}};
    return ulfius_start_framework_with_mhd_options(&thread->instance,
                                                   MHD_USE_EPOLL_INTERNAL_THREAD |
                                                       MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
                                                       MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
                                                   options) == U_OK;
}

static bool start_thread(struct http_thread *thread, struct server *server, struct err *err) {
    thread->server = server;
    arena_init(&thread->arena, server->options.arena_limit);
    /* The port is for ulfius's checks only: connections come by MHD_add_connection. */
    if (ulfius_init_instance(&thread->instance, 1, NULL, NULL) != U_OK)
        return err_memory(err);
    thread->initialised = true;
    thread->instance.max_post_body_size = server->options.body_limit + 1; /* it cuts silently */
    thread->instance.allowed_post_processor = U_POST_PROCESS_NONE;
    thread->instance.check_utf8 = 0;
    if (ulfius_set_default_endpoint(&thread->instance, exchange_serve, thread) != U_OK ||
        !start_daemon(thread)) {
        err_set(err, PROBLEM_INTERNAL, "The HTTP server did not start.");
        return err_cause(err, "ulfius or libmicrohttpd refused the options");
    }
    thread->started = true;
    return true;
}

static bool start_threads(struct server *server, struct err *err) {
    for (int i = 0; i < server->options.threads; i++) {
        if (!start_thread(&server->threads[i], server, err))
            return false;
    }
    return true;
}

/* ---- connections ---- */

#define TURNED_AWAY_BODY                                                                           \
    "{\"type\":\"/problems/overloaded\",\"title\":\"Too busy to take this "                        \
    "request\",\"status\":503,"                                                                    \
    "\"code\":\"overloaded\",\"request_id\":null,\"retry_after_seconds\":1}"
_Static_assert(sizeof TURNED_AWAY_BODY - 1 == 146, "Content-Length below");

static const char turned_away[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                  "Content-Type: application/problem+json\r\n"
                                  "Content-Length: 146\r\n"
                                  "Retry-After: 1\r\n"
                                  "Cache-Control: no-store\r\n"
                                  "X-Content-Type-Options: nosniff\r\n"
                                  "Connection: close\r\n"
                                  "\r\n" TURNED_AWAY_BODY;

/* For the flood beyond the flood: no thread, no memory, one write. What the client has sent is read
 * first, because closing with unread input would reset the connection and lose the answer. */
static void turn_away(const struct server *server, int fd) {
    char unread[4096];
    (void)recv(fd, unread, sizeof unread, MSG_DONTWAIT);
    (void)send(fd, turned_away, sizeof turned_away - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    close(fd);
    if (server->options.metrics)
        metrics_count(METRIC_HTTP_SHED, 0, 1);
}

static size_t load_of(struct http_thread *thread) {
    size_t working = atomic_load_explicit(&thread->working, memory_order_relaxed) ? 1 : 0;
    return 2 * atomic_load_explicit(&thread->connections, memory_order_relaxed) + working;
}

/* The thread with the fewest connections; of equals, one that is not in a handler; else in turn. */
static struct http_thread *least_loaded(struct server *server) {
    size_t n = (size_t)server->options.threads;
    struct http_thread *best = NULL;
    size_t best_load = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        struct http_thread *thread = &server->threads[(server->next_thread + i) % n];
        size_t load = load_of(thread);
        if (load < best_load) {
            best_load = load;
            best = thread;
        }
    }
    server->next_thread = (server->next_thread + 1) % n;
    return best;
}

static void accepted(void *context, int fd, const struct sockaddr *address, socklen_t len) {
    struct server *server = context;
    if (atomic_load(&server->open) >= server->hard_limit) {
        turn_away(server, fd);
        return;
    }
    struct http_thread *thread = least_loaded(server);
    atomic_fetch_add(&server->open, 1);
    atomic_fetch_add(&thread->connections, 1);
    if (MHD_add_connection(thread->instance.mhd_daemon, fd, address, len) != MHD_YES) {
        atomic_fetch_sub(&thread->connections, 1);
        atomic_fetch_sub(&server->open, 1);
    }
}

static void on_cut(void *context) {
    const struct server *server = context;
    if (server->options.metrics)
        metrics_count(METRIC_HTTP_REAPED, 0, 1);
}

/* ---- what the libraries allocate ---- */

#define DOUBLES_FROM ((size_t)64 << 10)

/* ulfius makes a body larger by what came, some KiB, and so moved 8 MiB a thousand times. */
static void *grow(void *memory, size_t size) {
    size_t room = DOUBLES_FROM;
    if (size < DOUBLES_FROM)
        return realloc(memory, size);
    if (memory != NULL && size <= malloc_usable_size(memory))
        return memory;
    while (room < size)
        room *= 2;
    return realloc(memory, room);
}

static void settle_libraries(void) {
    redirect_yder();
    o_set_alloc_funcs(malloc, grow, free);
}

/* ---- life ---- */

/* Half as many again are answered with 503 in good form; beyond these only turned away. */
static size_t hard_limit(size_t connections) {
    return connections + connections / 2 + 64 + STREAMS_MAX;
}

static void raise_descriptor_limit(const char *name, size_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < wanted)
        LOG(LOG_WARN, "few_descriptors", LOG_S("server", name), LOG_I("wanted", wanted),
            LOG_I("limit", limit.rlim_cur));
}

static void set_defaults(struct server *server, const struct server_options *options) {
    struct server_options *o = &server->options;
    *o = *options;
    if (o->body_limit == 0)
        o->body_limit = SERVER_BODY_LIMIT;
    if (o->arena_limit == 0)
        o->arena_limit = ARENA_LIMIT;
    if (o->randomness == NULL)
        o->randomness = &randomness_system;
    server->hard_limit = hard_limit(o->connections);
    server->limits = (struct reaper_limits){.header_us = o->header_seconds * INT64_C(1000000),
                                            .body_us = o->body_seconds * INT64_C(1000000),
                                            .idle_us = o->idle_seconds * INT64_C(1000000)};
    server->shed_limits =
        (struct reaper_limits){.header_us = SHED_US, .body_us = SHED_US, .idle_us = SHED_US};
}

static bool start(struct server *server, struct err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, settle_libraries);
    raise_descriptor_limit(server->options.name, server->hard_limit + 512);
    server->threads = calloc((size_t)server->options.threads, sizeof *server->threads);
    if (server->threads == NULL || !reaper_start(on_cut, server, &server->reaper))
        return err_memory(err);
    return listener_open(server->options.host, server->options.port, &server->listener, err) &&
           start_threads(server, err) && listener_run(server->listener, accepted, server, err);
}

bool server_start(const struct server_options *options, struct server **ret, struct err *err) {
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return err_memory(err);
    set_defaults(server, options);
    if (!start(server, err)) {
        server_stop(server, 0);
        return false;
    }
    *ret = server;
    return true;
}

int server_port(const struct server *server) { return listener_port(server->listener); }

size_t server_connections(const struct server *server) { return atomic_load(&server->open); }

void server_drain(struct server *server) { atomic_store(&server->draining, true); }

/* Connections close by themselves: busy ones after their answer, idle ones when their input ends.
 */
static void finish(struct server *server, int finish_ms) {
    deadline until = deadline_in_ms(finish_ms);
    while (atomic_load(&server->open) > 0 && deadline_left_ms(until) > 0) {
        reaper_retire_idle(server->reaper);
        nanosleep(&(struct timespec){.tv_nsec = STOP_STEP_MS * 1000000L}, NULL);
    }
    reaper_cut_all(server->reaper);
}

void server_stop(struct server *server, int finish_ms) {
    if (server == NULL)
        return;
    server_drain(server);
    listener_close(server->listener);
    if (server->reaper != NULL)
        finish(server, finish_ms);
    for (int i = 0; server->threads != NULL && i < server->options.threads; i++) {
        struct http_thread *thread = &server->threads[i];
        if (thread->started)
            ulfius_stop_framework(&thread->instance);
        if (thread->initialised)
            ulfius_clean_instance(&thread->instance);
        gzip_release(thread->gzip);
        arena_release(&thread->arena);
    }
    reaper_stop(server->reaper);
    free(server->threads);
    free(server);
}
