/* Collects the records of a window of the file that one step of an import writes. */
#include "base/csv.h"
#include "domain/salesforce_id.h"
#include "transfer/import_run.h"

#define APART_MAX ((size_t)1 << 20) /* bytes that a step keeps aside */
#define STEP_BYTES ((size_t)256 << 10)

static struct str id_of(const jv *record) { return jv_text(jv_get(record, "external_id")); }

/* A record that is there already goes into the next step, so that the last one counts; one whose
 * parent is there, too, so that it finds it. */
static bool follows(const struct import_rows *rows, const jv *record) {
    for (void *it = jv_first(record); it; it = jv_next(record, it)) {
        struct str id = jv_text(jv_value(it));
        if (!id.ptr || !str_ends(str_of(jv_key(it)), "external_id"))
            continue;
        for (size_t i = 0; i < rows->n; i++)
            if (str_eq(rows->ids[i], id))
                return true;
    }
    return false;
}

static bool full(const struct import_rows *rows) {
    return rows->n == IMPORT_RECORDS ||
           ((rows->n > 0 || rows->apart.len > 0) &&
            (rows->window.used > STEP_BYTES || rows->apart.len > APART_MAX));
}

enum taken { ADDED, JOINED, APART, LATER };

static enum taken take(struct import *import, struct import_rows *rows, struct import_row *row) {
    struct str id = id_of(row->record);
    bool order = import->resource->id == RES_ORDER && id.ptr;
    if (order && rows->n > 0 && str_eq(rows->ids[rows->n - 1], id)) {
        import_join(import, rows, row);
        return JOINED;
    }
    if (full(rows))
        return LATER;
    if (order && jv_get(import->apart, id.ptr)) {
        import_put_apart(rows, row);
        return APART;
    }
    if (follows(rows, row->record))
        return LATER;
    import_add(import, rows, row);
    return ADDED;
}

bool import_rows(struct import *import, struct import_rows *ret, struct err *err) {
    struct window *window = &ret->window, last = *window; /* as before the last record */
    enum taken taken = APART;
    enum csv_read read;
    buf_init(&ret->apart, (size_t)64 << 20);
    for (;;) {
        CLEANUP(import_row_release) struct import_row row;
        struct window before = *window;
        read = import_row(import, window, false, &row);
        if (read != CSV_RECORD)
            break;
        if (!row.record)
            continue;
        taken = take(import, ret, &row);
        if (taken == ADDED)
            last = before;
        if (taken == LATER) {
            *window = before;
            break;
        }
    }
    /* The last order may have further lines behind the window. */
    if (read == CSV_MORE && !window->last && import->resource->id == RES_ORDER && taken != APART) {
        import_row_release(&ret->of[--ret->n]);
        *window = last;
    }
    return (read != CSV_MEMORY && buf_ok(&ret->apart) && import_sort_lines(import, ret)) ||
           err_memory(err);
}
