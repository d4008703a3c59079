/* UUIDs of version 7 against the RFC's vector, their text there and back, and random numbers
 * without bias. */
#include "unit.h"

#include "core/id.h"
#include "core/start.h"

static int64_t fixed_time(void *self) { return *(int64_t *)self; }

static void fixed_bytes(void *self, void *bytes, size_t len) { memcpy(bytes, self, len); }

/* RFC 9562, appendix A.6. */
static void rfc_vector(void **state) {
    (void)state;
    int64_t now =
        0x017F22E279B0 * 1000 + 999; /* microseconds within the millisecond do not count */
    struct clock clock = {.wall_us = fixed_time, .self = &now};
    unsigned char bytes[] = {0x0C, 0xC3, 0x18, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F};
    struct randomness randomness = {.fill = fixed_bytes, .self = bytes};
    struct uuid id = uuid_v7(&clock, &randomness);
    char text[UUID_TEXT];
    uuid_text(&id, text);
    assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void version_and_variant(void **state) {
    (void)state;
    int64_t now = 1795305360123456;
    struct clock clock = {.wall_us = fixed_time, .self = &now};
    uint64_t seed = 7;
    struct randomness randomness = randomness_seeded(&seed);
    struct uuid last = {{0}};
    for (int i = 0; i < 2000; i++) {
        struct uuid id = uuid_v7(&clock, &randomness);
        struct uuid back;
        char text[UUID_TEXT];
        uuid_text(&id, text);
        assert_int_equal(text[14], '7');
        assert_non_null(strchr("89ab", text[19]));
        assert_true(uuid_parse(str_of(text), &back));
        assert_memory_equal(&back, &id, sizeof(id));
        assert_true(memcmp(&id, &last, sizeof(id)) != 0);
        last = id;
    }
    struct uuid early = uuid_v7(&clock, &randomness);
    now += 1000;
    struct uuid late = uuid_v7(&clock, &randomness);
    assert_true(memcmp(&early, &late, sizeof(early)) < 0); /* sorts by time */
}

static void parsing(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398}",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2-79b0-7cc3-98c4_dc0c0c07398f",
        "017f22e27-9b0-7cc3-98c4-dc0c0c07398f",
        "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        " 17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    };
    struct uuid id;
    char text[UUID_TEXT];
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_case(!uuid_is(str_of(bad[i])), bad[i]);
    assert_true(uuid_parse(STR("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &id));
    uuid_text(&id, text);
    assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_true(uuid_is(STR("00000000-0000-0000-0000-000000000000")));
    assert_false(uuid_is(STR_ABSENT));
}

static void random_numbers(void **state) {
    (void)state;
    /* The first outputs of splitmix64 from 1234567, as the reference implementation prints them. */
    uint64_t seed = 1234567;
    struct randomness randomness = randomness_seeded(&seed);
    uint64_t words[3];
    random_fill(&randomness, words, sizeof(words));
    assert_true(words[0] == 6457827717110365317U);
    assert_true(words[1] == 3203168211198807973U);
    assert_true(words[2] == 9817491932198370423U);
    size_t seen[7] = {0};
    for (int i = 0; i < 70000; i++)
        seen[random_below(&randomness, 7)]++;
    for (size_t i = 0; i < 7; i++)
        assert_true(seen[i] > 9500 && seen[i] < 10500);
    assert_int_equal(random_below(&randomness, 0), 0);
    assert_int_equal(random_below(&randomness, 1), 0);
}

/* Of a bound of 3/4 of all words one word in four must be thrown away, else the lowest third comes
 * in half of all cases. */
static void rejection(void **state) {
    (void)state;
    uint64_t seed = 1;
    struct randomness randomness = randomness_seeded(&seed);
    const uint64_t bound = 3ULL << 62;
    size_t low = 0;
    for (int i = 0; i < 10000; i++)
        low += random_below(&randomness, bound) < bound / 3;
    assert_true(low > 3100 && low < 3600);
    assert_true(core_start());
    unsigned char a[32] = {0}, b[32] = {0};
    random_fill(&randomness_system, a, sizeof(a));
    random_fill(&randomness_system, b, sizeof(b));
    assert_true(memcmp(a, b, sizeof(a)) != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_vector), cmocka_unit_test(version_and_variant),
        cmocka_unit_test(parsing),    cmocka_unit_test(random_numbers),
        cmocka_unit_test(rejection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
