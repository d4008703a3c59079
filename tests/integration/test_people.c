/* What two transactions at once do about the same people: whichever comes first holds the other up,
 * and the second sees what the first did. Each order is taken step by step, by transactions that
 * are open at the same time. */
#include "redis_server.h"
#include "store_fixture.h"

#include <pthread.h>

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

/* A transaction of one statement, in a thread of its own. */
struct attempt {
    struct store *store;
    const char *sql;
    bool done;
    struct err err;
};

static void *run(void *arg) {
    struct attempt *attempt = arg;
    const struct tx_context context = {.scope = STR("all")};
    CLEANUP(tx_end)
    struct tx *tx = tx_begin(attempt->store, TX_WRITE, &context, in_ms(60000), &attempt->err);
    attempt->done = tx != NULL;
    if (attempt->done) {
        tx_query(tx, attempt->sql, NULL, 0);
        attempt->done = tx_commit(tx, &attempt->err);
    }
    return NULL;
}

static void await_lock(struct store *store) {
    for (int i = 0; i < 3000; i++) {
        if (ask_int(store, "select count(*) from pg_locks where not granted") > 0)
            return;
        sleep_ms(10);
    }
    fail_msg("nobody is held up");
}

/* The second waits for the first, and then sees what it did; all is undone. */
static void in_turn(struct store *store, const char *first, const char *second,
                    enum problem refusal, const char *undo) {
    const struct tx_context context = {.scope = STR("all")};
    struct attempt late = {.store = store, .sql = second, .err = ERR_INIT};
    pthread_t thread;
    ERR(err);
    TX(tx);
    assert_ok((tx = tx_begin(store, TX_WRITE, &context, in_ms(60000), &err)), err);
    tx_query(tx, first, NULL, 0);
    assert_ok(tx_flush(tx, &err), err);
    assert_int_equal(pthread_create(&thread, NULL, run, &late), 0);
    await_lock(store);
    assert_ok(tx_commit(tx, &err), err);
    tx_end(&tx);
    pthread_join(thread, NULL);
    assert_false(late.done);
    assert_problem(late.err, refusal);
    err_release(&late.err);
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
