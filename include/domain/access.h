/* Who may do what: one const matrix of roles and verbs. Which accounts a person sees is a matter of
 * the access sets (acl) and of row level security; the areas within an account come on top of this.
 */
#ifndef KAMD_DOMAIN_ACCESS_H
#define KAMD_DOMAIN_ACCESS_H

#include "core/str.h"

#include <stdbool.h>

enum role {
    ROLE_ADMIN,
    ROLE_DIRECTOR,
    ROLE_ACCOUNT_MANAGER,
    ROLE_MEMBER,
    ROLE_AUDITOR,
    ROLE_INTEGRATION,
    ROLE_COUNT
};

enum verb {
    VERB_READ,           /* resources, events */
    VERB_CREATE_ACCOUNT, /* accounts, users: what has no account above it yet */
    VERB_WRITE,          /* what is below an account one sees, and that account */
    VERB_ORDERS,         /* sales facts: integrations, not people one by one (003-01) */
    VERB_DECIDE,         /* the program: criteria, designation, evaluation */
    VERB_SYNC,
    VERB_WEBHOOKS,
    VERB_ADMIN,  /* API keys, custom fields */
    VERB_ANY,    /* any authenticated caller */
    VERB_PUBLIC, /* no key needed */
    VERB_COUNT
};

bool role_by_name(struct str name, enum role *ret);
const char *role_name(enum role role);
const char *verb_name(enum verb verb);
bool access_allows(enum role role, enum verb verb);
/* Sees every account; others see what the access sets say. */
bool role_sees_all(enum role role);
/* A key's scopes narrow its role: "read" = VERB_READ only; "write" = all but VERB_DECIDE and
 * VERB_ADMIN; none = the role's own. */
enum scope {
    SCOPE_READ = 1 << 0,
    SCOPE_WRITE = 1 << 1,
    SCOPE_RECOGNITION = 1 << 2,
    SCOPE_SYNC = 1 << 3
};
bool scope_by_name(struct str name, unsigned *ret);
bool scopes_allow(unsigned scopes, enum verb verb);

#endif
