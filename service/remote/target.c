/* Decides whether a webhook may go to a URL and to an IP address, against server-side request
 * forgery (SSRF). libcurl parses the URL here, too: check and transfer agree on the host. */
#include "remote/target.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define URL_MAX 2000

struct range {
    const char *address;
    int prefix;
};

/* IANA IPv4 Special-Purpose Address Registry, multicast, and class E. */
static const struct range closed4[] = {
    {"0.0.0.0", 8},      {"10.0.0.0", 8},     {"100.64.0.0", 10}, {"127.0.0.0", 8},
    {"169.254.0.0", 16}, {"172.16.0.0", 12},  {"192.0.0.0", 24},  {"192.0.2.0", 24},
    {"192.88.99.0", 24}, {"192.168.0.0", 16}, {"198.18.0.0", 15}, {"198.51.100.0", 24},
    {"203.0.113.0", 24}, {"224.0.0.0", 4},    {"240.0.0.0", 4},
};
/* Inside of 2000::/3, which alone is global unicast: protocol assignments (Teredo, ORCHID,
 * benchmarking), documentation, 6to4. */
static const struct range closed6[] = {
    {"2001::", 23}, {"2001:db8::", 32}, {"2002::", 16}, {"3fff::", 20}};

static bool in_ranges(const unsigned char address[16], const struct range *ranges, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct cidr range;

        if (!address_parse(str_of(ranges[i].address), range.address))
            continue;
        range.prefix = ranges[i].prefix + (address_is4(range.address) ? 96 : 0);
        if (cidr_holds(&range, address))
            return true;
    }
    return false;
}

static bool bytes_ok(const struct target_policy *policy, const unsigned char address[16]) {
    if (cidrs_hold(&policy->allowed, address))
        return true;
    if (address_is4(address))
        return !in_ranges(address, closed4, COUNT_OF(closed4));
    return (address[0] & 0xe0) == 0x20 && !in_ranges(address, closed6, COUNT_OF(closed6));
}

bool target_address_ok(const struct target_policy *policy, const struct sockaddr *address) {
    unsigned char bytes[16];

    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        memset(bytes, 0, 10);
        memset(bytes + 10, 0xff, 2);
        memcpy(bytes + 12, &in.sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        memcpy(bytes, &in6.sin6_addr, 16);
    } else {
        return false;
    }
    return bytes_ok(policy, bytes);
}

/* ---- the settings ---------------------------------------------------------------------------- */

static bool ports_parse(struct target_policy *policy, struct str text) {
    struct str item;

    if (str_is(str_trim(text), "any")) {
        policy->any_port = true;
        return true;
    }
    while (str_split(&text, ',', &item)) {
        int64_t port;

        if (policy->n_ports == TARGET_PORTS || !str_to_i64(str_trim(item), &port) || port < 1 ||
            port > 65535)
            return false;
        policy->ports[policy->n_ports++] = (int)port;
    }
    return true;
}

bool target_policy_init(struct target_policy *ret, bool allow_http, struct str ports,
                        struct str cidrs, struct err *err) {
    struct target_policy policy = {.allow_http = allow_http};
    bool ok = true;

    if (!ports_parse(&policy, ports))
        ok = err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("KAMD_WEBHOOK_PORTS"), "invalid",
                     "Up to %d ports from 1 to 65535, comma-separated, or `any`.", TARGET_PORTS);
    if (!cidrs_parse(cidrs, &policy.allowed))
        ok =
            err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER("KAMD_WEBHOOK_ALLOWED_CIDRS"), "invalid",
                    "Up to %d CIDRs like 10.0.0.0/8 or fd00::/8, comma-separated.", CIDRS_MAX);
    if (ok)
        *ret = policy;
    return ok;
}

/* ---- the text of a URL -------------------------------------------------------------------------
 */

static void url_free(CURLU **url) { curl_url_cleanup(*url); }
static void part_free(char **part) { curl_free(*part); }

static bool has_part(CURLU *url, CURLUPart which) {
    char *part CLEANUP(part_free) = NULL;

    return curl_url_get(url, which, &part, 0) == CURLUE_OK;
}

static bool is_text(struct str url) {
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || url.ptr[i] == '\\')
            return false;
    return true;
}

static const char *scheme_fault(const struct target_policy *policy, CURLU *url) {
    char *scheme CLEANUP(part_free) = NULL;

    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "https") == 0 || (policy->allow_http && strcmp(scheme, "http") == 0)))
        return NULL;
    return policy->allow_http ? "The URL must begin with https:// or http://."
                              : "The URL must begin with https://.";
}

static const char *port_fault(const struct target_policy *policy, CURLU *url) {
    char *text CLEANUP(part_free) = NULL;
    int64_t port;

    if (curl_url_get(url, CURLUPART_PORT, &text, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        !str_to_i64(str_of(text), &port) || port < 1 || port > 65535)
        return "The URL's port is not valid.";
    for (size_t i = 0; i < policy->n_ports; i++)
        if (policy->ports[i] == port)
            return NULL;
    return policy->any_port ? NULL : "Webhooks may not go to this port.";
}

/* An address in the host's place is judged now; a name is judged at each connection, by what it
 * resolves to. */
static const char *host_fault(const struct target_policy *policy, CURLU *url) {
    static const char closed[] = "The URL's address is not a public one.";
    char *host CLEANUP(part_free) = NULL;
    unsigned char bytes[ADDRESS_BYTES];

    if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK || host[0] == '\0')
        return "The URL has no host.";
    size_t len = strlen(host);
    if (has_part(url, CURLUPART_ZONEID))
        return closed;
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, bytes) != 1)
            return "The URL's host is not valid.";
        return bytes_ok(policy, bytes) ? NULL : closed;
    }
    while (len > 1 && host[len - 1] == '.')
        host[--len] = '\0';
    struct str name = {host, len};
    if (str_case_is(name, "localhost") ||
        (len > 10 && str_case_is((struct str){host + len - 10, 10}, ".localhost")))
        memcpy(host, "127.0.0.1", sizeof "127.0.0.1"); /* as long as "localhost" */
    if (address_parse(str_of(host), bytes) && !bytes_ok(policy, bytes))
        return closed;
    return NULL;
}

static const char *url_fault(const struct target_policy *policy, struct str text, CURLU *url) {
    char copy[URL_MAX + 1];
    const char *fault;

    if (text.len == 0 || text.len > URL_MAX)
        return "A URL of at most 2000 bytes is needed.";
    if (!is_text(text))
        return "The URL may hold visible ASCII characters only, and no backslash.";
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    /* curl forgives one to three slashes; other parsers read something else then. */
    const char *slashes = strstr(copy, ":/");
    if (slashes == NULL || slashes[2] != '/' || slashes[3] == '/' ||
        curl_url_set(url, CURLUPART_URL, copy, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        return "This is not an absolute URL.";
    if ((fault = scheme_fault(policy, url)) != NULL)
        return fault;
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD) ||
        has_part(url, CURLUPART_OPTIONS))
        return "The URL may not hold a user or a password.";
    if (has_part(url, CURLUPART_FRAGMENT))
        return "The URL may not have a fragment.";
    fault = port_fault(policy, url);
    return fault != NULL ? fault : host_fault(policy, url);
}

bool webhook_url_check(const struct target_policy *policy, struct str text, const char *where,
                       struct err *err) {
    CURLU *url CLEANUP(url_free) = curl_url();

    if (url == NULL)
        return err_memory(err);
    const char *fault = url_fault(policy, text, url);
    if (fault != NULL)
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "url_not_allowed", "%s", fault);
    return true;
}
