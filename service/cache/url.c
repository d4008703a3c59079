/* Parses REDIS_URL into host, port, user, password and database number. User and password may be
 * percent-encoded; TLS (rediss://) is refused. */
#include "url.h"

#include <string.h>

#include "core/buf.h"

#define DEFAULT_PORT 6379
#define DB_MAX 65535

static bool copy(struct str from, char ret[static URL_PART]) {
    if (from.len >= URL_PART)
        return false;
    if (from.len > 0)
        memcpy(ret, from.ptr, from.len);
    ret[from.len] = '\0';
    return true;
}

static bool decode(struct str from, char ret[static URL_PART]) {
    size_t len = 0;
    if (from.len >= URL_PART)
        return false;
    if (from.len > 0 && !percent_decode(from, false, ret, &len))
        return false;
    ret[len] = '\0';
    return true;
}

static bool number(struct str text, int64_t min, int64_t max, int *ret) {
    int64_t value;
    if (!str_to_i64(text, &value) || value < min || value > max)
        return false;
    *ret = (int)value;
    return true;
}

/* "user:password" or ":password" */
static bool parse_login(struct str login, struct url *ret) {
    struct str user;
    struct str password = login;
    return str_split(&password, ':', &user) && password.ptr != NULL && decode(user, ret->user) &&
           decode(password, ret->password);
}

/* "host", "host:port", "[::1]" or "[::1]:port" */
static bool parse_place(struct str place, struct url *ret) {
    struct str host = place;
    struct str rest = STR_ABSENT;
    if (place.len > 0 && place.ptr[0] == '[') {
        const char *end = memchr(place.ptr, ']', place.len);
        if (end == NULL)
            return false;
        host = (struct str){place.ptr + 1, (size_t)(end - place.ptr) - 1};
        rest = (struct str){end + 1, place.len - host.len - 2};
        if (rest.len > 0 && rest.ptr[0] != ':')
            return false;
        rest = rest.len > 0 ? (struct str){rest.ptr + 1, rest.len - 1} : STR_ABSENT;
    } else {
        rest = place;
        str_split(&rest, ':', &host);
    }
    if (rest.ptr != NULL && !number(rest, 1, 65535, &ret->port))
        return false;
    return host.len > 0 && copy(host, ret->host);
}

static struct str behind_last(struct str text, char mark, struct str *ret_before) {
    const char *at = memrchr(text.ptr, mark, text.len);
    if (at == NULL)
        return text;
    *ret_before = (struct str){text.ptr, (size_t)(at - text.ptr)};
    return (struct str){at + 1, text.len - ret_before->len - 1};
}

static bool parse(struct str text, struct url *ret) {
    struct str login = STR_ABSENT;
    struct str place;
    struct str db = behind_last(text, '@', &login);
    if (!str_split(&db, '/', &place))
        return false;
    if (db.ptr != NULL && db.len > 0 && !number(db, 0, DB_MAX, &ret->db))
        return false;
    return (login.ptr == NULL || parse_login(login, ret)) && parse_place(place, ret);
}

bool url_parse(const char *text, struct url *ret, struct err *err) {
    struct url url = {.port = DEFAULT_PORT};
    struct str rest = str_of(text);
    if (str_starts(rest, "rediss://"))
        return err_set(err, PROBLEM_INTERNAL,
                       "REDIS_URL: TLS is not supported; put a TLS tunnel beside kamd.");
    const size_t scheme = sizeof("redis://") - 1;
    if (!str_starts(rest, "redis://") ||
        !parse((struct str){rest.ptr + scheme, rest.len - scheme}, &url))
        return err_set(err, PROBLEM_INTERNAL,
                       "REDIS_URL must look like redis://user:password@host:6379/0.");
    *ret = url;
    return true;
}
