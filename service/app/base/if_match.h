/* If-Match: a change is made only of what the caller has read. Private to the app layer. */
#ifndef KAMD_APP_BASE_IF_MATCH_H
#define KAMD_APP_BASE_IF_MATCH_H

#include "app/app.h"

/* PRECONDITION_REQUIRED when the action gives no If-Match. */
bool if_match_given(const struct action *action, struct err *err);
/* Whether the action's If-Match, if it gives one, names `etag`, the etag of now; "" when there is
 * nothing yet. PRECONDITION_FAILED with that etag when not; `what` begins the sentence. */
bool if_match(const struct action *action, const char *etag, const char *what, struct err *err);

#endif
