/* The span of a request, when one is recorded (core/trace.h). */
#ifndef API_SPAN_H
#define API_SPAN_H

#include "call.h"

/* Once the answer is known. `route` and `err` may be NULL. */
void span_end(const struct request *request, const struct answer *answer, const struct route *route,
              const struct err *err);

#endif
