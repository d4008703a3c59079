/* Can this process do useful work: PostgreSQL answers, and its schema fits this binary. Asked in
 * the background, so that probes never wait. Redis is optional. */
#ifndef KAMD_APP_READINESS_H
#define KAMD_APP_READINESS_H

#include "app/app.h"

struct readiness;

bool readiness_start(const struct app *app, struct readiness **ret, struct err *err);
void readiness_stop(struct readiness *readiness);
/* An api_ready: `context` is the readiness. */
bool readiness_ask(void *context, struct buf *ret_reasons);

#endif
