/* People who signed in by the identity provider within the last hour, as of one reading. Private to
 * the app layer. */
#ifndef KAMD_APP_CALLER_DIRECTORY_USERS_H
#define KAMD_APP_CALLER_DIRECTORY_USERS_H

#include "app/app.h"
#include "store/store.h"

#include <stdatomic.h>

struct person {
    struct str subject;
    char user_id[UUID_TEXT];
    char name[80];
    bool active;               /* neither deactivated nor deleted */
    atomic_llong used_mono_us; /* last sign-in */
};

struct people {
    struct person *items; /* by subject */
    size_t n;
};

struct people_reading {
    struct tx *tx;
    struct arena *arena;         /* of the people who are read */
    const struct people *before; /* of the reading before */
    int64_t now_mono_us;
    size_t slot;
};
/* Asks for those who were seen lately, and for the `n` subjects in `wanted`. */
void people_ask(struct people_reading *reading, const struct str *wanted, size_t n);
/* False: no memory. */
bool people_read(const struct people_reading *reading, struct people *ret);
struct person *people_find(const struct people *people, struct str subject);

/* As much of `text` as fits, cut between characters. */
void text_cut(char *ret, size_t room, struct str text);

#endif
