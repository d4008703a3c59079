/* Counts successes and failures per webhook endpoint over the last minute, in slots of ten seconds,
 * and says when an endpoint fails so often that its circuit breaker must open. */
#include "breaker.h"

#include "core/str.h"

#include <string.h>

static struct breaker_window *window_of(struct breaker *breaker, const char *id) {
    struct breaker_window *window = &breaker->windows[str_hash(str_of(id)) % BREAKER_ENDPOINTS];

    if (strcmp(window->id, id) != 0) {
        *window = (struct breaker_window){0};
        memcpy(window->id, id, sizeof(window->id));
    }
    return window;
}

bool breaker_count(struct breaker *breaker, const char *endpoint_id, int64_t now_us, bool failed) {
    struct breaker_window *window = window_of(breaker, endpoint_id);
    int64_t slot = now_us / BREAKER_SLOT_US;
    size_t at = (size_t)(slot % BREAKER_SLOTS);
    int n_sent = 0, n_failed = 0;

    if (window->slot[at] != slot) {
        window->slot[at] = slot;
        window->sent[at] = window->failed[at] = 0;
    }
    window->sent[at]++;
    window->failed[at] += failed;
    for (size_t i = 0; i < BREAKER_SLOTS; i++)
        if (window->slot[i] > slot - BREAKER_SLOTS) {
            n_sent += window->sent[i];
            n_failed += window->failed[i];
        }
    if (!failed || n_sent < BREAKER_SENT || 2 * n_failed < n_sent)
        return false;
    *window = (struct breaker_window){0};
    return true;
}
