/* Writes cells of CSV that are safe to open in a spreadsheet: text that looks like a formula gets
 * an apostrophe before it (CSV injection). csv_plain() takes the apostrophe away again. */
#include "base/csv.h"

#include <string.h>

static bool is_number(struct str text) {
    size_t i = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    size_t digits = 0, dots = 0;
    for (; i < text.len; i++) {
        if (text.ptr[i] >= '0' && text.ptr[i] <= '9')
            digits++;
        else if (text.ptr[i] == '.' && digits > 0 && dots == 0)
            dots++;
        else
            return false;
    }
    return digits > 0;
}

/* What a spreadsheet may take for a formula, also in full width (OWASP, CSV injection). */
static bool begins_formula(struct str text) {
    static const char *const wide[] = {"\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d",
                                       "\xef\xbc\xa0"};
    for (size_t i = 0; i < COUNT_OF(wide); i++)
        if (str_starts(text, wide[i]))
            return true;
    return text.len > 0 && text.ptr[0] != '\0' && strchr("=+-@\t\r", text.ptr[0]);
}

/* A formula, or one behind apostrophes, so that taking one away gives the text back. */
static bool needs_apostrophe(struct str text) {
    size_t n = 0;
    while (n < text.len && text.ptr[n] == '\'')
        n++;
    return begins_formula((struct str){text.ptr + n, text.len - n}) && !is_number(text);
}

struct str csv_plain(struct str cell) {
    struct str rest = {cell.ptr + 1, cell.len - 1};
    return cell.len > 0 && cell.ptr[0] == '\'' && needs_apostrophe(rest) ? rest : cell;
}

void csv_cell(struct str text, struct buf *ret) {
    bool formula = needs_apostrophe(text);
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++)
        quoted = quoted || strchr("\",\r\n", text.ptr[i]);
    if (quoted)
        buf_char(ret, '"');
    if (formula)
        buf_char(ret, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            buf_char(ret, '"');
        buf_char(ret, text.ptr[i]);
    }
    if (quoted)
        buf_char(ret, '"');
}
