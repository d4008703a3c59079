/* CSV as RFC 4180 has it, record by record, from text that may end in the middle of one. */
#ifndef KAMD_DOMAIN_CSV_READ_H
#define KAMD_DOMAIN_CSV_READ_H

#include "core/arena.h"
#include "core/str.h"

#define CSV_CELLS 256

enum csv_read { CSV_RECORD, CSV_MORE, CSV_WRONG, CSV_MEMORY };

/* The next record of `text`. CSV_RECORD: *ret_cells (in the arena) and *ret_used, its bytes with
 * the line's end. CSV_MORE: it is not complete; cannot be when `last`, which says that nothing
 * follows. CSV_WRONG: a quote inside of a cell that does not begin with one, something between a
 * closing quote and the comma, an unclosed quote, more than CSV_CELLS cells. *ret_lines counts its
 * lines. */
enum csv_read csv_read(struct str text, bool last, struct arena *arena, struct str *ret_cells,
                       size_t *ret_n, size_t *ret_used, size_t *ret_lines);

#endif
