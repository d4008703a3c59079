/* Serves the admin port: the liveness and readiness probes (/livez, /readyz) and the metrics in the
 * text format of Prometheus (/metrics). */
#include "admin.h"

#include "core/metrics.h"
#include "problem.h"

static void say(struct answer *answer, int status, const char *json) {
    answer->status = status;
    answer->content_type = "application/json";
    answer_header(answer, "Cache-Control", STR("no-store"));
    buf_reset(&answer->body);
    buf_text(&answer->body, json);
}

void admin_livez(struct answer *answer) { say(answer, 200, "{\"status\":\"ok\"}"); }

void admin_readyz(const struct admin *admin, struct answer *answer) {
    struct buf reasons CLEANUP(buf_release) = {0};
    buf_init(&reasons, 4096);
    if (admin->ready(admin->context, &reasons)) {
        say(answer, 200, "{\"status\":\"ok\"}");
        return;
    }
    say(answer, 503, "{\"status\":\"unavailable\",\"reasons\":");
    buf_put(&answer->body, buf_ok(&reasons) && reasons.len > 0 ? buf_str(&reasons) : STR("[]"));
    buf_char(&answer->body, '}');
    answer_header(answer, "Retry-After", STR("1"));
}

static void metrics(const struct admin *admin, struct answer *answer) {
    answer->status = 200;
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    answer_header(answer, "Cache-Control", STR("no-store"));
    metrics_write(&answer->body, admin->version);
}

void admin_serve(void *context, struct request *request, struct answer *answer) {
    const struct admin *admin = context;
    bool livez = str_is(request->path, "/livez");
    bool readyz = str_is(request->path, "/readyz");
    if (!livez && !readyz && !str_is(request->path, "/metrics")) {
        problem_say(PROBLEM_NOT_FOUND, request, answer, NULL);
    } else if (str_is(request->method, "OPTIONS")) {
        answer->status = 204;
        answer_header(answer, "Allow", STR("GET, HEAD, OPTIONS"));
    } else if (!str_is(request->method, "GET") && !str_is(request->method, "HEAD")) {
        answer_header(answer, "Allow", STR("GET, HEAD, OPTIONS"));
        problem_say(PROBLEM_METHOD_NOT_ALLOWED, request, answer, NULL);
    } else if (livez) {
        admin_livez(answer);
    } else if (readyz) {
        admin_readyz(admin, answer);
    } else {
        metrics(admin, answer);
    }
}
