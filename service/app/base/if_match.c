/* Compares the If-Match header with the ETag of the record that is about to change, and refuses
 * the change when the caller has read an older one. */
#include "base/if_match.h"

#include <stdio.h>

bool if_match_given(const struct action *action, struct err *err) {
    return action->if_match.ptr != NULL || err_set(err, PROBLEM_PRECONDITION_REQUIRED,
                                                   "Send If-Match with the etag that you read.");
}

bool if_match(const struct action *action, const char *etag, const char *what, struct err *err) {
    if (!action->if_match.ptr ||
        (etag[0] != '\0' && etag_edit_matches(action->if_match, str_of(etag))))
        return true;
    snprintf(err->etag, sizeof err->etag, "%s", etag);
    return err_set(err, PROBLEM_PRECONDITION_FAILED, "%s was changed since you read it.",
                   what ? what : "It");
}
