/* Makes whole orders of rows that stand in several places of a file: finds these orders first,
 * keeps their rows aside (import_line) until all are there, and joins them. */
#include "base/json.h"
#include "domain/decode.h"
#include "store/array.h"
#include "transfer/import_run.h"

#include <inttypes.h>

#define TAKE_LINES "1001"
#define ID_MAX 255 /* a longer one is refused wherever it stands */

/* ---- which of them stand in several places ---- */

#define SCAN_BYTES "1048576"
#define CHUNK_ORDERS 1000000

/* The orders of a window, each as often as rows of it begin. The last one may go on behind it. */
struct orders {
    jv *ids;            /* owned */
    size_t whole;       /* so many of them do not */
    struct window last; /* where that one begins */
};

static void orders_release(struct orders *orders) { jv_unref(&orders->ids); }

static bool note(struct orders *orders, const struct window *at, struct str id) {
    orders->whole = jv_len(orders->ids);
    orders->last = *at;
    return jv_push(orders->ids, jv_new_text(id));
}

static bool orders_of(struct import *import, struct window *window, struct orders *ret,
                      struct err *err) {
    struct str id = STR_ABSENT; /* of the row before */
    *ret = (struct orders){.ids = jv_new_array(), .last = *window};
    for (;;) {
        CLEANUP(import_row_release) struct import_row row;
        struct window before = *window;
        enum csv_read read = import_row(import, window, true, &row);
        if (read == CSV_MEMORY || !ret->ids)
            return err_memory(err);
        if (read != CSV_RECORD)
            return true;
        if (!row.record && import->header && import->at_byte == 0) {
            import->at_byte = import->scan_byte + (int64_t)window->used; /* behind the header */
            import->at_line = window->line + window->n_lines;
            ret->last = *window;
        }
        struct str now = jv_text(jv_get(row.record, "external_id"));
        if (!row.record || (now.len > 0 && str_eq(now, id)))
            continue;
        id = STR_ABSENT;
        if (now.len == 0 || now.len > ID_MAX)
            continue;
        if (!note(ret, &before, now))
            return err_memory(err);
        id = jv_text(jv_at(ret->ids, ret->whole));
    }
}

static struct str as_array(struct import *import, const jv *ids, size_t n) {
    struct str *texts = arena_array(&import->arena, n + 1, sizeof *texts);
    for (size_t i = 0; texts && i < n; i++)
        texts[i] = jv_text(jv_at(ids, i));
    return texts ? pg_array_param(&import->arena, texts, n) : STR_ABSENT;
}

static bool reads(const struct import *import) {
    return import->scan_byte < import->size && (import->scan_byte > 0 || import->at_byte == 0);
}

/* So many that no statement takes long. */
static int64_t chunks(const struct import *import) {
    return import->scan_orders / CHUNK_ORDERS + 1;
}

bool import_scans(const struct import *import) {
    bool read = import->scan_byte >= import->size;
    return import->resource->id == RES_ORDER &&
           (reads(import) || (read && import->scan_chunks < chunks(import)));
}

static struct str number(struct import *import, int64_t value) {
    return str_of(arena_format(&import->arena, "%" PRId64, value));
}

static bool keep_scan(struct import *import, struct tx *tx, const struct window *window,
                      const struct orders *orders, struct err *err) {
    struct str scan[] = {import->id, number(import, import->scan_byte),
                         as_array(import, orders->ids, orders->whole)};
    struct str state[] = {import->id,
                          number(import, import->scan_byte + (int64_t)window->used),
                          number(import, import->scan_line + window->n_lines),
                          number(import, (int64_t)orders->whole),
                          number(import, import->at_byte),
                          number(import, import->at_line),
                          import->header ? json_param(&import->action, import->header)
                                         : STR_ABSENT};
    struct str progress[] = {import->operation, import->id};
    if (!scan[1].ptr || !scan[2].ptr)
        return err_memory(err);
    for (size_t i = 0; i < COUNT_OF(state) - 1; i++)
        if (!state[i].ptr)
            return err_memory(err);
    tx_query(tx,
             "insert into import_scan (import_id, at_byte, ids) values ($1::uuid, $2::bigint, "
             "$3::text[])",
             scan, COUNT_OF(scan));
    tx_query(tx,
             "update import set scan_byte = $2::bigint, scan_line = $3::bigint, scan_orders = "
             "scan_orders + $4::bigint, at_byte = $5::bigint, at_line = $6::bigint, header = "
             "$7::jsonb, status = 'running', updated_at = now() where id = $1::uuid",
             state, COUNT_OF(state));
    tx_query(tx,
             "update operation set progress_done = 0, progress_total = (select size from import "
             "where id = $2::uuid) where id = $1::uuid",
             progress, COUNT_OF(progress));
    return true;
}

/* Those of the next chunk that begin more than once. */
static bool keep_scattered(struct import *import, struct tx *tx, struct err *err) {
    struct str params[] = {import->id, number(import, chunks(import)),
                           number(import, import->scan_chunks)};
    if (!params[1].ptr || !params[2].ptr)
        return err_memory(err);
    tx_query(tx,
             "insert into import_order (import_id, external_id) select $1::uuid, x.id from (select "
             "unnest(s.ids) collate \"C\" as id from import_scan s where s.import_id = $1::uuid) x "
             "where $2::bigint = 1 or (hashtextextended(x.id, 0) & 2147483647) % $2::bigint = "
             "$3::bigint group by x.id having count(*) > 1",
             params, 3);
    tx_query(tx,
             "update import set scan_chunks = scan_chunks + 1, updated_at = now(), scattered = "
             "exists (select from import_order o where o.import_id = $1::uuid) where id = "
             "$1::uuid",
             params, 1);
    return true;
}

bool import_scan(struct import *import, struct tx *tx, struct str *ret_wrong, struct err *err) {
    static const char *const sizes[] = {SCAN_BYTES, WINDOW_LARGE};
    CLEANUP(orders_release) struct orders orders = {0};
    struct window window = {0};
    *ret_wrong = STR_ABSENT;
    if (!reads(import))
        return keep_scattered(import, tx, err);
    for (size_t i = 0; i < COUNT_OF(sizes) && window.used == 0 && !window.wrong.ptr; i++) {
        orders_release(&orders);
        window =
            (struct window){.byte = import->scan_byte, .line = import->scan_line, .size = sizes[i]};
        if (!import_window(import, tx, &window, err) || !orders_of(import, &window, &orders, err))
            return false;
    }
    /* The last order is left to the next window, unless it is all there is. */
    if (window.last || orders.last.used == 0)
        orders.whole = jv_len(orders.ids);
    else if (!window.wrong.ptr)
        window = orders.last;
    *ret_wrong = window.used > 0 || window.wrong.ptr ? window.wrong : STR(IMPORT_ENDLESS);
    return keep_scan(import, tx, &window, &orders, err);
}

bool import_look_apart(struct import *import, struct tx *tx, struct window window,
                       struct err *err) {
    CLEANUP(orders_release) struct orders orders = {0};
    jv_unref(&import->apart);
    import->apart = jv_new_object();
    if (!import->apart)
        return err_memory(err);
    if (!import->scattered)
        return true;
    if (!orders_of(import, &window, &orders, err))
        return false;
    struct str params[] = {import->id, as_array(import, orders.ids, jv_len(orders.ids))};
    if (!params[1].ptr)
        return err_memory(err);
    size_t slot = tx_query(tx,
                           "select x.external_id from unnest($2::text[]) w(id) cross join lateral "
                           "(select o.external_id from import_order o where o.import_id = "
                           "$1::uuid and o.external_id = w.id offset 0) x",
                           params, 2);
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < tx_rows(tx, slot); i++)
        if (!jv_set(import->apart, tx_value(tx, slot, i, 0).ptr, jv_new_bool(true)))
            return err_memory(err);
    return true;
}

/* ---- their rows ---- */

bool import_keep_apart(struct import *import, struct tx *tx, struct import_rows *rows,
                       struct err *err) {
    if (rows->apart.len == 0)
        return true;
    buf_char(&rows->apart, ']');
    struct str params[] = {import->id, arena_str(&import->arena, buf_str(&rows->apart))};
    if (!buf_ok(&rows->apart) || !params[1].ptr)
        return err_memory(err);
    tx_query(
        tx,
        "insert into import_line (import_id, external_id, line, record, refused) select "
        "$1::uuid, r.external_id, r.line, r.record, nullif(r.refused::text, 'null')::json from "
        "json_to_recordset($2::json) r(external_id text, line bigint, record json, refused "
        "json)",
        params, 2);
    return true;
}

#define LINES_SQL                                                                                  \
    "select external_id, line, record, refused, ends"                                              \
    " from import_lines_next($1::uuid, $2, " TAKE_LINES ", " WINDOW_LARGE ")"
enum { LINE_ORDER, LINE_NO, LINE_RECORD, LINE_REFUSED, LINE_ENDS };

static bool read_row(struct tx *tx, size_t slot, size_t i, struct import_row *ret,
                     struct err *err) {
    struct str refused = tx_value(tx, slot, i, LINE_REFUSED);
    *ret = (struct import_row){.line = tx_int(tx, slot, i, LINE_NO)};
    return json_read(tx_value(tx, slot, i, LINE_RECORD), JSON_TOKENS * 10, &ret->record, err) &&
           (!refused.ptr || json_read(refused, JSON_TOKENS, &ret->refused, err));
}

bool import_take_apart(struct import *import, struct tx *tx, struct import_rows *ret,
                       struct err *err) {
    struct str params[] = {import->id, import->joined_to};
    size_t slot = tx_query(tx, LINES_SQL, params, 2);
    bool whole = true; /* the last order */
    if (!tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < tx_rows(tx, slot) && !(whole && ret->n == IMPORT_RECORDS); i++) {
        CLEANUP(import_row_release) struct import_row row = {0};
        if (!read_row(tx, slot, i, &row, err))
            return false;
        if (whole)
            import_add(import, ret, &row);
        else
            import_join(import, ret, &row);
        whole = tx_bool(tx, slot, i, LINE_ENDS);
    }
    if (!whole && ret->n > 1)
        import_row_release(&ret->of[--ret->n]); /* the rest of it is in the next step */
    else if (!whole && !ret->of[0].refused)
        import_refuse(&ret->of[0], "lines", "too_long",
                      "The rows of the order are longer than 4 MiB together.");
    ret->joined_to = ret->n > 0 ? ret->ids[ret->n - 1] : STR_ABSENT;
    return import_sort_lines(import, ret) || err_memory(err);
}
