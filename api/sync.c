/* Handlers of the change feed, which may wait before it answers, and of exports, which are sent
 * as they are read. */
#include "handlers.h"

#include "app/changes.h"
#include "app/imports.h"
#include "app/sync.h"

/* Where there is nothing yet, and the caller waits, the rest happens without a thread. */
void changes_show(struct call *call) {
    struct change_wait wait = {0};
    if (!change_list(&call->action, &call->outcome, &wait, &call->err) || wait.seconds == 0 ||
        !stream_wait(call->face->streams, &call->action, &wait, &call->answer->stream, &call->err))
        return;
    call->answer->status = 200;
    call->answer->content_type = "application/json";
    call->answer->close = true;
    call->done = true;
}

/* ---- exports ---- */

/* What the client would rather have; NDJSON where it does not mind. */
static bool export_accepted(struct call *call, enum export_format *ret) {
    int csv = request_accepts(call->request, "Accept", "text/csv");
    int ndjson = request_accepts(call->request, "Accept", "application/x-ndjson");
    for (size_t i = 0; i < call->action.n_params; i++)
        if (str_is(call->action.params[i].name, "format"))
            return true;
    *ret = csv > ndjson ? EXPORT_CSV : EXPORT_NDJSON;
    return csv != 0 || ndjson != 0 ||
           err_set(&call->err, PROBLEM_NOT_ACCEPTABLE,
                   "This answers with application/x-ndjson or text/csv only.");
}

void resource_export(struct call *call) {
    const struct resource *resource = call->action.resource;
    struct answer *answer = call->answer;
    enum export_format accepted = EXPORT_NDJSON;
    if (!export_accepted(call, &accepted) ||
        !export_open(&call->face->exports, &call->action, accepted, &answer->export, &call->err))
        return;
    const char *type = export_type(answer->export);
    const char *name =
        arena_format(call->request->arena, "attachment; filename=\"%s-%s.%s\"", resource->path,
                     call->request->id, str_starts(str_of(type), "text/csv") ? "csv" : "ndjson");
    if (name) /* says which request it came from (004-27) */
        answer_header(answer, "Content-Disposition", str_of(name));
    answer_header(answer, "Cache-Control", STR("no-store"));
    answer->status = 200;
    answer->content_type = type;
    answer->close = true;
    call->done = true;
}
