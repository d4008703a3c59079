/* What a call shows of sensitive areas (area_sensitive()) is noted while its answer is made, and
 * the notes are written before the answer goes out: a write's in its own transaction, a read's in
 * one of their own. When they cannot be written, nothing is answered. */
#ifndef KAMD_APP_AUDIT_NOTE_H
#define KAMD_APP_AUDIT_NOTE_H

#include "app/app.h"

/* Notes that the call shows a record of this area; nothing where the area is not sensitive. The
 * texts must live as long as the call. */
void audit_note(struct action *action, enum area area, const char *resource, struct str account_id,
                struct str record_id);
/* Writes what is noted. False: the answer must not go out. */
bool audit_notes_write(struct action *action, struct err *err);

#endif
