/* Fills in a struct err: the public sentence, the private cause, the list of violations. A text
 * that is too long is cut between UTF-8 characters, because it goes into JSON. */
#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void err_release(struct err *err) {
    free(err->extra);
    free(err->items);
    *err = ERR_INIT;
}

/* Formats to a buffer of its own first: the arguments may point into the field that is written. A
 * sentence that is too long is cut between characters, because it goes into JSON; bytes that are no
 * UTF-8 end it. */
__attribute__((format(printf, 3, 0))) static void write_text(char *ret, size_t room,
                                                             const char *format, va_list args) {
    char text[512];
    int len = vsnprintf(text, sizeof(text), format, args);

    if (len < 0)
        len = 0;
    size_t fits = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    fits = fits < room ? fits : room - 1;
    fits = str_utf8_prefix((struct str){text, fits});
    memcpy(ret, text, fits);
    ret[fits] = '\0';
}

bool err_set(struct err *err, enum problem problem, const char *detail, ...) {
    if (err == NULL)
        return false;
    err->problem = problem;
    va_list args;
    va_start(args, detail);
    write_text(err->detail, sizeof(err->detail), detail, args);
    va_end(args);
    return false;
}

bool err_cause(struct err *err, const char *cause, ...) {
    size_t at;

    if (err == NULL)
        return false;
    at = strlen(err->cause);
    if (at > 0 && at + 2 < sizeof(err->cause)) {
        memcpy(err->cause + at, "; ", 3);
        at += 2;
    }
    va_list args;
    va_start(args, cause);
    write_text(err->cause + at, sizeof(err->cause) - at, cause, args);
    va_end(args);
    return false;
}

bool err_memory(struct err *err) {
    if (err == NULL)
        return false;
    err->retry_after = 1;
    err_set(err, PROBLEM_OVERLOADED, "There is no memory for this request at the moment.");
    return err_cause(err, "out of memory, or over the limit of the request's arena");
}

/* The next free item; NULL when the list is full or memory is out. The array doubles: 1, 2, 4 ...
 */
static struct err_item *item_add(struct err *err) {
    size_t n = err->n_items;

    if (n >= ERR_ITEMS_MAX)
        return NULL;
    if ((n & (n - 1)) == 0) {
        struct err_item *items = realloc(err->items, (n == 0 ? 1 : n * 2) * sizeof(*items));
        if (items == NULL)
            return NULL;
        err->items = items;
    }
    err->n_items++;
    return &err->items[n];
}

bool err_add(struct err *err, enum problem problem, struct err_place place, const char *code,
             const char *detail, ...) {
    char text[sizeof(((struct err_item *)NULL)->detail)];

    if (err == NULL)
        return false;
    va_list args;
    va_start(args, detail);
    write_text(text, sizeof(text), detail, args);
    va_end(args);
    if (err->problem == PROBLEM_NONE ||
        problem_info(problem)->status < problem_info(err->problem)->status)
        err->problem = problem;
    if (err->detail[0] == '\0')
        memcpy(err->detail, text, sizeof(text));
    struct err_item *item = item_add(err);
    if (item == NULL)
        return false;
    *item = (struct err_item){.at = place.at};
    snprintf(item->code, sizeof(item->code), "%s", code);
    size_t len = strlen(place.where);
    len = len < sizeof(item->where) ? len : sizeof(item->where) - 1;
    memcpy(item->where, place.where, str_utf8_prefix((struct str){place.where, len}));
    memcpy(item->detail, text, sizeof(text));
    return false;
}

const char *err_item_text(const struct err_item *item, const char *where, char *text, size_t room) {
    if (item->detail[0] < 'a' || item->detail[0] > 'z' || where[0] == '\0' ||
        !str_is_utf8(str_of(where)) || strncmp(item->detail, where, strlen(where)) == 0)
        return item->detail;
    snprintf(text, room, "%s %s", where, item->detail);
    return text;
}
