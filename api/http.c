/* Reads the headers, the query string and the accepted types (Accept, Accept-Encoding) of a
 * request, and sets the headers of an answer, all without an HTTP library. */
#include "http.h"

#define QUERY_MAX 200

struct str request_header(const struct request *request, const char *name, size_t *ret_count) {
    struct str first = STR_ABSENT;
    size_t count = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        if (!str_case_is(request->headers[i].name, name))
            continue;
        if (count++ == 0)
            first = request->headers[i].value;
    }
    if (ret_count != NULL)
        *ret_count = count;
    return first;
}

void answer_header(struct answer *answer, const char *name, struct str value) {
    for (size_t i = 0; i < answer->n_headers; i++) {
        if (str_case_is(str_of(answer->headers[i].name), name)) {
            answer->headers[i].value = value;
            return;
        }
    }
    if (answer->n_headers < ANSWER_HEADERS)
        answer->headers[answer->n_headers++] = (struct answer_header){.name = name, .value = value};
}

bool answer_has_header(const struct answer *answer, const char *name) {
    for (size_t i = 0; i < answer->n_headers; i++) {
        if (str_case_is(str_of(answer->headers[i].name), name))
            return true;
    }
    return false;
}

/* RFC 9110 section 12.4.2: three digits, 0 to 1. */
static int weight(struct str text) {
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1'))
        return -1;
    if (text.len > 1 && text.ptr[1] != '.')
        return -1;
    int value = text.ptr[0] == '1' ? 1000 : 0;
    int unit = 100;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        value += (text.ptr[i] - '0') * unit;
    }
    return value > 1000 ? -1 : value;
}

/* One element of an Accept-like list: its token, and its weight in thousandths (a malformed one
 * counts as 0). */
static bool next_choice(struct str *rest, struct str *ret_token, int *ret_weight) {
    struct str element;
    if (!str_split(rest, ',', &element))
        return false;
    struct str parameter;
    str_split(&element, ';', &parameter);
    *ret_token = str_trim(parameter);
    *ret_weight = 1000;
    while (str_split(&element, ';', &parameter)) {
        parameter = str_trim(parameter);
        if (parameter.len > 2 && (parameter.ptr[0] | 0x20) == 'q' && parameter.ptr[1] == '=') {
            int q = weight((struct str){parameter.ptr + 2, parameter.len - 2});
            *ret_weight = q < 0 ? 0 : q;
        }
    }
    return true;
}

/* How closely a range names a type: 3 exactly, 2 "type/" + "*", 1 any, 0 not at all. */
static int closeness(struct str range, const char *type) {
    if (str_case_is(range, type))
        return 3;
    if (str_is(range, "*/*") || str_is(range, "*"))
        return 1;
    if (!str_ends(range, "/*"))
        return 0;
    struct str whole = str_of(type);
    size_t head = range.len - 1;
    if (whole.len <= head)
        return 0;
    for (size_t i = 0; i < head; i++) {
        if ((range.ptr[i] | 0x20) != (type[i] | 0x20))
            return 0;
    }
    return 2;
}

int request_accepts(const struct request *request, const char *header, const char *type) {
    int best = 0;
    int found = -1;
    bool sent = false;
    for (size_t i = 0; i < request->n_headers; i++) {
        if (!str_case_is(request->headers[i].name, header))
            continue;
        sent = true;
        struct str rest = request->headers[i].value;
        struct str token;
        int q;
        while (next_choice(&rest, &token, &q)) {
            int close = closeness(token, type);
            if (close > best) {
                best = close;
                found = q;
            }
        }
    }
    if (!sent)
        return -1;
    return found < 0 ? 0 : found;
}

static bool decode(struct request *request, struct str raw, struct str *ret, struct err *err) {
    char *decoded = arena_alloc(request->arena, raw.len + 1);
    size_t len;
    if (decoded == NULL)
        return err_memory(err);
    if (!percent_decode(raw, true, decoded, &len) || !str_is_utf8((struct str){decoded, len}))
        return err_set(err, PROBLEM_INVALID_REQUEST,
                       "The query has a malformed percent escape, or is not UTF-8.");
    decoded[len] = '\0';
    *ret = (struct str){decoded, len};
    return true;
}

static size_t count_pairs(struct str raw) {
    size_t n = 1;
    for (size_t i = 0; i < raw.len; i++)
        n += raw.ptr[i] == '&';
    return n;
}

bool request_read_query(struct request *request, struct err *err) {
    struct str rest = request->raw_query;
    if (rest.len == 0)
        return true;
    size_t room = count_pairs(rest);
    if (room > QUERY_MAX)
        return err_set(err, PROBLEM_INVALID_REQUEST, "A query may have %d parameters.", QUERY_MAX);
    request->query = arena_array(request->arena, room, sizeof *request->query);
    if (request->query == NULL)
        return err_memory(err);
    struct str pair;
    while (str_split(&rest, '&', &pair)) {
        if (pair.len == 0)
            continue;
        struct str name;
        struct query *query = &request->query[request->n_query];
        str_split(&pair, '=', &name);
        if (!decode(request, name, &query->name, err) ||
            !decode(request, pair.ptr != NULL ? pair : STR(""), &query->value, err))
            return false;
        request->n_query++;
    }
    return true;
}
