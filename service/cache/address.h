/* Where Redis is, as numeric addresses: looked up beside the requests, because getaddrinfo() knows
 * no timeout and a request must never wait for DNS. A name is looked up again every few seconds by
 * a thread of its own; an address needs none. The last answer stays valid when DNS fails. */
#ifndef KAMD_SERVICE_CACHE_ADDRESS_H
#define KAMD_SERVICE_CACHE_ADDRESS_H

#include "core/err.h"

#define ADDRESS_MAX 4
#define ADDRESS_TEXT 64

struct address_list {
    /* Changes with the set of addresses. A connection of an older generation must go: two processes
     * that talk to two servers would not see each other's tombstones. */
    unsigned generation;
    size_t n; /* 0: not known yet */
    char text[ADDRESS_MAX][ADDRESS_TEXT];
};

struct address;

/* Waits up to a second for the first answer. Without one it still succeeds, with an empty list. */
bool address_open(const char *host, struct address **ret, struct err *err);
/* Does not wait for a lookup under way: its thread ends by itself. */
void address_close(struct address *address);
void address_read(struct address *address, struct address_list *ret);
unsigned address_generation(const struct address *address);

#endif
