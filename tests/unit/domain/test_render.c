/* Rendering of column texts, ETags, roles. */
#include "core/start.h"
#include "domain/access.h"
#include "domain/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void values_by_type(void **state) {
    (void)state;
    static const struct {
        enum field_type type;
        const char *column, *json;
    } cases[] = {
        {FIELD_TEXT, "a \"b\"\n", "\"a \\\"b\\\"\\n\""},
        {FIELD_TEXT, NULL, "null"},
        {FIELD_INT, "12", "12"},
        {FIELD_BOOL, "t", "true"},
        {FIELD_BOOL, "f", "false"},
        {FIELD_DECIMAL, "12.5000", "\"12.5000\""},
        {FIELD_DATE, "2026-01-31", "\"2026-01-31\""},
        {FIELD_TIME, "2026-11-21 23:56:00+00", "\"2026-11-21T23:56:00.000000Z\""},
        {FIELD_TIME, "2026-11-21 23:56:00.12+00", "\"2026-11-21T23:56:00.120000Z\""},
        {FIELD_TIME, "2026-11-22 05:26:00.123456+05:30", "\"2026-11-21T23:56:00.123456Z\""},
        {FIELD_TIME, "2026-11-21 18:56:00-05", "\"2026-11-21T23:56:00.000000Z\""},
        {FIELD_MAP, "{\"a\": 1}", "{\"a\": 1}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct field field = {.name = "x", .type = cases[i].type};
        struct buf buf;
        buf_init(&buf, 1000);
        render_value(&field, str_of(cases[i].column), &buf);
        assert_string_equal(buf.ptr, cases[i].json);
        buf_release(&buf);
    }
}

static void only_the_fields_asked_for(void **state) {
    (void)state;
    const struct resource *resource = resource_of(RES_USER);
    struct str values[64] = {{0}};
    struct buf buf;
    values[0] = STR("01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01");
    values[1] = STR("3");
    buf_init(&buf, 1000);
    render_fields(resource, values, 3, &buf);
    assert_string_equal(buf.ptr, "\"id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\",\"version\":3");
    buf_release(&buf);
}

static void etags(void **state) {
    (void)state;
    char a[ETAG_TEXT], rescored[ETAG_TEXT], edited[ETAG_TEXT], other[ETAG_TEXT];
    etag_make(STR("id1"), 1, STR("body"), a);
    etag_make(STR("id1"), 1, STR("body with another score"), rescored);
    etag_make(STR("id1"), 2, STR("body"), edited);
    etag_make(STR("id2"), 1, STR("body"), other);
    assert_true(etag_edit_matches(str_of(a), str_of(rescored))); /* a new score makes no 412 */
    assert_false(etag_all_matches(str_of(a), str_of(rescored))); /* but it is not "not modified" */
    assert_false(etag_edit_matches(str_of(a), str_of(edited)));
    assert_false(etag_edit_matches(str_of(a), str_of(other)));
    assert_true(etag_edit_matches(STR("*"), str_of(a)));
    char list[100], weak[40];
    snprintf(list, sizeof list, "%s, %s", edited, a);
    snprintf(weak, sizeof weak, "W/%s", a);
    assert_true(etag_edit_matches(str_of(list), str_of(a)));
    assert_false(etag_edit_matches(str_of(weak), str_of(a)));
    assert_true(etag_all_matches(str_of(weak), str_of(a)));
    assert_false(etag_edit_matches(STR(""), str_of(a)));
    assert_false(etag_edit_matches(STR("\"x\""), str_of(a)));
}

static void roles(void **state) {
    (void)state;
    static const char expected[ROLE_COUNT][VERB_COUNT + 1] = {
        /* read create_account write orders decide sync webhooks admin audit any public */
        [ROLE_ADMIN] = "11111111111",           [ROLE_DIRECTOR] = "11111110111",
        [ROLE_ACCOUNT_MANAGER] = "10100000111", [ROLE_MEMBER] = "10100000011",
        [ROLE_AUDITOR] = "10000000111",         [ROLE_INTEGRATION] = "11110110011",
    };
    for (int role = 0; role < ROLE_COUNT; role++)
        for (int verb = 0; verb < VERB_COUNT; verb++)
            if (access_allows((enum role)role, (enum verb)verb) != (expected[role][verb] == '1'))
                fail_msg("%s may %s?", role_name((enum role)role), verb_name((enum verb)verb));
    assert_false(role_sees_all(ROLE_ACCOUNT_MANAGER));
    assert_false(role_sees_all(ROLE_MEMBER));
    assert_true(role_sees_all(ROLE_AUDITOR));
}

static void areas_of_roles(void **state) {
    (void)state;
    assert_true(AREA_COUNT <= AREA_WRITE_SHIFT); /* both sets fit beside each other */
    for (enum role role = 0; role < ROLE_COUNT; role++)
        /* Nobody writes what they do not read. */
        assert_int_equal(role_writes(role) & ~role_reads(role), 0);
    assert_int_equal(role_writes(ROLE_AUDITOR), 0);
    assert_int_equal(role_reads(ROLE_INTEGRATION) & AREA_BIT(AREA_VALUES_BELIEFS), 0);
    assert_int_equal(role_writes(ROLE_MEMBER) & AREA_BIT(AREA_PROFILE), 0);
}

/* A field of another area than its record is derived: hidden, it can be left out of what is written
 * back. */
static void fields_of_other_areas(void **state) {
    (void)state;
    const struct resource *account = resource_of(RES_ACCOUNT);
    size_t score = resource_field_at(account, resource_field(account, STR("score")));
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++)
        for (size_t i = 0; i < resource_of(id)->n_fields; i++) {
            const struct field *field = &resource_of(id)->fields[i];
            if (field->area == 0)
                continue;
            assert_int_not_equal(field->area, resource_of(id)->area);
            assert_false(field_writable(field));
            assert_int_equal(field->flags & (F_REQUIRED | F_NOT_NULL), 0);
        }
    field_set seen = fields_in(account, AREA_BIT(AREA_PROFILE));
    assert_int_equal(seen & 3, 3);
    assert_int_equal(seen >> score & 1, 0);
    seen = fields_in(account, AREA_BIT(AREA_PROFILE) | AREA_BIT(AREA_ECONOMICS));
    assert_int_equal(seen >> score & 1, 1);
    assert_int_equal(fields_in(account, 0), 1);
}

static void scopes_narrow(void **state) {
    (void)state;
    assert_true(scopes_allow(0, VERB_ADMIN)); /* no scopes: the role alone decides */
    assert_true(scopes_allow(SCOPE_READ, VERB_READ));
    assert_false(scopes_allow(SCOPE_READ, VERB_WRITE));
    assert_false(scopes_allow(SCOPE_WRITE, VERB_DECIDE));
    assert_false(scopes_allow(SCOPE_RECOGNITION, VERB_READ));
    assert_true(scopes_allow(SCOPE_RECOGNITION | SCOPE_READ, VERB_READ));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_by_type),
        cmocka_unit_test(only_the_fields_asked_for),
        cmocka_unit_test(etags),
        cmocka_unit_test(roles),
        cmocka_unit_test(scopes_narrow),
        cmocka_unit_test(areas_of_roles),
        cmocka_unit_test(fields_of_other_areas),
    };
    return core_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
