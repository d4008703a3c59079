/* Collects which sensitive areas of which accounts an answer shows, while it is written, and
 * writes the list to the audit before the answer goes out. */
#include "base/audit_note.h"

#include "app/audit_note.h"

#include <string.h>

/* The same resource of the same account shown twice is one note that counts. */
static struct audit_note *find(struct audit_notes *notes, const struct audit_note *like) {
    for (size_t i = notes->n; i-- > 0;)
        if (notes->list[i].area == like->area &&
            strcmp(notes->list[i].resource, like->resource) == 0 &&
            str_eq(notes->list[i].account_id, like->account_id))
            return &notes->list[i];
    return NULL;
}

static bool grow(struct action *action) {
    struct audit_notes *notes = &action->notes;
    size_t room = notes->room == 0 ? 8 : notes->room * 2;
    struct audit_note *list = arena_array(action->arena, room, sizeof *list);
    if (!list)
        return false;
    if (notes->n > 0)
        memcpy(list, notes->list, notes->n * sizeof *list);
    notes->list = list;
    notes->room = room;
    return true;
}

void audit_note_always(struct action *action, enum area area, const char *resource,
                       struct str account_id, struct str record_id) {
    struct audit_notes *notes = &action->notes;
    struct audit_note note = {area, resource, account_id, record_id, 1};
    struct audit_note *same = find(notes, &note);
    if (same) {
        if (!str_eq(same->record_id, record_id)) {
            same->record_id = STR_ABSENT;
            same->records++;
        }
        return;
    }
    /* Rows live in their transaction only. */
    if (account_id.ptr)
        note.account_id = arena_str(action->arena, account_id);
    if (record_id.ptr)
        note.record_id = arena_str(action->arena, record_id);
    notes->lost |= (account_id.ptr && !note.account_id.ptr) ||
                   (record_id.ptr && !note.record_id.ptr) ||
                   (notes->n == notes->room && !grow(action));
    if (!notes->lost)
        notes->list[notes->n++] = note;
}

void audit_note(struct action *action, enum area area, const char *resource, struct str account_id,
                struct str record_id) {
    if (area_sensitive(area))
        audit_note_always(action, area, resource, account_id, record_id);
}

static const enum area section_areas[] = {AREA_LEADER_PERCEPTIONS, AREA_VALUES_BELIEFS};

void note_sections(struct action *action, struct str plan_id, struct str document) {
    for (size_t i = 0; document.ptr && i < COUNT_OF(section_areas); i++)
        if (memmem(document.ptr, document.len, area_name(section_areas[i]),
                   strlen(area_name(section_areas[i]))))
            audit_note(action, section_areas[i], "plan", STR_ABSENT, plan_id);
}

/* As audit_append_reads() takes them; absent when memory is out. */
static struct str notes_text(struct action *action) {
    const struct audit_notes *notes = &action->notes;
    struct buf text;
    buf_init(&text, 1 << 22);
    for (size_t i = 0; i < notes->n; i++) {
        const struct audit_note *note = &notes->list[i];
        buf_text(&text, i == 0 ? "[{\"account_id\":" : ",{\"account_id\":");
        buf_json(&text, note->account_id);
        buf_text(&text, ",\"record_id\":");
        buf_json(&text, note->record_id);
        buf_format(&text, ",\"area\":%d,\"resource\":\"%s\",\"records\":%zu}", (int)note->area,
                   note->resource, note->records);
    }
    buf_char(&text, ']');
    struct str ret =
        buf_ok(&text) && !notes->lost ? arena_str(action->arena, buf_str(&text)) : STR_ABSENT;
    buf_release(&text);
    return ret;
}

bool notes_queue(struct action *action, struct tx *tx, struct err *err) {
    if (action->notes.n == 0 && !action->notes.lost)
        return true;
    struct str text = notes_text(action);
    if (!text.ptr)
        return err_memory(err);
    tx_query(tx, "select audit_append_reads($1::jsonb)", &text, 1);
    return true;
}

bool audit_notes_write(struct action *action, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (action->notes.n == 0 && !action->notes.lost)
        return true;
    return read_begin(action, &tx, err) && notes_queue(action, tx, err) && tx_flush(tx, err);
}
