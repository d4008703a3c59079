/* Counters, gauges and histograms, and the text in which Prometheus reads them. */
#include "unit.h"

#include "core/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static bool shows(const char *line) {
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 8 << 20);
    metrics_write(&buf, "1.2.3");
    assert_true(buf_ok(&buf));
    struct str rest = buf_str(&buf);
    struct str at;
    while (str_split(&rest, '\n', &at))
        if (str_is(at, line))
            return true;
    return false;
}
#define assert_shows(line) assert_case(shows(line), (line))

static void counters_and_gauges(void **state) {
    (void)state;
    static const char *const pools[] = {"pool=\"api\"", "pool=\"worker\""};
    assert_true(metrics_labels(LABELS_POOL, pools, 2));
    metrics_count(METRIC_HTTP_SHED, 0, 3);
    metrics_count(METRIC_HTTP_SHED, 0, 4);
    metrics_count(METRIC_POOL_REFUSED, 1, 1);
    metrics_set(METRIC_HTTP_CONNECTIONS, 0, 12);
    metrics_add(METRIC_HTTP_CONNECTIONS, 0, -2);
    metrics_add(METRIC_POOL_IN_USE, 1, 1.5);
    assert_int_equal(metrics_value(METRIC_HTTP_SHED, 0), 7);
    assert_shows("kamd_http_shed_total 7");
    assert_shows("kamd_db_refused_total{pool=\"api\"} 0");
    assert_shows("kamd_db_refused_total{pool=\"worker\"} 1");
    assert_shows("kamd_http_connections 10");
    assert_shows("kamd_db_connections_in_use{pool=\"worker\"} 1.5");
    assert_shows("# TYPE kamd_http_shed_total counter");
    assert_shows("# TYPE kamd_http_connections gauge");
    metrics_set(METRIC_DIRECTORY_AGE, 0, 1795305360.125);
    assert_shows("kamd_directory_age_seconds 1795305360.125");
    metrics_set(METRIC_DIRECTORY_AGE, 0, (double)INFINITY);
    assert_shows("kamd_directory_age_seconds +Inf");
    metrics_set(METRIC_DIRECTORY_AGE, 0, (double)NAN);
    assert_shows("kamd_directory_age_seconds NaN");
}

/* Cells that are not there and metrics of another type: nothing happens, least of all to a
 * neighbour. */
static void out_of_range(void **state) {
    (void)state;
    uint64_t before = metrics_value(METRIC_HTTP_SHED, 0);
    metrics_count(METRIC_HTTP_SHED, 1, 5);
    metrics_set(METRIC_HTTP_SHED, 0, 99);
    metrics_time(METRIC_HTTP_SHED, 0, 99);
    metrics_count(METRIC_HTTP_CONNECTIONS, 0, 5);
    metrics_count(METRIC_COUNT, 0, 5);
    metrics_count(METRIC_CACHE_READS, 0, 5); /* its family is not registered */
    metrics_time(METRIC_HTTP_REQUESTS, 0, 5);
    assert_int_equal(metrics_value(METRIC_HTTP_SHED, 0), before);
    assert_int_equal(metrics_value(METRIC_CACHE_READS, 0), 0);
    assert_false(metrics_labels(LABELS_NONE, NULL, 0));
    assert_false(metrics_labels(LABELS_COUNT, NULL, 0));
}

static void histogram(void **state) {
    (void)state;
    static const int64_t times[] = {0, 5000, 5001, 10000000, 10000001, -7, 123456};
    for (size_t i = 0; i < COUNT_OF(times); i++)
        metrics_time(METRIC_DELIVERY_TIME, 0, times[i]);
    assert_shows("# TYPE kamd_webhook_attempt_seconds histogram");
    assert_shows(
        "kamd_webhook_attempt_seconds_bucket{le=\"0.005\"} 3"); /* 0, 5000 and the negative */
    assert_shows("kamd_webhook_attempt_seconds_bucket{le=\"0.01\"} 4");
    assert_shows("kamd_webhook_attempt_seconds_bucket{le=\"0.1\"} 4");
    assert_shows("kamd_webhook_attempt_seconds_bucket{le=\"0.25\"} 5");
    assert_shows("kamd_webhook_attempt_seconds_bucket{le=\"10\"} 6");
    assert_shows("kamd_webhook_attempt_seconds_bucket{le=\"+Inf\"} 7");
    assert_shows("kamd_webhook_attempt_seconds_sum 20.133458");
    assert_shows("kamd_webhook_attempt_seconds_count 7");
}

/* A large family shows only the histograms that have counted something; a small one shows all. */
static void large_family(void **state) {
    (void)state;
    char texts[100][32];
    const char *cells[100];
    for (size_t i = 0; i < 100; i++) {
        snprintf(texts[i], sizeof(texts[i]), "route=\"/r%zu\"", i);
        cells[i] = texts[i];
    }
    assert_true(metrics_labels(LABELS_ROUTE, cells, 100));
    memset(texts, 'x', sizeof(texts)); /* the labels were copied */
    metrics_time(METRIC_HTTP_REQUESTS, 42, 1);
    assert_shows("kamd_http_request_duration_seconds_bucket{route=\"/r42\",le=\"0.005\"} 1");
    assert_shows("kamd_http_request_duration_seconds_count{route=\"/r42\"} 1");
    assert_false(shows("kamd_http_request_duration_seconds_count{route=\"/r41\"} 0"));
    assert_shows("kamd_db_round_trip_seconds_count{pool=\"api\"} 0");
    assert_true(metrics_labels(LABELS_ROUTE, NULL, 0));
    assert_false(shows("kamd_http_request_duration_seconds_count{route=\"/r42\"} 1"));
}

/* The rules of promtool's linter: each sample's metric has HELP and TYPE first, counters end in
 * _total, no line twice. */
static void exposition(void **state) {
    (void)state;
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 8 << 20);
    metrics_write(&buf, "1.2.3 \"x\"");
    struct str rest = buf_str(&buf);
    struct str line;
    char type_of[128] = "";
    size_t samples = 0;
    assert_true(str_ends(rest, "\n"));
    while (str_split(&rest, '\n', &line) && line.len > 0) {
        if (str_starts(line, "# TYPE ")) {
            snprintf(type_of, sizeof(type_of), "%.*s", (int)line.len - 7, line.ptr + 7);
            char *kind = strchr(type_of, ' ');
            assert_case(strcmp(kind, " counter") != 0 || strncmp(kind - 6, "_total", 6) == 0,
                        type_of);
            *kind = '\0';
        } else if (!str_starts(line, "# HELP ")) {
            assert_case(str_starts(line, type_of), type_of);
            samples++;
        }
    }
    assert_true(samples > 20);
    assert_shows("kamd_build_info{version=\"1.2.3\"} 1");
}

static double figure(const char *name) {
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 8 << 20);
    metrics_write(&buf, "1");
    char key[64];
    snprintf(key, sizeof(key), "\n%s ", name);
    const char *at = strstr(buf.ptr, key);
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

static void process(void **state) {
    (void)state;
    volatile uint64_t x = 0;
    double before = figure("process_cpu_seconds_total");
    while (figure("process_cpu_seconds_total") - before < 0.02)
        for (int i = 0; i < 1000000; i++)
            x = x + 1;
    double ours = (double)clock() / CLOCKS_PER_SEC;
    assert_true(fabs(figure("process_cpu_seconds_total") - ours) < 0.1);
    assert_true(figure("process_resident_memory_bytes") > 500000);
    assert_true(figure("process_virtual_memory_bytes") > figure("process_resident_memory_bytes"));
    double fds = figure("process_open_fds");
    FILE *file = tmpfile();
    assert_true(figure("process_open_fds") - fds > 0.5);
    fclose(file);
    assert_true(figure("process_max_fds") >= fds);
    assert_true(figure("process_threads") > 0.5);
    assert_true(figure("process_start_time_seconds") > 1767225600);
}

#define THREADS 8
#define ROUNDS 20000

static void *count(void *unused) {
    for (int i = 0; i < ROUNDS; i++) {
        metrics_count(METRIC_RESCORED, 0, 1);
        metrics_add(METRIC_EVENT_LAG, 0, i % 2 == 0 ? 2 : -1);
        metrics_time(METRIC_DB_TIME, 0, i);
        if (i % 5000 == 0)
            shows("");
    }
    return unused;
}

static void threads(void **state) {
    (void)state;
    pthread_t ids[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, count, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    assert_int_equal(metrics_value(METRIC_RESCORED, 0), THREADS * ROUNDS);
    assert_shows("kamd_event_lag_seconds 80000");
    assert_shows("kamd_db_round_trip_seconds_count{pool=\"api\"} 160000");
    assert_shows("kamd_db_round_trip_seconds_sum{pool=\"api\"} 1599.920000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges),
        cmocka_unit_test(out_of_range),
        cmocka_unit_test(histogram),
        cmocka_unit_test(large_family),
        cmocka_unit_test(exposition),
        cmocka_unit_test(process),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
