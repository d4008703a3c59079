/* CSV (RFC 4180). Private to the app layer. */
#ifndef KAMD_APP_BASE_CSV_H
#define KAMD_APP_BASE_CSV_H

#include "core/buf.h"

/* A cell that a spreadsheet would take for a formula gets an apostrophe before it. */
void csv_cell(struct str text, struct buf *ret);
/* The text of a cell that csv_cell() wrote. */
struct str csv_plain(struct str cell);

#endif
