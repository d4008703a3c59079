/* Notes of what a call shows of sensitive areas, as its rows are rendered. Private to the app
 * layer. */
#ifndef KAMD_APP_BASE_AUDIT_NOTE_H
#define KAMD_APP_BASE_AUDIT_NOTE_H

#include "app/audit_note.h"
#include "base/transaction.h"

/* The sections that a document of a plan holds. */
void note_sections(struct action *action, struct str plan_id, struct str document);
/* As audit_note(), whatever the area. */
void audit_note_always(struct action *action, enum area area, const char *resource,
                       struct str account_id, struct str record_id);
/* The notes as a statement of a write's transaction. */
bool notes_queue(struct action *action, struct tx *tx, struct err *err);

#endif
