/* What comes out of a use case. */
#include "app/app.h"

void outcome_init(struct outcome *outcome) {
    *outcome = (struct outcome){.status = 200};
    buf_init(&outcome->body, (size_t)64 << 20);
}

void outcome_release(struct outcome *outcome) { buf_release(&outcome->body); }
