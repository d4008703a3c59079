/* Where webhooks may go. Whoever registers a URL could use kamd to reach into the network that it
 * runs in (SSRF), so two things are checked: the URL's text when it is registered, and the resolved
 * address at each connection, just before it is made. */
#ifndef KAMD_REMOTE_TARGET_H
#define KAMD_REMOTE_TARGET_H

#include "core/cidr.h"
#include "core/err.h"

struct sockaddr;

#define TARGET_PORTS 16

struct target_policy {
    bool allow_http; /* beside https */
    bool any_port;
    int ports[TARGET_PORTS];
    size_t n_ports;
    struct cidrs allowed; /* although they are not public */
};

/* From the settings' texts: ports "443,8443" or "any"; cidrs "127.0.0.0/8,fd00::/8". err names the
 * setting. */
bool target_policy_init(struct target_policy *ret, bool allow_http, struct str ports,
                        struct str cidrs, struct err *err);

/* May a webhook go to this URL, as far as its text tells? Absolute https (or http where allowed), a
 * host, no user or password, no fragment, an allowed port, at most 2000 bytes; a host that is an
 * address is checked as one. curl's own parser reads it, the one that will send. False: a violation
 * at `where` (PROBLEM_VALIDATION). */
bool webhook_url_check(const struct target_policy *policy, struct str url, const char *where,
                       struct err *err);

/* Global unicast only (IANA special-purpose registries of IPv4 and IPv6), or in the allowed CIDRs.
 * IPv4 inside of IPv6 is judged as IPv4. */
bool target_address_ok(const struct target_policy *policy, const struct sockaddr *address);

#endif
