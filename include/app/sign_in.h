/* Who calls: by an API key, by an access token that one got at /oauth/token, or by a token of the
 * company's identity provider. */
#ifndef KAMD_APP_SIGN_IN_H
#define KAMD_APP_SIGN_IN_H

#include "app/app.h"

struct sign_in {
    struct app *app;
    struct str token; /* what the caller sent */
    bool any_age;     /* memory is good enough, however old (recognition without the database) */
    deadline when;
};
/* By any bearer token. UNAUTHENTICATED when it is nobody's. */
bool principal_find(const struct sign_in *sign_in, struct principal *ret, struct err *err);
/* By the text of an API key alone. */
bool key_find(const struct sign_in *sign_in, struct principal *ret, struct err *err);

#endif
