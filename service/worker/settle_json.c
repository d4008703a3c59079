/* Writes the results of webhook attempts and the state of endpoints as JSON, and ids as PostgreSQL
 * arrays, for the SQL functions that settle and claim deliveries. */
#include "settle_json.h"

#include "core/clock.h"

#define LOW_WATER 64

static const char *outcome_name(enum outcome_kind outcome) {
    switch (outcome) {
    case OUTCOME_DELIVERED:
        return "delivered";
    case OUTCOME_FAILED:
        return "failed";
    case OUTCOME_EXHAUSTED:
        return "exhausted";
    case OUTCOME_NONE:
    case OUTCOME_RETURNED:
        break;
    }
    return "returned";
}

static void member_name(struct buf *ret, const char *name) {
    buf_text(ret, ",\"");
    buf_text(ret, name);
    buf_text(ret, "\":");
}

static void member_text(struct buf *ret, const char *name, const char *value) {
    if (value == NULL || value[0] == '\0')
        return;
    member_name(ret, name);
    buf_json(ret, str_of(value));
}

static void member_int(struct buf *ret, const char *name, int64_t value) {
    member_name(ret, name);
    buf_i64(ret, value);
}

/* What is absent is null there. */
static void write_result(const struct delivery *delivery, struct buf *ret) {
    const struct post_result *result = &delivery->result;
    int64_t ago = delivery->started_us == 0 ? 0 : clock_mono(&clock_system) - delivery->started_us;

    buf_text(ret, "{\"delivery_id\":\"");
    buf_text(ret, delivery->id);
    buf_text(ret, "\",\"endpoint_id\":\"");
    buf_text(ret, delivery->endpoint->id);
    buf_char(ret, '"');
    member_text(ret, "account_id", delivery->account_id);
    buf_text(ret, delivery->lane ? ",\"lane\":true" : ",\"lane\":false");
    member_text(ret, "outcome", outcome_name(delivery->outcome));
    if (delivery->outcome != OUTCOME_DELIVERED) {
        member_int(ret, "at_position", delivery->position);
        member_int(ret, "base", delivery->base);
        member_int(ret, "pause_ms", delivery->pause_ms);
    }
    member_int(ret, "n", delivery->n);
    member_int(ret, "ago_us", ago);
    member_int(ret, "duration_ms", result->taken_us / 1000);
    if (result->status != 0)
        member_int(ret, "status", result->status);
    member_text(ret, "error", result->error);
    member_text(ret, "address", result->address);
    member_text(ret, "response_excerpt", result->excerpt);
    buf_char(ret, '}');
}

void results_write(const struct outbox *outbox, struct buf *ret) {
    buf_char(ret, '[');
    for (const struct delivery *d = outbox->settled; d != NULL; d = d->next) {
        if (d != outbox->settled)
            buf_char(ret, ',');
        write_result(d, ret);
    }
    buf_char(ret, ']');
}

static void write_endpoint(const struct endpoint *endpoint, struct buf *ret) {
    int64_t settled = outbox_settled_to(endpoint);

    buf_format(ret, "{\"endpoint_id\":\"%s\"", endpoint->id);
    if (settled != INT64_MAX)
        member_int(ret, "settled", settled);
    member_int(ret, "failures", endpoint->failures);
    member_int(ret, "opened", endpoint->pauses);
    if (endpoint->pause_ms >= 0)
        member_int(ret, "pause_ms", endpoint->pause_ms);
    member_text(ret, "gone", endpoint->disable_reason);
    buf_text(ret, endpoint->returning ? ",\"release\":true}" : ",\"release\":false}");
}

void results_endpoints(struct outbox *outbox, struct buf *ret) {
    bool first = true;

    buf_char(ret, '[');
    for (struct endpoint *e = outbox->endpoints; e != NULL; e = e->next) {
        e->returning = e->n_queued == 0 && e->n_flying == 0;
        e->report_in_flight = e->changed_since_report || e->returning;
        if (!e->report_in_flight)
            continue;
        e->changed_since_report = false;
        if (!first)
            buf_char(ret, ',');
        first = false;
        write_endpoint(e, ret);
    }
    buf_char(ret, ']');
}

/* ---- arrays of ids ------------------------------------------------------------------------------
 */

static void add_id(struct buf *ret, const char *id) {
    if (ret->len > 1)
        buf_char(ret, ',');
    buf_text(ret, id);
}

static bool is_busy(const struct endpoint *endpoint) {
    if (endpoint->returning)
        return false;
    return endpoint->paused || endpoint->n_queued >= LOW_WATER || endpoint->failures > 0;
}

void results_busy(const struct outbox *outbox, struct buf *ret) {
    buf_char(ret, '{');
    for (const struct endpoint *e = outbox->endpoints; e != NULL; e = e->next)
        if (is_busy(e))
            add_id(ret, e->id);
    buf_char(ret, '}');
}

void results_known(const struct outbox *outbox, struct buf *ret) {
    buf_char(ret, '{');
    for (const struct endpoint *e = outbox->endpoints; e != NULL; e = e->next) {
        for (const struct delivery *d = e->queue; d != NULL; d = d->next)
            add_id(ret, d->id);
        for (const struct delivery *d = e->flying; d != NULL; d = d->next)
            add_id(ret, d->id);
    }
    buf_char(ret, '}');
}
