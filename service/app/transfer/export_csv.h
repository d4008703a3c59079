/* Records as lines of CSV, which an import takes back. Private to the app layer. */
#ifndef KAMD_APP_TRANSFER_EXPORT_CSV_H
#define KAMD_APP_TRANSFER_EXPORT_CSV_H

#include "record/view.h"

/* The names of the columns. Orders have a row for each of their lines. */
void export_csv_head(const struct resource *resource, field_set fields, struct buf *ret);
bool export_csv_row(field_set fields, const struct row *row, struct buf *ret, struct err *err);
/* {column: field} for an import of such a file (CSV), or of NDJSON: ids become external ids, what
 * kamd keeps by itself is left out. */
void export_columns(const struct resource *resource, bool csv, struct buf *ret);

#endif
