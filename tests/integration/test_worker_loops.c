/* What the workers do beside webhooks: due follow-ups, scores, operations, the daily round,
 * housekeeping. */
#include "worker_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void need_db(void) {
    if (db == NULL)
        skip();
}

static void due_follow_ups(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], account[UUID_TEXT];

    account_make(account);
    endpoint_make(sink, "/hook", "parallel", "{follow_up.due}", endpoint);
    do_sql("insert into follow_up (id, account_id, title, due_at) select gen_random_uuid(), '%s', "
           "'Call ' || n,"
           " now() + case when n <= 450 then interval '1 second' else interval '1 hour' end from "
           "generate_series(1, 460) n",
           account);
    for (int i = 0; i < 3; i++)
        worker_open();
    /* Three workers; each told of once, and none early. */
    assert_true(sink_wait(sink, NULL, 200, 450, 30000));
    sleep_ms(300);
    assert_int_equal(sink_count(sink), 450);
    assert_int_equal(int_sql("select count(distinct record_id) from event where type = "
                             "'follow_up.due' and account_id = '%s'",
                             account),
                     450);
    assert_int_equal(
        int_sql("select count(*) from event e join follow_up f on f.id = e.record_id where e.type "
                "= 'follow_up.due' and e.account_id = '%s' and e.at < f.due_at",
                account),
        0);
    /* A new time is a new event. */
    do_sql("update follow_up set due_at = now() + interval '100 milliseconds' where id = (select "
           "id from follow_up where account_id = '%s' limit 1)",
           account);
    assert_true(sink_wait(sink, NULL, 200, 451, 30000));
}

static void scores_follow_inputs(void **state) {
    (void)state;
    need_db();
    char account[UUID_TEXT];

    account_make(account);
    worker_open();
    assert_true(sql_becomes("0", 30000,
                            "select count(*) from rescore_queue where account_id = '%s'", account));
    do_sql("insert into sales_order (id, account_id, ordered_on, currency_code, lines) values "
           "(gen_random_uuid(), '%s', current_date, 'USD',"
           " '[{\"line_no\": 1, \"product\": \"x\", \"quantity\": \"1\", \"amount\": \"50000\", "
           "\"cost\": \"1000\"}]')",
           account);
    assert_true(sql_becomes(
        "50000.0000", 30000,
        "select c ->> 'value' from account_status s, jsonb_array_elements(s.contributions) c "
        "where s.account_id = '%s' and c ->> 'metric' = 'revenue_ttm'",
        account));
}

static void operations(void **state) {
    (void)state;
    need_db();
    char id[UUID_TEXT] = "01970000-0000-7000-8000-0000000000a1";
    char past[UUID_TEXT] = "01970000-0000-7000-8000-0000000000a2";
    char bad[UUID_TEXT] = "01970000-0000-7000-8000-0000000000a3";
    char lost[UUID_TEXT] = "01970000-0000-7000-8000-0000000000a4";
    char account[UUID_TEXT];

    account_make(account);
    do_sql("delete from evaluation_result");
    pg_do(owner_url(), "delete from operation");
    worker_open();
    worker_open();
    do_sql("insert into operation (id, kind, request) values ('%s', 'evaluation', '{}'), ('%s', "
           "'evaluation', '{\"as_of\": \"2020-01-31\"}'),"
           " ('%s', 'other', '{}')",
           id, past, bad);
    do_sql("insert into operation (id, kind, status, request, lease_token, leased_until) values "
           "('%s', 'evaluation', 'running', '{}', gen_random_uuid(), now() - interval '1 s')",
           lost);
    const char *const done[] = {id, past, lost};
    for (int i = 0; i < 3; i++) {
        assert_true(sql_becomes("succeeded", 40000, "select status from operation where id = '%s'",
                                done[i]));
        assert_true(int_sql("select (result ->> 'accounts')::int from operation where id = '%s'",
                            done[i]) > 0);
        assert_int_equal(int_sql("select count(*) from account a left join evaluation_result r on "
                                 "r.account_id = a.id and r.operation_id = '%s' where a.deleted_at "
                                 "is null and r.score_rank is null",
                                 done[i]),
                         0);
    }
    assert_int_equal(
        int_sql("select (o.progress_done = o.progress_total and (o.result ->> 'accounts')::int = "
                "o.progress_done)::int from operation o where id = '%s'",
                past),
        1);
    /* Not theirs. */
    assert_int_equal(
        int_sql("select count(*) from operation where id = '%s' and status = 'queued'", bad), 1);
    /* An evaluation as of another day moves nobody. */
    assert_int_equal(int_sql("select count(*) from account_status where as_of = '2020-01-31'"), 0);
}

/* A failing evaluation says why, and does not stop the next one. */
static void failing_operation(void **state) {
    (void)state;
    need_db();
    const char *id = "01970000-0000-7000-8000-0000000000b1";

    pg_do(owner_url(), "alter table evaluation_result add constraint evaluation_result_test_check "
                       "check (operation_id <> '01970000-0000-7000-8000-0000000000b1')");
    worker_open();
    do_sql("insert into operation (id, kind, request) values ('%s', 'evaluation', '{\"as_of\": "
           "\"2021-01-31\"}') on conflict (id) do update set status = 'queued'",
           id);
    bool failed = sql_becomes("failed", 40000, "select status from operation where id = '%s'", id);
    pg_do(owner_url(),
          "alter table evaluation_result drop constraint evaluation_result_test_check");
    assert_true(failed);
    assert_int_equal(int_sql("select (failure <> '')::int from operation where id = '%s'", id), 1);
    do_sql("update operation set status = 'queued', failure = null where id = '%s'", id);
    assert_true(
        sql_becomes("succeeded", 40000, "select status from operation where id = '%s'", id));
}

static void daily_round(void **state) {
    (void)state;
    need_db();

    pg_do(owner_url(), "update program set last_full_evaluation_at = now() - interval '25 hours'");
    for (int i = 0; i < 3; i++)
        worker_open();
    assert_true(sql_becomes("1", 40000,
                            "select count(*) from program where last_full_evaluation_at > now() - "
                            "interval '1 minute'"));
}

static void housekeeping(void **state) {
    (void)state;
    need_db();

    pg_do(owner_url(), "insert into idempotency (principal, key, request_hash, created_at, status, "
                       "etag, location, body, touches)"
                       " select 'p', n::text, '', now() - case when n <= 6000 then interval '25 "
                       "hours' else interval '23 hours' end, 200, '', '', '', '' from "
                       "generate_series(1, 6010) n on conflict do nothing");
    pg_do(owner_url(), "insert into webhook_attempt (delivery_id, n, started_at, duration_ms) "
                       "select gen_random_uuid(), 1, now() - case when n <= 10 then interval '31 "
                       "days' else interval '29 days' end, 1 from generate_series(1, 12) n");
    pg_do(owner_url(), "insert into worker (token, name, until) values (gen_random_uuid(), 'old', "
                       "now() - interval '2 days')");
    worker_open();
    assert_true(sql_becomes("10", 30000, "select count(*) from idempotency where principal = 'p'"));
    assert_true(sql_becomes("2", 30000, "select count(*) from webhook_attempt"));
    assert_true(sql_becomes("0", 30000, "select count(*) from worker where name = 'old'"));
    assert_int_equal(int_sql("select (to_regclass('event_' || to_char(current_date + 7, "
                             "'YYYYMMDD')) is not null)::int"),
                     1);
    pg_do(owner_url(), "delete from idempotency where principal = 'p'");
}

/* Each event gets one position; the positions have no gap; none waits long for a transaction that
 * stays open elsewhere. */
static void positions(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], account[UUID_TEXT];

    endpoint_make(sink, "/hook", "parallel", "{account.*}", endpoint);
    worker_open();
    worker_open();
    for (int i = 0; i < 50; i++)
        account_make(account);
    assert_true(sink_wait(sink, NULL, 200, 50, 30000));
    assert_true(sql_becomes("0", 30000,
                            "select count(*) from event e where not exists (select from "
                            "event_position p where p.at = e.at and p.seq = e.seq)"));
    assert_int_equal(
        int_sql("select max(position) - count(*) - min(position) + 1 from event_position"), 0);
    assert_int_equal(int_sql("select count(*) - count(distinct seq) from event_position"), 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        worker_test(due_follow_ups), worker_test(scores_follow_inputs),
        worker_test(operations),     worker_test(failing_operation),
        worker_test(daily_round),    worker_test(housekeeping),
        worker_test(positions),
    };
    worker_main(argc, argv);
    return cmocka_run_group_tests(tests, worker_group_start, worker_group_stop);
}
