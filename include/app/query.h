/* The parameters of a query that a route takes, as a table. The pipeline checks each query against
 * its route's table before the use case runs, so a use case only asks for the values. Where a
 * descriptor says which parameters there are (lists, records, exports), the use case checks them
 * itself: record/list_query.h. */
#ifndef KAMD_APP_QUERY_H
#define KAMD_APP_QUERY_H

#include "app/app.h"

enum query_type {
    QUERY_TEXT,     /* the use case checks it */
    QUERY_ID,       /* a UUID; the value becomes its canonical text */
    QUERY_DATE,     /* YYYY-MM-DD */
    QUERY_MONTH,    /* YYYY-MM */
    QUERY_TIME,     /* RFC 3339; the value becomes UTC with microseconds */
    QUERY_NUMBER,   /* whole, from `min` to `max` */
    QUERY_CHOICE,   /* one of `choices` */
    QUERY_LIST,     /* one or more of `choices`, with commas */
    QUERY_PAGE_SIZE /* 1 to 200; larger is taken as 200 */
};

struct query_param {
    const char *name; /* NULL ends a table */
    enum query_type type;
    const char *const *choices; /* ends with NULL */
    int64_t min, max;
};

/* Tables are written of these. */
#define QUERY(...)                                                                                 \
    (const struct query_param[]) {                                                                 \
        __VA_ARGS__, { .name = NULL }                                                              \
    }
#define QUERY_ONE_OF(name_, ...)                                                                   \
    {                                                                                              \
        .name = (name_), .type = QUERY_CHOICE, .choices = (const char *const[]) {                  \
            __VA_ARGS__, NULL                                                                      \
        }                                                                                          \
    }
#define QUERY_SOME_OF(name_, ...)                                                                  \
    {                                                                                              \
        .name = (name_), .type = QUERY_LIST, .choices = (const char *const[]) {                    \
            __VA_ARGS__, NULL                                                                      \
        }                                                                                          \
    }
#define QUERY_FROM_TO(name_, min_, max_)                                                           \
    { .name = (name_), .type = QUERY_NUMBER, .min = (min_), .max = (max_) }
/* What page_read() reads. */
#define QUERY_PAGE                                                                                 \
    {.name = "page_size", .type = QUERY_PAGE_SIZE}, { .name = "cursor" }

/* `table` NULL takes no parameter. Checks the values, and gives ids and times their canonical form
 * in place. Everything that is wrong is added to `err`; false when something is. */
bool query_check(const struct query_param *table, struct arena *arena, struct param *params,
                 size_t n_params, struct err *err);
/* The same for one value. */
bool query_check_value(const struct query_param *param, struct arena *arena, struct str *value,
                       struct err *err);
void unknown_parameter(struct arena *arena, struct str name, struct err *err);

/* The value of a parameter; absent: the query has none of that name. */
struct str action_query(const struct action *action, const char *name);
/* Of a QUERY_NUMBER that was checked, `preset` where the query has none. */
int64_t action_query_number(const struct action *action, const char *name, int64_t preset);
/* page_size, or 50. */
size_t action_page_size(const struct action *action);
/* A comma list as a parameter for text[]; absent: the query has none of that name, or (`err`) no
 * memory. At most 64 items are taken. */
struct str action_query_list(struct action *action, const char *name, struct err *err);

#endif
