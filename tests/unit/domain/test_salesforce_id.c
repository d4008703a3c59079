/* Salesforce ids: known pairs of 15 and 18 characters, and every way to be none. */
#include "core/cleanup.h"
#include "domain/salesforce_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void known_pairs(void **state) {
    static const char *const pairs[] = {
        "a01M00000062mPgIAI", /* the specification's */
        "001D000000IqhSLIAZ", "003D000000QkPbZIAV", "000000000000000AAA",
        "AAAAAAAAAAAAAAA555", "Aaaaa0000000000BAA", "0000A0000000000QAA",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        char id[SALESFORCE_ID_TEXT] = "";

        assert_true(salesforce_id_parse((struct str){pairs[i], 15}, id));
        assert_string_equal(id, pairs[i]);
        memset(id, 0, sizeof(id));
        assert_true(salesforce_id_parse(str_of(pairs[i]), id));
        assert_string_equal(id, pairs[i]);
        assert_null(check_salesforce_id((struct str){pairs[i], 15}));
        assert_null(check_salesforce_id(str_of(pairs[i])));
    }
}

static void others_are_refused(void **state) {
    static const char *const bad[] = {
        "",
        "a01M00000062mP",      /* 14 */
        "a01M00000062mPgI",    /* 16 */
        "a01M00000062mPgIA",   /* 17 */
        "a01M00000062mPgIAIx", /* 19 */
        "a01M00000062mPgIAJ",  /* wrong checksum */
        "a01M00000062mPgAAI",
        "a01M00000062mPgiai", /* the case of the checksum itself counts */
        "a01m00000062mpgIAI", /* the case was lost on the way */
        "A01M00000062MPGIAI",
        "a01M00000062m-g",
        "a01M00000062m g",
        "a01M00000062m\xC3\xA4",
        "a01M00000062mPg=AI",
    };
    char id[SALESFORCE_ID_TEXT] = "untouched";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *said = check_salesforce_id(str_of(bad[i]));

        if (said == NULL)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_false(salesforce_id_parse(str_of(bad[i]), id));
    }
    assert_false(salesforce_id_parse(STR_ABSENT, id));
    assert_string_equal(id, "untouched");
}

/* Any change of one letter's case is noticed. */
static void the_checksum_covers_the_case(void **state) {
    char id[] = "a01M00000062mPgIAI";

    (void)state;
    for (size_t i = 0; i < 15; i++) {
        char kept = id[i];

        if (kept >= '0' && kept <= '9')
            continue;
        id[i] ^= 0x20;
        assert_non_null(check_salesforce_id(str_of(id)));
        id[i] = kept;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_pairs),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(the_checksum_covers_the_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
