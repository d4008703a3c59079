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

/* Asks for those of `before` who were seen lately, and for the `n` subjects in `wanted`. Returns
 * the slot. */
size_t people_ask(struct tx *tx, struct arena *arena, const struct people *before,
                  const struct str *wanted, size_t n, int64_t now_mono_us);
/* False: no memory. */
bool people_read(struct tx *tx, size_t slot, struct arena *arena, const struct people *before,
                 int64_t now_mono_us, struct people *ret);
struct person *people_find(const struct people *people, struct str subject);

/* As much of `text` as fits, cut between characters. */
void text_cut(char *ret, size_t room, struct str text);

#endif
