/* Writes rows of PostgreSQL as JSON objects, and passes JSON documents to statements as
 * parameters. */
#include "base/json.h"

void write_row(struct tx *tx, size_t slot, size_t row, const struct shape *shape, struct buf *ret) {
    for (size_t c = 0; c < shape->n_fields; c++) {
        buf_format(ret, "%c\"%s\":", c == 0 ? '{' : ',', shape->fields[c].name);
        render_value(&shape->fields[c], tx_value(tx, slot, row, c), ret);
    }
    buf_char(ret, '}');
}

void write_rows(struct tx *tx, size_t slot, size_t n, const struct shape *shape, struct buf *ret) {
    for (size_t i = 0; i < n; i++) {
        buf_text(ret, i > 0 ? "," : "");
        write_row(tx, slot, i, shape, ret);
    }
}

struct str json_param(struct action *action, const jv *doc) {
    struct buf text;
    buf_init(&text, 1 << 24); /* beyond what any body can hold */
    jv_write(doc, &text);
    struct str ret = buf_ok(&text) ? arena_str(action->arena, buf_str(&text)) : STR_ABSENT;
    buf_release(&text);
    return ret;
}

void view_object(struct action *action, struct str id, int64_t version, struct str object,
                 struct outcome *outcome) {
    etag_make(id, version, object, outcome->etag);
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    buf_put(&outcome->body, (struct str){object.ptr, object.len - 1}); /* without its brace */
    buf_text(&outcome->body, ",\"etag\":");
    buf_json(&outcome->body, str_of(outcome->etag));
    buf_char(&outcome->body, '}');
}
