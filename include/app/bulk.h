/* Many records in one call, by our ids. */
#ifndef KAMD_APP_BULK_H
#define KAMD_APP_BULK_H

#include "app/records.h"

#define BULK_MAX 200
/* What becomes of a record, the first of them nothing yet (""); NULL-terminated. */
extern const char *const bulk_outcomes[];
/* {all_or_none, records[{id?, ...}]}: without id created, with id changed. */
use_case record_bulk;

#endif
