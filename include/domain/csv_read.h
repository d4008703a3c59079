/* CSV as RFC 4180 has it, record by record, from text that may end in the middle of one. */
#ifndef KAMD_DOMAIN_CSV_READ_H
#define KAMD_DOMAIN_CSV_READ_H

#include "core/arena.h"
#include "core/str.h"

#define CSV_CELLS 256

enum csv_read { CSV_RECORD, CSV_MORE, CSV_WRONG, CSV_MEMORY };

struct csv_record {
    struct str *cells; /* the caller's room for CSV_CELLS; their texts lie in the arena */
    size_t n;
    size_t used; /* bytes, with the line's end */
    size_t lines;
};

/* The next record of `text`. CSV_MORE: it is not complete; cannot be when `last`, which says that
 * nothing follows. CSV_WRONG: a quote inside of a cell that does not begin with one, something
 * between a closing quote and the comma, an unclosed quote, more than CSV_CELLS cells. */
enum csv_read csv_read(struct str text, bool last, struct arena *arena, struct csv_record *ret);

#endif
