/* Handlers of the few routes whose use case needs more of the request than its document and
 * parameters: its headers, an answer of another type, or an answer without an end. */
#include "handlers.h"

#include "app/agenda.h"
#include "app/reports.h"
#include "app/sections.h"

#include <string.h>

/* ---- follow-ups, commitments, agenda ---- */

/* Calendar programs ask without a key; the token in the URL is all they have. */
void agenda_calendar(struct call *call) {
    struct str token = action_query(&call->action, "token");
    if (!agenda_feed(&call->action, action_arg(&call->action, "id"), token.ptr ? token : STR(""),
                     &call->answer->body, &call->err))
        return;
    call->answer->content_type = "text/calendar; charset=utf-8";
    call->answer->status = 200;
    call->done = true;
}

/* ---- plan sections ---- */

void section_write(struct call *call) {
    if (str_is(action_arg(&call->action, "section"), "interaction_history")) {
        answer_header(call->answer, "Allow", STR("GET, HEAD, OPTIONS"));
        err_set(&call->err, PROBLEM_METHOD_NOT_ALLOWED,
                "Section i is generated from interactions, problems, orders, reviews and versions; "
                "nobody types it (004-24).");
        return;
    }
    plan_section_write(&call->action, str_is(call->request->method, "PUT"), &call->outcome,
                       &call->err);
}

/* ---- program ---- */

/* The route's last part is the report's name. */
const struct report *route_report(const struct route *route) {
    return route->handler == report_show ? report_by_name(str_of(strrchr(route->path, '/') + 1))
                                         : NULL;
}

void report_show(struct call *call) {
    const struct report *report = route_report(call->route);
    if (report)
        report_get(&call->action, report, &call->outcome, &call->err);
    else
        err_set(&call->err, PROBLEM_NOT_FOUND, "There is no such report.");
}

/* ---- events, keys ---- */

void events_stream(struct call *call) {
    struct str last_id = request_header(call->request, "Last-Event-ID", NULL);
    if (!stream_open(call->face->streams, &call->action, last_id, &call->answer->stream,
                     &call->err))
        return;
    call->answer->status = 200;
    call->answer->content_type = "text/event-stream";
    call->answer->close = true;
    answer_header(call->answer, "Cache-Control", STR("no-store"));
    answer_header(call->answer, "X-Accel-Buffering", STR("no"));
    call->done = true;
}

/* ---- webhooks ---- */

/* Anybody may keep it for a while; a key that is about to sign is there before it does. */
