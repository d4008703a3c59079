/* What every process holds in memory, read anew every KAMD_DIRECTORY_MS: the API keys, and how to
 * recognise the key accounts. (The list of key accounts is capped, so it fits.) Recognition answers
 * from here also while PostgreSQL is away, and says so. */
#ifndef KAMD_APP_DIRECTORY_H
#define KAMD_APP_DIRECTORY_H

#include "app/app.h"

/* Starts the thread that refreshes it; the first reading is tried at once, and need not succeed. */
bool directory_start(const struct app *app, struct directory **ret, struct err *err);
void directory_stop(struct directory *directory);
/* Reads anew now: after a change of keys, so that this process knows at once. */
void directory_refresh(struct directory *directory);

/* Older than this, keys are looked up in the database; and recognition says stale. */
#define DIRECTORY_FRESH_US 2000000

enum directory_answer { DIRECTORY_KNOWN, DIRECTORY_UNKNOWN, DIRECTORY_TOO_OLD };

/* Who holds this key (hash: SHA-256 of its text)? `any_age` accepts what is old. Expired and
 * revoked keys are unknown. */
enum directory_answer directory_principal(struct directory *directory,
                                          const unsigned char hash[static CRYPTO_SHA256],
                                          bool any_age, struct principal *ret);

enum identifier {
    IDENTIFIER_PHONE,
    IDENTIFIER_EMAIL,
    IDENTIFIER_DOMAIN,
    IDENTIFIER_ACCOUNT_NUMBER,
    IDENTIFIER_SALESFORCE_ID
};
/* Whether some key account is known by this; the members of the answer without braces, and whether
 * it is stale. False: never read yet. */
bool directory_recognise(struct directory *directory, enum identifier kind, struct str value,
                         bool *ret_known, bool *ret_stale, char ret_as_of[static TIME_TEXT],
                         struct buf *ret_members);

#endif
