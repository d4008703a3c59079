/* Webhooks as a receiver sees them: what comes, how often, in which order, signed by whom. */
#include "worker_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/signature.h"

static const char state_sql[] =
    "select state || ' ' || attempt_count || ' ' || coalesce(last_status::text, '-')"
    " from webhook_deliveries('%s', null, null, 1)";

/* ---- content
 * --------------------------------------------------------------------------------------- */

static void expect_signed(const struct sink_request *request, const unsigned char *const *secrets,
                          size_t n) {
    CLEANUP(buf_release) struct buf want = {.max = 1000};
    for (size_t i = 0; i < n; i++)
        webhook_sign((struct str){(const char *)secrets[i], 32}, str_of(request->id),
                     str_of(request->timestamp), (struct str){request->body, request->body_len},
                     &want);
    struct webhook_keys first = {.n = 0};
    webhook_keys_set(&first, &keys, &(const struct webhook_key){.number = 1}, 1);
    webhook_sign_public(&first, str_of(request->id), str_of(request->timestamp),
                        (struct str){request->body, request->body_len}, &want);
    assert_string_equal(request->signature, want.ptr);
}

static void signed_content(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], before[UUID_TEXT], account[UUID_TEXT], id[64], body[SINK_BODY];
    unsigned char second[32], third[32];
    struct sink_request request;

    account_make(before);
    endpoint_make(sink, "/hook", "parallel", "{account.*}", endpoint);
    pg_do(owner_url(), "delete from webhook_secret");
    secret_make(endpoint, second);
    secret_make(endpoint, third);
    account_make(account);
    worker_open();
    assert_true(sink_wait(sink, "/hook", 200, 1, 30000));
    assert_true(sql_becomes("delivered 1 200", 30000, state_sql, endpoint));
    /* What happened before the endpoint was there is not for it. */
    sleep_ms(200);
    assert_int_equal(sink_count(sink), 1);
    assert_true(sink_get(sink, 0, &request));
    event_ids(account, "%", id, sizeof(id));
    assert_string_equal(request.id, id);
    assert_string_equal(request.agent, "kamd-webhooks/1");
    assert_string_equal(request.traceparent,
                        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    expect_signed(&request, (const unsigned char *[]){third, second}, 2);
    assert_true(
        llabs(atoll(request.timestamp) - int_sql("select extract(epoch from now())::bigint")) <= 5);
    run_sql(body, sizeof(body),
            "select "
            "format('{\"id\":\"%%s\",\"type\":\"%%s\",\"timestamp\":\"%%s\",\"sequence\":%%s,\"api_"
            "version\":\"v1\",\"data\":%%s,\"previous\":%%s}',"
            " id, type, to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
            "sequence, data, previous) from event where id = '%s'",
            id);
    assert_string_equal(request.body, body);
    /* What the receiver says is kept, as text. */
    char excerpt[64];
    run_sql(excerpt, sizeof(excerpt),
            "select response_excerpt || '|' || address || '|' || n from webhook_attempt a join "
            "webhook_delivery d on d.id = a.delivery_id where d.endpoint_id = '%s'",
            endpoint);
    assert_string_equal(excerpt, "seen  ?|127.0.0.1|1");
}

/* Secrets that have run out sign nothing; without any, nothing is sent. */
static void no_secret(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], account[UUID_TEXT];

    setting("KAMD_WEBHOOK_RETRY_MS", "20");
    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    pg_do(owner_url(), "update webhook_secret set expires_at = now()");
    worker_open();
    account_make(account);
    assert_true(sql_becomes("no_secret", 30000,
                            "select min(error) from webhook_attempt having count(*) = 2"));
    assert_true(sql_becomes("exhausted 2 -", 30000, state_sql, endpoint));
    assert_int_equal(sink_count(sink), 0);
}

static void filters(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char all[UUID_TEXT], updates[UUID_TEXT], wild[UUID_TEXT], none[UUID_TEXT], one[UUID_TEXT],
        star[UUID_TEXT];
    char a[UUID_TEXT], b[UUID_TEXT];

    endpoint_make(sink, "/all", "parallel", "{}", all);
    endpoint_make(sink, "/updates", "parallel", "{account.updated}", updates);
    endpoint_make(sink, "/wild", "parallel", "{contact.*,account.*}", wild);
    endpoint_make(sink, "/none", "parallel", "{contact.created,acc.*,account}", none);
    endpoint_make(sink, "/one", "parallel", "{}", one);
    endpoint_make(sink, "/star", "parallel", "{*}", star);
    account_make(a);
    do_sql("update webhook_endpoint set account_ids = array['%s'] where id = '%s'", a, one);
    do_sql("update webhook_endpoint set owner_scope = 'acl' where id = '%s'", star);
    account_make(b);
    account_change(b);
    worker_open();
    assert_true(sink_wait(sink, "/all", 200, 3, 30000));
    assert_true(sink_wait(sink, "/wild", 200, 3, 30000));
    assert_true(sink_wait(sink, "/updates", 200, 1, 30000));
    assert_true(sink_wait(sink, "/one", 200, 1, 30000));
    sleep_ms(200);
    assert_int_equal(sink_count_of(sink, NULL, "/none", 0), 0);
    assert_int_equal(sink_count_of(sink, NULL, "/star", 0),
                     0); /* its owner sees none of these accounts */
    assert_int_equal(sink_count(sink), 8);
}

/* ---- retries
 * ---------------------------------------------------------------------------------------- */

static int twice_500(const struct sink_request *request) { return request->nth <= 2 ? 500 : 200; }

static void same_bytes_again(void **state) {
    (void)state;
    struct sink *sink = sink_open(twice_500);
    char endpoint[UUID_TEXT], account[UUID_TEXT];
    struct sink_request first, again;

    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    account_make(account);
    worker_open();
    assert_true(sink_wait(sink, NULL, 200, 1, 30000));
    assert_true(sql_becomes("delivered 3 200", 30000, state_sql, endpoint));
    assert_int_equal(sink_count(sink), 3);
    assert_true(sink_get(sink, 0, &first));
    for (size_t i = 1; i < 3; i++) {
        assert_true(sink_get(sink, i, &again));
        assert_string_equal(again.id, first.id);
        assert_string_equal(again.body, first.body);
    }
    char attempts[100];
    run_sql(attempts, sizeof(attempts),
            "select string_agg(n || ':' || status, ' ' order by n) from webhook_attempt");
    assert_string_equal(attempts, "1:500 2:500 3:200");
    assert_int_equal(int_sql("select count(*) from webhook_retry"), 0);
}

static atomic_int status_now;
static int as_set(const struct sink_request *request) {
    (void)request;
    return status_now;
}

static void dead_letter(void **state) {
    (void)state;
    status_now = 500;
    struct sink *sink = sink_open(as_set);
    char endpoint[UUID_TEXT], account[UUID_TEXT], id[UUID_TEXT];

    setting("KAMD_WEBHOOK_RETRY_MS", "20,20");
    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    account_make(account);
    worker_open();
    assert_true(sql_becomes("exhausted 3 500", 30000, state_sql, endpoint));
    sleep_ms(300);
    assert_int_equal(sink_count(sink), 3);
    run_sql(id, sizeof(id), "select id from webhook_deliveries(null, 'exhausted', null, 10)");
    /* Another round when somebody asks for it. */
    do_sql("select webhook_delivery_again('%s')", id);
    assert_true(sql_becomes("exhausted 6 500", 30000, state_sql, endpoint));
    status_now = 204;
    do_sql("select webhook_delivery_again('%s')", id);
    assert_true(sql_becomes("delivered 7 204", 30000, state_sql, endpoint));
    /* Also what has arrived. */
    do_sql("select webhook_delivery_again('%s')", id);
    assert_true(sql_becomes("delivered 8 204", 30000, state_sql, endpoint));
}

static void gone(void **state) {
    (void)state;
    status_now = 410;
    struct sink *sink = sink_open(as_set);
    char endpoint[UUID_TEXT], account[UUID_TEXT];

    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    worker_open();
    account_make(account);
    assert_true(sql_becomes(
        "disabled 2 The receiver answered 410 Gone.", 30000,
        "select state || ' ' || version || ' ' || disabled_reason from webhook_endpoint"));
    account_change(account);
    sleep_ms(300);
    assert_int_equal(sink_count(sink), 1);
    /* Enabled again, it gets what it missed. */
    status_now = 200;
    do_sql("update webhook_endpoint set state = 'enabled', disabled_reason = null");
    assert_true(sink_wait(sink, NULL, 200, 2, 30000));
}

static int busy_once(const struct sink_request *request) { return request->nth == 1 ? 503 : 200; }

static void retry_after(void **state) {
    (void)state;
    struct sink *sink = sink_open(busy_once);
    sink->header = "Retry-After: 1\r\n";
    char endpoint[UUID_TEXT], account[UUID_TEXT];
    struct sink_request first, second;

    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    account_make(account);
    worker_open();
    assert_true(sink_wait(sink, NULL, 200, 1, 30000));
    assert_true(sink_get(sink, 0, &first) && sink_get(sink, 1, &second));
    assert_true(second.at_us - first.at_us >= 990000);
}

/* Redirects, silence, cut connections and endless answers. */
static void odd_answers(void **state) {
    (void)state;
    status_now = 302;
    struct sink *sink = sink_open(as_set);
    sink->header = "Location: http://127.0.0.1:1/elsewhere\r\n";
    static const struct {
        int answer;
        const char *want;
    } cases[] = {{302, "302 -"},           {SINK_RESET, "- connection_lost"},
                 {SINK_HANG, "- timeout"}, {SINK_DRIP, "200 timeout"},
                 {404, "404 -"},           {SINK_LONG, "200 -"}};
    char endpoint[UUID_TEXT], account[UUID_TEXT];

    setting("KAMD_WEBHOOK_RETRY_MS", "600000");
    setting("KAMD_WEBHOOK_TOTAL_MS", "1500");
    worker_open();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        status_now = cases[i].answer;
        do_sql("update webhook_endpoint set deleted_at = now()");
        endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
        account_make(account);
        assert_true(sql_becomes(
            cases[i].want, 30000,
            "select coalesce(status::text, '-') || ' ' || coalesce(error, '-') "
            "from webhook_attempt a"
            " join webhook_delivery d on d.id = a.delivery_id where d.endpoint_id = '%s'",
            endpoint));
    }
    assert_int_equal(sink_count_of(sink, NULL, "/elsewhere", 0), 0);
}

/* ---- order
 * ------------------------------------------------------------------------------------------- */

static char slow_account[UUID_TEXT];
static atomic_int refused;
static int trouble_with_one(const struct sink_request *request) {
    if (strcmp(request->account_id, slow_account) == 0 && request->nth <= 2) {
        refused++;
        return 500;
    }
    return 200;
}

/* The ids of what was taken, in order of arrival. */
static void taken_ids(struct sink *sink, const char *account, char *ret, size_t room) {
    struct sink_request request;
    size_t len = 0;

    ret[0] = '\0';
    for (size_t i = 0; sink_get(sink, i, &request); i++)
        if (request.status == 200 && strcmp(request.account_id, account) == 0)
            len += (size_t)snprintf(ret + len, room - len, "%s%s", len > 0 ? "," : "", request.id);
}

static void order_of_an_account(void **state) {
    (void)state;
    struct sink *sink = sink_open(trouble_with_one);
    char endpoint[UUID_TEXT], other[UUID_TEXT], third[UUID_TEXT];
    char want[2000], got[2000];

    setting("KAMD_WEBHOOK_RETRY_MS", "30,30,30,30");
    endpoint_make(sink, "/hook", "account", "{account.*}", endpoint);
    worker_open();
    account_make(slow_account);
    account_make(other);
    account_make(third);
    for (int i = 0; i < 12; i++) {
        account_change(slow_account);
        account_change(other);
        account_change(third);
    }
    assert_true(sink_wait(sink, NULL, 200, 39, 30000));
    assert_true(refused >= 26); /* each of the one account twice */
    const char *const accounts[] = {slow_account, other, third};
    for (size_t i = 0; i < 3; i++) {
        event_ids(accounts[i], "account.%", want, sizeof(want));
        taken_ids(sink, accounts[i], got, sizeof(got));
        assert_string_equal(got, want);
    }
    assert_true(sql_becomes("0", 30000, "select count(*) from webhook_retry"));
}

/* A head that is given up lets the others go on. */
static int never_the_first(const struct sink_request *request) {
    return strcmp(request->type, "account.created") == 0 ? 500 : 200;
}

static void order_after_giving_up(void **state) {
    (void)state;
    struct sink *sink = sink_open(never_the_first);
    char endpoint[UUID_TEXT], account[UUID_TEXT];
    struct sink_request request;

    setting("KAMD_WEBHOOK_RETRY_MS", "100,100");
    endpoint_make(sink, "/hook", "account", "{account.*}", endpoint);
    account_make(account);
    for (int i = 0; i < 5; i++)
        account_change(account);
    worker_open();
    assert_true(sink_wait(sink, NULL, 200, 5, 30000));
    assert_int_equal(sink_count(sink), 8);
    for (size_t i = 0; i < 3; i++) {
        assert_true(sink_get(sink, i, &request));
        assert_string_equal(request.type, "account.created");
    }
    assert_true(
        sql_becomes("exhausted", 30000, "select string_agg(state, ' ') from webhook_retry"));
}

/* ---- others' trouble
 * ------------------------------------------------------------------------------------ */

static int by_path(const struct sink_request *request) {
    if (strncmp(request->path, "/hang", 5) == 0)
        return SINK_HANG;
    return strncmp(request->path, "/dead", 5) == 0 ? 500 : 200;
}

static void hung_neighbours(void **state) {
    (void)state;
    struct sink *sink = sink_open(by_path);
    char id[UUID_TEXT], account[UUID_TEXT], path[20];

    setting("KAMD_WEBHOOK_RETRY_MS", "1000,1000,1000,1000");
    setting("KAMD_WEBHOOK_TOTAL_MS", "60000"); /* whoever waits for one that hangs comes too late */
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof(path), "/hang%d", i);
        endpoint_make(sink, path, "parallel", "{}", id);
        snprintf(path, sizeof(path), "/dead%d", i);
        endpoint_make(sink, path, "parallel", "{}", id);
    }
    endpoint_make(sink, "/well", "parallel", "{}", id);
    worker_open();
    account_make(account);
    for (int i = 0; i < 99; i++)
        account_change(account);
    assert_true(sink_wait(sink, "/well", 200, 100, 30000));
    assert_int_equal(sink_count_of(sink, NULL, "/well", 0), 100);
    /* The breaker: a dead endpoint is not sent all of its backlog. */
    assert_true(sink_count_of(sink, NULL, "/dead0", 0) < 20);
    /* What it has not got to is pending all the same. */
    assert_true(int_sql("select count(*) from webhook_deliveries((select id from webhook_endpoint "
                        "where url like '%%/dead0'), 'pending', null, 1000)") > 80);
}

/* A receiver that fails all the time is left in peace, with a probe now and then; once it works it
 * gets everything. */
static void breaker(void **state) {
    (void)state;
    status_now = 500;
    struct sink *sink = sink_open(as_set);
    char endpoint[UUID_TEXT], account[UUID_TEXT];

    setting("KAMD_WEBHOOK_RETRY_MS", "500,500,500,500,500,500,500,500,500,500");
    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    account_make(account);
    for (int i = 0; i < 79; i++)
        account_change(account);
    worker_open();
    assert_true(sink_wait(sink, NULL, 500, 6, 30000));
    sleep_ms(2000);
    assert_true(sink_count(sink) < 20);
    status_now = 200;
    assert_true(
        sql_becomes("80", 30000, "select count(*) from webhook_attempt where status = 200"));
}

static void address_inside(void **state) {
    (void)state;
    struct sink *sink = sink_open(NULL);
    char endpoint[UUID_TEXT], account[UUID_TEXT];

    setting("KAMD_WEBHOOK_ALLOWED_CIDRS", "10.0.0.0/8");
    setting("KAMD_WEBHOOK_RETRY_MS", "600000");
    endpoint_make(sink, "/hook", "parallel", "{}", endpoint);
    account_make(account);
    worker_open();
    assert_true(sql_becomes("url_not_allowed", 30000,
                            "select string_agg(error, ' ') from webhook_attempt"));
    assert_int_equal(sink->connections, 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        worker_test(signed_content),
        worker_test(no_secret),
        worker_test(filters),
        worker_test(same_bytes_again),
        worker_test(dead_letter),
        worker_test(gone),
        worker_test(retry_after),
        worker_test(odd_answers),
        worker_test(order_of_an_account),
        worker_test(order_after_giving_up),
        worker_test(hung_neighbours),
        worker_test(breaker),
        worker_test(address_inside),
    };
    worker_main(argc, argv);
    return cmocka_run_group_tests(tests, worker_group_start, worker_group_stop);
}
