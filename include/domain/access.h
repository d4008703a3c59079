/* Who may do what: one const matrix of roles, verbs and information areas. It is the ceiling. Below
 * it, a person's access sets (account_access, access.sql) say which areas of which accounts; row
 * level security asks the same again. */
#ifndef KAMD_DOMAIN_ACCESS_H
#define KAMD_DOMAIN_ACCESS_H

#include "core/str.h"
#include "domain/resource.h"

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
    VERB_AUDIT,  /* who changed and read what */
    VERB_ANY,    /* any authenticated caller */
    VERB_PUBLIC, /* no key needed */
    VERB_COUNT
};

extern const char *const role_names[ROLE_COUNT + 1]; /* NULL-terminated */
bool role_by_name(struct str name, enum role *ret);
const char *role_name(enum role role);
const char *verb_name(enum verb verb);
bool access_allows(enum role role, enum verb verb);
/* Sees every account; others see what the access sets say. */
bool role_sees_all(enum role role);

/* Sets of areas: bit n is the area of number n. */
typedef uint64_t area_set;
#define AREA_BIT(area) ((area_set)1 << (area))
#define AREAS_ALL (AREA_BIT(AREA_COUNT) - 1)
/* The areas of the nine sections of a plan. */
#define AREAS_SECTIONS (AREA_BIT(AREA_INTERACTION_HISTORY + 1) - 1)
/* At most these, of whatever account. */
area_set role_reads(enum role role);
area_set role_writes(enum role role);
/* A caller's reach, as the database is told, in one number: the areas to read, above them those to
 * write, then all accounts, and what is for admins (caller_reach() in first.sql). */
#define AREA_WRITE_SHIFT 20
#define REACH_ALL_ACCOUNTS ((area_set)1 << 40)
#define REACH_ADMIN ((area_set)1 << 41)
#define REACH_EVERYTHING                                                                           \
    (AREAS_ALL | AREAS_ALL << AREA_WRITE_SHIFT | REACH_ALL_ACCOUNTS | REACH_ADMIN)
area_set caller_reach(enum role role, unsigned scopes);
/* A key's scopes narrow its role: "read" = VERB_READ only; "write" = all but VERB_DECIDE and
 * VERB_ADMIN; none = the role's own. */
enum scope {
    SCOPE_READ = 1 << 0,
    SCOPE_WRITE = 1 << 1,
    SCOPE_RECOGNITION = 1 << 2,
    SCOPE_SYNC = 1 << 3
};
extern const char *const scope_names[]; /* NULL-terminated */
bool scope_by_name(struct str name, unsigned *ret);
bool scopes_allow(unsigned scopes, enum verb verb);
/* By the role and by the key's scopes. */
bool caller_may(enum role role, unsigned scopes, enum verb verb);

#endif
