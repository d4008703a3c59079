/* The text of KAMD_CONFIG_FILE: NAME=value lines. Blank lines and lines that begin with # are
 * skipped; blanks around name and value are cut; nothing is quoted or unescaped. */
#ifndef KAMD_CORE_SETTINGS_FILE_H
#define KAMD_CORE_SETTINGS_FILE_H

#include "core/str.h"

struct settings_line {
    struct str name;
    struct str value;
    size_t number; /* from 1 */
};

enum settings_step { SETTINGS_END, SETTINGS_LINE, SETTINGS_BAD };

/* Cuts the next setting off `rest`; `line->number` must start as 0. SETTINGS_BAD: the line has no
 * '=', no name, NUL or invalid UTF-8. */
enum settings_step settings_next(struct str *rest, struct settings_line *line);

#endif
