/* Handlers of sync with other systems. */
#include "handlers.h"

#include "app/changes.h"
#include "app/imports.h"
#include "app/sync.h"

static struct str arg(const struct call *call, const char *name) {
    return path_arg(&call->args, name);
}

static const struct resource *synced(struct call *call) {
    const struct resource *resource = resource_by_path(arg(call, "resource"));
    if (resource && (resource->flags & R_SYNC) != 0)
        return resource;
    err_set(&call->err, PROBLEM_NOT_FOUND, "There is no such resource to sync.");
    return NULL;
}

void sync_record(struct call *call) {
    const struct resource *resource = synced(call);
    if (resource)
        sync_put(&call->action, arg(call, "system"), resource, arg(call, "external_id"), call->doc,
                 &call->outcome, &call->err);
}

void sync_record_drop(struct call *call) {
    const struct resource *resource = synced(call);
    if (resource)
        sync_delete(&call->action, arg(call, "system"), resource, arg(call, "external_id"),
                    &call->outcome, &call->err);
}

void sync_deferred(struct call *call) {
    sync_waiting(&call->action, arg(call, "system"), call->params, call->n_params, &call->outcome,
                 &call->err);
}

void sync_records(struct call *call) {
    const struct resource *resource = synced(call);
    if (resource)
        sync_bulk(&call->action, arg(call, "system"), resource, call->doc, &call->outcome,
                  &call->err);
}

void policy_show(struct call *call) {
    sync_policy_get(&call->action, arg(call, "system"), &call->outcome, &call->err);
}

void policy_set(struct call *call) {
    sync_policy_put(&call->action, arg(call, "system"), call->doc, &call->outcome, &call->err);
}

void conflicts_show(struct call *call) {
    sync_conflict_list(&call->action, arg(call, "system"), call->params, call->n_params,
                       &call->outcome, &call->err);
}

void conflict_end(struct call *call) {
    sync_conflict_resolve(&call->action, arg(call, "system"), arg(call, "id"), call->doc,
                          &call->outcome, &call->err);
}

/* Where there is nothing yet, and the caller waits, the rest happens without a thread. */
void changes_show(struct call *call) {
    struct str key = request_header(call->request, "Authorization", NULL), scheme;
    struct change_wait wait = {0};
    if (!change_list(&call->action, call->params, call->n_params, &call->outcome, &wait,
                     &call->err) ||
        wait.seconds == 0 || !str_split(&key, ' ', &scheme) ||
        !stream_wait(call->face->streams, &call->action, &wait, buf_str(&call->outcome.body),
                     str_trim(key), &call->answer->stream, &call->err))
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
    for (size_t i = 0; i < call->n_params; i++)
        if (str_is(call->params[i].name, "format"))
            return true;
    *ret = csv > ndjson ? EXPORT_CSV : EXPORT_NDJSON;
    return csv != 0 || ndjson != 0 ||
           err_set(&call->err, PROBLEM_NOT_ACCEPTABLE,
                   "This answers with application/x-ndjson or text/csv only.");
}

void resource_export(struct call *call) {
    const struct resource *resource = resource_of((enum resource_id)call->route->resource);
    struct str key = request_header(call->request, "Authorization", NULL), scheme;
    struct answer *answer = call->answer;
    enum export_format accepted = EXPORT_NDJSON;
    if (!export_accepted(call, &accepted) || !str_split(&key, ' ', &scheme) ||
        !export_open(&call->face->exports, &call->action, resource, call->params, call->n_params,
                     accepted, str_trim(key), &answer->export, &call->err))
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

/* ---- imports ---- */

void imports_show(struct call *call) {
    import_list(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

void imports_add(struct call *call) {
    import_create(&call->action, call->doc, &call->outcome, &call->err);
}

void import_show(struct call *call) {
    import_get(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void import_part(struct call *call) {
    import_part_put(&call->action, arg(call, "id"), arg(call, "n"), call->request->body,
                    &call->outcome, &call->err);
}

void import_go(struct call *call) {
    import_start(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void import_wrong(struct call *call) {
    import_errors(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                  &call->err);
}

void import_undo(struct call *call) {
    import_revert(&call->action, arg(call, "id"), &call->outcome, &call->err);
}
