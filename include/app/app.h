/* What the use cases share: the process's parts, who acts, and what comes out. */
#ifndef KAMD_APP_APP_H
#define KAMD_APP_APP_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/crypto.h"
#include "core/err.h"
#include "core/id.h"
#include "core/json.h"
#include "domain/access.h"
#include "domain/render.h"
#include "domain/resource.h"

struct store;
struct cache;
struct cache_touch;
struct directory;
struct issuer;

/* Built in main, freed in reverse. */
struct app {
    const struct config *config;
    const struct keyring *keyring;
    const struct clock *clock;
    const struct randomness *randomness;
    struct store *store;
    struct cache *cache;
    struct directory *directory;
    struct issuer *issuer; /* NULL: no identity provider is configured */
    const char *version;
};

/* By what the caller is known. */
enum credential {
    CREDENTIAL_KEY,   /* an API key */
    CREDENTIAL_TOKEN, /* an access token that an API key got at /oauth/token */
    CREDENTIAL_PERSON /* the identity provider's token */
};

/* Who calls. Borrowed from the directory for the time of one request. */
struct principal {
    enum credential credential;
    char id[UUID_TEXT];        /* of the API key; of the user, when signed in as a person */
    char actor[UUID_TEXT + 8]; /* "key:<id>" or "user:<id>": what history shows */
    char user_id[UUID_TEXT];   /* "" without a user */
    char name[80];
    enum role role;
    unsigned scopes;
    int64_t secret_no; /* of an API key: which of its secrets it is */
};

/* What a call shows of sensitive areas: see app/audit.h. */
struct audit_note {
    enum area area;
    const char *resource;
    struct str account_id; /* absent: of the record's, or none */
    struct str record_id;  /* absent: several */
    size_t records;
};
struct audit_notes {
    struct audit_note *list; /* in the arena */
    size_t n, room;
    bool lost; /* no memory: nothing may be answered */
};

/* One call of a use case. */
struct action {
    struct app *app;
    const struct principal *who;
    struct str bearer; /* the token that said so; what outlives the request looks it up again */
    struct arena *arena;
    deadline when;
    struct str request_id;
    struct str traceparent;
    struct str origin;          /* "api", or the system of a sync call */
    struct str idempotency_key; /* absent: none given */
    unsigned char request_hash[CRYPTO_SHA256];
    struct str path; /* the request's; absent: there is none */
    /* What the call is about, as its route has it. */
    const struct resource *resource; /* NULL: of none */
    const struct param *args;        /* parameters of the path, by the names in the route */
    size_t n_args;
    const struct param *params; /* parameters of the query */
    size_t n_params;
    const jv *doc;       /* the document that came; NULL: none */
    struct str body;     /* of a route that takes it as it is */
    struct str if_match; /* absent: none given */
    struct str if_none_match;
    struct audit_notes notes;
};

/* What comes out of a use case. `body` is the JSON that the client gets; on a replay it is the
 * first answer's, byte by byte. */
struct outcome {
    int status;
    char etag[ETAG_TEXT];     /* "" = none */
    char location[160];       /* "" = none */
    char next[512];           /* cursor of the next page, for Link */
    struct buf body;          /* empty: no body */
    const char *content_type; /* NULL: application/json */
    bool replayed;
    bool not_modified;
    bool revoked; /* somebody's access has ended: nobody is answered before all processes know */
    bool rolled_back; /* the answer says why nothing was written; a repetition runs again */
    struct cache_touch
        *touches; /* cached entries that the write replaced, as triggers noted them; in the arena */
    size_t n_touches;
};

/* A parameter of the path; absent: the route has none of that name. */
struct str action_arg(const struct action *action, const char *name);

/* What a route does. False: `err` says why not. */
typedef bool use_case(struct action *action, struct outcome *outcome, struct err *err);

void outcome_init(struct outcome *outcome);
void outcome_release(struct outcome *outcome);

#endif
