/* Joins the rows of a file that belong to one order into the order with its lines. */
#include "base/json.h"
#include "domain/decode.h"
#include "transfer/import_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 1000 /* of one order */

/* The line of the file that says it of the order. */
static int64_t said_at(const struct import_row *order, const char *field) {
    const jv *line = jv_get(order->line_of, field);
    return line ? jv_int(line) : order->line;
}

static struct str shown(struct import *import, const jv *value) {
    CLEANUP(buf_release) struct buf text;
    buf_init(&text, (size_t)8 << 20);
    if (value && !jv_text(value).ptr)
        jv_write(value, &text);
    struct str whole = jv_text(value).ptr ? jv_text(value)
                       : value            ? buf_str(&text)
                                          : STR("nothing");
    return arena_str(&import->arena, import_shown(whole));
}

static bool contradicts(struct import *import, struct import_row *order, const char *field,
                        const struct import_row *row) {
    struct str before = shown(import, jv_get(order->record, field)),
               now = shown(import, jv_get(row->record, field));
    import_refuse(order, field, "contradiction",
                  "Line %" PRId64 " says %.*s, and line %" PRId64 " %.*s of the same order.",
                  row->line, STR_ARG(now), said_at(order, field), STR_ARG(before));
    return false;
}

/* As it can be compared; absent when there is none. */
static struct str stamp_of(struct import *import, const jv *record) {
    static const struct field fields[] = {{.name = "system_modstamp", .type = FIELD_TIME}};
    static const struct shape shape = {fields, COUNT_OF(fields)};
    struct err ignored CLEANUP(err_release) = ERR_INIT;
    CLEANUP(jv_unref) jv *said = jv_new_object();
    CLEANUP(jv_unref) jv *clean = NULL;
    jv *stamp = jv_get(record, fields[0].name);
    if (!stamp || !jv_set(said, fields[0].name, jv_ref(stamp)) ||
        !decode_shape(&shape, said, "", &clean, &ignored))
        return STR_ABSENT;
    return arena_str(&import->arena, jv_text(jv_get(clean, fields[0].name)));
}

/* What a row says of the order is what the others say of it, or what none has said yet. */
static bool agrees(struct import *import, struct import_row *order, const struct import_row *row) {
    static const char gone[] = "is_deleted", stamp[] = "system_modstamp";
    if (jv_bool(jv_get(order->record, gone)) != jv_bool(jv_get(row->record, gone)))
        return contradicts(import, order, gone, row);
    for (void *it = jv_first(row->record); it; it = jv_next(row->record, it)) {
        const char *field = jv_key(it);
        const jv *before = jv_get(order->record, field);
        if (strcmp(field, "lines") == 0 || (before && jv_equal(before, jv_value(it))))
            continue;
        if (before && strcmp(field, stamp) == 0) { /* lines have one of their own */
            struct str old = stamp_of(import, order->record), new = stamp_of(import, row->record);
            if (!old.ptr || (new.ptr &&strcmp(new.ptr, old.ptr) < 0))
                continue;
        } else if (before) {
            return contradicts(import, order, field, row);
        }
        jv_set(order->record, field, jv_ref(jv_value(it)));
        jv_set(order->line_of, field, jv_new_int(row->line));
    }
    return true;
}

static void join_lines(struct import_row *order, const struct import_row *row) {
    jv *lines = jv_get(order->record, "lines"), *more = jv_get(row->record, "lines");
    if (jv_len(lines) + jv_len(more) > LINES_MAX) {
        import_refuse(order, "lines", "too_long",
                      "The order has more than %d lines; line %" PRId64 " is one too many.",
                      LINES_MAX, row->line);
        return;
    }
    if (more && (!lines || jv_kind(more) != JV_ARRAY)) /* what is no list is refused as such */
        jv_set(order->record, "lines", lines = jv_ref(more));
    for (size_t i = 0; i < jv_len(more); i++) {
        if (lines != more)
            jv_push(lines, jv_ref(jv_at(more, i)));
        jv_push(jv_get(order->line_of, "lines"), jv_new_int(row->line));
    }
}

/* A record of NDJSON is the whole order: the one that was changed last counts. */
static void replace(struct import *import, struct import_rows *rows, struct import_row *row) {
    struct import_row *order = &rows->of[rows->n - 1];
    struct str old = stamp_of(import, order->record), new = stamp_of(import, row->record);
    if (jv_equal(order->record, row->record))
        return;
    if (!old.ptr || !new.ptr) {
        import_refuse(order, "external_id", "duplicate",
                      "Lines %" PRId64 " and %" PRId64
                      " are the same order, and it is not known which "
                      "counts: one has no system_modstamp.",
                      order->line, row->line);
    } else if (strcmp(new.ptr, old.ptr) >= 0) {
        import_row_release(order);
        rows->n--;
        import_add(import, rows, row);
    }
}

void import_join(struct import *import, struct import_rows *rows, struct import_row *row) {
    struct import_row *order = &rows->of[rows->n - 1];
    if (order->refused)
        return;
    if (row->refused)
        order->refused = jv_ref(row->refused);
    else if (!str_is(import->format, "csv"))
        replace(import, rows, row);
    else if (agrees(import, order, row))
        join_lines(order, row);
}

struct place {
    int64_t no;
    size_t nth;
};

static int by_number(const void *left, const void *right) {
    const struct place *a = left, *b = right;
    return a->no != b->no ? (a->no > b->no) - (a->no < b->no)
                          : (a->nth > b->nth) - (a->nth < b->nth);
}

static bool move(jv *object, const struct place *places, size_t n) {
    jv *old = jv_get(object, "lines"), *sorted = jv_new_array();
    bool fine = true;
    for (size_t i = 0; i < n && fine; i++)
        fine = jv_push(sorted, jv_ref(jv_at(old, places[i].nth)));
    return jv_set(object, "lines", sorted) && fine;
}

static bool sort_lines(struct import *import, struct import_row *order) {
    const jv *lines = jv_get(order->record, "lines");
    size_t n = jv_len(lines);
    struct place *places = arena_array(&import->arena, n + 1, sizeof *places);
    bool sorted = true;
    for (size_t i = 0; places && i < n; i++) {
        places[i] = (struct place){jv_int(jv_get(jv_at(lines, i), "line_no")), i};
        sorted = sorted && (i == 0 || places[i - 1].no <= places[i].no);
    }
    if (!places || sorted)
        return places != NULL;
    qsort(places, n, sizeof *places, by_number);
    return move(order->record, places, n) && move(order->line_of, places, n);
}

bool import_sort_lines(struct import *import, struct import_rows *rows) {
    for (size_t i = 0; i < rows->n; i++)
        if (rows->of[i].line_of && !sort_lines(import, &rows->of[i]))
            return false;
    return true;
}
