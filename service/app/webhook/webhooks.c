/* Creates, changes, tests and enables webhook endpoints, rotates their secrets, and shows and
 * rotates the keys of public signatures. The URL of an endpoint is checked against the allowed
 * targets before the endpoint is saved. */
#include "app/webhooks.h"

#include "base/write_once.h"
#include "domain/decode.h"
#include "record/batch.h"
#include "remote/signature.h"
#include "remote/target.h"
#include "webhook/signing_key.h"
#include "webhook/webhook_headers.h"

#include <stdio.h>

/* ---- endpoints
 * ----------------------------------------------------------------------------------- */

/* Whatever else is wrong with the document, the decoder says. */
static bool url_allowed(struct action *action, const jv *doc, struct err *err) {
    const struct config *config = action->app->config;
    struct str url = jv_kind(doc) == JV_OBJECT ? jv_text(jv_get(doc, "url")) : STR_ABSENT;
    struct target_policy policy;

    if (url.ptr == NULL)
        return true;
    if (!target_policy_init(&policy, config->webhook_allow_http, str_of(config->webhook_ports),
                            str_of(config->webhook_allowed_cidrs), err))
        return false;
    return webhook_url_check(&policy, url, "/url", err);
}

static bool no_endpoint(struct err *err) {
    return err_set(err, PROBLEM_NOT_FOUND, "There is no such webhook endpoint.");
}

/* Writes one endpoint through the path of all resources, and leaves it in the batch; NULL with an
 * error. */
static struct batch *write_endpoint(struct action *action, struct tx *tx, struct str id,
                                    const jv *given, struct err *err) {
    CLEANUP(batch_release)
    struct batch *batch = batch_new(action, resource_of(RES_WEBHOOK_ENDPOINT), 1, err);
    if (batch == NULL)
        return NULL;
    struct entry *entry = &batch->entries[0];

    batch->single = true;
    entry->kind = id.ptr == NULL ? ENTRY_CREATE : ENTRY_CHANGE;
    entry->id = id;
    entry->unconditional = true;
    entry->given = given;
    if (!batch_write(action, tx, batch, err))
        return NULL;
    return entry->row != NULL || no_endpoint(err) ? TAKE(batch) : NULL;
}

static void show_endpoint(struct action *action, const struct batch *batch,
                          struct outcome *outcome) {
    struct view view;

    view_init(&view);
    view_write(action, &view, batch->entries[0].row, &outcome->body, outcome->etag);
}

static bool create_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    const struct header_values *values = arg;
    CLEANUP(batch_release)
    struct batch *batch = write_endpoint(action, tx, STR_ABSENT, values->doc, err);
    struct str shown;

    if (batch == NULL || !header_values_keep(action, tx, batch->entries[0].id, values, err) ||
        !secret_add(action, tx, batch->entries[0].id, &shown, err) || !tx_flush(tx, err))
        return false;
    show_endpoint(action, batch, outcome);
    secret_show(&outcome->body, shown);
    outcome->status = 201;
    snprintf(outcome->location, sizeof(outcome->location), "/v1/webhook-endpoints/%.*s",
             STR_ARG(batch->entries[0].id));
    return true;
}

bool webhook_endpoint_create(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    if (!url_allowed(action, doc, err))
        return false;
    CLEANUP(header_values_release) struct header_values values;
    return header_values_seal(action, doc, &values, err) &&
           write_once(action, create_work, &values, outcome, err) &&
           secret_reveal(action, &outcome->body, err);
}

struct endpoint_patch {
    struct str id;
    struct header_values values;
};

static bool patch_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    CLEANUP(batch_release)
    struct batch *batch = batch_new(action, resource_of(RES_WEBHOOK_ENDPOINT), 1, err);
    const struct endpoint_patch *patch = arg;

    if (batch == NULL)
        return false;
    batch->single = true;
    batch->entries[0].kind = ENTRY_CHANGE;
    batch->entries[0].id = patch->id;
    batch->entries[0].given = patch->values.doc;
    if (!batch_write(action, tx, batch, err) ||
        !header_values_keep(action, tx, patch->id, &patch->values, err))
        return false;
    if (batch->entries[0].row == NULL)
        return no_endpoint(err);
    show_endpoint(action, batch, outcome);
    return true;
}

bool webhook_endpoint_patch(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    struct endpoint_patch patch = {.id = action_arg(action, "id")};

    if (!url_allowed(action, doc, err))
        return false;
    bool fine = header_values_seal(action, doc, &patch.values, err) &&
                write_once(action, patch_work, &patch, outcome, err);
    header_values_release(&patch.values);
    return fine;
}

/* ---- secrets
 * ------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct field rotate_fields[] = {
    {.name = "grace_seconds", .type = FIELD_INT, .flags = F_NOT_NULL, .min = 0, .max = 604800, .preset = "86400"},
};
/* clang-format on */
static const struct shape rotate_shape = {rotate_fields, COUNT_OF(rotate_fields)};

struct rotation {
    struct str id;
    char grace[16];
};

#define SQL_EXPIRE                                                                                 \
    "with own as materialized (select e.id from webhook_endpoint e where e.id = $1::uuid"          \
    " and e.deleted_at is null and is_callers(e.actor, e.reach)),"                                 \
    " old as (update webhook_secret s set expires_at = now() + make_interval(secs => $2::int)"     \
    " from own where s.endpoint_id = own.id"                                                       \
    " and (s.expires_at is null or s.expires_at > now() + make_interval(secs => $2::int)))"        \
    " select own.id, now() + make_interval(secs => $2::int) from own"

static bool rotate_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    static const struct field time = {.type = FIELD_TIME};
    const struct rotation *rotation = arg;
    const struct str params[] = {rotation->id, str_of(rotation->grace)};
    struct str shown;

    size_t slot = tx_query(tx, SQL_EXPIRE, params, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return no_endpoint(err);
    if (!secret_add(action, tx, rotation->id, &shown, err) || !tx_flush(tx, err))
        return false;
    buf_text(&outcome->body, "{\"id\":");
    buf_json(&outcome->body, tx_value(tx, slot, 0, 0));
    buf_text(&outcome->body, ",\"previous_expire_at\":");
    render_value(&time, tx_value(tx, slot, 0, 1), &outcome->body);
    buf_char(&outcome->body, '}');
    secret_show(&outcome->body, shown);
    return true;
}

static bool read_grace(const jv *doc, struct rotation *ret, struct err *err) {
    CLEANUP(jv_unref) jv *empty = jv_new_object();
    CLEANUP(jv_unref) jv *clean = NULL;

    if (empty == NULL)
        return err_memory(err);
    if (!decode_shape(&rotate_shape, doc == NULL ? empty : doc, "", &clean, err))
        return false;
    const jv *grace = jv_get(clean, "grace_seconds");
    snprintf(ret->grace, sizeof(ret->grace), "%lld",
             grace == NULL ? 86400LL : (long long)jv_int(grace));
    return true;
}

bool webhook_secret_rotate(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    struct rotation rotation = {.id = id};

    if (!uuid_is(id))
        return no_endpoint(err);
    return read_grace(doc, &rotation, err) &&
           write_once(action, rotate_work, &rotation, outcome, err) &&
           secret_reveal(action, &outcome->body, err);
}

/* ---- keys of signatures that anybody can verify ---- */

#define SQL_KEYS                                                                                   \
    "select number, created_at, expires_at, sealed from webhook_key"                               \
    " where expires_at is null or expires_at > now() order by number desc limit 10"
enum { KEY_NUMBER, KEY_CREATED_AT, KEY_EXPIRES_AT, KEY_SEALED };

static void write_keys(struct action *action, struct tx *tx, size_t slot, struct buf *ret) {
    static const struct field time = {.type = FIELD_TIME};

    bool first = true;

    buf_text(ret, "{\"keys\":[");
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        CLEANUP(buf_release) struct buf public = {.max = 100};
        const struct webhook_key key = {tx_int(tx, slot, i, KEY_NUMBER),
                                        tx_value(tx, slot, i, KEY_SEALED)};
        if (!webhook_public_text(action->app->keyring, &key, &public))
            continue; /* it signs nothing either */
        buf_text(ret, first ? "{\"id\":" : ",{\"id\":");
        buf_json(ret, tx_value(tx, slot, i, KEY_NUMBER));
        buf_text(ret, ",\"algorithm\":\"ed25519\",\"public_key\":\"");
        buf_put(ret, buf_str(&public));
        buf_text(ret, "\",\"created_at\":");
        render_value(&time, tx_value(tx, slot, i, KEY_CREATED_AT), ret);
        buf_text(ret, ",\"expires_at\":");
        render_value(&time, tx_value(tx, slot, i, KEY_EXPIRES_AT), ret);
        buf_char(ret, '}');
        first = false;
    }
    buf_text(ret, "]}");
}

bool webhook_keys_show(struct action *action, struct outcome *outcome, struct err *err) {

    CLEANUP(tx_end) struct tx *tx = NULL;

    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, SQL_KEYS, NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    write_keys(action, tx, slot, &outcome->body);
    return true;
}

static bool keys_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    const struct rotation *rotation = arg;
    struct str grace = str_of(rotation->grace);

    size_t made = tx_query(tx, "select number from webhook_key_rotate($1::int)", &grace, 1);
    if (!tx_flush(tx, err) || !secret_keep_seed(action, tx, tx_int(tx, made, 0, 0), err))
        return false;
    size_t slot = tx_query(tx, SQL_KEYS, NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    write_keys(action, tx, slot, &outcome->body);
    return true;
}

bool webhook_keys_rotate(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    struct rotation rotation = {.id = STR_ABSENT};

    return read_grace(doc, &rotation, err) &&
           write_once(action, keys_work, &rotation, outcome, err);
}

/* ---- actions
 * ------------------------------------------------------------------------------------- */

static bool test_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    size_t slot = tx_query(tx, "select webhook_ping($1::uuid)", arg, 1); /* asks whose it is */

    (void)action;
    if (!tx_flush(tx, err))
        return false;
    buf_text(&outcome->body, "{\"event_id\":");
    buf_json(&outcome->body, tx_value(tx, slot, 0, 0));
    buf_char(&outcome->body, '}');
    outcome->status = 202;
    return true;
}

bool webhook_endpoint_test(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    return uuid_is(id) ? write_once(action, test_work, &id, outcome, err) : no_endpoint(err);
}

static bool enable_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    CLEANUP(jv_unref) jv *given = jv_new_object();
    const struct str *id = arg;

    if (given == NULL || !jv_set(given, "state", jv_new_text(STR("enabled"))))
        return err_memory(err);
    CLEANUP(batch_release)
    struct batch *batch = write_endpoint(action, tx, *id, given, err);
    if (batch == NULL)
        return false;
    show_endpoint(action, batch, outcome);
    return true;
}

bool webhook_endpoint_enable(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    return uuid_is(id) ? write_once(action, enable_work, &id, outcome, err) : no_endpoint(err);
}
