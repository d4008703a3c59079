/* Webhook delivery: claim, send many at once, judge, settle. At least once: what was claimed by a
 * process that dies is sent again. */
#include "claim_settle.h"
#include "schedule.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/metrics.h"

#define SETTLE_MS 15    /* a result waits so long for company */
#define SETTLE_MANY 256 /* or until there are so many */
#define CLAIM_BUSY_MS 15
#define WAIT_MS 1000
#define STOP_MS 3000 /* what is in flight may take so long when the worker stops */
#define RETRY_AFTER_MOST 3600
#define HOUR_MS 3600000

enum result_cell { RESULT_DELIVERED, RESULT_FAILED, RESULT_EXHAUSTED };

/* ---- judging
 * ------------------------------------------------------------------------------------- */

static int64_t asked_for(int retry_after) {
    return 1000LL * (retry_after < RETRY_AFTER_MOST ? retry_after : RETRY_AFTER_MOST);
}

/* How long an endpoint is left alone. */
static int64_t rest_before(const struct worker *worker, int probe, int retry_after) {
    size_t at = (size_t)probe - 1 < worker->n_retries ? (size_t)probe - 1 : worker->n_retries - 1;
    int64_t pause = worker->retry_ms[at];
    int64_t asked = asked_for(retry_after);

    return with_jitter(worker, pause > asked ? pause : asked);
}

static int64_t pause_before(const struct worker *worker, const struct delivery *delivery,
                            int retry) {
    int64_t pause = schedule_pause(worker->retry_ms, worker->n_retries, delivery->id, retry);
    int64_t asked = asked_for(delivery->result.retry_after);

    return pause > asked ? pause : with_jitter(worker, asked);
}

/* Sends nothing more for a while; the next thing sent is a probe. */
static void open_breaker(struct sender *sender, struct endpoint *endpoint, int64_t pause_ms) {
    endpoint->paused = true;
    endpoint->pause_ms = pause_ms;
    outbox_return(&sender->outbox, endpoint, NULL);
}

/* Half open is then what it is after failures in a row: one probe, and its success closes it. */
static void trip_breaker(struct sender *sender, struct endpoint *endpoint) {
    int64_t pause = rest_before(sender->worker, ++endpoint->pauses, 0);

    if (endpoint->failures < BREAKER_FAILURES)
        endpoint->failures = BREAKER_FAILURES;
    endpoint->tripped_by_rate = true;
    open_breaker(sender, endpoint, pause < HOUR_MS ? pause : HOUR_MS);
}

static void judge_endpoint(struct sender *sender, struct endpoint *endpoint,
                           const struct post_result *result, bool often) {
    if (result->status == 410 && result->error == NULL) {
        endpoint->disable_reason = "The receiver answered 410 Gone.";
        open_breaker(sender, endpoint, 0);
    } else if (endpoint->failures >= BREAKER_FAILURES && !endpoint->paused) {
        int64_t pause = rest_before(sender->worker, ++endpoint->pauses, 0);
        open_breaker(sender, endpoint, pause < HOUR_MS ? pause : HOUR_MS);
    } else if (often && !endpoint->paused) {
        trip_breaker(sender, endpoint);
    } else if (result->retry_after > 0 && (result->status == 429 || result->status == 503) &&
               !endpoint->paused) {
        open_breaker(sender, endpoint, rest_before(sender->worker, 1, result->retry_after));
    }
}

static void judge_failure(struct sender *sender, struct delivery *delivery, bool often) {
    struct worker *worker = sender->worker;
    struct endpoint *endpoint = delivery->endpoint;
    int retry = delivery->n - delivery->base;
    bool exhausted = (size_t)retry > worker->n_retries || delivery->gone;

    if (!exhausted)
        delivery->pause_ms = pause_before(worker, delivery, retry);
    endpoint->failures += !delivery->gone;
    outbox_settle(&sender->outbox, delivery, exhausted ? OUTCOME_EXHAUSTED : OUTCOME_FAILED);
    metrics_count(METRIC_DELIVERY_ATTEMPTS, exhausted ? RESULT_EXHAUSTED : RESULT_FAILED, 1);
    if (delivery->lane && !exhausted)
        outbox_return(&sender->outbox, endpoint, delivery->account_id);
    judge_endpoint(sender, endpoint, &delivery->result, often);
}

static void judge_success(struct sender *sender, struct delivery *delivery) {
    struct endpoint *endpoint = delivery->endpoint;

    if (!endpoint->tripped_by_rate) {
        if (endpoint->failures >= BREAKER_FAILURES)
            endpoint->pause_ms = -1; /* it works: no need to wait */
        endpoint->failures = 0;
        endpoint->pauses = 0;
    }
    outbox_settle(&sender->outbox, delivery, OUTCOME_DELIVERED);
    metrics_count(METRIC_DELIVERY_ATTEMPTS, RESULT_DELIVERED, 1);
}

static void judge(struct sender *sender, struct delivery *delivery) {
    const struct post_result *result = &delivery->result;

    if (sender->outbox.n_settled == 0)
        sender->settle_at = deadline_in_ms(SETTLE_MS);
    metrics_time(METRIC_DELIVERY_TIME, 0, result->taken_us);
    bool failed = result->error != NULL || result->status < 200 || result->status > 299;
    bool often = !delivery->gone && breaker_count(&sender->breaker, delivery->endpoint->id,
                                                  clock_mono(&clock_system), failed);
    if (failed) {
        judge_failure(sender, delivery, often);
        return;
    }
    judge_success(sender, delivery);
}

/* ---- sending
 * ------------------------------------------------------------------------------------- */

/* An attempt is a span below the request that caused the event, in its trace; what no request
 * caused (a reminder) begins a trace. */
static void begin_trace(struct delivery *delivery) {
    if (delivery->traceparent[0] != '\0')
        trace_child(&delivery->trace, str_of(delivery->traceparent));
    else
        trace_first(&delivery->trace, &randomness_system);
}

/* Of the URL only what endpoint_id leads to: it may hold a receiver's secrets. */
static void end_trace(struct delivery *delivery) {
    const struct post_result *result = &delivery->result;
    char status[16];
    bool failed = result->error != NULL || result->status < 200 || result->status > 299;

    if (!delivery->trace.on)
        return;
    snprintf(status, sizeof status, "%d", result->status);
    const struct span_field fields[] = {
        SPAN_S("http.request.method", "POST"),
        SPAN_S("error.type", !failed                 ? ""
                             : result->error != NULL ? result->error
                                                     : status),
        SPAN_I("kamd.webhook.attempt", delivery->n),
        SPAN_S("kamd.webhook.endpoint_id", delivery->endpoint->id),
        SPAN_S("kamd.webhook.event_id", delivery->event_id),
        SPAN_I("http.response.status_code", result->status),
    };
    trace_end(&delivery->trace,
              &(const struct span){SPAN_CLIENT, STR("POST webhook"), failed, fields,
                                   COUNT_OF(fields) - (result->status == 0)});
}

static const char *start(struct sender *sender, struct delivery *delivery) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    int64_t now_us = clock_mono(&clock_system);

    delivery->started_us = now_us;
    if (delivery->gone)
        return "event_expired";
    if (delivery->endpoint->n_secrets == 0)
        return "no_secret";
    begin_trace(delivery);
    if (!message_make(&sender->message, delivery, (now_us + sender->clock_us) / 1000000))
        return "out_of_memory";
    if (poster_send(sender->worker->poster, &sender->message.request, &err))
        return NULL;
    return err.problem == PROBLEM_VALIDATION ? "url_not_allowed" : "out_of_memory";
}

/* A failing endpoint gets one at a time, and so does every one while half of all places are taken:
 * so those that hang leave room. */
static size_t places(const struct sender *sender, const struct endpoint *endpoint) {
    const struct config *config = sender->worker->options.config;

    if (endpoint->paused)
        return 0;
    if (endpoint->failures > 0 ||
        poster_in_flight(sender->worker->poster) * 2 > (size_t)config->webhook_in_flight)
        return 1;
    return (size_t)config->webhook_endpoint_in_flight;
}

static bool start_one(struct sender *sender, struct endpoint *endpoint) {
    if (endpoint->n_flying >= places(sender, endpoint))
        return false;
    struct delivery *delivery = outbox_take(&sender->outbox, endpoint);
    if (delivery == NULL)
        return false;
    const char *error = start(sender, delivery);
    if (error != NULL) {
        delivery->result = (struct post_result){.error = error};
        end_trace(delivery);
        judge(sender, delivery);
    }
    return true;
}

/* Sends nothing more, neither now nor later, of what was claimed. */
static void give_up(struct sender *sender) {
    for (struct endpoint *e = sender->outbox.endpoints; e != NULL; e = e->next) {
        e->paused = true;
        outbox_return(&sender->outbox, e, NULL);
    }
}

/* May what was claimed be sent? Without the lease another process may be sending it, and also when
 * the lease is back after a lapse. */
static bool is_leased(struct sender *sender) {
    struct worker *worker = sender->worker;
    bool leased = deadline_left_ms(worker->leased_until) > 0;
    int lapses = worker->lapses;

    if (lapses != sender->lapses)
        give_up(sender);
    sender->lapses = lapses;
    return leased;
}

/* One of each endpoint in turn, while there is room. */
static void start_all(struct sender *sender) {
    const size_t most = (size_t)sender->worker->options.config->webhook_in_flight;
    bool started = is_leased(sender);

    while (started) {
        started = false;
        outbox_rotate(&sender->outbox);
        for (struct endpoint *e = sender->outbox.endpoints; e != NULL; e = e->next) {
            if (poster_in_flight(sender->worker->poster) >= most)
                return;
            started |= start_one(sender, e);
        }
    }
}

static void finish(struct sender *sender, const struct post_result *result) {
    struct delivery *delivery = result->tag;

    delivery->result = *result;
    end_trace(delivery);
    judge(sender, delivery);
}

/* ---- the round
 * ----------------------------------------------------------------------------------- */

static void report(struct sender *sender, bool ok, const struct err *err) {
    int64_t pause = loop_report(sender->worker, &sender->health, ok, err);

    sender->not_before = ok ? 0 : deadline_in_ms(pause);
}

static void begin_exchange(struct sender *sender, enum exchange_kind kind) {
    struct err err CLEANUP(err_release) = ERR_INIT;

    if (sender->outbox.n_settled > 0)
        fault_point(sender->worker, "delivery_sent");
    if (!exchange_begin(sender, kind, &err))
        report(sender, false, &err);
}

/* False: it is still under way. */
static bool end_exchange(struct sender *sender, bool wait) {
    struct worker *worker = sender->worker;
    struct err err CLEANUP(err_release) = ERR_INIT;
    enum exchange_kind kind = sender->exchange.kind;
    size_t claimed;

    if (!sender->exchange.under_way)
        return true;
    if (!aside_done(&worker->exchanges, wait))
        return false;
    bool ok = exchange_end(sender, &claimed, &err);
    if (sender->exchange.lapses != worker->lapses)
        give_up(sender); /* what came was claimed before the lapse */
    report(sender, ok, &err);
    if (ok && kind == EXCHANGE_CLAIM)
        sender->claim_at = deadline_in_ms(
            claimed > 0 ? CLAIM_BUSY_MS : with_jitter(worker, worker->options.config->poll_ms));
    return true;
}

static bool settle_is_due(const struct sender *sender) {
    return sender->outbox.n_settled >= SETTLE_MANY ||
           (sender->outbox.n_settled > 0 && deadline_left_ms(sender->settle_at) == 0);
}

static int wait_ms(const struct sender *sender) {
    deadline next = sender->claim_at;

    /* The end of the exchange, or the lease, wakes the thread. */
    if (sender->exchange.under_way || deadline_left_ms(sender->worker->leased_until) == 0)
        return WAIT_MS;
    if (sender->outbox.n_settled > 0 && sender->settle_at < next)
        next = sender->settle_at;
    if (sender->not_before > next)
        next = sender->not_before;
    return deadline_left_ms(next);
}

static void drive(struct sender *sender, int ms) {
    size_t n = poster_run(sender->worker->poster, ms, sender->results, RESULTS_PER_TURN);

    for (size_t i = 0; i < n; i++)
        finish(sender, &sender->results[i]);
}

static void round_once(struct sender *sender) {
    struct worker *worker = sender->worker;

    worker->delivery_seen_us = clock_mono(&clock_system);
    start_all(sender);
    drive(sender, wait_ms(sender));
    if (!end_exchange(sender, false) || !is_leased(sender))
        return;
    if (atomic_exchange(&worker->events_waiting, false))
        sender->claim_at = 0;
    if (deadline_left_ms(sender->not_before) > 0)
        return;
    if (deadline_left_ms(sender->claim_at) == 0)
        begin_exchange(sender, EXCHANGE_CLAIM);
    else if (settle_is_due(sender))
        begin_exchange(sender, EXCHANGE_SETTLE);
}

/* The end of a worker: begins no attempt, lets those under way end, gives the rest back. */
static void wind_down(struct sender *sender) {
    deadline end = deadline_in_ms(STOP_MS);

    end_exchange(sender, true);
    give_up(sender);
    while (poster_in_flight(sender->worker->poster) > 0 && deadline_left_ms(end) > 0)
        drive(sender, deadline_left_ms(end));
    poster_abort(sender->worker->poster);
    for (struct endpoint *e = sender->outbox.endpoints; e != NULL; e = e->next)
        while (e->flying != NULL) {
            e->flying->result = (struct post_result){.error = "interrupted"};
            end_trace(e->flying);
            outbox_settle(&sender->outbox, e->flying, OUTCOME_FAILED);
        }
    begin_exchange(sender, EXCHANGE_LEAVE);
    end_exchange(sender, true);
}

void delivery_run(struct worker *worker) {
    struct sender sender = {.worker = worker, .health = {.id = LOOP_DELIVERY}};

    message_init(&sender.message);
    while (!worker->stopping)
        round_once(&sender);
    wind_down(&sender);
    message_release(&sender.message);
    outbox_release(&sender.outbox);
}
