/* What clients see of each error of PostgreSQL: the problem, the field, and nothing of the
 * database's inside. */
#include "unit.h"

#include "store/store.h"

/* What the server says, and what clients see of it. */
static const struct {
    struct sql_error error;
    enum problem problem;
    const char *where, *code; /* NULL: no item */
    int retry_after;
} cases[] = {
    /* a unique value: the column is in the detail, unless row level security hides it */
    {{"23505", "duplicate key", "Key (email)=(a@b.example) already exists.", NULL,
      "contact_email_key", NULL, "contact"},
     PROBLEM_ALREADY_EXISTS,
     "/email",
     "taken",
     0},
    {{"23505", "duplicate key", "Key (account_id, email)=(1, a) already exists.", NULL,
      "contact_account_id_email_key", NULL, "contact"},
     PROBLEM_ALREADY_EXISTS,
     "/email",
     "taken",
     0},
    {{"23505", "duplicate key", "Key (system, external_id)=(a, b) already exists.", NULL, "x", NULL,
      "external_id"},
     PROBLEM_ALREADY_EXISTS,
     "/external_id",
     "taken",
     0},
    {{"23505", "duplicate key", "Key (lower(email))=(a) already exists.", NULL, "contact_email_key",
      NULL, "contact"},
     PROBLEM_ALREADY_EXISTS,
     "/email",
     "taken",
     0},
    {{"23505", "duplicate key", "Key (account_id, lower(email::text))=(a) already exists.", NULL,
      "contact_email_key", NULL, "contact"},
     PROBLEM_ALREADY_EXISTS,
     "/email",
     "taken",
     0},
    {{"23505", "duplicate key", NULL, NULL, "contact_email_key", NULL, "contact"},
     PROBLEM_ALREADY_EXISTS,
     "/email",
     "taken",
     0},
    {{"23505", "duplicate key", NULL, NULL, "contact_account_id_email_key", NULL, "contact"},
     PROBLEM_ALREADY_EXISTS,
     "/email",
     "taken",
     0},
    {{"23505", "duplicate key", NULL, NULL, "line_order_id_line_no_key", NULL, "line"},
     PROBLEM_ALREADY_EXISTS,
     "/line_no",
     "taken",
     0},
    {{"23505", "duplicate key", NULL, NULL, "contact_pkey", NULL, "contact"},
     PROBLEM_ALREADY_EXISTS,
     "/id",
     "taken",
     0},
    {{"23505", "duplicate key", NULL, NULL, "review_account_id_cadence_key", NULL, "review"},
     PROBLEM_REVIEW_SCHEDULED,
     "/cadence",
     "review_is_scheduled",
     0},
    {{"23505", "duplicate key", NULL, NULL, "strange name", NULL, "contact"},
     PROBLEM_ALREADY_EXISTS,
     "",
     "taken",
     0},
    {{"23505", "duplicate key", NULL, NULL, NULL, NULL, NULL},
     PROBLEM_ALREADY_EXISTS,
     "",
     "taken",
     0},
    /* references, missing and forbidden values */
    {{"23503", "fk", "Key (manager_id)=(1) is not present in table \"user\".", NULL,
      "account_manager_id_fkey", NULL, "account"},
     PROBLEM_VALIDATION,
     "/manager_id",
     "unknown_reference",
     0},
    {{"23503", "fk", NULL, NULL, "account_manager_id_fkey", NULL, "account"},
     PROBLEM_VALIDATION,
     "/manager_id",
     "unknown_reference",
     0},
    {{"23502", "null", "Failing row contains (...)=(x)", NULL, NULL, "name", "account"},
     PROBLEM_VALIDATION,
     "/name",
     "required",
     0},
    {{"23514", "check", "Failing row contains (secret).", NULL, "account_tier_check", NULL,
      "account"},
     PROBLEM_VALIDATION,
     "/tier",
     "invalid_value",
     0},
    {{"22001", "too long", NULL, NULL, NULL, NULL, NULL}, PROBLEM_VALIDATION, "", "too_long", 0},
    {{"22003", "range", NULL, NULL, NULL, NULL, NULL}, PROBLEM_VALIDATION, "", "out_of_range", 0},
    {{"22P02", "syntax", NULL, NULL, NULL, NULL, NULL},
     PROBLEM_VALIDATION,
     "",
     "invalid_format",
     0},
    {{"22012", "division", NULL, NULL, NULL, NULL, NULL},
     PROBLEM_VALIDATION,
     "",
     "invalid_value",
     0},
    /* our own functions: a problem's code, or an item's under the SQLSTATE's problem */
    {{"KD409", "key_account_cap_reached", "The list is full.", "{\"weakest\":[1]}", NULL, NULL,
      NULL},
     PROBLEM_KEY_CAP_REACHED,
     NULL,
     NULL,
     0},
    {{"KD422", "not_existing_customer", "No customer.", NULL, NULL, "lifecycle", NULL},
     PROBLEM_NOT_EXISTING_CUSTOMER,
     "/lifecycle",
     "not_existing_customer",
     0},
    {{"KD422", "before_start", "The end is before the start.", NULL, NULL, "ends_on", NULL},
     PROBLEM_VALIDATION,
     "/ends_on",
     "before_start",
     0},
    {{"KD422", "before_start", "The end is before the start.", NULL, NULL, "/items/3/ends_on",
      NULL},
     PROBLEM_VALIDATION,
     "/items/3/ends_on",
     "before_start",
     0},
    {{"KD403", "not_yours", "No.", NULL, NULL, NULL, NULL}, PROBLEM_FORBIDDEN, "", "not_yours", 0},
    {{"KD404", "gone", NULL, NULL, NULL, NULL, NULL}, PROBLEM_NOT_FOUND, "", "gone", 0},
    {{"KD409", "request_in_flight", "Wait.", NULL, NULL, NULL, NULL},
     PROBLEM_IN_FLIGHT,
     NULL,
     NULL,
     1},
    {{"KD409", NULL, NULL, NULL, NULL, NULL, NULL}, PROBLEM_CONFLICT, "", "conflict", 0},
    /* not the client's fault */
    {{"57014", "timeout", NULL, NULL, NULL, NULL, NULL}, PROBLEM_OVERLOADED, NULL, NULL, 1},
    {{"55P03", "lock", NULL, NULL, NULL, NULL, NULL}, PROBLEM_OVERLOADED, NULL, NULL, 1},
    {{"40001", "serialize", NULL, NULL, NULL, NULL, NULL}, PROBLEM_OVERLOADED, NULL, NULL, 1},
    {{"40P01", "deadlock", NULL, NULL, NULL, NULL, NULL}, PROBLEM_OVERLOADED, NULL, NULL, 1},
    {{"53300", "too many", NULL, NULL, NULL, NULL, NULL},
     PROBLEM_DATABASE_UNAVAILABLE,
     NULL,
     NULL,
     1},
    {{"53100", "disk full", NULL, NULL, NULL, NULL, NULL},
     PROBLEM_DATABASE_UNAVAILABLE,
     NULL,
     NULL,
     1},
    {{"57P01", "shutdown", NULL, NULL, NULL, NULL, NULL},
     PROBLEM_DATABASE_UNAVAILABLE,
     NULL,
     NULL,
     1},
    {{"08006", "link", NULL, NULL, NULL, NULL, NULL}, PROBLEM_DATABASE_UNAVAILABLE, NULL, NULL, 1},
    {{"25006", "read-only", NULL, NULL, NULL, NULL, NULL},
     PROBLEM_DATABASE_UNAVAILABLE,
     NULL,
     NULL,
     1},
    {{"25P03", "idle", NULL, NULL, NULL, NULL, NULL}, PROBLEM_DATABASE_UNAVAILABLE, NULL, NULL, 1},
    {{"42601", "syntax", "at x", NULL, NULL, NULL, NULL}, PROBLEM_INTERNAL, NULL, NULL, 0},
    {{"42501", "denied", NULL, NULL, NULL, NULL, NULL}, PROBLEM_FORBIDDEN, NULL, NULL, 0},
    {{"XX000", "oops", NULL, NULL, NULL, NULL, NULL}, PROBLEM_INTERNAL, NULL, NULL, 0},
    {{"", NULL, NULL, NULL, NULL, NULL, NULL}, PROBLEM_INTERNAL, NULL, NULL, 0},
    {{NULL, NULL, NULL, NULL, NULL, NULL, NULL}, PROBLEM_INTERNAL, NULL, NULL, 0},
};

static void table(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP(err_release) struct err err = ERR_INIT;
        char name[64];
        snprintf(name, sizeof(name), "%zu %s", i,
                 cases[i].error.sqlstate ? cases[i].error.sqlstate : "none");
        assert_case(!store_sqlstate(&err, &cases[i].error), name);
        assert_case(err.problem == cases[i].problem, name);
        assert_case(err.retry_after == cases[i].retry_after, name);
        assert_case(err.detail[0] != '\0' && err.cause[0] != '\0', name);
        assert_case(err.n_items == (cases[i].where == NULL ? 0 : 1), name);
        if (cases[i].where == NULL)
            continue;
        assert_case(strcmp(err.items[0].where, cases[i].where) == 0, name);
        assert_case(strcmp(err.items[0].code, cases[i].code) == 0, name);
    }
}

static void business_text_is_public(void **state) {
    (void)state;
    CLEANUP(err_release) struct err err = ERR_INIT;

    const struct sql_error error = {.sqlstate = "KD409",
                                    .message = "key_account_cap_reached",
                                    .detail = "The list is full.",
                                    .hint = " {\"weakest\":[{\"id\":1}]} "};
    store_sqlstate(&err, &error);
    assert_string_equal(err.detail, "The list is full.");
    assert_string_equal(err.extra, "\"weakest\":[{\"id\":1}]");
}

static void hint_without_members_is_dropped(void **state) {
    (void)state;
    static const char *const hints[] = {"{}", "No function matches.", "{", "", "{\"a\":1"};

    for (size_t i = 0; i < COUNT_OF(hints); i++) {
        CLEANUP(err_release) struct err err = ERR_INIT;
        const struct sql_error error = {
            .sqlstate = "KD409", .message = "conflict", .detail = "No.", .hint = hints[i]};
        store_sqlstate(&err, &error);
        assert_null(err.extra);
    }
}

/* What the server says about values and tables is not for clients, and values are not for the log.
 */
static void internals_stay_inside(void **state) {
    (void)state;
    CLEANUP(err_release) struct err err = ERR_INIT;

    const struct sql_error taken = {.sqlstate = "23505",
                                    .message = "duplicate key value violates unique constraint",
                                    .detail = "Key (email)=(private@example.org) already exists.",
                                    .constraint = "contact_email_key",
                                    .table = "contact"};
    store_sqlstate(&err, &taken);
    assert_null(strstr(err.detail, "private"));
    assert_null(strstr(err.items[0].detail, "private"));
    assert_null(strstr(err.cause, "private"));
    assert_non_null(strstr(err.cause, "contact_email_key"));
    err_release(&err);
    const struct sql_error missing = {.sqlstate = "42P01",
                                      .message = "relation \"secret\" does not exist"};
    store_sqlstate(&err, &missing);
    assert_null(strstr(err.detail, "secret"));
    assert_non_null(strstr(err.cause, "secret"));
}

static void no_err_is_fine(void **state) {
    (void)state;
    assert_false(
        store_sqlstate(NULL, &(const struct sql_error){.sqlstate = "23505", .message = "x"}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table), cmocka_unit_test(business_text_is_public),
        cmocka_unit_test(hint_without_members_is_dropped), cmocka_unit_test(internals_stay_inside),
        cmocka_unit_test(no_err_is_fine)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
