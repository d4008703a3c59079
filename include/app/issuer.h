/* The company's identity provider: its keys in memory, fetched by a thread of its own (never by a
 * request), and tokens verified by them. */
#ifndef KAMD_APP_ISSUER_H
#define KAMD_APP_ISSUER_H

#include "app/app.h"
#include "domain/claims.h"

struct issuer;

/* *ret stays NULL when KAMD_OIDC_ISSUER is empty. Need not reach the provider. */
bool issuer_start(const struct app *app, struct issuer **ret, struct err *err);
void issuer_stop(struct issuer *issuer); /* NULL is allowed */

/* What the settings ask of tokens; false when the settings contradict themselves. */
bool issuer_rules(const struct config *config, struct claims_rules *ret, struct err *err);

/* Who is it? UNAUTHENTICATED: not a valid token; FORBIDDEN: one without a role;
 * SIGN_IN_UNAVAILABLE: the issuer's keys are not known (yet). A token that was verified once is
 * remembered until it expires, or the keys change. */
bool issuer_verify(struct issuer *issuer, struct str token, deadline when, struct claims *ret,
                   struct err *err);

#endif
