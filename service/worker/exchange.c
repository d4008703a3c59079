#include "exchange.h"

#include "full.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define EXCHANGE_MS 5000
#define BATCH "128" /* deliveries of one endpoint */
#define LOW_WATER 64
#define ENDPOINTS "256"
#define QUEUED_MAX 8192
#define TEXT_MAX (16 << 20)
#define BODY_MAX (4 << 20)

/* ---- what came out, as JSON for webhook_settle() ------------------------------------------------
 */

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

static void member_text(struct buf *ret, const char *name, const char *value) {
    buf_format(ret, ",\"%s\":", name);
    buf_json(ret, value[0] == '\0' ? STR_ABSENT : str_of(value));
}

static void member_int(struct buf *ret, const char *name, int64_t value) {
    buf_format(ret, ",\"%s\":", name);
    buf_i64(ret, value);
}

static void write_result(const struct delivery *delivery, struct buf *ret) {
    const struct post_result *result = &delivery->result;
    int64_t ago = delivery->started_us == 0 ? 0 : clock_mono(&clock_system) - delivery->started_us;

    buf_format(ret, "{\"delivery_id\":\"%s\",\"endpoint_id\":\"%s\"", delivery->id,
               delivery->endpoint->id);
    member_text(ret, "account_id", delivery->account_id);
    member_int(ret, "at_position", delivery->position);
    buf_text(ret, delivery->lane ? ",\"lane\":true" : ",\"lane\":false");
    member_int(ret, "n", delivery->n);
    member_int(ret, "base", delivery->base);
    member_text(ret, "outcome", outcome_name(delivery->outcome));
    member_int(ret, "pause_ms", delivery->pause_ms);
    member_int(ret, "ago_us", ago);
    member_int(ret, "duration_ms", result->taken_us / 1000);
    if (result->status != 0)
        member_int(ret, "status", result->status);
    member_text(ret, "error", result->error == NULL ? "" : result->error);
    member_text(ret, "address", result->address);
    member_text(ret, "response_excerpt", result->excerpt);
    buf_char(ret, '}');
}

static void write_results(const struct outbox *outbox, struct buf *ret) {
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
    member_int(ret, "opened", endpoint->opened);
    if (endpoint->pause_ms >= 0)
        member_int(ret, "pause_ms", endpoint->pause_ms);
    member_text(ret, "gone", endpoint->closed == NULL ? "" : endpoint->closed);
    buf_text(ret, endpoint->release ? ",\"release\":true}" : ",\"release\":false}");
}

/* Those that something happened to, and those that have nothing left. */
static void write_endpoints(struct outbox *outbox, struct buf *ret) {
    bool first = true;

    buf_char(ret, '[');
    for (struct endpoint *e = outbox->endpoints; e != NULL; e = e->next) {
        e->release = e->n_queued == 0 && e->n_flying == 0;
        if (!e->touched && !e->release)
            continue;
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

/* Has enough, or has trouble. */
static bool is_busy(const struct endpoint *endpoint) {
    if (endpoint->release)
        return false;
    return endpoint->open || endpoint->n_queued >= LOW_WATER || endpoint->failures > 0;
}

static void write_busy(const struct outbox *outbox, struct buf *ret) {
    buf_char(ret, '{');
    for (const struct endpoint *e = outbox->endpoints; e != NULL; e = e->next)
        if (is_busy(e))
            add_id(ret, e->id);
    buf_char(ret, '}');
}

static void write_known(const struct outbox *outbox, struct buf *ret) {
    buf_char(ret, '{');
    for (const struct endpoint *e = outbox->endpoints; e != NULL; e = e->next) {
        for (const struct delivery *d = e->queue; d != NULL; d = d->next)
            add_id(ret, d->id);
        for (const struct delivery *d = e->flying; d != NULL; d = d->next)
            add_id(ret, d->id);
    }
    buf_char(ret, '}');
}

/* ---- what comes
 * ---------------------------------------------------------------------------------- */

static void copy_text(char *ret, size_t room, struct str text) {
    size_t len = text.ptr == NULL ? 0 : text.len < room ? text.len : room - 1;

    if (len > 0)
        memcpy(ret, text.ptr, len);
    ret[len] = '\0';
}

/* "Name: sealed:<id>\\x<sealed>", as SQL_ENDPOINTS has it, or "Name: value" from before values were
 * sealed. One that no key opens is left out. */
static void open_header(const struct sender *sender, struct str line, struct buf *ret) {
    struct arena arena CLEANUP(arena_release) = {0};
    char context[WEBHOOK_HEADER_CONTEXT];
    unsigned char sealed[2048];
    size_t len;
    struct str plain, name, value = line;

    str_split(&value, ':', &name);
    value = str_trim(value);
    if (str_starts(value, WEBHOOK_SEALED)) {
        struct str id = {value.ptr + strlen(WEBHOOK_SEALED), UUID_TEXT - 1};
        arena_init(&arena, 8192);
        if (value.len < strlen(WEBHOOK_SEALED) + id.len ||
            !bytea_decode(
                (struct str){id.ptr + id.len, value.len - strlen(WEBHOOK_SEALED) - id.len}, sealed,
                sizeof(sealed), &len) ||
            !keyring_open(sender->worker->options.keyring, CRYPTO_SECRETS,
                          webhook_header_context(id, context), (struct str){(char *)sealed, len},
                          &arena, &plain))
            return;
        value = plain;
    }
    buf_format(ret, "%s%.*s: %.*s", ret->len > 0 ? "\n" : "", STR_ARG(name), STR_ARG(value));
}

static char *open_headers(const struct sender *sender, struct str lines) {
    struct buf all CLEANUP(buf_release) = {0};
    struct str line;

    buf_init(&all, 16384);
    buf_text(&all, "");
    while (str_split(&lines, '\n', &line))
        if (line.len > 0)
            open_header(sender, line, &all);
    return buf_ok(&all) ? strdup(all.len > 0 ? all.ptr : "") : NULL;
}

static bool take_endpoint(struct sender *sender, struct tx *tx, size_t slot, size_t row,
                          struct err *err) {
    struct str id = tx_value(tx, slot, row, 0);
    struct endpoint *endpoint = outbox_find(&sender->outbox, id);
    struct str url = tx_value(tx, slot, row, 1);

    if (endpoint == NULL && (endpoint = outbox_add(&sender->outbox, id)) == NULL)
        return err_memory(err);
    free(endpoint->url);
    endpoint->url = strndup(url.ptr, url.len);
    free(endpoint->headers);
    endpoint->headers = open_headers(sender, tx_value(tx, slot, row, 6));
    endpoint->ordered = tx_bool(tx, slot, row, 2);
    endpoint->failures = (int)tx_int(tx, slot, row, 3);
    endpoint->opened = (int)tx_int(tx, slot, row, 4);
    endpoint->n_secrets = 0;
    sender->clock_us = tx_int(tx, slot, row, 5) - clock_mono(&clock_system);
    return (endpoint->url != NULL && endpoint->headers != NULL) || err_memory(err);
}

/* One that does not open was sealed under another key: a delivery without any signature fails. */
static void take_secret(struct sender *sender, struct tx *tx, size_t slot, size_t row) {
    struct endpoint *endpoint = outbox_find(&sender->outbox, tx_value(tx, slot, row, 0));
    struct arena arena CLEANUP(arena_release) = {0};
    unsigned char sealed[256];
    size_t len;
    struct str plain;

    arena_init(&arena, 4096);
    if (endpoint == NULL || endpoint->n_secrets == SECRETS_MAX ||
        !base64_decode(tx_value(tx, slot, row, 2), sealed, sizeof(sealed), &len) ||
        !webhook_secret_open(sender->worker->options.keyring, tx_value(tx, slot, row, 1),
                             (struct str){(char *)sealed, len}, &arena, &plain))
        return;
    memcpy(endpoint->secrets[endpoint->n_secrets++], plain.ptr, WEBHOOK_SECRET);
    explicit_bzero((char *)(uintptr_t)plain.ptr, plain.len);
}

enum claim_column {
    C_DELIVERY,
    C_ENDPOINT,
    C_POSITION,
    C_N,
    C_BASE,
    C_LANE,
    C_ACCOUNT,
    C_EVENT,
    C_TYPE,
    C_AT,
    C_SEQUENCE,
    C_TRACEPARENT,
    C_DATA,
    C_PREVIOUS
};
#define SQL_CLAIM                                                                                  \
    "select delivery_id, endpoint_id, at_position, n, base, lane, account_id, event_id, "          \
    "event_type, "                                                                                 \
    "to_char(event_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), sequence, "        \
    "traceparent, data, previous "                                                                 \
    "from webhook_claim($1::uuid, $2::uuid[], " BATCH ", " ENDPOINTS ")"
#define SQL_ENDPOINTS                                                                              \
    "select e.id, e.url, e.ordering = 'account', s.failures, s.opened, (extract(epoch from "       \
    "clock_timestamp()) * 1e6)::bigint, "                                                          \
    "coalesce((select string_agg((h ->> 'name') || ': ' || "                                       \
    "coalesce('" WEBHOOK_SEALED "' || v.id || v.sealed, h ->> 'value'), E'\\n') from "             \
    "jsonb_array_elements(e.headers) h left join webhook_header v on v.endpoint_id = e.id and "    \
    "h ->> 'value' = '" WEBHOOK_SEALED "' || v.id), ''), e.payload = 'full' "                      \
    "from webhook_endpoint_state s join webhook_endpoint e on e.id = s.endpoint_id "               \
    "where s.owner = $1::uuid and s.claimed_at = now()"
#define SQL_KEYS                                                                                   \
    "select number, sealed from webhook_key where expires_at is null or expires_at > now() "       \
    "order by number desc limit 10"
#define SQL_SECRETS                                                                                \
    "select x.endpoint_id, x.id, translate(encode(x.sealed, 'base64'), E'\\n', '') "               \
    "from webhook_endpoint_state s join webhook_secret x on x.endpoint_id = s.endpoint_id "        \
    "where s.owner = $1::uuid and s.claimed_at = now() and (x.expires_at is null or x.expires_at " \
    "> now()) "                                                                                    \
    "order by x.created_at desc"

static void take_keys(struct sender *sender, struct tx *tx, size_t slot) {
    struct webhook_key keys[WEBHOOK_KEYS];
    size_t n = tx_rows(tx, slot);

    for (size_t i = 0; i < n && i < WEBHOOK_KEYS; i++)
        keys[i] = (struct webhook_key){tx_int(tx, slot, i, 0), tx_value(tx, slot, i, 1)};
    webhook_keys_set(&sender->message.keys, sender->worker->options.keyring, keys, n);
}

static bool take_body(struct delivery *delivery, struct tx *tx, size_t slot, size_t row,
                      const struct full *full) {
    struct buf body CLEANUP(buf_release) = {0};
    struct buf record CLEANUP(buf_release) = {0};

    buf_init(&record, BODY_MAX);
    full_record(full, tx, tx_value(tx, slot, row, C_DELIVERY), &record);
    const struct message_event event = {.id = tx_value(tx, slot, row, C_EVENT),
                                        .type = tx_value(tx, slot, row, C_TYPE),
                                        .at = tx_value(tx, slot, row, C_AT),
                                        .sequence = tx_value(tx, slot, row, C_SEQUENCE),
                                        .data = tx_value(tx, slot, row, C_DATA),
                                        .previous = tx_value(tx, slot, row, C_PREVIOUS),
                                        .record = record.len > 0 ? buf_str(&record) : STR_ABSENT};

    delivery->gone = event.data.ptr == NULL;
    if (delivery->gone)
        return true;
    buf_init(&body, BODY_MAX);
    message_body(&event, &body);
    delivery->body = buf_take(&body, &delivery->body_len);
    return delivery->body != NULL;
}

static bool take_delivery(struct sender *sender, struct tx *tx, size_t slot, size_t row,
                          const struct full *full, struct err *err) {
    struct endpoint *endpoint = outbox_find(&sender->outbox, tx_value(tx, slot, row, C_ENDPOINT));
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    if (endpoint == NULL || delivery == NULL || !take_body(delivery, tx, slot, row, full)) {
        free(delivery);
        return err_memory(err);
    }
    copy_text(delivery->id, sizeof(delivery->id), tx_value(tx, slot, row, C_DELIVERY));
    copy_text(delivery->event_id, sizeof(delivery->event_id), tx_value(tx, slot, row, C_EVENT));
    copy_text(delivery->account_id, sizeof(delivery->account_id),
              tx_value(tx, slot, row, C_ACCOUNT));
    copy_text(delivery->traceparent, sizeof(delivery->traceparent),
              tx_value(tx, slot, row, C_TRACEPARENT));
    delivery->position = tx_int(tx, slot, row, C_POSITION);
    delivery->n = (int)tx_int(tx, slot, row, C_N);
    delivery->base = (int)tx_int(tx, slot, row, C_BASE);
    delivery->lane = tx_bool(tx, slot, row, C_LANE);
    outbox_queue(&sender->outbox, endpoint, delivery);
    return true;
}

/* ---- the exchange
 * -------------------------------------------------------------------------------- */

struct slots {
    size_t settle;
    size_t claim;
    size_t endpoints;
    size_t secrets;
    size_t keys;
    struct full full;
};

static bool queue_settle(struct sender *sender, struct tx *tx, struct slots *slots,
                         struct err *err) {
    struct buf results CLEANUP(buf_release) = {0};
    struct buf endpoints CLEANUP(buf_release) = {0};

    buf_init(&results, TEXT_MAX);
    buf_init(&endpoints, TEXT_MAX);
    write_results(&sender->outbox, &results);
    write_endpoints(&sender->outbox, &endpoints);
    if (!buf_ok(&results) || !buf_ok(&endpoints))
        return err_memory(err);
    const struct str params[] = {worker_token(sender->worker), buf_str(&results),
                                 buf_str(&endpoints)};
    if (endpoints.len > 2)
        slots->settle = tx_query(
            tx,
            "select webhook_settle($1::uuid,"
            " array(select r from jsonb_populate_recordset(null::webhook_result, $2::jsonb) r),"
            " array(select e from jsonb_populate_recordset(null::webhook_endpoint_result, "
            "$3::jsonb) e))",
            params, 3);
    return true;
}

/* Claims that this process never heard of, beside what it knows. */
static bool queue_doubt(struct sender *sender, struct tx *tx, struct err *err) {
    struct buf known CLEANUP(buf_release) = {0};

    buf_init(&known, TEXT_MAX);
    write_known(&sender->outbox, &known);
    if (!buf_ok(&known))
        return err_memory(err);
    const struct str params[] = {worker_token(sender->worker), buf_str(&known)};
    tx_query(tx, "select webhook_doubt($1::uuid, $2::uuid[])", params, 2);
    return true;
}

static bool queue_claim(struct sender *sender, struct tx *tx, struct slots *slots,
                        struct err *err) {
    struct buf busy CLEANUP(buf_release) = {0};
    struct str me = worker_token(sender->worker);

    buf_init(&busy, TEXT_MAX);
    write_busy(&sender->outbox, &busy);
    if (!buf_ok(&busy))
        return err_memory(err);
    if (sender->doubt && !queue_doubt(sender, tx, err))
        return false;
    slots->claim = tx_query(tx, SQL_CLAIM, (struct str[]){me, buf_str(&busy)}, 2);
    slots->endpoints = tx_query(tx, SQL_ENDPOINTS, &me, 1);
    slots->secrets = tx_query(tx, SQL_SECRETS, &me, 1);
    slots->keys = tx_query(tx, SQL_KEYS, NULL, 0);
    return full_query(&slots->full, tx, slots->claim, slots->endpoints, err);
}

/* What was settled is written, what was given back is gone. */
static void forget_settled(struct outbox *outbox) {
    while (outbox->settled != NULL) {
        struct delivery *next = outbox->settled->next;
        delivery_release(outbox->settled);
        outbox->settled = next;
    }
    outbox->n_settled = 0;
    for (struct endpoint *e = outbox->endpoints, *next; e != NULL; e = next) {
        next = e->next;
        e->touched = false;
        e->pause_ms = -1;
        e->closed = NULL;
        if (e->release)
            outbox_remove(outbox, e);
    }
}

/* Taken over, disabled or deleted: send nothing more to it. */
static void let_go(struct outbox *outbox, struct str id) {
    struct endpoint *endpoint = outbox_find(outbox, id);

    if (endpoint == NULL)
        return;
    endpoint->open = true;
    outbox_return(outbox, endpoint, NULL);
}

static bool take_all(struct sender *sender, struct tx *tx, const struct slots *slots,
                     size_t *ret_claimed, struct err *err) {
    size_t n = tx_rows(tx, slots->claim);

    for (size_t i = 0; i < tx_rows(tx, slots->endpoints); i++)
        if (!take_endpoint(sender, tx, slots->endpoints, i, err))
            return false;
    for (size_t i = 0; i < tx_rows(tx, slots->secrets); i++)
        take_secret(sender, tx, slots->secrets, i);
    take_keys(sender, tx, slots->keys);
    for (size_t i = 0; i < n; i++)
        if (!take_delivery(sender, tx, slots->claim, i, &slots->full, err))
            return false;
    *ret_claimed = n;
    return true;
}

bool exchange(struct sender *sender, enum exchange_kind kind, size_t *ret_claimed,
              struct err *err) {
    struct worker *worker = sender->worker;
    struct str me = worker_token(worker);
    struct tx *tx CLEANUP(tx_end) = NULL;
    struct slots slots = {.settle = SIZE_MAX};
    bool claims = kind == EXCHANGE_CLAIM && sender->outbox.n_queued < QUEUED_MAX;

    *ret_claimed = 0;
    if (!tx_begin(worker->options.store, TX_WRITE, &worker_context, deadline_in_ms(EXCHANGE_MS),
                  &tx, err) ||
        !queue_settle(sender, tx, &slots, err) || (claims && !queue_claim(sender, tx, &slots, err)))
        return false;
    if (kind == EXCHANGE_LEAVE)
        tx_query(tx, "select worker_leave($1::uuid)", &me, 1);
    if (!tx_commit(tx, err)) {
        sender->doubt = true;
        return false;
    }
    forget_settled(&sender->outbox);
    for (size_t i = 0; slots.settle != SIZE_MAX && i < tx_rows(tx, slots.settle); i++)
        let_go(&sender->outbox, tx_value(tx, slots.settle, i, 0));
    if (!claims)
        return true;
    /* From here on only memory can fail: then what was claimed but not taken is in doubt. */
    sender->doubt = !take_all(sender, tx, &slots, ret_claimed, err);
    if (*ret_claimed > 0)
        fault_point(worker, "delivery_claimed");
    return !sender->doubt;
}
