/* One comparison: which field a name means, what may be asked of it, which values it takes.
 * Shared by flat parameters and filter= expressions; private to the domain layer. */
#ifndef KAMD_DOMAIN_FILTER_TERM_H
#define KAMD_DOMAIN_FILTER_TERM_H

#include "domain/filter.h"

struct target {
    const struct resource *resource; /* that has the field */
    const struct resource *from;     /* that is listed */
    const struct expansion *via;     /* NULL: both are the same */
    const struct field *field;       /* NULL: `custom` */
    const struct custom_field *custom;
};

/* False when the name means no filterable field. */
bool target_find(const struct resource *resource, const struct custom_fields *customs,
                 struct str name, struct target *ret);
bool target_find_related(const struct resource *resource, const struct custom_fields *customs,
                         struct str name, struct target *ret);
/* The type of a custom field is that of a plain one of its kind. */
enum field_type target_type(const struct target *target);
bool target_takes(const struct target *target, enum cond_op op);
const char *target_name(const struct target *target, char ret[static 64]);

#define VALUE_SENTENCE 160
/* The canonical form of a value for this operator; absent with a sentence without subject, or an
 * empty one when memory is out. */
struct str target_value(const struct target *target, enum cond_op op, struct str value,
                        struct arena *arena, char ret_sentence[static VALUE_SENTENCE]);

/* Nodes; NULL when memory is out. `values` come from the arena; COND_IN of one value becomes
 * COND_EQ. */
struct cond *cond_leaf(const struct target *target, enum cond_op op, struct str *values, size_t n,
                       struct arena *arena);
struct cond *cond_group(enum cond_op op, struct cond *const *parts, size_t n, struct arena *arena);
/* The type of what a leaf compares. */
enum field_type cond_type(const struct cond *leaf);

#endif
