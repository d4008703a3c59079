/* What two transactions at once do about the same people: whichever comes first holds the other up,
 * and the second sees what the first did. Each order is taken step by step, by transactions that
 * are open at the same time. */
#include "store_fixture.h"

#include <stdio.h>
#include <string.h>

#define USER "01970000-0000-7000-8000-0000000000c1"
#define ACCOUNT "01970000-0000-7000-8000-0000000000c2"

/* A statement of its own for each way to give something. */
static const char *const gifts[] = {
    "update account set manager_id = '" USER "' where id = '" ACCOUNT "'",
    "update account set sponsor_id = '" USER "' where id = '" ACCOUNT "'",
    "insert into follow_up (id, account_id, title, due_at, assignee_id) values "
    "(gen_random_uuid(), '" ACCOUNT "', 'Call', now() + interval '1 day', '" USER "')",
    "insert into commitment (id, account_id, text, due_on, made_by_id) values "
    "(gen_random_uuid(), '" ACCOUNT "', 'By March', '2099-01-01', '" USER "')",
    "insert into project (id, account_id, title, owner_id) values "
    "(gen_random_uuid(), '" ACCOUNT "', 'Warehouse', '" USER "')",
    "insert into need (id, account_id, kind, title, owner_id) values "
    "(gen_random_uuid(), '" ACCOUNT "', 'growth', 'Staff', '" USER "')",
    "insert into solution (id, account_id, title, owner_id) values "
    "(gen_random_uuid(), '" ACCOUNT "', 'Training', '" USER "')",
    "insert into plan (id, account_id, title, period_start, period_end, objectives) values "
    "(gen_random_uuid(), '" ACCOUNT "', 'Plan', '2026-01-01', '2026-12-31', "
    "'[{\"title\": \"More\", \"owner_id\": \"" USER "\"}]')",
    "insert into plan (id, account_id, title, period_start, period_end, objectives) values "
    "(gen_random_uuid(), '" ACCOUNT "', 'Plan', '2026-01-01', '2026-12-31', "
    "'[{\"title\": \"More\", \"actions\": [{\"title\": \"Call\", \"owner_id\": \"" USER "\"}]}]')",
    "update program_settings set fallback_alert_user_id = '" USER "'",
};
static const char *const departures[] = {
    "update app_user set active = false where id = '" USER "'",
    "update app_user set deleted_at = now() where id = '" USER "'",
};

static int make(void **state) {
    (void)state;
    pg_do(owner_url(), "insert into app_user (id, name) values ('" USER "', 'Nils'); insert into "
                       "account (id, name) values ('" ACCOUNT "', 'Aurora')");
    return 0;
}

static bool begin(struct store *store, const char *sql, struct tx **ret, struct err *err) {
    const struct tx_context context = {.scope = STR("all")};
    assert_ok(tx_begin(store, TX_WRITE, &context, in_ms(20000), ret, err), *err);
    tx_query(*ret, "select set_config('lock_timeout', '50ms', true)", NULL, 0);
    tx_query(*ret, sql, NULL, 0);
    return tx_flush(*ret, err);
}

/* The second is held up by the first, and fails once that is committed; then all is undone. */
static void in_turn(struct store *store, const char *first, const char *second,
                    enum problem refusal, const char *undo) {
    ERR(err);
    TX(before);
    assert_ok(begin(store, first, &before, &err), err);
    {
        TX(held);
        ERR(busy);
        assert_false(begin(store, second, &held, &busy));
        assert_problem(busy, PROBLEM_OVERLOADED);
    }
    assert_ok(tx_commit(before, &err), err);
    {
        TX(late);
        ERR(refused);
        assert_false(begin(store, second, &late, &refused));
        assert_problem(refused, refusal);
    }
    tx_end(&before);
    pg_do(owner_url(), undo);
}

#define TAKEN_BACK                                                                                 \
    "delete from follow_up_timer; delete from follow_up; delete from commitment; delete from "     \
    "project; delete from need; delete from solution; delete from plan_section; delete from "      \
    "plan; update program_settings set fallback_alert_user_id = null; update account set "         \
    "manager_id = null, sponsor_id = null"

static void gift_comes_first(void **state) {
    (void)state;
    struct store_options options = store_fixture_options(owner_url());
    STORE(store, &options);
    for (size_t d = 0; d < sizeof departures / sizeof *departures; d++)
        for (size_t g = 0; g < sizeof gifts / sizeof *gifts; g++)
            in_turn(store, gifts[g], departures[d], PROBLEM_USER_NEEDED, TAKEN_BACK);
}

static void departure_comes_first(void **state) {
    (void)state;
    struct store_options options = store_fixture_options(owner_url());
    STORE(store, &options);
    for (size_t d = 0; d < sizeof departures / sizeof *departures; d++)
        for (size_t g = 0; g < sizeof gifts / sizeof *gifts; g++)
            in_turn(store, departures[d], gifts[g], PROBLEM_VALIDATION,
                    "update app_user set active = true, deleted_at = null");
}

#define OTHER "01970000-0000-7000-8000-0000000000c3"
#define MEMBER(user)                                                                               \
    "insert into team_member (id, account_id, user_id, role) values (gen_random_uuid(), '" ACCOUNT \
    "', '" user "', 'account_manager')"

static void one_account_manager_of_a_team(void **state) {
    (void)state;
    struct store_options options = store_fixture_options(owner_url());
    STORE(store, &options);
    pg_do(owner_url(), "insert into app_user (id, name) values ('" OTHER "', 'Kim')");
    in_turn(store, MEMBER(USER), MEMBER(OTHER), PROBLEM_SECOND_MANAGER, "delete from team_member");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gift_comes_first),
        cmocka_unit_test(departure_comes_first),
        cmocka_unit_test(one_account_manager_of_a_team),
    };

    return cmocka_run_group_tests(tests, make, NULL);
}
