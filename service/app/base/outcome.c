/* Starts and frees the answer of a use case (struct outcome), and reads the arguments in the
 * path of its request (struct action). */
#include "app/app.h"

void outcome_init(struct outcome *outcome) {
    *outcome = (struct outcome){.status = 200};
    buf_init(&outcome->body, (size_t)64 << 20);
}

void outcome_release(struct outcome *outcome) { buf_release(&outcome->body); }

struct str action_arg(const struct action *action, const char *name) {
    for (size_t i = 0; i < action->n_args; i++)
        if (str_is(action->args[i].name, name))
            return action->args[i].value;
    return STR_ABSENT;
}
