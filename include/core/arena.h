/* Memory of one request or job: many small allocations, freed at once, under a limit.
 * Compiled as one malloc per allocation under AddressSanitizer, so that overruns are seen. */
#ifndef KAMD_CORE_ARENA_H
#define KAMD_CORE_ARENA_H

#include "core/cleanup.h"
#include "core/str.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t used;
    size_t limit;
};

void arena_init(struct arena *arena, size_t limit);
void arena_release(struct arena *arena);
/* Empty again; its newest block is kept for the next use unless it is large. Not under
 * AddressSanitizer: there, what was allocated before may not be touched any more. */
void arena_reset(struct arena *arena);
/* Zeroed memory, aligned for any type; NULL beyond the limit or when the system has none.
 * Callers answer NULL with PROBLEM_OVERLOADED. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_array(struct arena *arena, size_t count, size_t size); /* overflow-safe */
/* NUL-terminated copies; NULL as above. */
char *arena_copy(struct arena *arena, struct str text);
char *arena_format(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
/* A copy as str; absent when memory is out. */
struct str arena_str(struct arena *arena, struct str text);

#endif
