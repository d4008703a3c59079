/* Cuts a file of SQL into statements, for migrations that run outside of a transaction. */
#ifndef KAMD_STORE_SPLITTER_H
#define KAMD_STORE_SPLITTER_H

#include "core/str.h"

/* The next statement without its semicolon, and *rest what is behind it; false when only space and
 * comments are left. Knows quotes, E'' strings, dollar quotes and both kinds of comments. */
bool sql_next(struct str *rest, struct str *ret_statement);

#endif
