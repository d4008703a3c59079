/* The HTTP face: the public port with all routes, and the admin port with probes and metrics, each a daemon of its own. */
#ifndef KAMD_API_API_H
#define KAMD_API_API_H

#include "app/app.h"
#include "core/config.h"

struct api;

/* Listens on both ports. *ret serves at once. */
bool api_start(struct app *app, const struct config *config, struct api **ret, struct err *err);
int api_port(const struct api *api);       /* the port in use, also when the setting is 0 */
int api_admin_port(const struct api *api);
/* /readyz answers 503 from now on; requests are still served, with Connection: close. */
void api_drain(struct api *api);
/* Stops accepting, finishes what is in flight, frees. */
void api_stop(struct api *api);
/* `kamd --print-api`: routes, resources and their fields, filters, problems, settings and event types as JSON. */
void api_print(struct buf *ret);

#endif
