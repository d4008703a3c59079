/* Who calls: by an API key, by an access token that one got at /oauth/token, or by a token of the
 * company's identity provider. */
#ifndef KAMD_APP_SIGN_IN_H
#define KAMD_APP_SIGN_IN_H

#include "app/app.h"

/* By what the caller sent as bearer token. UNAUTHENTICATED when nobody. `any_age`: memory is good
 * enough, however old (recognition while the database is away). */
bool principal_find(struct app *app, struct str token, bool any_age, deadline when,
                    struct principal *ret, struct err *err);
/* By the text of an API key alone; *ret_no: which of its secrets that is. */
bool key_find(struct app *app, struct str key, bool any_age, deadline when, struct principal *ret,
              int64_t *ret_no, struct err *err);

#endif
