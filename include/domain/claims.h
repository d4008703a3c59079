/* What the claims of a verified token say of a person, by the rules of the settings (RFC 7519, RFC
 * 9068). Pure. */
#ifndef KAMD_DOMAIN_CLAIMS_H
#define KAMD_DOMAIN_CLAIMS_H

#include "core/err.h"
#include "core/json.h"
#include "domain/access.h"

#define CLAIMS_LEEWAY_S 60 /* for clocks that differ */
#define CLAIMS_SUBJECT 256
#define CLAIMS_TEXT 256

struct claims_rules {
    struct str issuer, audience;
    struct str types;        /* comma list of header types; "JWT" also takes tokens without one */
    struct str role_claim;   /* a member's name, or a JSON pointer */
    struct str roles;        /* value=role,...; empty: the values are the roles' names */
    struct str default_role; /* of a token that names none; empty: such a token is refused */
    struct str name_claim, email_claim;
    int max_seconds; /* from iat to exp */
};

struct claims {
    char subject[CLAIMS_SUBJECT];
    enum role role;
    int64_t expires_us;
    char name[CLAIMS_TEXT];  /* something to call the person by; never empty */
    char email[CLAIMS_TEXT]; /* "": none */
};

/* The rules themselves: false with violations that name the settings. */
bool claims_rules_check(const struct claims_rules *rules, struct err *err);
/* A token whose signature fits. */
struct verified_token {
    const char *typ; /* of its header */
    const jv *claims;
};
/* False with UNAUTHENTICATED, or FORBIDDEN for a token in order that names no role. */
bool claims_read(const struct claims_rules *rules, const struct verified_token *token,
                 int64_t now_us, struct claims *ret, struct err *err);

#endif
