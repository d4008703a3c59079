/* Many records in one call, by our ids. */
#ifndef KAMD_APP_BULK_H
#define KAMD_APP_BULK_H

#include "app/records.h"

#define BULK_MAX 200
/* {all_or_none, records[{id?, ...}]}: without id created, with id changed. */
use_case record_bulk;

#endif
