/* Replaces the values of a webhook endpoint's own HTTP headers by references (`sealed:<id>`) and
 * keeps the values sealed in a table of their own, because most of them are tokens. */
#include "webhook/webhook_headers.h"

#include "domain/check.h"
#include "remote/signature.h"
#include "store/array.h"

#include <stdio.h>
#include <string.h>

static bool refuse(struct err *err, size_t at) {
    char where[64];
    snprintf(where, sizeof where, "/headers/%zu/value", at);
    return err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "unknown_reference",
                   "What begins with `sealed:` must be a value that this endpoint has.");
}

static bool seal(struct action *action, struct header_values *values, struct str plain,
                 struct str *ret_reference) {
    CLEANUP(buf_release) struct buf sealed = {.max = 2048};
    CLEANUP(buf_release) struct buf text = {.max = 4200};
    char id[UUID_TEXT], context[WEBHOOK_HEADER_CONTEXT];
    struct uuid uuid = uuid_v7(action->app->clock, action->app->randomness);

    uuid_text(&uuid, id);
    keyring_seal(action->app->keyring,
                 (struct seal){CRYPTO_SECRETS, webhook_header_context(str_of(id), context)}, plain,
                 &sealed);
    buf_text(&text, "\\x");
    buf_hex(&text, sealed.ptr, sealed.len);
    if (!buf_ok(&sealed) || !buf_ok(&text))
        return false;
    values->ids[values->n] = arena_str(action->arena, str_of(id));
    values->sealed[values->n] = arena_str(action->arena, buf_str(&text));
    *ret_reference = str_of(arena_format(action->arena, WEBHOOK_SEALED "%s", id));
    return values->ids[values->n].ptr && values->sealed[values->n++].ptr && ret_reference->ptr;
}

static bool seal_one(struct action *action, jv *header, size_t at, struct header_values *values,
                     struct err *err) {
    struct str value = jv_kind(header) == JV_OBJECT ? jv_text(jv_get(header, "value")) : STR_ABSENT;
    struct str reference;
    if (!value.ptr || check_header_value(value))
        return true;
    if (str_starts(value, WEBHOOK_SEALED)) {
        struct str id = {value.ptr + strlen(WEBHOOK_SEALED), value.len - strlen(WEBHOOK_SEALED)};
        if (!uuid_is(id))
            return refuse(err, at);
        values->kept[values->n_kept++] = arena_str(action->arena, id);
        return true;
    }
    return (seal(action, values, value, &reference) &&
            jv_set(header, "value", jv_new_text(reference))) ||
           err_memory(err);
}

bool header_values_seal(struct action *action, const jv *given, struct header_values *ret,
                        struct err *err) {
    *ret = (struct header_values){.doc = jv_copy(given)};
    if (!ret->doc)
        return err_memory(err);
    jv *headers = jv_kind(ret->doc) == JV_OBJECT ? jv_get(ret->doc, "headers") : NULL;
    size_t n = headers && jv_kind(headers) == JV_ARRAY ? jv_len(headers) : 0;
    for (size_t i = 0; i < n && i < HEADERS_MAX; i++)
        if (!seal_one(action, jv_at(headers, i), i, ret, err))
            return false;
    return true;
}

void header_values_release(struct header_values *values) { jv_unref(&values->doc); }

#define SQL_FORGET                                                                                 \
    "delete from webhook_header v where v.endpoint_id = $1::uuid and not exists (select from "     \
    "webhook_endpoint e, jsonb_array_elements(e.headers) h where e.id = v.endpoint_id and "        \
    "h ->> 'value' = '" WEBHOOK_SEALED "' || v.id)"

bool header_values_keep(struct action *action, struct tx *tx, struct str endpoint_id,
                        const struct header_values *values, struct err *err) {
    if (jv_kind(values->doc) != JV_OBJECT || !jv_get(values->doc, "headers"))
        return true;
    struct str params[] = {endpoint_id, pg_array_param(action->arena, values->ids, values->n),
                           pg_array_param(action->arena, values->sealed, values->n)};
    struct str asked[] = {endpoint_id, pg_array_param(action->arena, values->kept, values->n_kept)};
    if (values->n > 0)
        tx_query(tx,
                 "insert into webhook_header (id, endpoint_id, sealed) select x.id, $1::uuid, "
                 "x.sealed from unnest($2::uuid[], $3::bytea[]) x (id, sealed)",
                 params, 3);
    size_t slot = tx_query(tx,
                           "select count(distinct id) from webhook_header where endpoint_id = "
                           "$1::uuid and id = any ($2::uuid[])",
                           asked, 2);
    tx_query(tx, SQL_FORGET, params, 1);
    if (!tx_flush(tx, err))
        return false;
    return values->n_kept == 0 || tx_int(tx, slot, 0, 0) == (int64_t)values->n_kept ||
           refuse(err, 0);
}
