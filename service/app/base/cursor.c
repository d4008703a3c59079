/* Makes and checks the sealed cursors of paged lists, reads the paging parameters, and writes the
 * `page` member at the end of a list. */
#include "base/cursor.h"

#include "app/query.h"
#include "base/json.h"

#include <string.h>

bool cursor_make(struct action *action, struct str list, const struct str *values, size_t n,
                 char *ret, size_t room) {
    struct buf plain, sealed, text;
    buf_init(&plain, 4096);
    buf_init(&sealed, 8192);
    buf_init(&text, room);
    for (size_t i = 0; i < n; i++) {
        buf_format(&plain, "%lld:", values[i].ptr ? (long long)values[i].len : -1LL);
        buf_put(&plain, values[i]);
    }
    if (buf_ok(&plain))
        keyring_seal(action->app->keyring, CRYPTO_CURSOR, list, buf_str(&plain), &sealed);
    if (buf_ok(&sealed))
        buf_base64url(&text, sealed.ptr, sealed.len);
    bool fine =
        buf_ok(&plain) && buf_ok(&sealed) && buf_ok(&text) && text.len > 0 && text.len < room;
    if (fine)
        memcpy(ret, text.ptr, text.len + 1);
    buf_release(&plain);
    buf_release(&sealed);
    buf_release(&text);
    return fine;
}

static bool take_value(struct str *rest, struct str *ret) {
    struct str head;
    int64_t len;
    if (!str_split(rest, ':', &head) || !rest->ptr || !str_to_i64(head, &len) ||
        len > (int64_t)rest->len)
        return false;
    if (len < 0) {
        *ret = STR_ABSENT;
        return true;
    }
    *ret = (struct str){rest->ptr, (size_t)len};
    *rest = (struct str){rest->ptr + len, rest->len - (size_t)len};
    return true;
}

bool cursor_read(struct action *action, struct str list, struct str cursor, struct str *ret_values,
                 size_t n, struct err *err) {
    size_t len = 0;
    struct str plain;
    char *sealed = arena_alloc(action->arena, cursor.len + 1);
    if (!sealed)
        return err_memory(err);
    bool fine = cursor.len < 4096 && base64url_decode(cursor, sealed, cursor.len, &len) &&
                keyring_open(action->app->keyring, CRYPTO_CURSOR, list, (struct str){sealed, len},
                             action->arena, &plain);
    for (size_t i = 0; fine && i < n; i++)
        fine = take_value(&plain, &ret_values[i]);
    if (!fine || plain.len > 0) {
        err_add(err, PROBLEM_INVALID_CURSOR, ERR_AT_PARAMETER, "cursor", "invalid_cursor",
                "It belongs to other filters, another order, or another list.");
        return false;
    }
    return true;
}

bool page_read(struct action *action, struct str list, size_t n_keys, struct page *ret,
               struct err *err) {
    struct str cursor = action_query(action, "cursor");
    *ret = (struct page){.size = action_page_size(action), .n_keys = n_keys, .list = list};
    return !cursor.ptr || cursor_read(action, list, cursor, ret->keys, n_keys, err);
}

struct str page_limit(struct action *action, const struct page *page) {
    return str_of(arena_format(action->arena, "%zu", page->size + 1));
}

size_t page_rows(const struct page *page, size_t n_rows) {
    return n_rows > page->size ? page->size : n_rows;
}

void page_finish(struct action *action, const struct page *page, struct tx *tx, size_t slot,
                 const size_t *key_columns, struct outcome *outcome) {
    bool has_more = tx_rows(tx, slot) > page->size;
    struct str last[PAGE_KEYS];
    for (size_t i = 0; has_more && i < page->n_keys; i++)
        last[i] = tx_value(tx, slot, page->size - 1, key_columns[i]);
    if (has_more)
        cursor_make(action, page->list, last, page->n_keys, outcome->next, sizeof outcome->next);
    page_end(outcome, has_more, -1);
}

void page_write(struct action *action, const struct page *page, struct tx *tx, size_t slot,
                const struct field *fields, size_t n_fields, const size_t *key_columns,
                struct outcome *outcome) {
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < page_rows(page, tx_rows(tx, slot)); i++) {
        if (i > 0)
            buf_char(&outcome->body, ',');
        write_row(tx, slot, i, fields, n_fields, &outcome->body);
    }
    page_finish(action, page, tx, slot, key_columns, outcome);
}

void page_end(struct outcome *outcome, bool has_more, int64_t total) {
    buf_char(&outcome->body, ']');
    page_tail(outcome, has_more, total);
}

void page_tail(struct outcome *outcome, bool has_more, int64_t total) {
    struct buf *body = &outcome->body;
    buf_text(body, ",\"page\":{\"next_cursor\":");
    buf_json(body, outcome->next[0] ? str_of(outcome->next) : STR_ABSENT);
    buf_format(body, ",\"has_more\":%s", has_more ? "true" : "false");
    if (total >= 0)
        buf_format(body, ",\"total\":%lld", (long long)total);
    buf_text(body, "}}");
}
