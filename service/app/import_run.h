/* The steps of an import's operation. Private to the app layer. */
#ifndef KAMD_APP_IMPORT_RUN_H
#define KAMD_APP_IMPORT_RUN_H

#include "app/imports.h"
#include "bulk.h"
#include "domain/csv_read.h"

#define IMPORT_RECORDS 200

struct import {
    struct app *app;
    struct arena arena;
    struct principal who;
    struct action action;
    struct str operation, token, id;
    const struct resource *resource;
    struct str system, format, status;
    bool dry_run;
    jv *presets, *header, *counts; /* owned */
    int64_t at_byte, at_line, size;
    struct str *cells; /* room for those of a row, once one was read */
};

bool import_open(struct import *ret, struct app *app, struct str operation, struct str token,
                 bool *ret_found, struct err *err);
void import_close(struct import *import);
/* A transaction in which the operation is this worker's alone; *ret stays NULL when it is not. */
bool import_begin(struct import *import, struct tx **ret, struct err *err);
/* Commits, and replaces what was cached of the records. */
bool import_commit(struct import *import, struct tx *tx, struct err *err);
/* Both are over. `status` of the import; `failure` may be absent. */
void import_end(struct import *import, struct tx *tx, const char *status, struct str failure);

/* ---- from the file to records: import_rows.c ---- */

/* A piece of the file, and how far it was read. */
struct window {
    struct str text;
    bool last;    /* nothing follows */
    int64_t line; /* lines before it */
    size_t used;
    int64_t n_lines;
    struct str wrong; /* it cannot be read any further; absent: it can */
};

/* A record of the file; in CSV one line of an order is one. */
struct import_row {
    jv *record;   /* owned */
    jv *refused;  /* owned; {field, code, detail}: sync is not asked; NULL: it is */
    int64_t line; /* in the file */
};

struct rows {
    struct window window;
    struct import_row of[IMPORT_RECORDS];
    struct str ids[IMPORT_RECORDS]; /* external ids; borrowed from the records */
    size_t n;
};
void import_rows_release(struct rows *rows);
/* Up to IMPORT_RECORDS whole records of the window; none when it is too small for one. */
bool import_rows(struct import *import, struct rows *ret, struct err *err);

#endif
