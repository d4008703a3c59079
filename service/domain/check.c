/* Checks single values by their form: e-mail addresses, phone numbers, domains, URLs, decimals and
 * more. Codes, header fields and times are in check_codes.c, check_header.c and check_time.c. */
#include "domain/check.h"

#include <string.h>

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alnum(char c) { return is_lower(c) || is_upper(c) || is_digit(c); }
static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* strchr() without its trap: the NUL at the end is no member. */
static bool is_one_of(char c, const char *set) { return c != '\0' && strchr(set, c) != NULL; }

static bool all(struct str text, bool (*is)(char c)) {
    for (size_t i = 0; i < text.len; i++)
        if (!is(text.ptr[i]))
            return false;
    return text.len > 0;
}

static struct str cut(struct str text, size_t from) {
    return (struct str){text.ptr + from, text.len - from};
}

static bool is_host_label(struct str label, bool any_case) {
    if (label.len < 1 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];

        if (!is_lower(c) && !is_digit(c) && c != '-' && !(any_case && is_upper(c)))
            return false;
    }
    return true;
}

/* RFC 1123 with at least one dot. A numeric last label would make it an IPv4 address to some. */
static bool is_host(struct str text, bool any_case) {
    struct str rest = text;
    struct str label = STR_ABSENT;
    size_t labels = 0;

    if (text.ptr == NULL || text.len > 253)
        return false;
    while (str_split(&rest, '.', &label)) {
        if (!is_host_label(label, any_case))
            return false;
        labels++;
    }
    return labels >= 2 && !all(label, is_digit);
}

static bool is_dot_atom(struct str text) {
    struct str rest = text;
    struct str atom;

    while (str_split(&rest, '.', &atom)) {
        if (atom.len == 0)
            return false;
        for (size_t i = 0; i < atom.len; i++)
            if (!is_alnum(atom.ptr[i]) && !is_one_of(atom.ptr[i], "!#$%&'*+-/=?^_`{|}~"))
                return false;
    }
    return true;
}

const char *check_email(struct str text) {
    static const char sentence[] = "must be an e-mail address, such as name@example.com";
    struct str rest = text;
    struct str local;

    if (text.len > 254)
        return "must be an e-mail address of at most 254 characters";
    if (!str_split(&rest, '@', &local) || rest.ptr == NULL)
        return sentence;
    if (local.len > 64)
        return "must have at most 64 characters before the @";
    return is_dot_atom(local) && is_host(rest, true) ? NULL : sentence;
}

const char *check_phone(struct str text) {
    if (text.len >= 9 && text.len <= 16 && text.ptr[0] == '+' && text.ptr[1] != '0' &&
        all(cut(text, 1), is_digit))
        return NULL;
    return "must be a phone number in E.164: + and 8 to 15 digits, such as +4930123456";
}

/* Bytes of a mark that people put between digits; 0 when there is none. Includes the no-break
 * spaces and dashes that come along when a number is copied from a document. */
static size_t separator_len(struct str text) {
    static const char *const wide[] = {"\u00A0", "\u202F", "\u2009", "\u2010",
                                       "\u2011", "\u2012", "\u2013", "\u2212"};

    if (is_one_of(text.ptr[0], " .-/()\t"))
        return 1;
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
        if (str_starts(text, wide[i]))
            return strlen(wide[i]);
    return 0;
}

/* The text after '+' or '00'; absent when there is no international prefix. */
static struct str international(struct str text) {
    if (text.len >= 4 && str_case_is((struct str){text.ptr, 4}, "tel:"))
        text = cut(text, 4);
    while (text.len > 0 && text.ptr[0] != '(' && separator_len(text) > 0)
        text = cut(text, separator_len(text));
    if (str_starts(text, "(+") || str_starts(text, "(00"))
        text = cut(text, 1);
    if (str_starts(text, "+"))
        return cut(text, 1);
    return str_starts(text, "00") ? cut(text, 2) : STR_ABSENT;
}

bool phone_normalise(struct str text, char ret[static PHONE_TEXT]) {
    char phone[PHONE_TEXT] = "+";
    size_t len = 1;
    struct str rest = international(text);

    /* "tel:+49-30-1234567;ext=12": what follows is no part of the number (RFC 3966). */
    struct str parameters = rest;
    if (text.len >= 4 && str_case_is((struct str){text.ptr, 4}, "tel:"))
        str_split(&parameters, ';', &rest);
    while (rest.len > 0) {
        /* "+49 (0)30": the 0 is dialled only inside the country. */
        size_t skip = len > 1 && str_starts(rest, "(0)") ? 3 : separator_len(rest);

        if (skip == 0) {
            if (!is_digit(rest.ptr[0]) || len == PHONE_TEXT - 1)
                return false;
            phone[len++] = rest.ptr[0];
            skip = 1;
        }
        rest = cut(rest, skip);
    }
    if (check_phone((struct str){phone, len}) != NULL)
        return false;
    memcpy(ret, phone, sizeof(phone));
    return true;
}

const char *check_domain(struct str text) {
    return is_host(text, false) ? NULL : "must be a domain in lower case, such as example.com";
}

/* What RFC 3986 allows in path, query and fragment together. */
static bool is_url_tail(struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            if (text.len - i < 3 || !is_hex(text.ptr[i + 1]) || !is_hex(text.ptr[i + 2]))
                return false;
        } else if (!is_alnum(c) && !is_one_of(c, "-._~!$&'()*+,;=:@/?#")) {
            return false;
        }
    }
    return true;
}

static bool is_port(struct str text) {
    int64_t port;

    return text.len <= 5 && all(text, is_digit) && str_to_i64(text, &port) && port >= 1 &&
           port <= 65535;
}

const char *check_url_https(struct str text) {
    static const char sentence[] = "must be a web address, such as https://example.com/page";
    size_t host_end = 0;
    struct str rest;
    struct str host;

    if (text.len > 2048)
        return "must be a web address of at most 2,048 characters";
    if (!str_starts(text, "https://") && !str_starts(text, "http://"))
        return sentence;
    rest = cut(text, str_starts(text, "https://") ? 8 : 7);
    while (host_end < rest.len && !is_one_of(rest.ptr[host_end], "/?#"))
        host_end++;
    if (!is_url_tail(cut(rest, host_end)))
        return sentence;
    struct str port = {rest.ptr, host_end};
    if (!str_split(&port, ':', &host) || !is_host(host, true))
        return sentence;
    return port.ptr == NULL || is_port(port) ? NULL : sentence;
}

const char *check_zone(struct str text) {
    static const char *const areas[] = {"Africa", "America",  "Antarctica", "Arctic",
                                        "Asia",   "Atlantic", "Australia",  "Europe",
                                        "Indian", "Pacific",  "Etc"};
    static const char sentence[] = "must be a time zone of the IANA list, such as Europe/Berlin";
    struct str rest = text;
    struct str part;
    size_t parts = 0;

    if (str_is(text, "UTC"))
        return NULL;
    if (text.len > 64 || !str_split(&rest, '/', &part))
        return sentence;
    for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
        parts += str_is(part, areas[i]);
    if (parts == 0)
        return sentence;
    while (str_split(&rest, '/', &part)) {
        if (part.len == 0 || !is_upper(part.ptr[0]) || ++parts > 3)
            return sentence;
        for (size_t i = 0; i < part.len; i++)
            if (!is_alnum(part.ptr[i]) && !is_one_of(part.ptr[i], "_+-"))
                return sentence;
    }
    return parts >= 2 ? NULL : sentence;
}

const char *check_decimal(struct str text, int int_digits, int places) {
    bool negative = str_starts(text, "-");
    struct str rest = negative ? cut(text, 1) : text;
    struct str whole;

    if (!str_split(&rest, '.', &whole) || !all(whole, is_digit) ||
        (rest.ptr != NULL && !all(rest, is_digit)))
        return "must be a plain decimal number, such as 1250.50";
    if (whole.len > 1 && whole.ptr[0] == '0')
        return "must be a decimal number without superfluous zeros in front";
    if (whole.len > (size_t)int_digits)
        return "has too many digits before the decimal point";
    return rest.len > (size_t)places ? "has too many decimals" : NULL;
}

const char *check_tag(struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0)
            return NULL;
    }
    return "must have a letter or a digit";
}

const char *check_slug(struct str text) {
    static const char sentence[] = "must be a name of a-z, 0-9 and single '_' or '-' between them, "
                                   "beginning with a letter, at most 64 characters";
    bool after_mark = false;

    if (text.len < 1 || text.len > 64 || !is_lower(text.ptr[0]))
        return sentence;
    for (size_t i = 0; i < text.len; i++) {
        bool mark = is_one_of(text.ptr[i], "_-");

        if ((!mark && !is_lower(text.ptr[i]) && !is_digit(text.ptr[i])) || (mark && after_mark))
            return sentence;
        after_mark = mark;
    }
    return after_mark ? sentence : NULL;
}

const char *check_language(struct str text) {
    static const char sentence[] = "must be a language tag of BCP 47, such as de or pt-BR";
    struct str rest = text;
    struct str part;

    if (!str_split(&rest, '-', &part) || part.len < 2 || part.len > 3 || !all(part, is_lower))
        return sentence;
    bool more = str_split(&rest, '-', &part);
    if (more && part.len == 4 && is_upper(part.ptr[0]) && all(cut(part, 1), is_lower))
        more = str_split(&rest, '-', &part);
    if (!more)
        return NULL;
    bool region = (part.len == 2 && all(part, is_upper)) || (part.len == 3 && all(part, is_digit));
    return region && rest.ptr == NULL ? NULL : sentence;
}

const char *check_uuid(struct str text) {
    static const char sentence[] = "must be an id, such as 018f3c5e-7a10-7c3e-9d0a-2f4b6c8d0e1f";

    if (text.len != 36)
        return sentence;
    for (size_t i = 0; i < text.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text.ptr[i] != '-' : !is_hex(text.ptr[i]))
            return sentence;
    }
    return NULL;
}
