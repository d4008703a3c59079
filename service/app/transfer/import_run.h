/* The steps of an import's operation. Private to the app layer. */
#ifndef KAMD_APP_TRANSFER_IMPORT_RUN_H
#define KAMD_APP_TRANSFER_IMPORT_RUN_H

#include "app/imports.h"
#include "domain/csv_read.h"
#include "sync/bulk.h"

#define IMPORT_RECORDS 200

struct import {
    struct app *app;
    struct arena arena;
    struct principal who;
    struct action action;
    struct str operation, token, id;
    const struct resource *resource;
    struct str system, format, status;
    bool dry_run, admin;           /* `admin`: whether its maker is one */
    jv *presets, *header, *counts; /* owned */
    int64_t at_byte, at_line, size;
    struct str *cells; /* room for those of a row, once one was read */
    /* Of orders: import_orders.c */
    int64_t scan_byte, scan_line, scan_orders, scan_chunks;
    bool scattered;       /* some stand in several places */
    struct str joined_to; /* of those, the ones up to this are written */
    jv *apart;            /* owned; {external id: true}: those in the window */
};

bool import_open(struct import *ret, const struct taken_operation *operation, bool *ret_found,
                 struct err *err);
void import_close(struct import *import);
/* A transaction in which the operation is this worker's alone; *ret stays NULL when it is not. */
bool import_begin(struct import *import, struct tx **ret, struct err *err);
/* Commits, and replaces what was cached of the records. */
bool import_commit(struct import *import, struct tx *tx, struct err *err);
/* Both are over. `status` of the import; `failure` may be absent. */
void import_end(struct import *import, struct tx *tx, const char *status, struct str failure);

/* ---- from the file to records: import_file.c, import_row.c, import_rows.c ---- */

#define WINDOW_SMALL "131072"
#define WINDOW_LARGE "4194304" /* for a record that the other is too small for */
#define IMPORT_ENDLESS "A record is longer than 4 MiB, or never ends."

/* A piece of the file, and how far it was read. */
struct window {
    int64_t byte;     /* where it begins */
    const char *size; /* bytes at most */
    struct str text;
    bool last;    /* nothing follows */
    int64_t line; /* lines before it */
    size_t used;
    int64_t n_lines;
    struct str wrong; /* it cannot be read any further; absent: it can */
};
/* Reads it: `byte`, `line` and `size` are set. */
bool import_window(struct import *import, struct tx *tx, struct window *window, struct err *err);

/* A record of the file; in CSV one line of an order is one. */
struct import_row {
    jv *record;  /* owned */
    jv *refused; /* owned; {field, code, detail}: sync is not asked; NULL: it is */
    jv *line_of; /* owned; of an order: {field: line that says it, where that is not the first},
                    "lines" has that of each of them */
    size_t used, n_lines; /* bytes and lines of the file */
    int64_t line;         /* in the file */
};
void import_row_release(struct import_row *row);
void import_refuse(struct import_row *row, const char *field, const char *code, const char *detail,
                   ...) PRINTF_LIKE(4, 5);
/* At most 40 bytes of it, for a sentence. */
struct str import_shown(struct str text);
/* The next record; none for an empty line and the header. `ids_only`: its external id is all that
 * is looked at. CSV_MORE: what is left of the window is not a whole one. */
enum csv_read import_row(struct import *import, struct window *window, bool ids_only,
                         struct import_row *ret);

struct import_rows {
    struct window window;
    struct import_row of[IMPORT_RECORDS];
    struct str ids[IMPORT_RECORDS]; /* external ids; borrowed from the records */
    size_t n;
    struct buf apart;     /* rows to be kept aside: a JSON array of import_line, without its end */
    struct str joined_to; /* the last order of those that were kept aside, and are here */
};
void import_rows_release(struct import_rows *rows);
/* Takes over what `row` has. */
void import_add(const struct import *import, struct import_rows *rows, struct import_row *row);
/* It is kept aside, until all rows of its order are there. */
void import_put_apart(struct import_rows *rows, const struct import_row *row);
/* Up to IMPORT_RECORDS whole records of the window; none when it is too small for one. */
bool import_rows(struct import *import, struct import_rows *ret, struct err *err);

/* ---- orders: import_orders.c ---- */

/* It is not known yet which of them stand in several places. */
bool import_scans(const struct import *import);
bool import_scan(struct import *import, struct tx *tx, struct str *ret_wrong, struct err *err);
/* Which of those of the window do. */
bool import_look_apart(struct import *import, struct tx *tx, struct window window, struct err *err);
bool import_keep_apart(struct import *import, struct tx *tx, struct import_rows *rows,
                       struct err *err);
/* Those whose rows were kept aside; none when all are written. */
bool import_take_apart(struct import *import, struct tx *tx, struct import_rows *ret,
                       struct err *err);

/* ---- rows of one order: import_join.c ---- */

/* Another row of the last order. */
void import_join(struct import *import, struct import_rows *rows, struct import_row *row);
/* By line_no, so that it does not matter where they stood. */
bool import_sort_lines(struct import *import, struct import_rows *rows);

#endif
