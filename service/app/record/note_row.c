/* Notes for the audit which sensitive areas of its account a record shows. */
#include "app/audit_note.h"
#include "base/audit_note.h"
#include "record/row.h"

void note_row(struct action *action, const struct row *row) {
    enum area area = row_area(row);
    if (area_sensitive(area))
        audit_note(action, area, row->resource->name, row_value(row, "account_id"), row->values[0]);
}
