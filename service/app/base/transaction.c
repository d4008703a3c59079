/* Begins the transaction of a use case, and tells the database in whose name it runs. */
#include "base/transaction.h"

struct tx_context action_context(const struct action *action) {
    return (struct tx_context){
        .scope = role_sees_all(action->who->role) ? STR("all") : STR("acl"),
        .reach = caller_reach(action->who->role, action->who->scopes),
        .user_id = action->who->user_id[0] ? str_of(action->who->user_id) : STR_ABSENT,
        .actor = str_of(action->who->actor),
        .origin = action->origin,
        .request_id = action->request_id,
        .traceparent = action->traceparent,
    };
}

bool read_begin(struct action *action, struct tx **ret, struct err *err) {
    struct tx_context context = action_context(action);
    return (*ret = tx_begin(action->app->store, TX_READ, &context, action->when, err)) != NULL;
}
