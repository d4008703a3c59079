/* Reads the people who signed in within the last hour from PostgreSQL into the directory's
 * snapshot, and finds a person there by the identity provider's `sub`. */
#include "caller/directory_users.h"

#include "base/transaction.h"
#include "store/array.h"

#include <stdlib.h>
#include <string.h>

#define SEEN_LATELY_US ((int64_t)3600 * 1000000)

void text_cut(char *ret, size_t room, struct str text) {
    struct str cut = {text.ptr, text.len < room ? text.len : room - 1};
    size_t len = cut.len > 0 ? str_utf8_prefix(cut) : 0;
    if (len > 0)
        memcpy(ret, text.ptr, len);
    ret[len] = '\0';
}

/* Somebody who was deleted is found, too, unless another user has the subject now. */
#define PEOPLE_SQL                                                                                 \
    "select distinct on (subject) subject, id, name, active and deleted_at is null from app_user " \
    "where subject = any ($1::text[]) order by subject, deleted_at desc nulls first"
enum { PERSON_SUBJECT, PERSON_ID, PERSON_NAME, PERSON_ACTIVE };

void people_ask(struct people_reading *reading, const struct str *wanted, size_t n) {
    const struct people *before = reading->before;
    struct str *subjects = arena_array(reading->arena, before->n + n + 1, sizeof *subjects);
    size_t count = 0;
    for (size_t i = 0; subjects && i < before->n; i++)
        if (reading->now_mono_us - before->items[i].used_mono_us < SEEN_LATELY_US)
            subjects[count++] = before->items[i].subject;
    for (size_t i = 0; subjects && i < n; i++)
        subjects[count++] = wanted[i];
    struct str list = pg_array_param(reading->arena, subjects, count);
    reading->slot = tx_query(reading->tx, PEOPLE_SQL, &list, 1);
}

static int compare(const void *a, const void *b) {
    struct str x = ((const struct person *)a)->subject, y = ((const struct person *)b)->subject;
    int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

bool people_read(const struct people_reading *reading, struct people *ret) {
    struct tx *tx = reading->tx;
    size_t slot = reading->slot;
    ret->n = tx_rows(tx, slot);
    ret->items = arena_array(reading->arena, ret->n + 1, sizeof *ret->items);
    for (size_t i = 0; ret->items && i < ret->n; i++) {
        struct person *person = &ret->items[i];
        person->subject = arena_str(reading->arena, tx_value(tx, slot, i, PERSON_SUBJECT));
        if (!person->subject.ptr)
            return false;
        text_cut(person->user_id, sizeof person->user_id, tx_value(tx, slot, i, PERSON_ID));
        text_cut(person->name, sizeof person->name, tx_value(tx, slot, i, PERSON_NAME));
        person->active = tx_bool(tx, slot, i, PERSON_ACTIVE);
        const struct person *known = people_find(reading->before, person->subject);
        person->used_mono_us = known ? known->used_mono_us : reading->now_mono_us;
    }
    if (ret->items)
        qsort(ret->items, ret->n, sizeof *ret->items, compare);
    return ret->items != NULL;
}

struct person *people_find(const struct people *people, struct str subject) {
    struct person wanted = {.subject = subject};
    return people->n == 0 ? NULL
                          : bsearch(&wanted, people->items, people->n, sizeof wanted, compare);
}
