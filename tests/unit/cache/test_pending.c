/* Invalidations that wait: the set by name, its bound, its end. Times are given. */
#include "unit.h"

#include "pending.h"

#define LIVE 1000

static struct cache_touch touch(const char *name, int64_t version) {
    struct cache_touch touch = {.version = version};
    snprintf(touch.name, sizeof(touch.name), "%s", name);
    return touch;
}

static void add(struct pending *pending, const char *name, int64_t version, int64_t now) {
    struct cache_touch one = touch(name, version);
    pending_add(pending, &one, now);
}

static void done(struct pending *pending, const char *name, int64_t version) {
    struct cache_touch one = touch(name, version);
    pending_done(pending, &one);
}

static void names_block_until_they_are_done(void **state) {
    (void)state;
    struct pending *pending = pending_new(LIVE);
    struct cache_touch list[4];
    assert_false(pending_any(pending));
    assert_false(pending_blocks(pending, "a", 0));
    add(pending, "a", 1, 0);
    add(pending, "b", 7, 0);
    assert_true(pending_any(pending));
    assert_true(pending_blocks(pending, "a", 0));
    assert_false(pending_blocks(pending, "c", 0));
    assert_int_equal(pending_list(pending, list, 4, 0), 2);
    assert_int_equal(pending_list(pending, list, 1, 0), 1);
    done(pending, "a", 1);
    done(pending, "c", 1);
    assert_false(pending_blocks(pending, "a", 0));
    assert_true(pending_blocks(pending, "b", 0));
    assert_int_equal(pending_list(pending, list, 4, 0), 1);
    assert_string_equal(list[0].name, "b");
    assert_int_equal(list[0].version, 7);
    pending_free(pending);
}

static void the_highest_version_counts(void **state) {
    (void)state;
    struct pending *pending = pending_new(LIVE);
    struct cache_touch list[4];
    add(pending, "a", 5, 0);
    add(pending, "a", 3, 0);
    assert_int_equal(pending_list(pending, list, 4, 0), 1);
    assert_int_equal(list[0].version, 5);
    add(pending, "a", 6, 0);
    done(pending, "a", 5); /* a replay of 5 was under way when 6 came */
    assert_true(pending_blocks(pending, "a", 0));
    done(pending, "a", 9);
    assert_false(pending_any(pending));
    pending_free(pending);
}

static void what_is_too_old_to_matter_is_forgotten(void **state) {
    (void)state;
    struct pending *pending = pending_new(LIVE);
    struct cache_touch list[4];
    add(pending, "a", 1, 0);
    add(pending, "b", 1, 0);
    add(pending, "b", 2, 500);
    assert_int_equal(pending_list(pending, list, 4, LIVE), 2);
    assert_int_equal(pending_list(pending, list, 4, LIVE + 1), 1);
    assert_string_equal(list[0].name, "b");
    assert_int_equal(pending_list(pending, list, 4, 500 + LIVE + 1), 0);
    assert_false(pending_any(pending));
    pending_free(pending);
}

static void beyond_the_bound_nothing_is_trusted_for_a_lifetime(void **state) {
    (void)state;
    struct pending *pending = pending_new(LIVE);
    char name[16];
    for (int i = 0; i < PENDING_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        add(pending, name, 1, 0);
    }
    assert_false(pending_blocks(pending, "x", 0));
    add(pending, "n7", 2, 5); /* known: no room needed */
    assert_false(pending_blocks(pending, "x", 5));
    add(pending, "one more", 1, 10);
    assert_true(pending_blocks(pending, "x", 10));
    assert_true(pending_blocks(pending, "x", 10 + LIVE - 1));
    assert_false(pending_blocks(pending, "x", 10 + LIVE));
    for (int i = 0; i < PENDING_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        done(pending, name, 2);
    }
    assert_false(pending_any(pending));
    add(pending, "one more", 1, 20);
    assert_true(pending_blocks(pending, "one more", 20));
    pending_free(pending);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_block_until_they_are_done),
        cmocka_unit_test(the_highest_version_counts),
        cmocka_unit_test(what_is_too_old_to_matter_is_forgotten),
        cmocka_unit_test(beyond_the_bound_nothing_is_trusted_for_a_lifetime),
    };
    return cmocka_run_group_tests_name("pending invalidations", tests, NULL, NULL);
}
