/* Which web pages of other origins may read our answers, and the headers that only make sense to
 * those. */
#ifndef API_CORS_H
#define API_CORS_H

#include "http.h"

/* `origins` is the allow-list of the configuration: comma-separated, compared exactly. Credentials
 * are never allowed: pages send their key or token in Authorization, which is no ambient authority.
 */
void cors_answer(const char *origins, const struct request *request, struct answer *answer);

#endif
