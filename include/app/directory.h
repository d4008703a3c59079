/* What every process holds in memory, read anew every KAMD_DIRECTORY_MS: the API keys, the people
 * who signed in lately, and how to recognise the key accounts. (The list of key accounts is capped,
 * so it fits.) Recognition answers from here also while PostgreSQL is away, and says so. */
#ifndef KAMD_APP_DIRECTORY_H
#define KAMD_APP_DIRECTORY_H

#include "app/app.h"
#include "domain/claims.h"

/* Starts the thread that refreshes it; the first reading is tried at once, and need not succeed. */
bool directory_start(const struct app *app, struct directory **ret, struct err *err);
void directory_stop(struct directory *directory);
/* Reads anew now: after a change of keys, so that this process knows at once. */
void directory_refresh(struct directory *directory);

/* After the commit that ended somebody's access: returns once no process lets them in any more,
 * because it has read anew, or must. */
void directory_settle(struct directory *directory);

/* Older than this, keys and people are looked up in the database. */
#define DIRECTORY_FRESH_US 1000000
/* Older than this, recognition says stale. */
#define DIRECTORY_STALE_US 2000000

enum directory_answer { DIRECTORY_KNOWN, DIRECTORY_UNKNOWN, DIRECTORY_TOO_OLD };

/* Who holds this key (hash: SHA-256 of its text)? `any_age` accepts what is old. Expired and
 * revoked keys are unknown. */
enum directory_answer directory_principal(struct directory *directory,
                                          const unsigned char hash[static CRYPTO_SHA256],
                                          bool any_age, struct principal *ret);
/* The key with this id, as long as the secret with this number holds. */
enum directory_answer directory_key(struct directory *directory, const char *id, int64_t secret_no,
                                    bool any_age, struct principal *ret);

/* The user with this `sub`: all but the role. Only those are in memory who were watched or asked
 * for within the last hour. */
enum directory_answer directory_person(struct directory *directory, struct str subject,
                                       bool any_age, struct principal *ret, bool *ret_active);
/* The next reading looks for the user, too. False: too many at once. */
bool directory_watch(struct directory *directory, struct str subject);

enum identifier {
    IDENTIFIER_PHONE,
    IDENTIFIER_EMAIL,
    IDENTIFIER_DOMAIN,
    IDENTIFIER_ACCOUNT_NUMBER,
    IDENTIFIER_SALESFORCE_ID
};
extern const char *const identifier_names[]; /* NULL-terminated */
struct recognised {
    bool known; /* some key account is */
    bool stale;
    char as_of[TIME_TEXT];
};
/* Who is known by this; the members of the answer without braces. False: never read yet. */
bool directory_recognise(struct directory *directory, enum identifier kind, struct str value,
                         struct recognised *ret, struct buf *ret_members);

#endif
