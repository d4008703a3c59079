/* Memory from an arena is zeroed, aligned and never given out twice, and ends at the arena's
 * limit. */
#include "unit.h"

#include "core/arena.h"

#include <stdalign.h>

static void zeroed_and_aligned(void **state) {
    (void)state;
    struct arena arena CLEANUP(arena_release) = {0};
    arena_init(&arena, 1 << 20);
    for (size_t size = 0; size < 300; size++) {
        unsigned char *at = arena_alloc(&arena, size);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(at[i], 0);
        memset(at, 0xAA, size);
    }
}

/* Allocations must not overlap: each keeps its own pattern until the end. */
static void no_overlap(void **state) {
    (void)state;
    struct arena arena CLEANUP(arena_release) = {0};
    unsigned char *at[500];
    arena_init(&arena, 64 << 20);
    for (size_t i = 0; i < COUNT_OF(at); i++) {
        at[i] = arena_alloc(&arena, i * 37 % 9000 + 1);
        assert_non_null(at[i]);
        memset(at[i], (int)(i & 255), i * 37 % 9000 + 1);
    }
    for (size_t i = 0; i < COUNT_OF(at); i++)
        for (size_t j = 0; j < i * 37 % 9000 + 1; j++)
            assert_int_equal(at[i][j], i & 255);
}

static void limits(void **state) {
    (void)state;
    struct arena arena CLEANUP(arena_release) = {0};
    arena_init(&arena, 1024);
    assert_null(arena_alloc(&arena, 1025));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_array(&arena, SIZE_MAX / 2 + 1, 2)); /* 2^64, which is 0 to size_t */
    size_t n = 0;
    while (arena_alloc(&arena, 100) != NULL)
        n++;
    assert_int_equal(n, 9); /* 112 bytes each, by alignment */
    assert_non_null(arena_alloc(&arena, 16));
    assert_null(arena_alloc(&arena, 1));
    assert_true(arena.used <= arena.limit);
    arena_release(&arena);
    assert_non_null(arena_alloc(&arena, 1000));
    arena_release(&arena);
    arena_init(&arena, 1000); /* no multiple of the alignment */
    while (arena_alloc(&arena, 3) != NULL)
        assert_true(arena.used <= arena.limit);
    arena_release(&arena);
    arena_init(&arena, SIZE_MAX);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 8));
}

static void copies(void **state) {
    (void)state;
    struct arena arena CLEANUP(arena_release) = {0};
    arena_init(&arena, 4096);
    assert_string_equal(arena_copy(&arena, (struct str){"abcdef", 3}), "abc");
    assert_string_equal(arena_copy(&arena, STR_ABSENT), "");
    assert_string_equal(arena_format(&arena, "%s-%d", "x", 7), "x-7");
    assert_text(arena_str(&arena, STR("text")), "text");
    assert_null(arena_str(&arena, STR_ABSENT).ptr);
    assert_non_null(arena_str(&arena, STR("")).ptr);
    int *numbers = arena_array(&arena, 10, sizeof(int));
    assert_non_null(numbers);
    assert_int_equal(numbers[9], 0);
    assert_null(arena_format(&arena, "%5000d", 1));
    assert_null(arena_str(&arena, (struct str){"", 5000}).ptr);
}

/* A request leaves nothing of itself to the next one. */
static void starts_anew(void **state) {
    (void)state;
    struct arena arena CLEANUP(arena_release) = {0};
    arena_init(&arena, 1 << 20);
    arena_reset(&arena);
    static const size_t sizes[] = {100, 3000, 5000, 200000, 60000, 0, 100};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t n = 0; n < 3; n++) {
            unsigned char *at = arena_alloc(&arena, sizes[i]);
            assert_non_null(at);
            for (size_t j = 0; j < sizes[i]; j++)
                assert_int_equal(at[j], 0);
            memset(at, 0xAA, sizes[i]);
        }
        arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_and_aligned),
        cmocka_unit_test(no_overlap),
        cmocka_unit_test(limits),
        cmocka_unit_test(copies),
        cmocka_unit_test(starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
