/* Computes the pause before the next retry of a webhook delivery. The random part is a hash of
 * delivery id and retry number, so that each pause is known without stored state. */
#include "schedule.h"

#include "core/str.h"

#include <stdio.h>

#define PLACES 1000000

/* How much of its slot has passed when this retry comes, in millionths. */
static int64_t place_of(size_t n, const char *delivery_id, size_t retry) {
    char name[64];
    int len = snprintf(name, sizeof(name), "%zu %s", retry, delivery_id);
    uint64_t hash = str_hash((struct str){name, (size_t)len});

    if (retry >= n)
        return PLACES;
    /* Ids differ little, and so do their hashes: mixed as splitmix64 does. */
    hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9U;
    hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBU;
    return (int64_t)((hash ^ (hash >> 31)) % PLACES);
}

int64_t schedule_pause(const int64_t *pauses, size_t n, const char *delivery_id, int retry) {
    size_t at = retry < 1 ? 1 : (size_t)retry;

    if (at > n)
        return pauses[n - 1];
    int64_t pause = pauses[at - 1] * place_of(n, delivery_id, at) / PLACES;
    if (at > 1)
        pause += pauses[at - 2] * (PLACES - place_of(n, delivery_id, at - 1)) / PLACES;
    return pause;
}
