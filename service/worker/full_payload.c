/* Reads the records that webhooks with payload "full" include, one query per resource, and writes
 * them as JSON with only the areas that the endpoint's owner may see. */
#include "full_payload.h"

#include "claim_columns.h"

#include "domain/render.h"
#include "store/record.h"

#include <string.h>

#define IDS_MAX (4 << 20)

enum wanted_column { W_DELIVERY, W_RESOURCE, W_RECORD, W_AREAS };

static bool is_full(struct tx *tx, size_t endpoints, struct str id) {
    for (size_t i = 0; i < tx_rows(tx, endpoints); i++)
        if (str_eq(tx_value(tx, endpoints, i, ENDPOINT_ID), id))
            return tx_bool(tx, endpoints, i, ENDPOINT_FULL);
    return false;
}

static void add_id(struct buf *ret, struct str id) {
    buf_char(ret, ret->len == 0 ? '{' : ',');
    buf_put(ret, id);
}

static bool query_with(struct tx *tx, const char *sql, struct buf *ids, size_t *ret_slot,
                       struct err *err) {
    buf_char(ids, '}');
    if (!buf_ok(ids))
        return err_memory(err);
    *ret_slot = tx_query(tx, sql, (struct str[]){buf_str(ids)}, 1);
    return true;
}

static bool query_records(struct full *full, struct tx *tx, enum resource_id id, struct err *err) {
    struct buf ids CLEANUP(buf_release) = {0};
    const char *name = resource_of(id)->name;

    buf_init(&ids, IDS_MAX);
    for (size_t i = 0; i < tx_rows(tx, full->wanted); i++)
        if (str_is(tx_value(tx, full->wanted, i, W_RESOURCE), name))
            add_id(&ids, tx_value(tx, full->wanted, i, W_RECORD));
    full->records[id] = SIZE_MAX;
    return ids.len == 0 ||
           query_with(tx, record_sql(id, false)->get, &ids, &full->records[id], err);
}

bool full_query(struct full *full, struct tx *tx, size_t claim, size_t endpoints, struct err *err) {
    struct buf ids CLEANUP(buf_release) = {0};

    full->any = false;
    buf_init(&ids, IDS_MAX);
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < tx_rows(tx, claim); i++)
        if (is_full(tx, endpoints, tx_value(tx, claim, i, C_ENDPOINT)))
            add_id(&ids, tx_value(tx, claim, i, C_DELIVERY));
    if (ids.len == 0)
        return true;
    full->any = true;
    if (!query_with(
            tx, "select delivery_id, resource, record_id, areas from webhook_records($1::uuid[])",
            &ids, &full->wanted, err) ||
        !tx_flush(tx, err))
        return false;
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++)
        if (!query_records(full, tx, id, err))
            return false;
    return true;
}

static void write_record(const struct full *full, struct tx *tx, size_t at, struct buf *ret) {
    struct str values[64]; /* as many as a field_set has */
    const struct resource *resource =
        resource_by_name(tx_value(tx, full->wanted, at, W_RESOURCE).ptr);
    struct str id = tx_value(tx, full->wanted, at, W_RECORD);
    int64_t areas = tx_int(tx, full->wanted, at, W_AREAS);
    size_t slot = resource == NULL ? SIZE_MAX : full->records[resource->id];

    for (size_t i = 0; slot != SIZE_MAX && areas != 0 && i < tx_rows(tx, slot); i++) {
        if (!str_eq(tx_value(tx, slot, i, 0), id))
            continue;
        for (size_t c = 0; c < resource->n_fields && c < COUNT_OF(values); c++)
            values[c] = tx_value(tx, slot, i, c);
        buf_char(ret, '{');
        render_fields(resource, values, fields_in(resource, (area_set)areas), ret);
        buf_char(ret, '}');
        return;
    }
    buf_text(ret, "null");
}

void full_record(const struct full *full, struct tx *tx, struct str delivery_id, struct buf *ret) {
    for (size_t i = 0; full->any && i < tx_rows(tx, full->wanted); i++)
        if (str_eq(tx_value(tx, full->wanted, i, W_DELIVERY), delivery_id)) {
            write_record(full, tx, i, ret);
            return;
        }
}
