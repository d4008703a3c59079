/* Which spans are recorded, what they say, and that a full ring drops and counts them while many
 * threads write. */
#include "unit.h"

#include "core/metrics.h"
#include "core/trace.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define QUIET "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
#define LEVEL2 "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"

static void end_one(struct trace *trace) {
    TRACE_END(trace, SPAN_CLIENT, STR("a \"name\""), true, SPAN_S("text", "x\n"),
              SPAN_S("none", ""), SPAN_I("number", -3));
}

static size_t take(struct buf *ret, size_t most) {
    buf_reset(ret);
    size_t n = trace_take(ret, most);
    assert_true(buf_ok(ret));
    return n;
}

static bool holds(const struct buf *text, const char *part) {
    return text->ptr != NULL && strstr(text->ptr, part) != NULL;
}

static void off_does_nothing(void **state) {
    (void)state;
    struct trace trace;
    memset(&trace, 0xff, sizeof trace);
    trace_child(&trace, STR(PARENT));
    assert_false(trace.on);
    trace_first(&trace, &randomness_system);
    assert_false(trace.on);
    end_one(&trace);
    assert_false(trace_is_open());
}

static void a_child_hangs_below_its_parent(void **state) {
    (void)state;
    struct buf text CLEANUP(buf_release) = {0};
    char own[TRACEPARENT_TEXT], id[64];
    struct trace trace;
    buf_init(&text, 1 << 20);
    assert_true(trace_open(8, 0));
    trace_child(&trace, STR(PARENT));
    assert_true(trace.on);
    trace_text(&trace, own);
    assert_memory_equal(own, PARENT, 36);
    assert_memory_not_equal(own + 36, &PARENT[36], 16);
    assert_string_equal(own + 52, "-01");
    end_one(&trace);
    end_one(&trace); /* once only */
    assert_int_equal(take(&text, 10), 1);
    snprintf(id, sizeof id, "\"spanId\":\"%.16s\"", own + 36);
    assert_true(holds(&text, id));
    assert_true(holds(&text, "\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\""));
    assert_true(holds(&text, "\"parentSpanId\":\"00f067aa0ba902b7\""));
    assert_true(holds(&text, "\"name\":\"a \\\"name\\\"\",\"kind\":3,"));
    assert_true(holds(&text,
                      "\"attributes\":[{\"key\":\"text\",\"value\":{\"stringValue\":\"x\\n\"}},"
                      "{\"key\":\"number\",\"value\":{\"intValue\":\"-3\"}}],"
                      "\"status\":{\"code\":2}}"));
    trace_close();
}

static void parents_decide(void **state) {
    (void)state;
    static const struct {
        const char *parent;
        bool on;
    } cases[] = {{PARENT, true},
                 {LEVEL2, true},
                 {QUIET, false},
                 {"", false},
                 {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", false},
                 {"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", false}};
    assert_true(trace_open(8, 0));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct trace trace;
        trace_child(&trace, str_of(cases[i].parent));
        assert_case(trace.on == cases[i].on, cases[i].parent);
    }
    struct trace absent;
    trace_child(&absent, STR_ABSENT);
    assert_false(absent.on);
    trace_close();
}

/* 20,000 trace ids: of 100 per mille 2,000, give or take five standard deviations (42). */
static void the_share_is_kept(void **state) {
    (void)state;
    uint64_t seed = 7;
    struct randomness seeded = randomness_seeded(&seed);
    static const struct {
        int per_mille, least, most;
    } cases[] = {{0, 0, 0}, {100, 1790, 2210}, {1000, 20000, 20000}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int on = 0;
        assert_true(trace_open(8, cases[i].per_mille));
        for (int k = 0; k < 20000; k++) {
            struct trace trace;
            trace_first(&trace, &seeded);
            on += trace.on;
        }
        assert_in_range(on, cases[i].least, cases[i].most);
        trace_close();
    }
}

static void a_full_ring_drops_and_counts(void **state) {
    (void)state;
    struct buf text CLEANUP(buf_release) = {0};
    buf_init(&text, 1 << 20);
    assert_true(trace_metrics());
    assert_true(trace_open(8, 1000));
    for (int round = 0; round < 3; round++) {
        uint64_t before = metrics_value(METRIC_TRACE_SPANS, TRACE_DROPPED);
        for (int i = 0; i < 11; i++) {
            struct trace trace;
            trace_child(&trace, STR(PARENT));
            end_one(&trace);
        }
        assert_int_equal(metrics_value(METRIC_TRACE_SPANS, TRACE_DROPPED) - before, 3);
        assert_int_equal(trace_waiting(), 8);
        assert_int_equal(take(&text, 5), 5);
        assert_int_equal(take(&text, 5), 3);
        assert_int_equal(take(&text, 5), 0);
    }
    trace_close();
}

/* A span that does not fit into its slot is dropped; those beside it are whole. */
static void too_long_is_dropped(void **state) {
    (void)state;
    struct buf text CLEANUP(buf_release) = {0};
    char name[TRACE_SPAN_TEXT];
    struct trace trace;
    buf_init(&text, 1 << 20);
    memset(name, 'n', sizeof name);
    assert_true(trace_metrics());
    assert_true(trace_open(8, 1000));
    trace_child(&trace, STR(PARENT));
    end_one(&trace);
    trace_child(&trace, STR(PARENT));
    trace_end(&trace, &(const struct span){.kind = SPAN_SERVER, .name = {name, sizeof name}});
    trace_child(&trace, STR(PARENT));
    end_one(&trace);
    assert_int_equal(take(&text, 5), 2);
    assert_int_equal(text.ptr[0], '{');
    assert_true(holds(&text, "}},{\"traceId\""));
    assert_int_equal(metrics_value(METRIC_TRACE_SPANS, TRACE_DROPPED), 1);
    trace_close();
}

#define WRITERS 4
#define EACH 20000

static void write_spans(int n) {
    for (int i = 0; i < n; i++) {
        struct trace trace;
        trace_child(&trace, STR(PARENT));
        end_one(&trace);
    }
}

static void *write_many(void *unused) {
    (void)unused;
    write_spans(EACH);
    return NULL;
}

static void *write_some(void *unused) {
    (void)unused;
    write_spans((1 << 15) / WRITERS);
    return NULL;
}

static size_t count_of(const struct buf *text) {
    size_t n = 0;
    for (const char *at = text->ptr; at && (at = strstr(at, "\"traceId\"")) != NULL; at++)
        n++;
    return n;
}

/* Writers never wait, and each span is taken once, whole, or counted as dropped. */
static void many_writers_one_reader(void **state) {
    (void)state;
    struct buf text CLEANUP(buf_release) = {0};
    pthread_t threads[WRITERS];
    size_t taken = 0, n;
    buf_init(&text, 1 << 20);
    assert_true(trace_metrics());
    assert_true(trace_open(64, 1000));
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    while (taken + metrics_value(METRIC_TRACE_SPANS, TRACE_DROPPED) < (size_t)WRITERS * EACH) {
        n = take(&text, 32);
        assert_int_equal(n > 0 ? count_of(&text) : 0, n);
        taken += n;
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(taken >= 64);
    assert_int_equal(taken + metrics_value(METRIC_TRACE_SPANS, TRACE_DROPPED), WRITERS * EACH);
    assert_int_equal(trace_waiting(), 0);
    trace_close();
}

/* While there is room nothing is dropped, however many write at once. */
static void nothing_is_dropped_while_there_is_room(void **state) {
    (void)state;
    pthread_t threads[WRITERS];
    assert_true(trace_metrics());
    assert_true(trace_open(1 << 15, 1000));
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_some, NULL), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metrics_value(METRIC_TRACE_SPANS, TRACE_DROPPED), 0);
    assert_int_equal(trace_waiting(), 1 << 15);
    trace_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_does_nothing),
        cmocka_unit_test(a_child_hangs_below_its_parent),
        cmocka_unit_test(parents_decide),
        cmocka_unit_test(the_share_is_kept),
        cmocka_unit_test(a_full_ring_drops_and_counts),
        cmocka_unit_test(too_long_is_dropped),
        cmocka_unit_test(many_writers_one_reader),
        cmocka_unit_test(nothing_is_dropped_while_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
