/* Allocates from a chain of blocks that are freed together. Each new block has twice the size of
 * the one before, up to 64 KiB, or more for a single allocation that is larger. */
#include "core/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_BLOCK 0 /* every allocation its own malloc */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_BLOCK 0
#endif
#endif
#ifndef ARENA_BLOCK
#define ARENA_BLOCK 4096
#endif
#define ARENA_BLOCK_MAX 65536

struct arena_block {
    struct arena_block *next;
    size_t room;
    size_t at;
    alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *arena, size_t limit) { *arena = (struct arena){.limit = limit}; }

void arena_release(struct arena *arena) {
    struct arena_block *block = arena->blocks;

    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = NULL;
    arena->used = 0;
}

void arena_reset(struct arena *arena) {
    struct arena_block *kept = arena->blocks;

    if (ARENA_BLOCK == 0 || kept == NULL) {
        arena_release(arena);
        return;
    }
    arena->blocks = kept->next;
    arena_release(arena);
    memset(kept->bytes, 0, kept->at);
    kept->at = 0;
    kept->next = NULL;
    if (kept->room > ARENA_BLOCK_MAX) {
        free(kept);
        kept = NULL;
    }
    arena->blocks = kept;
}

/* Blocks double, so that a large job needs few of them, and a small request one. */
static size_t block_room(const struct arena *arena, size_t need) {
    size_t room = ARENA_BLOCK;

    if (ARENA_BLOCK != 0 && arena->blocks != NULL)
        room =
            arena->blocks->room >= ARENA_BLOCK_MAX / 2 ? ARENA_BLOCK_MAX : arena->blocks->room * 2;
    return room < need ? need : room;
}

static struct arena_block *block_add(struct arena *arena, size_t need) {
    size_t room = block_room(arena, need);
    struct arena_block *block = calloc(1, sizeof(*block) + room);

    if (block == NULL)
        return NULL;
    block->room = room;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size) {
    const size_t align = alignof(max_align_t);
    struct arena_block *block = arena->blocks;

    size_t need = size == 0 ? 1 : size;
    size_t left = arena->limit - arena->used;
    if (need > left || need > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (need + align - 1) / align * align;
    if (rounded > left)
        return NULL;
    /* Under AddressSanitizer a block has the exact size, so that the byte after it is poisoned. */
    if (block == NULL || block->room - block->at < rounded)
        block = block_add(arena, ARENA_BLOCK == 0 ? need : rounded);
    if (block == NULL)
        return NULL;
    unsigned char *at = block->bytes + block->at;
    block->at = rounded > block->room - block->at ? block->room : block->at + rounded;
    arena->used += rounded;
    return at;
}

void *arena_array(struct arena *arena, size_t count, size_t size) {
    size_t bytes;

    return __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_alloc(arena, bytes);
}

char *arena_copy(struct arena *arena, struct str text) {
    char *copy = text.len == SIZE_MAX ? NULL : arena_alloc(arena, text.len + 1);

    if (copy != NULL && text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return copy;
}

char *arena_format(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

struct str arena_str(struct arena *arena, struct str text) {
    char *copy = text.ptr == NULL ? NULL : arena_copy(arena, text);

    return copy == NULL ? STR_ABSENT : (struct str){copy, text.len};
}
