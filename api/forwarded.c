/* Finds the address of the real client behind trusted proxies: reads X-Forwarded-For from right to
 * left and stops at the first address that is not a trusted proxy's. */
#include "forwarded.h"

#include <arpa/inet.h>
#include <string.h>

/* The last item of a comma list, which is taken from it; false when nothing is left. */
static bool take_last(struct str *list, struct str *ret) {
    if (list->ptr == NULL)
        return false;
    size_t at = list->len;
    while (at > 0 && list->ptr[at - 1] != ',')
        at--;
    *ret = str_trim((struct str){list->ptr + at, list->len - at});
    *list = at == 0 ? STR_ABSENT : (struct str){list->ptr, at - 1};
    return true;
}

/* Some proxies add a port: "192.0.2.1:4711", "[2001:db8::1]:4711". */
static struct str without_port(struct str item) {
    if (item.len > 0 && item.ptr[0] == '[') {
        const char *end = memchr(item.ptr, ']', item.len);
        return end == NULL ? item : (struct str){item.ptr + 1, (size_t)(end - item.ptr) - 1};
    }
    const char *colon = memchr(item.ptr, ':', item.len);
    size_t before = colon == NULL ? 0 : (size_t)(colon - item.ptr);
    if (colon != NULL && memchr(colon + 1, ':', item.len - before - 1) == NULL)
        return (struct str){item.ptr, before};
    return item;
}

/* One hop nearer to the client, while the one that said so is trusted. False: this is the client.
 */
static bool step(const struct cidrs *trusted, struct str item,
                 unsigned char address[static ADDRESS_BYTES]) {
    unsigned char next[ADDRESS_BYTES];
    if (!cidrs_hold(trusted, address) || !address_parse(without_port(item), next))
        return false;
    memcpy(address, next, sizeof next);
    return true;
}

static struct str address_text(const unsigned char address[static ADDRESS_BYTES],
                               struct arena *arena, struct str otherwise) {
    char text[INET6_ADDRSTRLEN];
    bool is4 = address_is4(address);
    const char *copy =
        inet_ntop(is4 ? AF_INET : AF_INET6, address + (is4 ? 12 : 0), text, sizeof text) == NULL
            ? NULL
            : arena_copy(arena, str_of(text));
    return copy == NULL ? otherwise : str_of(copy);
}

struct str forwarded_client(const struct request *request, const struct cidrs *trusted,
                            struct str peer) {
    unsigned char address[ADDRESS_BYTES];
    bool further = address_parse(peer, address) && cidrs_hold(trusted, address);
    bool moved = false;
    for (size_t i = request->n_headers; further && i-- > 0;) {
        struct str list = request->headers[i].value, item;
        if (!str_case_is(request->headers[i].name, "X-Forwarded-For"))
            continue;
        while (further && take_last(&list, &item)) {
            further = step(trusted, item, address);
            moved = moved || further;
        }
    }
    return moved ? address_text(address, request->arena, peer) : peer;
}
