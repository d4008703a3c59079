/* The access matrix: which verbs and information areas each role allows, and to which verbs the
 * scopes of an API key narrow the role. */
#include "domain/access.h"

const char *const role_names[ROLE_COUNT + 1] = {
    [ROLE_ADMIN] = "admin",
    [ROLE_DIRECTOR] = "director",
    [ROLE_ACCOUNT_MANAGER] = "account_manager",
    [ROLE_MEMBER] = "member",
    [ROLE_AUDITOR] = "auditor",
    [ROLE_INTEGRATION] = "integration",
};

static const char *const verb_names[VERB_COUNT] = {
    [VERB_READ] = "read",         [VERB_CREATE_ACCOUNT] = "create_account",
    [VERB_WRITE] = "write",       [VERB_ORDERS] = "orders",
    [VERB_DECIDE] = "decide",     [VERB_SYNC] = "sync",
    [VERB_WEBHOOKS] = "webhooks", [VERB_ADMIN] = "admin",
    [VERB_AUDIT] = "audit",       [VERB_ANY] = "any",
    [VERB_PUBLIC] = "public",
};

#define BIT(verb) (1u << VERB_##verb)
static const unsigned allowed[ROLE_COUNT] = {
    [ROLE_ADMIN] = BIT(READ) | BIT(CREATE_ACCOUNT) | BIT(WRITE) | BIT(ORDERS) | BIT(DECIDE) |
                   BIT(SYNC) | BIT(WEBHOOKS) | BIT(ADMIN) | BIT(AUDIT) | BIT(ANY) | BIT(PUBLIC),
    [ROLE_DIRECTOR] = BIT(READ) | BIT(CREATE_ACCOUNT) | BIT(WRITE) | BIT(ORDERS) | BIT(DECIDE) |
                      BIT(SYNC) | BIT(WEBHOOKS) | BIT(AUDIT) | BIT(ANY) | BIT(PUBLIC),
    [ROLE_ACCOUNT_MANAGER] = BIT(READ) | BIT(WRITE) | BIT(AUDIT) | BIT(ANY) | BIT(PUBLIC),
    [ROLE_MEMBER] = BIT(READ) | BIT(WRITE) | BIT(ANY) | BIT(PUBLIC),
    [ROLE_AUDITOR] = BIT(READ) | BIT(AUDIT) | BIT(ANY) | BIT(PUBLIC),
    [ROLE_INTEGRATION] = BIT(READ) | BIT(CREATE_ACCOUNT) | BIT(WRITE) | BIT(ORDERS) | BIT(SYNC) |
                         BIT(WEBHOOKS) | BIT(ANY) | BIT(PUBLIC),
};

/* What a member maintains is what the team is there for; who the customer is, what it bought, and
 * how it is left is not a member's to write. An integration moves records between systems: what our
 * people think of the customer's leaders is none of them. */
#define NOTES (AREA_BIT(AREA_LEADER_PERCEPTIONS) | AREA_BIT(AREA_VALUES_BELIEFS))
static const struct {
    area_set reads, writes;
} areas[ROLE_COUNT] = {
    [ROLE_ADMIN] = {AREAS_ALL, AREAS_ALL},
    [ROLE_DIRECTOR] = {AREAS_ALL, AREAS_ALL},
    [ROLE_ACCOUNT_MANAGER] = {AREAS_ALL, AREAS_ALL},
    [ROLE_MEMBER] = {AREAS_ALL, AREAS_ALL & ~(AREA_BIT(AREA_PROFILE) | AREA_BIT(AREA_SALES) |
                                              AREA_BIT(AREA_DIVESTMENT))},
    [ROLE_AUDITOR] = {AREAS_ALL, 0},
    [ROLE_INTEGRATION] = {AREAS_ALL & ~(NOTES | AREA_BIT(AREA_DIVESTMENT)),
                          AREAS_ALL & ~(AREAS_SECTIONS | AREA_BIT(AREA_DIVESTMENT))},
};

area_set role_reads(enum role role) { return areas[role].reads; }

area_set role_writes(enum role role) { return areas[role].writes; }

bool role_by_name(struct str name, enum role *ret) {
    for (enum role role = ROLE_ADMIN; role < ROLE_COUNT; role++)
        if (str_is(name, role_names[role])) {
            *ret = role;
            return true;
        }
    return false;
}

const char *role_name(enum role role) { return role_names[role]; }

const char *verb_name(enum verb verb) { return verb_names[verb]; }

bool access_allows(enum role role, enum verb verb) { return (allowed[role] >> verb & 1) != 0; }

bool role_sees_all(enum role role) { return role != ROLE_ACCOUNT_MANAGER && role != ROLE_MEMBER; }

static const struct {
    const char *name;
    enum scope scope;
    unsigned verbs;
} scopes_table[] = {
    {"read", SCOPE_READ, BIT(READ) | BIT(AUDIT) | BIT(ANY)},
    {"write", SCOPE_WRITE,
     BIT(READ) | BIT(WRITE) | BIT(ORDERS) | BIT(CREATE_ACCOUNT) | BIT(SYNC) | BIT(WEBHOOKS) |
         BIT(ANY)},
    {"recognition", SCOPE_RECOGNITION, BIT(ANY)},
    {"sync", SCOPE_SYNC,
     BIT(READ) | BIT(ORDERS) | BIT(CREATE_ACCOUNT) | BIT(WRITE) | BIT(SYNC) | BIT(ANY)},
};

const char *const scope_names[] = {"read", "write", "recognition", "sync", NULL};

bool scope_by_name(struct str name, unsigned *ret) {
    for (size_t i = 0; i < sizeof scopes_table / sizeof *scopes_table; i++)
        if (str_is(name, scopes_table[i].name)) {
            *ret = scopes_table[i].scope;
            return true;
        }
    return false;
}

bool scopes_allow(unsigned scopes, enum verb verb) {
    if (scopes == 0 || verb == VERB_PUBLIC)
        return true;
    for (size_t i = 0; i < sizeof scopes_table / sizeof *scopes_table; i++)
        if ((scopes & scopes_table[i].scope) != 0 && (scopes_table[i].verbs >> verb & 1) != 0)
            return true;
    return false;
}

bool caller_may(enum role role, unsigned scopes, enum verb verb) {
    return access_allows(role, verb) && scopes_allow(scopes, verb);
}

area_set caller_reach(enum role role, unsigned scopes) {
    return role_reads(role) | role_writes(role) << AREA_WRITE_SHIFT |
           (role_sees_all(role) ? REACH_ALL_ACCOUNTS : 0) |
           (caller_may(role, scopes, VERB_ADMIN) ? REACH_ADMIN : 0);
}
