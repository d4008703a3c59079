/* Parses IP addresses and networks (CIDR), and tells whether an address lies in a network. IPv4
 * addresses become IPv4-mapped IPv6 addresses, so that one comparison serves both families. */
#include "core/cidr.h"

#include <arpa/inet.h>
#include <string.h>

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

bool address_parse(struct str text, unsigned char ret[static ADDRESS_BYTES]) {
    char copy[INET6_ADDRSTRLEN];

    if (text.ptr == NULL || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, ret + 12) == 1) {
        memcpy(ret, mapped, sizeof(mapped));
        return true;
    }
    return inet_pton(AF_INET6, copy, ret) == 1;
}

bool address_is4(const unsigned char address[static ADDRESS_BYTES]) {
    return memcmp(address, mapped, sizeof(mapped)) == 0;
}

bool cidr_holds(const struct cidr *cidr, const unsigned char address[static ADDRESS_BYTES]) {
    int whole = cidr->prefix / 8;
    int rest = cidr->prefix % 8;

    if (memcmp(cidr->address, address, (size_t)whole) != 0)
        return false;
    return rest == 0 || ((cidr->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

bool cidr_parse(struct str text, struct cidr *ret) {
    struct str head;
    int64_t prefix;

    if (!str_split(&text, '/', &head) || !address_parse(head, ret->address))
        return false;
    bool is4 = memchr(head.ptr, ':', head.len) == NULL;
    int most = is4 ? 32 : 128;
    if (text.ptr == NULL)
        prefix = most;
    else if (!str_to_i64(text, &prefix) || prefix < 0 || prefix > most)
        return false;
    ret->prefix = (int)prefix + (is4 ? 96 : 0);
    return true;
}

bool cidrs_parse(struct str text, struct cidrs *ret) {
    struct cidrs cidrs = {.n = 0};
    struct str item;

    while (str_split(&text, ',', &item)) {
        item = str_trim(item);
        if (item.len == 0)
            continue;
        if (cidrs.n == CIDRS_MAX || !cidr_parse(item, &cidrs.list[cidrs.n]))
            return false;
        cidrs.n++;
    }
    *ret = cidrs;
    return true;
}

bool cidrs_hold(const struct cidrs *cidrs, const unsigned char address[static ADDRESS_BYTES]) {
    for (size_t i = 0; i < cidrs->n; i++)
        if (cidr_holds(&cidrs->list[i], address))
            return true;
    return false;
}
