/* What went wrong: a public half that clients see, and a private cause that only the log sees.
 * A function that fails sets it once; the outermost frame reports it once. */
#ifndef KAMD_CORE_ERR_H
#define KAMD_CORE_ERR_H

#include "core/cleanup.h"
#include "core/problem.h"
#include "core/str.h"

enum err_at { ERR_AT_POINTER, ERR_AT_PARAMETER, ERR_AT_HEADER };

/* A place in a request: an RFC 6901 pointer, or the name of a query parameter or header. */
struct err_place {
    enum err_at at;
    const char *where;
};
#define ERR_POINTER(where_) ((struct err_place){ERR_AT_POINTER, (where_)})
#define ERR_PARAMETER(where_) ((struct err_place){ERR_AT_PARAMETER, (where_)})
#define ERR_HEADER(where_) ((struct err_place){ERR_AT_HEADER, (where_)})

/* One violation: its place, a stable code, a sentence. */
struct err_item {
    enum err_at at;
    char where[128];
    char code[48]; /* "required", "unknown_field", "wrong_type", "too_long", ... */
    char detail[192];
};

#define ERR_ITEMS_MAX 100

struct err {
    enum problem problem; /* PROBLEM_NONE while nothing has failed */
    char detail[320];     /* public: a sentence for people */
    char cause[320];      /* private: for the log */
    int retry_after;      /* seconds, 0 = none */
    char etag[80];        /* current ETag, for PRECONDITION_FAILED */
    char *
        extra; /* further public members as JSON, without braces, e.g. "\"weakest\":[...]"; owned */
    struct err_item *items; /* owned */
    size_t n_items;
};

#define ERR_INIT ((struct err){.problem = PROBLEM_NONE})

void err_release(struct err *err);
/* All return false, so that `return err_set(...)` reads well. `err` may be NULL. A second call
 * replaces detail and problem but keeps items. */
bool err_set(struct err *err, enum problem problem, const char *detail, ...) PRINTF_LIKE(3, 4);
bool err_cause(struct err *err, const char *cause, ...)
    PRINTF_LIKE(2, 3); /* adds the private half */
/* PROBLEM_OVERLOADED with retry_after 1: what a failed allocation answers. */
bool err_memory(struct err *err);
/* Adds a violation; beyond ERR_ITEMS_MAX they are only counted out. Sets `problem` if none is set
 * yet or the present one has a higher status (a malformed request, 400, wins over a broken rule,
 * 422). */
bool err_add(struct err *err, enum problem problem, struct err_place place, const char *code,
             const char *detail, ...) PRINTF_LIKE(5, 6);
/* What an item says, with its place in front where it says it of that: "name is required". `where`
 * is the place as the reader knows it; written into `text` if need be. */
const char *err_item_text(const struct err_item *item, const char *where, char *text, size_t room);
static inline bool err_is_set(const struct err *err) { return err->problem != PROBLEM_NONE; }

#endif
