/* The delivery thread's database transaction: writes the results of webhook attempts (settle) and
 * claims the next deliveries. A background thread runs the transaction while sending goes on. */
#include "claim_settle.h"

#include "claim_columns.h"
#include "settle_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define EXCHANGE_MS 5000
#define BATCH "128" /* deliveries of one endpoint */
#define ENDPOINTS "256"
#define QUEUED_MAX 8192
#define TEXT_MAX (16 << 20)
#define BODY_MAX (4 << 20)

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
            !keyring_open(sender->worker->options.keyring,
                          (struct seal){CRYPTO_SECRETS, webhook_header_context(id, context)},
                          (struct str){(char *)sealed, len}, &arena, &plain))
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

#define SQL_ENDPOINTS                                                                              \
    "select e.id, e.url, e.ordering = 'account', s.failures, s.opened, (extract(epoch from "       \
    "clock_timestamp()) * 1e6)::bigint, "                                                          \
    "coalesce((select string_agg((h ->> 'name') || ': ' || "                                       \
    "coalesce('" WEBHOOK_SEALED "' || v.id || v.sealed, h ->> 'value'), E'\\n') from "             \
    "jsonb_array_elements(e.headers) h left join webhook_header v on v.endpoint_id = e.id and "    \
    "h ->> 'value' = '" WEBHOOK_SEALED "' || v.id), ''), e.payload = 'full' "                      \
    "from webhook_endpoint_state s join webhook_endpoint e on e.id = s.endpoint_id "               \
    "where s.owner = $1::uuid and s.claimed_at = now()"

static bool take_endpoint(struct sender *sender, struct tx *tx, size_t slot, size_t row,
                          struct err *err) {
    struct str id = tx_value(tx, slot, row, ENDPOINT_ID);
    struct endpoint *endpoint = outbox_find(&sender->outbox, id);
    struct str url = tx_value(tx, slot, row, ENDPOINT_URL);

    if (endpoint == NULL) {
        if ((endpoint = outbox_add(&sender->outbox, id)) == NULL)
            return err_memory(err);
        /* Of one that is here already, this process knows better. */
        endpoint->failures = (int)tx_int(tx, slot, row, ENDPOINT_FAILURES);
        endpoint->pauses = (int)tx_int(tx, slot, row, ENDPOINT_PAUSES);
    }
    free(endpoint->url);
    endpoint->url = strndup(url.ptr, url.len);
    free(endpoint->headers);
    endpoint->headers = open_headers(sender, tx_value(tx, slot, row, ENDPOINT_HEADERS));
    endpoint->ordered = tx_bool(tx, slot, row, ENDPOINT_ORDERED);
    endpoint->n_secrets = 0;
    sender->clock_us = tx_int(tx, slot, row, ENDPOINT_NOW_US) - clock_mono(&clock_system);
    return (endpoint->url != NULL && endpoint->headers != NULL) || err_memory(err);
}

#define SQL_SECRETS                                                                                \
    "select x.endpoint_id, x.id, translate(encode(x.sealed, 'base64'), E'\\n', '') "               \
    "from webhook_endpoint_state s join webhook_secret x on x.endpoint_id = s.endpoint_id "        \
    "where s.owner = $1::uuid and s.claimed_at = now() and (x.expires_at is null or x.expires_at " \
    "> now()) "                                                                                    \
    "order by x.created_at desc"
enum { SECRET_ENDPOINT, SECRET_ID, SECRET_SEALED };

/* One that does not open was sealed under another key: a delivery without any signature fails. */
static void take_secret(struct sender *sender, struct tx *tx, size_t slot, size_t row) {
    struct endpoint *endpoint =
        outbox_find(&sender->outbox, tx_value(tx, slot, row, SECRET_ENDPOINT));
    struct arena arena CLEANUP(arena_release) = {0};
    unsigned char sealed[256];
    size_t len;
    struct str plain;

    arena_init(&arena, 4096);
    if (endpoint == NULL || endpoint->n_secrets == SECRETS_MAX ||
        !base64_decode(tx_value(tx, slot, row, SECRET_SEALED), sealed, sizeof(sealed), &len) ||
        !webhook_secret_open(sender->worker->options.keyring, tx_value(tx, slot, row, SECRET_ID),
                             (struct str){(char *)sealed, len}, &arena, &plain))
        return;
    memcpy(endpoint->secrets[endpoint->n_secrets++], plain.ptr, WEBHOOK_SECRET);
    explicit_bzero((char *)(uintptr_t)plain.ptr, plain.len);
}

#define SQL_CLAIM                                                                                  \
    "select delivery_id, endpoint_id, at_position, n, base, lane, account_id, event_id, "          \
    "event_type, "                                                                                 \
    "to_char(event_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), sequence, "        \
    "traceparent, data, previous "                                                                 \
    "from webhook_claim($1::uuid, $2::uuid[], " BATCH ", " ENDPOINTS ")"
#define SQL_KEYS                                                                                   \
    "select number, sealed from webhook_key where expires_at is null or expires_at > now() "       \
    "order by number desc limit 10"
enum { KEY_NUMBER, KEY_SEALED };

static void take_keys(struct sender *sender, struct tx *tx, size_t slot) {
    struct webhook_key keys[WEBHOOK_KEYS];
    size_t n = tx_rows(tx, slot);

    for (size_t i = 0; i < n && i < WEBHOOK_KEYS; i++)
        keys[i] = (struct webhook_key){tx_int(tx, slot, i, KEY_NUMBER),
                                       tx_value(tx, slot, i, KEY_SEALED)};
    message_keys(&sender->message, sender->worker->options.keyring, keys, n);
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

/* False: no memory. */
static bool take_delivery(struct sender *sender, struct tx *tx, size_t slot, size_t row,
                          const struct full *full) {
    struct endpoint *endpoint = outbox_find(&sender->outbox, tx_value(tx, slot, row, C_ENDPOINT));
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    if (endpoint == NULL || delivery == NULL || !take_body(delivery, tx, slot, row, full)) {
        free(delivery);
        return false;
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
    bool behind = outbox_lane_waits(&sender->outbox, delivery);
    outbox_queue(&sender->outbox, endpoint, delivery);
    /* What failed since the claim was asked for holds back what it brought. */
    if (endpoint->paused || behind)
        outbox_return(&sender->outbox, endpoint, endpoint->paused ? NULL : delivery->account_id);
    return true;
}

/* ---- the transaction, aside
 * ---------------------------------------------------------------------- */

static void queue_settle(struct exchange *x, struct tx *tx) {
    const struct str params[] = {x->me, buf_str(&x->results), buf_str(&x->endpoints)};

    x->settle = SIZE_MAX;
    if (x->endpoints.len > 2)
        x->settle = tx_query(
            tx,
            "select webhook_settle($1::uuid,"
            " array(select r from json_populate_recordset(null::webhook_result, $2::json) r),"
            " array(select e from json_populate_recordset(null::webhook_endpoint_result, "
            "$3::json) e))",
            params, 3);
}

static bool queue_claim(struct exchange *x, struct tx *tx, struct err *err) {
    const struct str known[] = {x->me, buf_str(&x->known)};
    const struct str busy[] = {x->me, buf_str(&x->busy)};

    if (x->known.len > 0)
        tx_query(tx, "select webhook_doubt($1::uuid, $2::uuid[])", known, 2);
    x->claim = tx_query(tx, SQL_CLAIM, busy, 2);
    x->claimed = tx_query(tx, SQL_ENDPOINTS, &x->me, 1);
    x->secrets = tx_query(tx, SQL_SECRETS, &x->me, 1);
    x->keys = tx_query(tx, SQL_KEYS, NULL, 0);
    return full_query(&x->full, tx, x->claim, x->claimed, err);
}

static bool transact(struct exchange *x, struct tx **ret, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;

    if (!(tx = tx_begin(x->worker->options.store, TX_WRITE, &worker_context,
                        deadline_in_ms(EXCHANGE_MS), err)))
        return false;
    queue_settle(x, tx);
    if (x->claims && !queue_claim(x, tx, err))
        return false;
    if (x->kind == EXCHANGE_LEAVE)
        tx_query(tx, "select worker_leave($1::uuid)", &x->me, 1);
    if (!tx_commit(tx, err))
        return false;
    *ret = TAKE(tx);
    return true;
}

static void run(void *arg) {
    struct exchange *x = arg;

    transact(x, &x->tx, &x->err);
    poster_wake(x->worker->poster);
}

/* ---- before and after it
 * ------------------------------------------------------------------------- */

static void clean_up(struct exchange *x) {
    tx_end(&x->tx);
    err_release(&x->err);
    buf_release(&x->results);
    buf_release(&x->endpoints);
    buf_release(&x->busy);
    buf_release(&x->known);
    x->under_way = false;
}

bool exchange_begin(struct sender *sender, enum exchange_kind kind, struct err *err) {
    struct exchange *x = &sender->exchange;

    *x = (struct exchange){.worker = sender->worker,
                           .me = worker_token(sender->worker),
                           .kind = kind,
                           .lapses = sender->lapses,
                           .claims = kind == EXCHANGE_CLAIM && sender->outbox.n_queued < QUEUED_MAX,
                           .err = ERR_INIT};
    buf_init(&x->results, TEXT_MAX);
    buf_init(&x->endpoints, TEXT_MAX);
    buf_init(&x->busy, TEXT_MAX);
    buf_init(&x->known, TEXT_MAX);
    results_write(&sender->outbox, &x->results);
    results_endpoints(&sender->outbox, &x->endpoints);
    results_busy(&sender->outbox, &x->busy);
    /* Claims that this process never heard of, beside what it knows. */
    if (x->claims && sender->doubt)
        results_known(&sender->outbox, &x->known);
    outbox_write(&sender->outbox);
    if (!buf_ok(&x->results) || !buf_ok(&x->endpoints) || !buf_ok(&x->busy) || !buf_ok(&x->known)) {
        outbox_written(&sender->outbox, false);
        clean_up(x);
        return err_memory(err);
    }
    x->under_way = true;
    aside_ask(&sender->worker->exchanges, run, x);
    return true;
}

/* Taken over, disabled or deleted: send nothing more to it. */
static void let_go(struct outbox *outbox, struct str id) {
    struct endpoint *endpoint = outbox_find(outbox, id);

    if (endpoint == NULL)
        return;
    endpoint->paused = true;
    outbox_return(outbox, endpoint, NULL);
}

static bool take_all(struct sender *sender, struct exchange *x, size_t *ret_claimed,
                     struct err *err) {
    size_t n = tx_rows(x->tx, x->claim);

    for (size_t i = 0; i < tx_rows(x->tx, x->claimed); i++)
        if (!take_endpoint(sender, x->tx, x->claimed, i, err))
            return false;
    for (size_t i = 0; i < tx_rows(x->tx, x->secrets); i++)
        take_secret(sender, x->tx, x->secrets, i);
    take_keys(sender, x->tx, x->keys);
    for (size_t i = 0; i < n; i++)
        if (!take_delivery(sender, x->tx, x->claim, i, &x->full))
            return err_memory(err);
    *ret_claimed = n;
    return true;
}

static bool take(struct sender *sender, struct exchange *x, size_t *ret_claimed, struct err *err) {
    outbox_written(&sender->outbox, x->tx != NULL);
    if (x->tx == NULL) {
        sender->doubt = true;
        *err = x->err;
        x->err = (struct err)ERR_INIT;
        return false;
    }
    for (size_t i = 0; x->settle != SIZE_MAX && i < tx_rows(x->tx, x->settle); i++)
        let_go(&sender->outbox, tx_value(x->tx, x->settle, i, 0));
    if (!x->claims)
        return true;
    /* From here on only memory can fail: then what was claimed but not taken is in doubt. */
    sender->doubt = !take_all(sender, x, ret_claimed, err);
    if (*ret_claimed > 0)
        fault_point(sender->worker, "delivery_claimed");
    return !sender->doubt;
}

bool exchange_end(struct sender *sender, size_t *ret_claimed, struct err *err) {
    *ret_claimed = 0;
    bool ok = take(sender, &sender->exchange, ret_claimed, err);
    clean_up(&sender->exchange);
    return ok;
}
