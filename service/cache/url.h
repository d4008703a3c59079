/* redis://[user:password@]host[:port][/db], the form that redis-cli -u takes. */
#ifndef KAMD_SERVICE_CACHE_URL_H
#define KAMD_SERVICE_CACHE_URL_H

#include "core/err.h"

#define URL_PART 256

struct url {
    char host[URL_PART]; /* a name or an address; IPv6 without its brackets */
    int port;
    char user[URL_PART];     /* "" = the default user */
    char password[URL_PART]; /* "" = no AUTH */
    int db;
};

/* False with a detail that never shows the password. */
bool url_parse(const char *text, struct url *ret, struct err *err);

#endif
