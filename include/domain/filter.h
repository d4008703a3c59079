/* What a list is asked for: flat query parameters and `filter=` expressions become one tree, and
 * the tree becomes SQL.
 *
 * Only fields with F_FILTER can be named, directly, as custom.<name>, or (filter= only) one
 * relation away as <expansion>.<field>. Nothing of the request ever becomes SQL text: names are
 * looked up, values become parameters. All memory comes from the arena; the tree borrows from it
 * and from the descriptors, not from the request or the custom field definitions. Logic is
 * two-valued: a comparison with an empty (null) field is false, and `not` of it is true.
 *
 * Errors are PROBLEM_INVALID_REQUEST at a parameter, with one of the codes unknown_parameter,
 * unknown_field, invalid_value, invalid_filter, unsupported_operator, too_many. */
#ifndef KAMD_DOMAIN_FILTER_H
#define KAMD_DOMAIN_FILTER_H

#include "core/arena.h"
#include "core/buf.h"
#include "domain/resource.h"

#define FILTER_TERMS 64   /* comparisons in one expression */
#define FILTER_DEPTH 10   /* parentheses inside each other */
#define FILTER_VALUES 200 /* values of one list */
#define FILTER_WORDS 8    /* words of `q` */

enum cond_op {
    COND_ALL, /* every one of `parts` */
    COND_ANY, /* at least one of `parts` */
    COND_NOT, /* not parts[0] */
    COND_VIA, /* a record reached by `via` satisfies parts[0] */
    COND_EQ,
    COND_NE,
    COND_GT,
    COND_GE,
    COND_LT,
    COND_LE,
    COND_IN, /* one of `values`, which are sorted; of an array field: they have one in common */
    COND_CONTAINS,   /* part of the text, whatever the case; of an array field: an element */
    COND_STARTSWITH, /* whatever the case */
    COND_NULL,
    COND_SEARCH /* each of `values` is part of at least one F_SEARCH field of `resource`, whatever
                   the case */
};

struct cond {
    enum cond_op op;
    const struct resource *resource; /* whose field it is; of COND_VIA: where it leads from */
    const struct expansion *via;     /* COND_VIA */
    const struct field *field;       /* NULL for a custom field, and where there is none */
    struct str custom;               /* name of a custom field, or absent */
    enum custom_kind kind;           /* of the custom field */
    struct str *values;              /* canonical: ids in lower case, times in UTC */
    size_t n_values;
    struct cond **parts;
    size_t n_parts;
};

/* What a list can be filtered by, and where its conditions are made. */
struct filter {
    const struct resource *resource;
    const struct custom_fields *customs; /* NULL: none */
    struct arena *arena;
};

/* One flat parameter:
 *   <field>=v1,v2                            equal to one of them (a value with a comma needs
 * filter=) <field>_gt, _gte, _lt, _lte=v            numbers, dates, times <stem>_since, _after,
 * _before=v          at or after, after, before, of the field <stem>_at, else <stem>_on
 *   <field>_is_null=true|false
 *   custom.<name>, with the same suffixes but the <stem> ones
 *   q=words                                  COND_SEARCH, where the resource has such fields
 * unknown_parameter says that none of this fits the name: it may be another part's parameter. */
bool filter_flat(const struct filter *filter, const struct param *param, struct cond **ret,
                 struct err *err);

/* A `filter=` expression; keywords in any case:
 *   expression = all { "or" all }        all = term { "and" term }
 *   term       = "not" term | "(" expression ")" | comparison
 *   comparison = field ("eq"|"ne"|"gt"|"ge"|"lt"|"le"|"contains"|"startswith") value
 *              | field "in" "(" value { "," value } ")"
 *              | ("contains"|"startswith") "(" field "," value ")"
 *   value      = 'text', with '' for a quote | number | true | false | date | time | id | null
 * (with eq and ne) Over a relation to many records, the comparison holds when it does for one of
 * them. An error says at which character (counted from 1) and what was expected. */
bool filter_parse(const struct filter *filter, struct str expression, struct cond **ret,
                  struct err *err);

/* All of `parts`; *ret is NULL, the condition that everything satisfies, when there are none. */
bool filter_all(struct cond *const *parts, size_t n, struct arena *arena, struct cond **ret,
                struct err *err);

/* Visits every comparison, COND_NULL and COND_SEARCH, so that a caller can refuse fields of areas
 * that it may not see. */
void filter_each(const struct cond *cond, void (*visit)(const struct cond *leaf, void *arg),
                 void *arg);

/* A text that is the same for conditions that were written in another order, for binding cursors.
 * NULL gives nothing. */
void filter_canonical(const struct cond *cond, struct buf *ret);

/* The statement that a condition becomes a part of. */
struct filter_sql {
    bool by_access_set;
    struct buf *sql;
    struct str *params; /* $1, $2, ... */
    size_t n_params, max_params;
    struct arena *arena; /* of what comes into `params` */
    struct err *err;
};
/* Adds a boolean SQL expression over t (the resource's table) and what its `join` adds; NULL gives
 * "true". Values become $n from n_params + 1 on; too_many when there are more than max_params.
 * False leaves n_params as it was. An expression may contain `or` only in parentheses. */
bool filter_sql(const struct cond *cond, struct filter_sql *into);

/* A PostgreSQL array literal, {"a","b\"c"}: the value of a parameter of type text[], uuid[] and so
 * on. */
void sql_array(struct buf *buf, const struct str *values, size_t n);
/* The field as an SQL expression: its column, or t.<name>. For ORDER BY and column lists, too. */
void sql_column(struct buf *buf, const struct field *field, bool by_access_set);

#endif
