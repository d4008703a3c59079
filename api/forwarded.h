/* Who the client is, where proxies stand before us. */
#ifndef API_FORWARDED_H
#define API_FORWARDED_H

#include "core/cidr.h"
#include "http.h"

/* The numeric address of the client of a connection from `peer`: the rightmost address of
 * X-Forwarded-For that no trusted proxy has, for each proxy appends the address that it saw, and
 * what is left of the first stranger's is his own word. Nothing is read that came from elsewhere
 * than a trusted proxy, nor beyond what is no address: then it is the last proxy that was trusted.
 * (ASVS 5.0, 4.1.3) */
struct str forwarded_client(const struct request *request, const struct cidrs *trusted,
                            struct str peer);

#endif
