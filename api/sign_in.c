/* Handles POST /oauth/token: reads the client's id and secret from the form or the Authorization
 * header (RFC 6749), and answers with an access token or an OAuth error. */
#include "handlers.h"

#include "app/access_token.h"
#include "app/keys.h"
#include "app/users.h"
#include "limit.h"

#include <string.h>

#define BASIC_MAX 1024

/* ---- access tokens (RFC 6749 section 4.4) ---- */

static bool read_parameter(struct oauth_request *into, const struct query *one) {
    const struct {
        const char *name;
        struct str *place;
    } known[] = {{"grant_type", &into->grant_type},
                 {"client_id", &into->client_id},
                 {"client_secret", &into->client_secret},
                 {"scope", &into->scope}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (!str_is(one->name, known[i].name))
            continue;
        if (known[i].place->ptr)
            return false;       /* section 3.2: not more than once */
        if (one->value.len > 0) /* without a value it counts as left out */
            *known[i].place = one->value;
    }
    return true;
}

static bool read_form(struct call *call, struct oauth_request *into) {
    CLEANUP(err_release) struct err wrong = ERR_INIT;
    struct request form = {.raw_query = call->request->body, .arena = call->request->arena};
    bool fine = request_read_query(&form, &wrong);
    for (size_t i = 0; fine && i < form.n_query; i++)
        fine = read_parameter(into, &form.query[i]);
    return fine;
}

/* Both halves are form-encoded before they are put together (section 2.3.1). */
static bool unescape(struct call *call, struct str text, struct str *ret) {
    char *plain = arena_alloc(call->request->arena, text.len + 1);
    size_t len = 0;
    if (!plain || !percent_decode(text, true, plain, &len))
        return false;
    *ret = (struct str){plain, len};
    return true;
}

/* False: there is another scheme, or it is malformed, or the form names a client, too. */
static bool read_basic(struct call *call, struct oauth_request *into) {
    struct str rest = request_header(call->request, "Authorization", NULL), scheme, user;
    char *plain = arena_alloc(call->request->arena, BASIC_MAX);
    size_t len = 0;
    if (!rest.ptr)
        return true;
    if (!plain || into->client_secret.ptr || !str_split(&rest, ' ', &scheme) ||
        !str_case_is(scheme, "Basic") || !rest.ptr ||
        !base64_decode(str_trim(rest), plain, BASIC_MAX, &len))
        return false;
    struct str pair = {plain, len}, named = into->client_id;
    return str_split(&pair, ':', &user) && pair.ptr && unescape(call, user, &into->client_id) &&
           unescape(call, pair, &into->client_secret) &&
           (!named.ptr || str_eq(named, into->client_id));
}

const char *const oauth_errors[] = {
    [OAUTH_FINE] = "",
    [OAUTH_INVALID_REQUEST] = "invalid_request",
    [OAUTH_INVALID_CLIENT] = "invalid_client",
    [OAUTH_UNSUPPORTED_GRANT_TYPE] = "unsupported_grant_type",
    [OAUTH_INVALID_SCOPE] = "invalid_scope",
    NULL,
};

/* Section 5.2: the one answer of kamd that is no problem document when it is an error. */
static void answer_error(struct call *call, enum oauth_error error, const char *why) {
    struct buf *body = &call->outcome.body;
    buf_format(body, "{\"error\":\"%s\",\"error_description\":", oauth_errors[error]);
    buf_json(body, str_of(why));
    buf_text(body, ",\"request_id\":");
    buf_json(body, str_of(call->request->id));
    buf_char(body, '}');
    call->outcome.status = error == OAUTH_INVALID_CLIENT ? 401 : 400;
    if (error == OAUTH_INVALID_CLIENT)
        answer_header(call->answer, "WWW-Authenticate", STR("Basic realm=\"kamd\""));
}

void tokens_add(struct call *call) {
    struct oauth_request request = {.grant_type = STR_ABSENT};
    struct oauth_answer found = {
        OAUTH_INVALID_REQUEST, "A parameter is malformed, or is there twice.", &call->outcome.body};
    if (!call->face->app->config->oauth) {
        err_set(&call->err, PROBLEM_NOT_FOUND, "Client credentials are not offered here.");
        return;
    }
    answer_header(call->answer, "Cache-Control", STR("no-store"));
    bool form = read_form(call, &request);
    if (form && !read_basic(call, &request)) {
        found.error = OAUTH_INVALID_CLIENT;
        found.why = "Name the client once: by Authorization: Basic, or in the form.";
    } else if (form &&
               !oauth_grant(call->face->app, &request, call->request->when, &found, &call->err)) {
        return;
    }
    err_release(&call->err);
    call->err = ERR_INIT;
    if (found.error == OAUTH_INVALID_CLIENT)
        limit_stranger(call);
    if (found.error != OAUTH_FINE && !err_is_set(&call->err))
        answer_error(call, found.error, found.why);
}
