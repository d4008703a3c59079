/* What every single transfer to an address that an operator named has in common. */
#ifndef KAMD_REMOTE_EASY_H
#define KAMD_REMOTE_EASY_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>

struct easy_limits {
    bool allow_http; /* beside https */
    int connect_ms, total_ms;
    const char *agent;       /* User-Agent */
    const char *ca_file;     /* PEM; NULL or empty: the system's */
    const atomic_bool *stop; /* once true, the transfer ends soon */
};

void easy_free(CURL **easy);
bool easy_long(CURL *easy, CURLoption option, long value);
bool easy_text(CURL *easy, CURLoption option, const char *value);
/* No proxy, no redirects, no cookies, TLS 1.2 or newer with verified certificates, deadlines. */
bool easy_confine(CURL *easy, const struct easy_limits *limits);

#endif
