/* Arrays of PostgreSQL, as texts. */
#ifndef KAMD_STORE_ARRAY_H
#define KAMD_STORE_ARRAY_H

#include "core/arena.h"
#include "core/str.h"

/* The literal of an array of these texts, in the arena, for `$n::text[]` and `$n::uuid[]`. Absent
 * when memory is out. */
struct str pg_array_param(struct arena *arena, const struct str *items, size_t n);

#endif
