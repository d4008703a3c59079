/* Records OpenTelemetry spans as JSON in a lock-free ring buffer: many threads write, one thread
 * reads. A span that finds the ring full is dropped and counted. */
#include "core/trace.h"

#include "core/clock.h"
#include "core/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A slot's turn says whose it is: `at`: the writer's who got place `at`; `at + 1`: the reader's. A
 * bounded queue after Dmitry Vyukov: writers only wait for the place that they take, never for each
 * other or for the reader. */
struct slot {
    atomic_size_t turn;
    size_t len;
    char text[TRACE_SPAN_TEXT];
};

static struct {
    struct slot *slots; /* NULL: off */
    size_t room;
    uint64_t least_of_2_56; /* a trace id's last 7 bytes below it: the trace is sampled */
    atomic_size_t next;     /* place of the next writer */
    atomic_size_t taken;    /* place of the reader */
} ring;

bool trace_metrics(void) {
    static const char *const cells[] = {[TRACE_SENT] = "result=\"sent\"",
                                        [TRACE_DROPPED] = "result=\"dropped\"",
                                        [TRACE_REFUSED] = "result=\"refused\""};
    return metrics_labels(LABELS_SPANS, cells, COUNT_OF(cells));
}

bool trace_open(size_t room, int per_mille) {
    ring.slots = calloc(room, sizeof *ring.slots);
    if (ring.slots == NULL)
        return false;
    for (size_t i = 0; i < room; i++)
        atomic_init(&ring.slots[i].turn, i);
    atomic_init(&ring.next, 0);
    atomic_init(&ring.taken, 0);
    ring.room = room;
    ring.least_of_2_56 = (UINT64_C(1) << 56) / 1000 * (uint64_t)per_mille;
    if (per_mille >= 1000)
        ring.least_of_2_56 = UINT64_C(1) << 56;
    return true;
}

void trace_close(void) {
    free(ring.slots);
    ring.slots = NULL;
}

bool trace_is_open(void) { return ring.slots != NULL; }

/* ---- ids ---- */

static bool read_hex(const char *text, unsigned char *ret, size_t n) {
    for (size_t i = 0; i < 2 * n; i++) {
        char c = text[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit > 15)
            return false;
        ret[i / 2] = (unsigned char)(i % 2 == 0 ? digit << 4 : ret[i / 2] | digit);
    }
    return true;
}

/* Neither id may be all zeros. */
static void make_id(const struct randomness *randomness, unsigned char *ret, size_t n) {
    random_fill(randomness, ret, n);
    ret[0] |= 1;
}

void trace_child(struct trace *ret, struct str parent) {
    unsigned char flags;
    *ret = (struct trace){.on = false};
    if (ring.slots == NULL || parent.len < TRACEPARENT_TEXT - 1 ||
        !read_hex(parent.ptr + 53, &flags, 1) || (flags & 1) == 0 ||
        !read_hex(parent.ptr + 3, ret->trace_id, sizeof ret->trace_id) ||
        !read_hex(parent.ptr + 36, ret->parent_id, sizeof ret->parent_id))
        return;
    make_id(&randomness_system, ret->span_id, sizeof ret->span_id);
    ret->started_us = clock_mono(&clock_system);
    ret->on = true;
}

/* The last 7 bytes are the random part of a trace id (W3C Trace Context level 2, section 3.2.2.3),
 * so that every service of a trace that samples by them comes to the same end. */
static bool is_chosen(const unsigned char trace_id[static 16]) {
    uint64_t part = 0;
    for (size_t i = 9; i < 16; i++)
        part = part << 8 | trace_id[i];
    return part < ring.least_of_2_56;
}

void trace_first(struct trace *ret, const struct randomness *randomness) {
    *ret = (struct trace){.on = false};
    if (ring.slots == NULL || ring.least_of_2_56 == 0)
        return;
    make_id(randomness, ret->trace_id, sizeof ret->trace_id);
    if (!is_chosen(ret->trace_id))
        return;
    make_id(randomness, ret->span_id, sizeof ret->span_id);
    ret->started_us = clock_mono(&clock_system);
    ret->on = true;
}

void trace_text(const struct trace *trace, char ret[static TRACEPARENT_TEXT]) {
    struct buf text;
    buf_over(&text, ret, TRACEPARENT_TEXT);
    buf_text(&text, "00-");
    buf_hex(&text, trace->trace_id, sizeof trace->trace_id);
    buf_char(&text, '-');
    buf_hex(&text, trace->span_id, sizeof trace->span_id);
    buf_text(&text, "-01");
}

/* ---- a span that ended ---- */

static void put_id(struct buf *into, const char *key, const unsigned char *id, size_t n) {
    buf_format(into, "\"%s\":\"", key);
    buf_hex(into, id, n);
    buf_text(into, "\",");
}

static void put_field(struct buf *into, const struct span_field *field) {
    buf_format(into, "{\"key\":\"%s\",\"value\":{", field->key);
    if (field->text.ptr != NULL) {
        buf_text(into, "\"stringValue\":");
        buf_json(into, field->text);
    } else {
        buf_format(into, "\"intValue\":\"%lld\"", (long long)field->number);
    }
    buf_text(into, "}},");
}

/* OTLP's JSON: protobuf's mapping, with lowerCamelCase keys, 64-bit numbers as text, enums as
 * numbers, and, by an exception of its own, ids in hexadecimal. */
static void put_span(struct buf *into, const struct trace *trace, const struct span *span) {
    static const unsigned char none[sizeof trace->parent_id];
    int64_t wall = clock_wall(&clock_system);
    int64_t taken = clock_mono(&clock_system) - trace->started_us;
    buf_char(into, '{');
    put_id(into, "traceId", trace->trace_id, sizeof trace->trace_id);
    put_id(into, "spanId", trace->span_id, sizeof trace->span_id);
    if (memcmp(trace->parent_id, none, sizeof none) != 0)
        put_id(into, "parentSpanId", trace->parent_id, sizeof trace->parent_id);
    buf_text(into, "\"name\":");
    buf_json(into, span->name);
    buf_format(into,
               ",\"kind\":%d,\"startTimeUnixNano\":\"%lld000\",\"endTimeUnixNano\":\"%lld000\"",
               (int)span->kind, (long long)(wall - taken), (long long)wall);
    buf_text(into, ",\"attributes\":[");
    size_t start = into->len;
    for (size_t i = 0; i < span->n_fields; i++)
        if (span->fields[i].text.ptr == NULL || span->fields[i].text.len > 0)
            put_field(into, &span->fields[i]);
    if (buf_ok(into) && into->len > start)
        into->len--; /* the last comma */
    buf_format(into, "],\"status\":{%s}}", span->failed ? "\"code\":2" : "");
}

/* The slot of the next place; NULL when the ring is full. A place that another writer took first is
 * tried no more, and its slot's turn says nothing of the next. */
static struct slot *claim(size_t *ret_place) {
    for (;;) {
        size_t place = atomic_load_explicit(&ring.next, memory_order_relaxed);
        struct slot *slot = &ring.slots[place % ring.room];
        size_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        *ret_place = place;
        if (turn == place &&
            atomic_compare_exchange_weak_explicit(&ring.next, &place, place + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return slot;
        if ((ptrdiff_t)(turn - *ret_place) < 0)
            return NULL;
    }
}

void trace_end(struct trace *trace, const struct span *span) {
    size_t place;
    struct buf text;
    if (!trace->on)
        return;
    trace->on = false;
    struct slot *slot = claim(&place);
    if (slot == NULL) {
        metrics_count(METRIC_TRACE_SPANS, TRACE_DROPPED, 1);
        return;
    }
    buf_over(&text, slot->text, sizeof slot->text);
    put_span(&text, trace, span);
    if (!buf_ok(&text))
        metrics_count(METRIC_TRACE_SPANS, TRACE_DROPPED, 1);
    slot->len = buf_ok(&text) ? text.len : 0;
    atomic_store_explicit(&slot->turn, place + 1, memory_order_release);
}

/* ---- the reader ---- */

size_t trace_waiting(void) {
    return atomic_load_explicit(&ring.next, memory_order_relaxed) -
           atomic_load_explicit(&ring.taken, memory_order_relaxed);
}

size_t trace_take(struct buf *ret, size_t most) {
    size_t n = 0;
    while (n < most) {
        size_t place = atomic_load_explicit(&ring.taken, memory_order_relaxed);
        struct slot *slot = &ring.slots[place % ring.room];
        if (atomic_load_explicit(&slot->turn, memory_order_acquire) != place + 1)
            break;
        if (slot->len > 0) {
            buf_text(ret, n > 0 ? "," : "");
            buf_add(ret, slot->text, slot->len);
            n++;
        }
        atomic_store_explicit(&slot->turn, place + ring.room, memory_order_release);
        atomic_store_explicit(&ring.taken, place + 1, memory_order_relaxed);
    }
    return n;
}
