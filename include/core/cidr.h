/* Addresses and networks of both families as 16 bytes; IPv4 as ::ffff:a.b.c.d. */
#ifndef KAMD_CORE_CIDR_H
#define KAMD_CORE_CIDR_H

#include "core/str.h"

#define ADDRESS_BYTES 16
#define CIDRS_MAX 32

struct cidr {
    unsigned char address[ADDRESS_BYTES];
    int prefix; /* 0..128 */
};

struct cidrs {
    struct cidr list[CIDRS_MAX];
    size_t n;
};

/* Numeric, without port, zone or brackets. */
bool address_parse(struct str text, unsigned char ret[static ADDRESS_BYTES]);
bool address_is4(const unsigned char address[static ADDRESS_BYTES]);
bool cidr_holds(const struct cidr *cidr, const unsigned char address[static ADDRESS_BYTES]);
/* "10.0.0.0/8" or "fd00::/8"; without a prefix, the one address. */
bool cidr_parse(struct str text, struct cidr *ret);
/* A comma-separated list of at most CIDRS_MAX; empty items are left out. */
bool cidrs_parse(struct str text, struct cidrs *ret);
bool cidrs_hold(const struct cidrs *cidrs, const unsigned char address[static ADDRESS_BYTES]);

#endif
