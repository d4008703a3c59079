/* The HTTP face: the public port with all routes, and the admin port with probes and metrics, each
 * a daemon of its own. */
#ifndef KAMD_API_API_H
#define KAMD_API_API_H

#include "app/app.h"
#include "core/config.h"

struct api;

/* Is the process ready for requests? Adds a JSON array of reasons when it is not. Must not block:
 * it is asked by probes. */
typedef bool api_ready(void *context, struct buf *ret_reasons);

/* Registers the cells of the API's metrics. Once, before threads start. */
bool api_metrics(void);
struct api_options {
    bool public; /* on the public port, too */
    api_ready *ready;
    void *ready_context;
};
/* Listens on the ports of the app's settings. *ret serves at once. */
bool api_start(struct app *app, const struct api_options *options, struct api **ret,
               struct err *err);
int api_port(const struct api *api); /* the port in use, also when the setting is 0 */
int api_admin_port(const struct api *api);
/* /readyz answers 503 from now on; requests are still served, with Connection: close. */
void api_drain(struct api *api);
/* Stops accepting, finishes what is in flight, frees. */
void api_stop(struct api *api);
/* `kamd --print-api`: routes, resources and their fields, filters, problems, settings and event
 * types as JSON. */
void api_print(struct buf *ret);

#endif
