/* Makes and checks the sealed cursors of paged lists, reads the paging parameters, and writes the
 * `page` member at the end of a list. */
#include "base/cursor.h"

#include "app/query.h"
#include "base/json.h"

#include <string.h>

bool cursor_make(struct action *action, const struct cursor *cursor, char *ret, size_t room) {
    struct buf plain, sealed, text;
    buf_init(&plain, 4096);
    buf_init(&sealed, 8192);
    buf_init(&text, room);
    for (size_t i = 0; i < cursor->n; i++) {
        struct str value = cursor->values[i];
        buf_format(&plain, "%lld:", value.ptr ? (long long)value.len : -1LL);
        buf_put(&plain, value);
    }
    if (buf_ok(&plain))
        keyring_seal(action->app->keyring, (struct seal){CRYPTO_CURSOR, cursor->list},
                     buf_str(&plain), &sealed);
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

bool cursor_read(struct action *action, struct str text, struct cursor *cursor, struct err *err) {
    size_t len = 0;
    struct str plain;
    char *sealed = arena_alloc(action->arena, text.len + 1);
    if (!sealed)
        return err_memory(err);
    bool fine = text.len < 4096 && base64url_decode(text, sealed, text.len, &len) &&
                keyring_open(action->app->keyring, (struct seal){CRYPTO_CURSOR, cursor->list},
                             (struct str){sealed, len}, action->arena, &plain);
    for (size_t i = 0; fine && i < cursor->n; i++)
        fine = take_value(&plain, &cursor->values[i]);
    if (!fine || plain.len > 0) {
        err_add(err, PROBLEM_INVALID_CURSOR, ERR_PARAMETER("cursor"), "invalid_cursor",
                "It belongs to other filters, another order, or another list.");
        return false;
    }
    return true;
}

bool page_read(struct action *action, struct page *page, struct err *err) {
    struct str text = action_query(action, "cursor");
    struct cursor cursor = {.list = page->list, .n = page->n_keys};
    page->size = action_page_size(action);
    if (text.ptr && !cursor_read(action, text, &cursor, err))
        return false;
    memcpy(page->keys, cursor.values, sizeof page->keys);
    return true;
}

struct str page_limit(struct action *action, const struct page *page) {
    return str_of(arena_format(action->arena, "%zu", page->size + 1));
}

void page_write(struct action *action, const struct page *page, struct tx *tx, size_t slot,
                struct outcome *outcome) {
    struct cursor last = {.list = page->list, .n = page->n_keys};
    struct buf *body = &outcome->body;
    bool has_more = tx_rows(tx, slot) > page->size;
    size_t shown = has_more ? page->size : tx_rows(tx, slot);
    buf_text(body, body->len > 0 ? ",\"data\":[" : "{\"data\":[");
    for (size_t i = 0; i < shown; i++) {
        buf_text(body, i > 0 ? "," : "");
        if (page->shape)
            write_row(tx, slot, i, page->shape, body);
        else
            page->write(tx, slot, i, body);
    }
    for (size_t i = 0; has_more && i < page->n_keys; i++)
        last.values[i] = tx_value(tx, slot, shown - 1, page->key_columns[i]);
    if (has_more)
        cursor_make(action, &last, outcome->next, sizeof outcome->next);
    page_end(outcome, has_more, -1);
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
