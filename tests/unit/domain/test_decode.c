/* Decoding of documents by their descriptors: what is refused, with which code and pointer, and
 * what the canonical form is. */
#include "core/start.h"
#include "domain/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static jv *read_json(const char *text) {
    struct err err = ERR_INIT;
    jv *value = NULL;
    assert_true(json_read(str_of(text), JSON_TOKENS, &value, &err));
    return value;
}

static bool decode(enum resource_id id, const char *text, jv **ret, struct err *err) {
    CLEANUP(jv_unref) jv *given = read_json(text);
    struct decode how = {.resource = resource_of(id), .at = ""};
    return decode_new(&how, given, ret, err);
}

struct refusal {
    enum resource_id resource;
    const char *given;
    enum problem problem;
    const char *where;
    const char *code;
};

#define ACCOUNT_ID "\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01\","

static const struct refusal refusals[] = {
    {RES_ACCOUNT, "{}", PROBLEM_VALIDATION, "/name", "required"},
    {RES_ACCOUNT, "{\"name\":null}", PROBLEM_VALIDATION, "/name", "required"},
    {RES_ACCOUNT, "{\"name\":\"\"}", PROBLEM_VALIDATION, "/name", "empty"},
    {RES_ACCOUNT, "{\"name\":7}", PROBLEM_INVALID_REQUEST, "/name", "wrong_type"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"nam\":1}", PROBLEM_INVALID_REQUEST, "/nam", "unknown_field"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"a/b~c\":1}", PROBLEM_INVALID_REQUEST, "/a~1b~0c",
     "unknown_field"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"score\":\"1\"}", PROBLEM_INVALID_REQUEST, "/score",
     "read_only"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"lifecycle\":\"new\"}", PROBLEM_INVALID_REQUEST, "/lifecycle",
     "unknown_value"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"lifecycle\":null}", PROBLEM_VALIDATION, "/lifecycle",
     "required"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"manager_id\":\"7\"}", PROBLEM_INVALID_REQUEST, "/manager_id",
     "malformed_id"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"phones\":[\"12\"]}", PROBLEM_VALIDATION, "/phones/0",
     "invalid"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"cadence\":[{\"channel\":\"phone\"}]}", PROBLEM_VALIDATION,
     "/cadence/0/every", "required"},
    {RES_ACCOUNT,
     "{\"name\":\"a\",\"cadence\":[{\"channel\":\"phone\",\"every\":\"monthly\",\"x\":1}]}",
     PROBLEM_INVALID_REQUEST, "/cadence/0/x", "unknown_field"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"external_ids\":{\"Sales Force\":\"1\"}}", PROBLEM_VALIDATION,
     "/external_ids/Sales Force", "invalid_name"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"external_ids\":{\"salesforce\":\"1\"}}", PROBLEM_VALIDATION,
     "/external_ids/salesforce", "invalid"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"custom\":{\"x\":1}}", PROBLEM_INVALID_REQUEST, "/custom/x",
     "unknown_field"},
    {RES_ACCOUNT, "{\"name\":\"a\",\"delegate_until\":\"2026-01-01T00:00:00Z\"}",
     PROBLEM_VALIDATION, "/delegate_until", "incomplete"},
    {RES_PLAN,
     "{" ACCOUNT_ID
     "\"title\":\"t\",\"period_start\":\"2026-02-30\",\"period_end\":\"2026-12-31\"}",
     PROBLEM_INVALID_REQUEST, "/period_start", "malformed_date"},
    {RES_PLAN,
     "{" ACCOUNT_ID
     "\"title\":\"t\",\"period_start\":\"2026-12-31\",\"period_end\":\"2026-01-01\"}",
     PROBLEM_VALIDATION, "/period_end", "before_start"},
    {RES_FOLLOW_UP, "{" ACCOUNT_ID "\"title\":\"t\"}", PROBLEM_VALIDATION, "/due_at", "required"},
    {RES_FOLLOW_UP, "{" ACCOUNT_ID "\"title\":\"t\",\"due_on\":\"2026-01-31\"}", PROBLEM_VALIDATION,
     "/time_zone", "required"},
    {RES_FOLLOW_UP, "{" ACCOUNT_ID "\"title\":\"t\",\"due_at\":\"2026-01-31\"}",
     PROBLEM_INVALID_REQUEST, "/due_at", "malformed_time"},
    {RES_ORDER,
     "{" ACCOUNT_ID "\"ordered_on\":\"2026-01-31\",\"currency_code\":\"USD\",\"lines\":[]}",
     PROBLEM_VALIDATION, "/lines", "too_few"},
    {RES_ORDER,
     "{" ACCOUNT_ID "\"ordered_on\":\"2026-01-31\",\"currency_code\":\"USD\",\"lines\":[{\"line_"
     "no\":1,\"amount\":1.5}]}",
     PROBLEM_INVALID_REQUEST, "/lines/0/amount", "wrong_type"},
    {RES_ORDER,
     "{" ACCOUNT_ID "\"ordered_on\":\"2026-01-31\",\"currency_code\":\"USD\",\"lines\":[{\"line_"
     "no\":1,\"amount\":\"1.23456\"}]}",
     PROBLEM_INVALID_REQUEST, "/lines/0/amount", "malformed_decimal"},
    {RES_ORDER,
     "{" ACCOUNT_ID "\"ordered_on\":\"2026-01-31\",\"currency_code\":\"USD\",\"lines\":[{\"line_"
     "no\":2,\"amount\":\"1\"},{\"line_no\":2,\"amount\":\"1\"}]}",
     PROBLEM_VALIDATION, "/lines/1/line_no", "duplicate"},
};

static void refuses(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        CLEANUP(err_release) struct err err = ERR_INIT;
        CLEANUP(jv_unref) jv *clean = NULL;
        bool fine = decode(refusals[i].resource, refusals[i].given, &clean, &err);
        bool named = false;
        for (size_t k = 0; k < err.n_items; k++)
            named = named || (str_is(str_of(err.items[k].where), refusals[i].where) &&
                              str_is(str_of(err.items[k].code), refusals[i].code));
        if (fine || !named || err.problem != refusals[i].problem)
            fail_msg("%s: %s at %s", refusals[i].given,
                     err.n_items ? err.items[0].code : "accepted",
                     err.n_items ? err.items[0].where : "");
    }
}

static void names_all_violations_at_once(void **state) {
    (void)state;
    CLEANUP(err_release) struct err err = ERR_INIT;
    CLEANUP(jv_unref) jv *clean = NULL;
    assert_false(decode(RES_ACCOUNT,
                        "{\"name\":\"\",\"emails\":[\"x\",\"y\"],\"what\":1,\"tier\":\"A\"}",
                        &clean, &err));
    assert_int_equal(err.n_items, 5);
    assert_int_equal(err.problem, PROBLEM_INVALID_REQUEST); /* malformed wins over a broken rule */
    assert_null(clean);
}

static void makes_values_canonical(void **state) {
    (void)state;
    CLEANUP(err_release) struct err err = ERR_INIT;
    CLEANUP(jv_unref) jv *order = NULL, *follow_up = NULL, *account = NULL;
    assert_true(decode(RES_ORDER,
                       "{\"account_id\":\"01928F7E-0D3C-7A51-9B1E-0C6A2F5E8D01\",\"ordered_on\":"
                       "\"2026-01-31\",\"currency_code\":\"USD\","
                       "\"lines\":[{\"line_no\":1,\"amount\":\"12.5\",\"quantity\":3}]}",
                       &order, &err));
    assert_string_equal(jv_text(jv_get(order, "account_id")).ptr,
                        "01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d01");
    assert_string_equal(jv_text(jv_get(jv_at(jv_get(order, "lines"), 0), "amount")).ptr, "12.5000");
    assert_string_equal(jv_text(jv_get(jv_at(jv_get(order, "lines"), 0), "quantity")).ptr,
                        "3.0000");
    assert_true(decode(RES_FOLLOW_UP,
                       "{" ACCOUNT_ID "\"title\":\"t\",\"due_at\":\"2026-01-31T10:00:00+01:00\"}",
                       &follow_up, &err));
    assert_string_equal(jv_text(jv_get(follow_up, "due_at")).ptr, "2026-01-31T09:00:00.000000Z");
    assert_string_equal(jv_text(jv_get(follow_up, "priority")).ptr, "normal");
    assert_true(jv_is_null(jv_get(follow_up, "assignee_id")));
    assert_true(decode(RES_ACCOUNT,
                       "{\"name\":\"a\",\"external_ids\":{\"salesforce\":\"a01M00000062mPg\"}}",
                       &account, &err));
    assert_string_equal(jv_text(jv_get(jv_get(account, "external_ids"), "salesforce")).ptr,
                        "a01M00000062mPgIAI");
}

static void a_patch_merges_and_a_put_replaces(void **state) {
    (void)state;
    CLEANUP(err_release) struct err err = ERR_INIT;
    CLEANUP(jv_unref)
    jv *current = NULL, *patch = read_json("{\"address\":{\"city\":\"Bonn\"},\"industry\":null}"),
       *merged = NULL, *same = NULL, *put = NULL;
    CLEANUP(jv_unref) jv *nothing = read_json("{}"), *whole = read_json("{\"name\":\"b\"}");
    struct decode how = {.resource = resource_of(RES_ACCOUNT), .at = ""};
    assert_true(decode(RES_ACCOUNT,
                       "{\"name\":\"a\",\"industry\":\"steel\",\"address\":{\"street\":\"S\","
                       "\"city\":\"Berlin\"}}",
                       &current, &err));
    assert_true(decode_change(&how, current, patch, &merged, &err));
    assert_false(jv_equal(current, merged));
    assert_string_equal(jv_text(jv_get(jv_get(merged, "address"), "street")).ptr, "S");
    assert_string_equal(jv_text(jv_get(jv_get(merged, "address"), "city")).ptr, "Bonn");
    assert_true(jv_is_null(jv_get(merged, "industry")));
    assert_true(decode_change(&how, current, nothing, &same, &err));
    assert_true(jv_equal(current, same));
    how.replace = true;
    assert_true(decode_change(&how, current, whole, &put, &err));
    assert_true(jv_is_null(jv_get(put, "address")));
    assert_string_equal(jv_text(jv_get(put, "name")).ptr, "b");
}

static void what_is_create_only_stays(void **state) {
    (void)state;
    CLEANUP(err_release) struct err err = ERR_INIT;
    CLEANUP(jv_unref)
    jv *current = NULL, *clean = NULL,
       *patch = read_json("{\"account_id\":\"01928f7e-0d3c-7a51-9b1e-0c6a2f5e8d02\"}");
    struct decode how = {.resource = resource_of(RES_CONTACT), .at = ""};
    assert_true(decode(RES_CONTACT, "{" ACCOUNT_ID "\"family_name\":\"f\"}", &current, &err));
    assert_false(decode_change(&how, current, patch, &clean, &err));
    assert_string_equal(err.items[0].code, "create_only");
}

static void custom_fields_have_kinds(void **state) {
    (void)state;
    static const struct str choices[] = {{"gold", 4}, {"iron", 4}};
    static const struct custom_field list[] = {
        {RES_ACCOUNT, {"segment", 7}, CUSTOM_CHOICE, choices, 2},
        {RES_ACCOUNT, {"staff", 5}, CUSTOM_NUMBER, NULL, 0}};
    static const struct custom_fields customs = {list, 2};
    struct decode how = {.resource = resource_of(RES_ACCOUNT), .customs = &customs, .at = ""};
    CLEANUP(err_release) struct err err = ERR_INIT;
    CLEANUP(jv_unref)
    jv *good = read_json("{\"name\":\"a\",\"custom\":{\"segment\":\"gold\",\"staff\":12}}"),
       *clean = NULL;
    CLEANUP(jv_unref)
    jv *bad = read_json("{\"name\":\"a\",\"custom\":{\"segment\":\"lead\",\"staff\":\"12\"}}"),
       *none = NULL;
    assert_true(decode_new(&how, good, &clean, &err));
    assert_false(decode_new(&how, bad, &none, &err));
    assert_int_equal(err.n_items, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),
        cmocka_unit_test(names_all_violations_at_once),
        cmocka_unit_test(makes_values_canonical),
        cmocka_unit_test(a_patch_merges_and_a_put_replaces),
        cmocka_unit_test(what_is_create_only_stays),
        cmocka_unit_test(custom_fields_have_kinds),
    };
    return core_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
