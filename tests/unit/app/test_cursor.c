/* Cursors: they give back what they were made of, for the same list and nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"

#include <string.h>

static struct keyring keys;
static struct arena arena;
static struct app app = {.keyring = &keys};
static struct action action = {.app = &app, .arena = &arena};

static int start(void **state) {
    (void)state;
    if (!crypto_start() ||
        !keyring_init(&keys, STR("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), NULL))
        return -1;
    arena_init(&arena, (size_t)1 << 20);
    return 0;
}

static int stop(void **state) {
    (void)state;
    arena_release(&arena);
    keyring_wipe(&keys);
    return 0;
}

static void gives_back_its_values(void **state) {
    (void)state;
    struct err err = ERR_INIT;
    const struct cursor made = {
        .list = STR("accounts|name"), .values = {STR("a:b, 12:"), STR(""), STR_ABSENT}, .n = 3};
    struct cursor got = {.list = STR("accounts|name"), .n = 3};
    char text[512];

    assert_true(cursor_make(&action, &made, text, sizeof(text)));
    assert_true(cursor_read(&action, str_of(text), &got, &err));
    for (size_t i = 0; i < made.n; i++) {
        assert_int_equal(got.values[i].ptr != NULL, made.values[i].ptr != NULL);
        assert_true(made.values[i].ptr == NULL || str_eq(got.values[i], made.values[i]));
    }
    err_release(&err);
}

static void refused(struct str list, const char *text, size_t n) {
    struct err err = ERR_INIT;
    struct cursor got = {.list = list, .n = n};

    assert_false(cursor_read(&action, str_of(text), &got, &err));
    assert_int_equal(err.problem, PROBLEM_INVALID_CURSOR);
    err_release(&err);
}

static void belongs_to_its_list(void **state) {
    (void)state;
    const struct cursor made = {
        .list = STR("accounts|name"), .values = {STR("x"), STR("y")}, .n = 2};
    char text[512];

    assert_true(cursor_make(&action, &made, text, sizeof(text)));
    refused(STR("accounts|-name"), text, 2);
    refused(STR("accounts|name"), text, 1);
    refused(STR("accounts|name"), text, 3);
    refused(STR("accounts|name"), "", 2);
    refused(STR("accounts|name"), "no cursor", 2);
    /* Each character counts. */
    for (size_t i = 0; i < strlen(text); i++) {
        char other[512];
        memcpy(other, text, sizeof(other));
        other[i] = other[i] == 'A' ? 'B' : 'A';
        if (i + 1 < strlen(text)) /* the last one has bits that say nothing */
            refused(STR("accounts|name"), other, 2);
    }
}

static void too_long_for_its_place(void **state) {
    (void)state;
    char value[600];
    memset(value, 'v', sizeof(value));
    const struct cursor made = {
        .list = STR("accounts|name"), .values = {{value, sizeof(value)}}, .n = 1};
    char text[512];

    assert_false(cursor_make(&action, &made, text, sizeof(text)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_its_values),
        cmocka_unit_test(belongs_to_its_list),
        cmocka_unit_test(too_long_for_its_place),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
