#include "csv.h"

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

void csv_cell(struct str text, struct buf *ret) {
    bool formula = text.len > 0 && strchr("=+-@\t\r", text.ptr[0]) && !is_number(text);
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
