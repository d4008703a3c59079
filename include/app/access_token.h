/* Access tokens that kamd gives out itself (OAuth 2.0 client credentials): what they stand for is
 * sealed inside, so that every replica reads them without asking; the directory says whether the
 * client's secret still holds, so that they end with it at once. */
#ifndef KAMD_APP_ACCESS_TOKEN_H
#define KAMD_APP_ACCESS_TOKEN_H

#include "app/app.h"

#define ACCESS_TOKEN_PREFIX "kamd_at_"
#define ACCESS_TOKEN_TEXT 128

struct access_token {
    char key_id[UUID_TEXT];
    int64_t secret_no;
    unsigned scopes; /* 0: all that the key has */
    int64_t expires_us;
};

bool access_token_make(const struct keyring *keyring, const struct access_token *token,
                       char ret[static ACCESS_TOKEN_TEXT]);
/* False: not one of ours, or of another master key. Its time is the caller's to judge. */
bool access_token_read(const struct keyring *keyring, struct str text, struct access_token *ret);

/* The errors of RFC 6749 section 5.2 that there are here. */
enum oauth_error {
    OAUTH_FINE,
    OAUTH_INVALID_REQUEST,
    OAUTH_INVALID_CLIENT,
    OAUTH_UNSUPPORTED_GRANT_TYPE,
    OAUTH_INVALID_SCOPE
};

struct oauth_request {
    struct str grant_type, client_id, client_secret;
    struct str scope; /* absent: the client's own */
};

struct oauth_answer {
    enum oauth_error error;
    const char *why;  /* a sentence about the error */
    struct buf *body; /* gets the answer when there is none */
};

/* Client credentials: client_id is an API key's id, client_secret its text. False only when it
 * cannot be told who that is (the database is away). */
bool oauth_grant(struct app *app, const struct oauth_request *request, deadline when,
                 struct oauth_answer *ret, struct err *err);

#endif
