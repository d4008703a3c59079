/* Serves what is not the API itself: the probes, the contract (/openapi.json, /docs), and the
 * pages that explain problems. */
#include "handlers.h"

#include "admin.h"
#include "assets.h"
#include "domain/render.h"
#include "gzip.h"
#include "problem.h"

#include <string.h>

void livez(struct call *call) {
    admin_livez(call->answer);
    call->done = true;
}

void readyz(struct call *call) {
    admin_readyz(call->face->admin, call->answer);
    call->done = true;
}

static const struct asset *asset_by_name(const char *name) {
    for (size_t i = 0; i < n_assets; i++)
        if (strcmp(assets[i].name, name) == 0)
            return &assets[i];
    return NULL;
}

static const char *type_of(const char *name) {
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"}, {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},   {".svg", "image/svg+xml"},
        {".json", "application/json"},         {".png", "image/png"}};
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (str_ends(str_of(name), types[i][0]))
            return types[i][1];
    return "application/octet-stream";
}

static bool asset_body(struct call *call, const struct asset *asset, bool gzip) {
    if (!gzip)
        return gzip_open(asset->data, asset->len, asset->size, &call->answer->body);
    buf_add(&call->answer->body, asset->data, asset->len);
    answer_header(call->answer, "Content-Encoding", STR("gzip"));
    return true;
}

/* Each coding has an ETag of its own: they are different bytes (RFC 9110 section 8.8.3.3). */
static void asset_answer(struct call *call, const char *name, const char *cache) {
    const struct asset *asset = asset_by_name(name);
    struct str known = call->action.if_none_match;
    if (!asset) {
        err_set(&call->err, PROBLEM_NOT_FOUND, "There is no such page.");
        return;
    }
    bool gzip = request_accepts(call->request, "Accept-Encoding", "gzip") > 0;
    struct str etag = str_of(gzip ? asset->gzip_etag : asset->etag);
    bool same = known.ptr && etag_all_matches(known, etag);
    if (!same && !asset_body(call, asset, gzip)) {
        err_memory(&call->err);
        return;
    }
    call->answer->content_type = type_of(name);
    call->answer->status = same ? 304 : 200;
    answer_header(call->answer, "ETag", etag);
    answer_header(call->answer, "Cache-Control", str_of(cache));
    call->done = true;
}

void openapi_show(struct call *call) { asset_answer(call, "openapi.json", "public, max-age=60"); }

/* For External Services, which reads less than OpenAPI has; derived when kamd is built. */
void openapi_salesforce_show(struct call *call) {
    asset_answer(call, "openapi-salesforce.json", "public, max-age=60");
}

/* The page and its files; it may talk to this origin only. */
void docs_show(struct call *call) {
    struct str file = action_arg(&call->action, "file");
    const char *name = file.ptr ? arena_format(call->request->arena, "docs/%.*s", STR_ARG(file))
                                : "docs/index.html";
    answer_header(call->answer, "Content-Security-Policy",
                  STR("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
                      "data:; font-src 'self'; connect-src 'self'; "
                      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
    if (name)
        asset_answer(call, name, "public, max-age=60");
    else
        err_memory(&call->err);
}

void problem_show(struct call *call) {
    call->done = problem_page(action_arg(&call->action, "code"), call->request, call->answer);
    if (!call->done)
        err_set(&call->err, PROBLEM_NOT_FOUND, "There is no such problem code.");
}
