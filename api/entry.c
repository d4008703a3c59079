/* Takes every request from ulfius at its only endpoint: reads the request, refuses it or has it
 * handled (server_options.serve), and gives the answer back to ulfius. */
#include "conn.h"

#include "core/log.h"
#include "download.h"
#include "feed.h"
#include "problem.h"

#define ANSWER_MAX ((size_t)64 << 20)

static void refuse(const struct server *server, const struct err *err, struct request *request,
                   struct answer *answer) {
    problem_answer(err, request, answer);
    answer->close = true;
    if (server->options.refused != NULL)
        server->options.refused(server->options.context, request, answer);
}

/* A handler's answer that cannot be sent becomes a problem. */
static void check_answer(const struct request *request, struct answer *answer) {
    if (!buf_ok(&answer->body)) {
        problem_say(PROBLEM_OVERLOADED, request, answer, NULL);
    } else if (answer->status < 200 || answer->status > 599) {
        LOG(LOG_ERROR, "answer_without_status", LOG_S("request_id", request->id),
            LOG_T("path", request->path));
        problem_say(PROBLEM_INTERNAL, request, answer, NULL);
    }
}

static void handle(const struct conn *conn, const struct _u_request *from, struct request *request,
                   struct answer *answer) {
    struct server *server = conn->thread->server;
    struct err err CLEANUP(err_release) = ERR_INIT;
    bool clean = intake(conn, from, request, &err);
    if (clean && conn->shed) {
        clean = err_set(&err, PROBLEM_OVERLOADED, "Too many connections are open.");
        err.retry_after = 1;
    }
    if (!clean) {
        refuse(server, &err, request, answer);
        return;
    }
    server->options.serve(server->options.context, request, answer);
    check_answer(request, answer);
    if (atomic_load_explicit(&server->draining, memory_order_relaxed))
        answer->close = true;
}

int exchange_serve(const struct _u_request *from, struct _u_response *to, void *context) {
    struct http_thread *thread = context;
    struct conn *conn = conn_of(from);
    struct answer answer = {0};
    buf_init(&answer.body, ANSWER_MAX);
    struct request request = {.arena = &thread->arena};

    conn->answering = true;
    reaper_work(&conn->reaped);
    atomic_store_explicit(&thread->working, true, memory_order_relaxed);
    handle(conn, from, &request, &answer);
    if (thread->server->options.adorn != NULL)
        thread->server->options.adorn(thread->server->options.context, &request, &answer);
    size_t bytes = outgo(thread, &request, &answer, to);
    bool head_only = str_is(request.method, "HEAD");
    bool endless = (answer.stream != NULL || answer.export != NULL) && !head_only;
    direct_if_narrow(conn, &request, endless, to);
    if (answer.stream != NULL)
        feed_answer(conn, answer.stream, head_only, to);
    if (answer.export != NULL)
        download_answer(conn, answer.export, head_only, to);
    buf_release(&answer.body);
    arena_reset(&thread->arena);
    atomic_store_explicit(&thread->working, false, memory_order_relaxed);
    if (!endless)
        reaper_answer(&conn->reaped, bytes);
    return U_CALLBACK_COMPLETE;
}
