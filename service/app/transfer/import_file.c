/* Reads the uploaded file of an import from the database, one window of bytes at a time. */
#include "base/transaction.h"
#include "transfer/import_run.h"

#include <inttypes.h>

static void unhex(struct str hex, char *ret) {
    for (size_t i = 2; i + 1 < hex.len; i += 2) {
        int high = hex.ptr[i] <= '9' ? hex.ptr[i] - '0' : hex.ptr[i] - 'a' + 10;
        int low = hex.ptr[i + 1] <= '9' ? hex.ptr[i + 1] - '0' : hex.ptr[i + 1] - 'a' + 10;
        *ret++ = (char)(high << 4 | low);
    }
}

static bool read_text(struct import *import, struct tx *tx, const struct window *window,
                      struct str *ret, struct err *err) {
    struct str params[] = {import->id,
                           str_of(arena_format(&import->arena, "%" PRId64, window->byte)),
                           str_of(window->size)};
    size_t slot = tx_query(
        tx,
        "select substring(p.content from (greatest($2::bigint - p.start_byte, 0) + 1)::int for "
        "least($2::bigint + $3::bigint - greatest(p.start_byte, $2::bigint), "
        "length(p.content))::int) from import_part p where p.import_id = $1::uuid and p.start_byte "
        "< $2::bigint + $3::bigint and p.start_byte + length(p.content) > $2::bigint order by p.n",
        params, 3);
    if (!tx_flush(tx, err))
        return false;
    size_t len = 0;
    for (size_t i = 0; i < tx_rows(tx, slot); i++)
        len += (tx_value(tx, slot, i, 0).len - 2) / 2;
    char *text = arena_alloc(&import->arena, len + 1), *at = text;
    for (size_t i = 0; text && i < tx_rows(tx, slot); i++) {
        struct str hex = tx_value(tx, slot, i, 0);
        unhex(hex, at);
        at += (hex.len - 2) / 2;
    }
    *ret = (struct str){text, len};
    return text != NULL || err_memory(err);
}

bool import_window(struct import *import, struct tx *tx, struct window *window, struct err *err) {
    struct str text;
    if (!read_text(import, tx, window, &text, err))
        return false;
    window->last = window->byte + (int64_t)text.len >= import->size;
    window->used = window->byte == 0 && str_starts(text, "\xef\xbb\xbf") ? 3 : 0;
    /* A window may end within a character; the file does not. */
    window->text = (struct str){text.ptr, str_utf8_prefix(text)};
    if (window->text.len < text.len && (window->last || window->text.len + 4 <= text.len))
        *window = (struct window){.text = STR(""), .wrong = STR("The file is not UTF-8.")};
    return true;
}
