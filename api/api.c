/* Both ports: the public one with the pipeline, the admin one with probes and metrics. A process
 * that only works has the latter alone. */
#include "api/api.h"

#include "app/limits.h"
#include "call.h"
#include "core/cidr.h"
#include "core/metrics.h"
#include "limit.h"
#include "server.h"

#include <stdatomic.h>
#include <stdlib.h>

#define FINISH_MS 5000

struct api {
    struct api_context face;
    struct admin admin;
    struct cidrs trusted;
    struct server *public;
    struct server *private;
    atomic_bool draining;
    api_ready *ready;
    void *ready_context;
};

static bool ready(void *context, struct buf *ret_reasons) {
    struct api *api = context;
    if (atomic_load(&api->draining)) {
        buf_text(ret_reasons, "[\"draining\"]");
        return false;
    }
    return api->ready(api->ready_context, ret_reasons);
}

static struct server_options options(const struct config *config, struct api *api) {
    return (struct server_options){
        .host = config->host,
        .port = config->port,
        .threads = config->http_threads,
        .connections = (size_t)config->http_connections,
        .memory = (size_t)config->http_memory,
        .header_seconds = config->header_seconds,
        .body_seconds = config->body_seconds,
        .idle_seconds = config->idle_seconds,
        .request_ms = config->request_ms,
        .trusted = &api->trusted,
        .metrics = true,
        .name = "public",
        .serve = pipeline_serve,
        .refused = pipeline_refused,
        .adorn = pipeline_adorn,
        .context = &api->face,
    };
}

static bool listen_private(struct api *api, const struct config *config, struct err *err) {
    struct server_options private = options(config, api);
    private.host = config->admin_host;
    private.port = config->admin_port;
    private.threads = 1;
    private.connections = 64;
    private.metrics = false;
    private.name = "admin";
    private.serve = admin_serve;
    private.refused = NULL;
    private.adorn = NULL;
    private.context = &api->admin;
    return server_start(&private, &api->private, err);
}

static bool listen_public(struct api *api, const struct config *config, struct err *err) {
    struct server_options public = options(config, api);
    return router_init(routes, n_routes, &api->face.router, err) &&
           limits_open(api->face.app->cache, api->face.app->clock, &api->face.limits, err) &&
           streams_start(api->face.app, &api->face.streams, err) &&
           server_start(&public, &api->public, err);
}

bool api_start(struct app *app, const struct api_options *asked, struct api **ret,
               struct err *err) {
    const struct config *config = app->config;
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return err_memory(err);
    api->ready = asked->ready;
    api->ready_context = asked->ready_context;
    api->admin = (struct admin){.ready = ready, .context = api, .version = app->version};
    api->face = (struct api_context){.app = app, .admin = &api->admin};
    cidrs_parse(str_of(config->trusted_proxies), &api->trusted); /* config_read() has checked it */
    if (!listen_private(api, config, err) || (asked->public && !listen_public(api, config, err))) {
        api_stop(api);
        return false;
    }
    *ret = api;
    return true;
}

bool api_metrics(void) { return pipeline_metrics() && limit_metrics(); }

int api_port(const struct api *api) { return server_port(api->public); }

int api_admin_port(const struct api *api) { return server_port(api->private); }

void api_drain(struct api *api) {
    atomic_store(&api->draining, true);
    metrics_set(METRIC_DRAINING, 0, 1);
    if (api->public)
        server_drain(api->public);
    streams_end(api->face.streams);
}

void api_stop(struct api *api) {
    if (!api)
        return;
    streams_end(api->face.streams);
    server_stop(api->public, FINISH_MS);
    server_stop(api->private, 0);
    streams_stop(api->face.streams);
    limits_close(api->face.limits);
    router_release(api->face.router);
    free(api);
}
