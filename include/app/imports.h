/* Files of records, in parts: CSV or NDJSON, upserted by external id, as sync does, by a worker
 * that may die at any time. */
#ifndef KAMD_APP_IMPORTS_H
#define KAMD_APP_IMPORTS_H

#include "app/operation.h"
#include "app/records.h"

extern const char *const import_formats[]; /* NULL-terminated */
extern const char *const import_presets[]; /* NULL-terminated */
/* {resource, system, format, dry_run, preset, columns, values, source, content}: 201 with the
 * import; `content` is the one part of a small file. */
use_case import_create;
use_case import_list;
use_case import_get;
/* The same part again replaces it; once it is started nothing is taken any more. */
use_case import_part_put;
/* 202 with the operation that reads it, which has the import's id. */
use_case import_start;
/* What was refused, by line; parameters page_size, cursor, format (json, csv). */
use_case import_errors;
/* 202 with an operation that takes back what the import made and changed. */
use_case import_revert;

/* For the worker. One step of an operation that it has taken: some hundred records in one
 * transaction, with how far it came. *ret_more: go on. */
bool import_step(const struct taken_operation *operation, bool *ret_more, struct err *err);
bool import_revert_step(const struct taken_operation *operation, bool *ret_more, struct err *err);

#endif
