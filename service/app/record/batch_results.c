/* Writes the answer of bulk and sync: one result for each record, in the order of the request,
 * and how many there are of each kind. */
#include "record/batch.h"

#include <string.h>

void entry_errors(const struct entry *entry, struct buf *ret) {
    const struct err *err = &entry->err;
    const struct problem_info *info = problem_info(err->problem);
    buf_char(ret, '[');
    size_t n = err->n_items > 0 ? err->n_items : 1;
    for (size_t i = 0; i < n; i++) {
        const struct err_item *item = err->n_items > 0 ? &err->items[i] : NULL;
        const char *field = item ? item->where : "";
        size_t skip = strlen(entry->at);
        if (item && skip > 0 && strncmp(field, entry->at, skip) == 0)
            field += skip;
        buf_format(ret, "%s{\"status_code\":%d,\"code\":", i > 0 ? "," : "", info->status);
        buf_json(ret, str_of(item ? item->code : info->code));
        buf_text(ret, ",\"message\":");
        char text[sizeof *item];
        const char *name = *field == '/' ? field + 1 : "";
        buf_json(ret, str_of(item                  ? err_item_text(item, name, text, sizeof text)
                             : info->status >= 500 ? info->title
                                                   : err->detail));
        buf_text(ret, ",\"fields\":[");
        if (name[0] != '\0')
            buf_json(ret, str_of(name));
        buf_text(ret, "]}");
    }
    buf_char(ret, ']');
}

static void write_result(struct action *action, const struct batch *batch, size_t i,
                         struct buf *ret) {
    const struct entry *entry = &batch->entries[i];
    char etag[ETAG_TEXT] = "";
    if (entry->row && !row_deleted(entry->row)) {
        struct view view;
        struct buf body;
        view_init(&view);
        view.for_etag_only = true;
        buf_init(&body, (size_t)8 << 20);
        view_write(action, &view, entry->row, &body, etag);
        buf_release(&body);
    }
    buf_format(ret, "%s{\"index\":%zu,\"id\":", i > 0 ? "," : "", i);
    buf_json(ret, err_is_set(&entry->err) && entry->kind == ENTRY_CREATE ? STR_ABSENT : entry->id);
    buf_text(ret, ",\"external_id\":");
    buf_json(ret, entry->external_id);
    buf_format(ret, ",\"success\":%s,\"created\":%s,\"outcome\":\"%s\",\"etag\":",
               err_is_set(&entry->err) ? "false" : "true",
               entry->outcome == OUTCOME_CREATED ? "true" : "false",
               entry_outcome_text(entry->outcome));
    buf_json(ret, etag[0] ? str_of(etag) : STR_ABSENT);
    buf_text(ret, ",\"errors\":");
    if (err_is_set(&entry->err))
        entry_errors(entry, ret);
    else
        buf_text(ret, "[]");
    buf_char(ret, '}');
}

const char *const bulk_outcomes[] = {
#define X(name, text) text,
    ENTRY_OUTCOMES(X)
#undef X
        NULL};

const char *entry_outcome_text(enum entry_outcome outcome) { return bulk_outcomes[outcome]; }

void batch_results(struct action *action, const struct batch *batch, struct buf *ret) {
    size_t counts[OUTCOME_COUNT] = {0};
    buf_text(ret, "{\"results\":[");
    for (size_t i = 0; i < batch->n; i++)
        write_result(action, batch, i, ret);
    buf_text(ret, "],\"summary\":{");
    for (size_t i = 0; i < batch->n; i++)
        counts[batch->entries[i].outcome]++;
    for (enum entry_outcome o = OUTCOME_CREATED; o < OUTCOME_COUNT; o++)
        if (counts[o] > 0 || o != OUTCOME_DEFERRED)
            buf_format(ret, "%s\"%s\":%zu", o > OUTCOME_CREATED ? "," : "",
                       o == OUTCOME_ERROR ? "failed" : entry_outcome_text(o), counts[o]);
    buf_text(ret, "}}");
}
