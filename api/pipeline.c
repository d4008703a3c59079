/* The way of every request: match, authenticate, authorize, admit, decode, handle, answer, log. */
#include "app/access.h"
#include "app/area_guard.h"
#include "app/audit_note.h"
#include "app/bulk.h"
#include "call.h"
#include "cors.h"
#include "limit.h"
#include "problem.h"
#include "span.h"

#include "app/audit.h"
#include "app/directory.h"
#include "app/sign_in.h"
#include "core/log.h"
#include "core/metrics.h"

#include <stdio.h>
#include <string.h>

#define BODY_MAX ((size_t)1 << 20)
#define BULK_BODY_MAX ((size_t)8 << 20)
#define IDEMPOTENCY_KEY_MAX 255
#define FORM_TYPE "application/x-www-form-urlencoded"

/* ---- match ---- */

static bool match(struct call *call) {
    struct buf allow;
    buf_init(&allow, 256);
    enum match found =
        router_match(call->face->router, call->request, &call->route, &call->args, &allow);
    if (found == MATCH_NO_METHOD)
        answer_header(call->answer, "Allow", arena_str(call->request->arena, buf_str(&allow)));
    buf_release(&allow);
    if (found == MATCH_FOUND)
        return true;
    if (found == MATCH_NO_PATH)
        return err_set(&call->err, PROBLEM_NOT_FOUND, "There is no such path.");
    if (str_is(call->request->method, "OPTIONS")) {
        call->answer->status = 204;
        call->done = true;
        return true;
    }
    return err_set(&call->err, PROBLEM_METHOD_NOT_ALLOWED, "%.*s is not a method of this path.",
                   STR_ARG(call->request->method));
}

/* ---- authenticate, authorize ---- */

static bool authenticate(struct call *call) {
    struct str header = request_header(call->request, "Authorization", NULL), scheme;
    if (call->route->verb == VERB_PUBLIC)
        return true;
    bool bearer = header.ptr && str_split(&header, ' ', &scheme) && str_case_is(scheme, "Bearer") &&
                  header.ptr;
    if (bearer)
        call->action.bearer = str_trim(header);
    const struct sign_in sign_in = {.app = call->face->app,
                                    .token = call->action.bearer,
                                    .any_age = (call->route->flags & ROUTE_MEMORY) != 0,
                                    .when = call->request->when};
    if (bearer && principal_find(&sign_in, &call->who, &call->err))
        return true;
    if (!bearer)
        err_set(&call->err, PROBLEM_UNAUTHENTICATED,
                "Send Authorization: Bearer with an API key or an access token.");
    if (call->err.problem == PROBLEM_UNAUTHENTICATED) /* RFC 6750 section 3 */
        answer_header(call->answer, "WWW-Authenticate",
                      bearer ? STR("Bearer realm=\"kamd\", error=\"invalid_token\"")
                             : STR("Bearer realm=\"kamd\""));
    return false;
}

static bool authorize(struct call *call) {
    enum verb verb = (enum verb)call->route->verb;
    if (verb == VERB_PUBLIC || caller_may(call->who.role, call->who.scopes, verb))
        return true;
    return err_set(&call->err, PROBLEM_FORBIDDEN,
                   "The role %s%s may not do this: it needs the right to %s.",
                   role_name(call->who.role),
                   call->who.scopes != 0 ? " with this key's scopes" : "", verb_name(verb));
}

/* ---- admit ---- */

static bool accepts(struct call *call) {
    const struct request *request = call->request;
    if ((call->route->flags & (ROUTE_HTML | ROUTE_CHOICE)) != 0 ||
        request_accepts(request, "Accept", "application/json") != 0 ||
        request_accepts(request, "Accept", "application/problem+json") > 0)
        return true;
    return err_set(&call->err, PROBLEM_NOT_ACCEPTABLE, "This answers with application/json only.");
}

static bool body_type(struct call *call) {
    struct str type = request_header(call->request, "Content-Type", NULL), name;
    bool merge = (call->route->flags & ROUTE_MERGE) != 0,
         form = (call->route->flags & ROUTE_FORM) != 0;
    if (!type.ptr || !str_split(&type, ';', &name))
        name = STR("");
    name = str_trim(name);
    if ((call->route->flags & ROUTE_RAW) != 0)
        return str_case_is(name, "text/csv") || str_case_is(name, "application/x-ndjson") ||
               err_set(&call->err, PROBLEM_UNSUPPORTED_MEDIA,
                       "Send text/csv or application/x-ndjson in UTF-8.");
    struct str charset = type.ptr ? str_trim(type) : STR("");
    bool utf8 = charset.len == 0 || str_case_is(charset, "charset=utf-8") ||
                str_case_is(charset, "charset=\"utf-8\"");
    if (utf8 && (form ? str_case_is(name, FORM_TYPE)
                      : str_case_is(name, "application/json") ||
                            (merge && str_case_is(name, "application/merge-patch+json"))))
        return true;
    if (form)
        answer_header(call->answer, "Accept-Post", STR(FORM_TYPE));
    else if (merge)
        answer_header(call->answer, "Accept-Patch",
                      STR("application/merge-patch+json, application/json"));
    else
        answer_header(call->answer, "Accept-Post", STR("application/json"));
    return err_set(&call->err, PROBLEM_UNSUPPORTED_MEDIA, "Send %s in UTF-8.",
                   form    ? FORM_TYPE
                   : merge ? "application/merge-patch+json or application/json"
                           : "application/json");
}

static bool body_size(struct call *call) {
    size_t most = (call->route->flags & (ROUTE_BULK | ROUTE_RAW)) != 0 ? BULK_BODY_MAX : BODY_MAX;
    if (!call->request->body_too_large && call->request->body.len <= most)
        return true;
    return err_set(&call->err, PROBLEM_PAYLOAD_TOO_LARGE, "This route takes at most %zu bytes.",
                   most);
}

static bool header_wrong(struct call *call, const char *name, const char *code,
                         const char *detail) {
    return err_add(&call->err, PROBLEM_INVALID_REQUEST, ERR_HEADER(name), code, "%s", detail);
}

/* Bare, or quoted as a structured-field string. */
static bool idempotency_key(struct call *call) {
    struct str key = request_header(call->request, "Idempotency-Key", NULL);
    if (!key.ptr) {
        if ((call->route->flags & ROUTE_BULK) != 0)
            return header_wrong(call, "Idempotency-Key", "required",
                                "is required here, so that a repeated call has one effect");
        return true;
    }
    if (key.len >= 2 && key.ptr[0] == '"' && key.ptr[key.len - 1] == '"')
        key = (struct str){key.ptr + 1, key.len - 2};
    if (key.len == 0 || key.len > IDEMPOTENCY_KEY_MAX)
        return header_wrong(call, "Idempotency-Key", "invalid", "must have 1 to 255 characters");
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] < 0x20 || key.ptr[i] > 0x7e)
            return header_wrong(call, "Idempotency-Key", "invalid", "must be printable ASCII");
    call->action.idempotency_key = key;
    return true;
}

static void hash_request(struct call *call) {
    static const unsigned char key[] = "kamd request";
    const struct str parts[] = {call->request->method,
                                STR("\n"),
                                call->request->path,
                                STR("\n"),
                                call->request->raw_query.ptr ? call->request->raw_query : STR(""),
                                STR("\n"),
                                call->request->body.ptr ? call->request->body : STR("")};
    hmac_sha256(key, sizeof key, parts, COUNT_OF(parts), call->action.request_hash);
}

/* A parameter given twice has no one meaning. */
static bool given_once(struct call *call) {
    const struct request *request = call->request;
    for (size_t i = 0; i < request->n_query; i++) {
        bool repeated = false;
        for (size_t k = 0; k < i; k++)
            repeated = repeated || str_eq(request->query[k].name, request->query[i].name);
        const char *name = repeated ? arena_copy(request->arena, request->query[i].name) : NULL;
        if (repeated)
            err_add(&call->err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER(name ? name : ""),
                    "repeated", "Give it once, with a comma list.");
    }
    return !err_is_set(&call->err);
}

static bool query(struct call *call) {
    if (!given_once(call))
        return false;
    return (call->route->flags & ROUTE_QUERY) != 0 ||
           query_check(call->route->query, call->request->arena, call->params,
                       call->request->n_query, &call->err);
}

/* Ids in paths are UUIDs; other parameters are looked up by their handler. */
static bool path_ids(struct call *call) {
    for (size_t i = 0; i < call->args.n; i++) {
        const struct param *arg = &call->args.items[i];
        struct uuid id;
        if ((str_is(arg->name, "id") || str_is(arg->name, "account_id")) &&
            !uuid_parse(arg->value, &id))
            return err_add(&call->err, PROBLEM_INVALID_REQUEST,
                           ERR_PARAMETER(str_is(arg->name, "id") ? "id" : "account_id"),
                           "malformed_id", "The path's id must be a UUID.");
        if (str_is(arg->name, "id") || str_is(arg->name, "account_id")) {
            char *text = arena_alloc(call->request->arena, UUID_TEXT);
            if (!text)
                return err_memory(&call->err);
            uuid_text(&id, text);
            call->args.items[i].value = str_of(text);
        }
    }
    return true;
}

static bool admit(struct call *call) {
    bool body = (call->route->flags & (ROUTE_BODY | ROUTE_FORM | ROUTE_RAW)) != 0;
    bool empty = call->request->body.len == 0 && !call->request->body_too_large;
    if (!path_ids(call) || !query(call) || !accepts(call) || !body_size(call))
        return false;
    if (body && !(empty && (call->route->flags & ROUTE_OPTIONAL) != 0) && !body_type(call))
        return false;
    return idempotency_key(call);
}

/* ---- decode ---- */

static bool no_members(struct call *call) {
    if (jv_kind(call->doc) != JV_OBJECT)
        return err_add(&call->err, PROBLEM_INVALID_REQUEST, ERR_POINTER(""), "wrong_type",
                       "must be an object: {}");
    for (void *it = jv_first(call->doc); it; it = jv_next(call->doc, it)) {
        char where[128];
        snprintf(where, sizeof where, "/%.100s", jv_key(it));
        err_add(&call->err, PROBLEM_INVALID_REQUEST, ERR_POINTER(where), "unknown_field",
                "This takes no fields.");
    }
    return !err_is_set(&call->err);
}

static bool decode(struct call *call) {
    struct str body = call->request->body;
    size_t tokens = JSON_TOKENS * ((call->route->flags & ROUTE_BULK) != 0 ? BULK_MAX : 1);
    if ((call->route->flags & ROUTE_BODY) == 0)
        return true;
    if (body.len == 0 && (call->route->flags & ROUTE_OPTIONAL) != 0)
        body = STR("{}");
    if (!json_read(body.ptr ? body : STR(""), tokens, &call->doc, &call->err))
        return false;
    call->action.doc = call->doc;
    return (call->route->flags & ROUTE_EMPTY) == 0 || no_members(call);
}

static bool prepare(struct call *call) {
    struct request *request = call->request;
    call->action = (struct action){
        .app = call->face->app,
        .who = &call->who,
        .arena = request->arena,
        .when = request->when,
        .request_id = str_of(request->id),
        .traceparent = str_of(request->traceparent),
        .origin = STR("api"),
        .path = request->path,
        .if_match = request_header(request, "If-Match", NULL),
        .if_none_match = request_header(request, "If-None-Match", NULL),
        .resource = call->route->resource == RES_NONE ? NULL : resource_of(call->route->resource),
        .args = call->args.items,
        .n_args = call->args.n,
        .body = request->body,
    };
    call->params = arena_array(request->arena, request->n_query + 1, sizeof *call->params);
    if (!call->params)
        return err_memory(&call->err);
    for (size_t i = 0; i < request->n_query; i++)
        call->params[i] = (struct param){request->query[i].name, request->query[i].value};
    call->action.params = call->params;
    call->action.n_params = request->n_query;
    return true;
}

/* The record that the path begins with, where the route is about something below it that is no
 * record itself; resource NULL where it is not so. */
static struct record_key path_record(const struct call *call) {
    struct str rest = str_of(call->route->path), part;
    struct record_key key = {.id = action_arg(&call->action, "account_id")};
    bool below = call->route->resource == RES_NONE && str_split(&rest, '/', &part) &&
                 str_split(&rest, '/', &part) && str_split(&rest, '/', &part);
    const struct resource *resource = below ? resource_by_path(part) : NULL;
    if (!key.id.ptr)
        key.id = action_arg(&call->action, "id");
    if (key.id.ptr && resource && resource_account(resource))
        key.resource = resource;
    return key;
}

/* The areas of the account in the path, where the route is about them as a whole. */
static bool need_to_know(struct call *call) {
    const struct route *route = call->route;
    struct record_key key = path_record(call);
    return !key.resource || path_guard(&call->action, &key, route->areas,
                                       (enum verb)route->verb != VERB_READ, &call->err);
}

/* Documents about an account as a whole, by the areas of their route, and those that hold the
 * explanation of scores. What is shown of resources is noted record by record. */
static void note_document(struct call *call) {
    const struct route *route = call->route;
    struct str id = action_arg(&call->action, "account_id");
    id = id.ptr ? id : action_arg(&call->action, "id");
    for (enum area area = 0; area < AREA_COUNT; area++)
        if ((route->areas & AREA_BIT(area)) != 0)
            audit_note(&call->action, area, strrchr(route->path, '/') + 1, id, STR_ABSENT);
    if (route->explains)
        audit_note(&call->action, AREA_ECONOMICS, route->explains,
                   str_starts(call->request->path, "/v1/accounts/") ? id : STR_ABSENT, STR_ABSENT);
}

static void cache_control(struct call *call) {
    if ((call->route->flags & ROUTE_NO_STORE) != 0)
        answer_header(call->answer, "Cache-Control", STR("no-store"));
    if ((call->route->flags & ROUTE_MINUTE) != 0)
        answer_header(call->answer, "Cache-Control", STR("public, max-age=60"));
}

/* Whoever is shown something sensitive is written down first; else it is not shown. */
static bool handle(struct call *call) {
    if (call->action.idempotency_key.ptr)
        hash_request(call);
    note_document(call);
    cache_control(call);
    if (call->route->run)
        call->route->run(&call->action, &call->outcome, &call->err);
    else
        call->route->handler(call);
    if (call->outcome.revoked) /* nobody may be let in any more once this is answered */
        directory_settle(call->action.app->directory);
    return !err_is_set(&call->err) && audit_notes_write(&call->action, &call->err);
}

/* ---- answer ---- */

static void link_next(struct call *call) {
    const struct request *request = call->request;
    struct buf link;
    buf_init(&link, 8192);
    buf_char(&link, '<');
    buf_put(&link, request->path);
    buf_char(&link, '?');
    for (size_t i = 0; i < request->n_query; i++) {
        if (str_is(request->query[i].name, "cursor") || str_is(request->query[i].name, "after"))
            continue;
        buf_percent(&link, request->query[i].name);
        buf_char(&link, '=');
        buf_percent(&link, request->query[i].value);
        buf_char(&link, '&');
    }
    buf_text(&link, str_is(request->path, "/v1/events") ? "after=" : "cursor=");
    buf_percent(&link, str_of(call->outcome.next));
    buf_text(&link, ">; rel=\"next\"");
    if (buf_ok(&link))
        answer_header(call->answer, "Link", arena_str(request->arena, buf_str(&link)));
    buf_release(&link);
}

static void respond(struct call *call) {
    struct outcome *outcome = &call->outcome;
    struct answer *answer = call->answer;
    struct arena *arena = call->request->arena;
    answer->status = outcome->not_modified ? 304 : outcome->status;
    if (outcome->etag[0])
        answer_header(answer, "ETag", arena_str(arena, str_of(outcome->etag)));
    if (outcome->location[0])
        answer_header(answer, "Location", arena_str(arena, str_of(outcome->location)));
    if (outcome->replayed)
        answer_header(answer, "Idempotency-Replayed", STR("true"));
    if (outcome->next[0])
        link_next(call);
    if (answer->status == 304)
        return;
    /* Salesforce Flow cannot read an empty answer. */
    if (answer->status == 204 && call->route->verb != VERB_PUBLIC &&
        call->who.role == ROLE_INTEGRATION) {
        answer->status = 200;
        buf_text(&outcome->body, "{}");
    }
    if (outcome->body.len == 0)
        return;
    answer->content_type = outcome->content_type ? outcome->content_type : "application/json";
    buf_release(&answer->body);
    answer->body = outcome->body; /* handed over, not copied */
    buf_init(&outcome->body, 0);
}

/* Showed no key, or a wrong one; or a wrong secret where a route has one of its own. */
static bool unknown_caller(const struct call *call) {
    bool secret = call->route && (call->route->flags & ROUTE_SECRET) != 0;
    return call->err.problem == PROBLEM_UNAUTHENTICATED ||
           (secret && call->err.problem == PROBLEM_NOT_FOUND);
}

static void write_log(const struct call *call, int64_t taken) {
    const struct answer *answer = call->answer;
    bool failed = answer->status >= 500;
    if (failed && err_is_set(&call->err))
        log_err(LOG_ERROR, "request_failed", &call->err);
    if (!log_enabled(LOG_INFO))
        return;
    LOG(failed ? LOG_ERROR : LOG_INFO, "request", LOG_T("method", call->request->method),
        LOG_S("route", route_label(call->route)), LOG_I("status", answer->status),
        LOG_MS("ms", taken), LOG_I("bytes", answer->body.len),
        LOG_S("request_id", call->request->id), LOG_S("traceparent", call->request->traceparent),
        LOG_S("key", call->who.id), LOG_T("client", call->request->client),
        LOG_S("code", err_is_set(&call->err) ? problem_info(call->err.problem)->code : ""));
}

static void finish(struct call *call) {
    int64_t taken = clock_mono(&clock_system) - call->request->started_us;
    size_t row = call->route ? (size_t)(call->route - routes) : n_routes;
    int class = call->answer->status / 100;
    call->answer->metrics_cell = row * 5 + (size_t)(class >= 1 && class <= 5 ? class - 1 : 4);
    metrics_time(METRIC_HTTP_REQUESTS, call->answer->metrics_cell, taken);
    write_log(call, taken);
    span_end(call->request, call->answer, call->route, &call->err);
}

void pipeline_serve(void *context, struct request *request, struct answer *answer) {
    struct call call = {.face = context, .request = request, .answer = answer, .err = ERR_INIT};
    outcome_init(&call.outcome);
    bool fine = match(&call) &&
                (call.done ||
                 (prepare(&call) && authenticate(&call) && limit_admit(&call) && authorize(&call) &&
                  admit(&call) && need_to_know(&call) && decode(&call) && handle(&call)));
    if (!fine && unknown_caller(&call))
        limit_stranger(&call);
    if (!fine)
        problem_answer(&call.err, request, answer);
    else if (!call.done)
        respond(&call);
    if (answer->status == 304)
        limit_return(&call);
    finish(&call);
    outcome_release(&call.outcome);
    jv_unref(&call.doc);
    err_release(&call.err);
}

/* Answers that the pipeline had no part in: badly framed requests, too many connections. */
void pipeline_refused(void *context, const struct request *request, const struct answer *answer) {
    int64_t taken = clock_mono(&clock_system) - request->started_us;
    size_t class = (size_t)(answer->status / 100);
    (void)context;
    metrics_time(METRIC_HTTP_REQUESTS, n_routes * 5 + (class >= 1 && class <= 5 ? class - 1 : 4),
                 taken);
    LOG(LOG_INFO, "refused", LOG_T("method", request->method), LOG_I("status", answer->status),
        LOG_MS("ms", taken), LOG_S("request_id", request->id), LOG_T("client", request->client));
    span_end(request, answer, NULL, NULL);
}

void pipeline_adorn(void *context, const struct request *request, struct answer *answer) {
    const struct api_context *face = context;
    const struct config *config = face->app->config;
    cors_answer(config->cors_origins, request, answer);
    if (config->hsts_seconds > 0) {
        const char *age = arena_format(request->arena, "max-age=%d", config->hsts_seconds);
        if (age)
            answer_header(answer, "Strict-Transport-Security", str_of(age));
    }
}

/* ---- metrics ---- */

const char *route_label(const struct route *route) { return route ? route->path : "unmatched"; }

bool pipeline_metrics(void) {
    static char texts[512 * 5][112];
    static const char *cells[512 * 5];
    if (n_routes + 1 > COUNT_OF(texts) / 5)
        return false;
    for (size_t i = 0; i <= n_routes; i++)
        for (int class = 1; class <= 5; class ++) {
            size_t cell = i * 5 + (size_t) class - 1;
            snprintf(texts[cell], sizeof texts[cell], "route=\"%s\",method=\"%s\",status=\"%dxx\"",
                     i < n_routes ? routes[i].path : "unmatched",
                     i < n_routes ? routes[i].method : "", class);
            cells[cell] = texts[cell];
        }
    return metrics_labels(LABELS_ROUTE, cells, (n_routes + 1) * 5);
}
