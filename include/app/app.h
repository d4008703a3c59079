/* What the use cases share: the process's parts, who acts, and what comes out. */
#ifndef KAMD_APP_APP_H
#define KAMD_APP_APP_H

#include "cache/cache.h"
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
#include "store/store.h"

struct directory;

/* Built in main, freed in reverse. */
struct app {
    const struct config *config;
    const struct keyring *keyring;
    const struct clock *clock;
    const struct randomness *randomness;
    struct store *store;
    struct cache *cache;
    struct directory *directory;
    const char *version;
};

/* Who calls. Borrowed from the directory for the time of one request. */
struct principal {
    char id[UUID_TEXT];      /* of the API key */
    char actor[UUID_TEXT + 8]; /* "key:<id>" or "user:<id>": what history shows */
    char user_id[UUID_TEXT]; /* "" without a user */
    char name[80];
    enum role role;
    unsigned scopes;
};

/* One call of a use case. */
struct action {
    struct app *app;
    const struct principal *who;
    struct arena *arena;
    deadline when;
    struct str request_id;
    struct str traceparent;
    struct str origin;          /* "api", or the system of a sync call */
    struct str idempotency_key; /* absent: none given */
    unsigned char request_hash[CRYPTO_SHA256];
    struct str if_match;        /* absent: none given */
    struct str if_none_match;
};

#define TOUCHES_MAX 1000

/* What comes out of a use case. `body` is the JSON that the client gets; on a replay it is the first answer's, byte by byte. */
struct outcome {
    int status;
    char etag[ETAG_TEXT]; /* "" = none */
    char location[160];   /* "" = none */
    char next[512];       /* cursor of the next page, for Link */
    struct buf body;      /* empty: no body */
    bool replayed;
    bool not_modified;
    struct cache_touch *touches; /* cached entries that the write replaced, as triggers noted them; in the arena */
    size_t n_touches;
};

void outcome_init(struct outcome *outcome);
void outcome_release(struct outcome *outcome);

struct tx_context action_context(const struct action *action);

/* One effect, once: begins a transaction, answers from the Idempotency-Key when it was used before, else runs `work`, stores its outcome under the key,
 * commits, invalidates the cache. `work` may be run again after a serialization failure: it starts from the arena and an empty outcome. 409 while the same key is in
 * flight; 422 when the key belongs to another request. */
typedef bool (*write_work)(struct action *action, struct tx *tx, void *arg, struct outcome *outcome, struct err *err);
bool write_once(struct action *action, write_work work, void *arg, struct outcome *outcome, struct err *err);

/* A read: queue statements, tx_flush() once, read their slots, tx_end(). */
bool read_begin(struct action *action, struct tx **ret, struct err *err);

/* A PostgreSQL array literal of texts, for `$n::text[]` and `$n::uuid[]`. */
struct str array_param(struct arena *arena, const struct str *items, size_t n);

#endif
