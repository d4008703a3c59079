/* Runs an export of a resource to NDJSON or CSV, page by page. Each page has a transaction of its
 * own, and from the second page on the export ends if the caller's key or rights have changed. */
#include "app/exports.h"

#include "app/audit.h"
#include "app/audit_note.h"
#include "app/query.h"
#include "app/sign_in.h"
#include "base/audit_note.h"
#include "core/log.h"
#include "record/list_query.h"
#include "transfer/export_csv.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT_PAGE_ROWS 200 /* of a page, as many as a list gives */
#define ASKED_ARENA ((size_t)1 << 20)
#define PAGE_ARENA ((size_t)64 << 20)
#define PAGE_TEXT ((size_t)64 << 20)

struct export {
    struct exports *all;
    struct principal who;
    struct arena asked;
    struct arena pages[2]; /* in turn: the next page begins behind a row of the one before */
    size_t n_pages;
    struct action action;
    struct record_key record_key;
    struct list list;
    enum export_format format;
    bool bom, over, failed;
    struct str after;
    struct buf out;
    size_t taken;
    int64_t rows, bytes, began_us;
};

/* ---- what is asked for ---- */

const char *const export_formats[] = {"ndjson", "csv", NULL};
static const struct query_param format = {
    .name = "format", .type = QUERY_CHOICE, .choices = export_formats};
static const struct query_param bom = QUERY_ONE_OF("bom", "false", "true");
static const struct query_param after = {.name = "after", .type = QUERY_ID};

/* Takes the parameters that only exports have; leaves the action those of lists. */
static bool take_own(struct export *export, struct err *err) {
    static const char *const of_pages[] = {"page_size", "cursor", "include_total", "expand"};
    struct action *action = &export->action;
    struct param *rest = arena_array(&export->asked, action->n_params + 1, sizeof *rest);
    size_t left = 0;
    for (size_t i = 0; rest && i < action->n_params; i++) {
        const struct param *param = &action->params[i];
        struct str value = param->value;
        for (size_t k = 0; k < COUNT_OF(of_pages); k++)
            if (str_is(param->name, of_pages[k]))
                unknown_parameter(&export->asked, param->name, err);
        if (str_is(param->name, "format")) {
            if (query_check_value(&format, &export->asked, &value, err))
                export->format = str_is(value, "csv") ? EXPORT_CSV : EXPORT_NDJSON;
        } else if (str_is(param->name, "bom"))
            export->bom =
                query_check_value(&bom, &export->asked, &value, err) && str_is(value, "true");
        else if (str_is(param->name, "after")) {
            if (query_check_value(&after, &export->asked, &value, err))
                export->after = value;
        } else
            rest[left++] = *param;
    }
    action->params = rest;
    action->n_params = left;
    return rest != NULL || err_memory(err);
}

static bool take_after(struct export *export, struct err *err) {
    if (!export->after.ptr)
        return true;
    if (export->list.n_sorts > 1)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("after"), "contradiction",
                       "goes on in the order of ids: leave order_by away");
    export->list.after.values[0] = export->after;
    export->list.follows = true;
    return true;
}

static bool take_params(struct export *export, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!take_own(export, err) ||
        (list_uses_custom(&export->action) && !read_begin(&export->action, &tx, err)))
        return false;
    return list_read(&export->action, tx, &export->list, err) && !err_is_set(err) &&
           take_after(export, err);
}

/* ---- a page ---- */

static bool put_rows(struct export *export, const struct rows *rows, struct err *err) {
    for (size_t i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];
        char etag[ETAG_TEXT];
        if (export->format == EXPORT_NDJSON) {
            view_write(&export->action, &export->list.view, row, &export->out, etag);
            buf_char(&export->out, '\n');
            continue;
        }
        note_row(&export->action, row);
        if (!export_csv_row(export->list.view.fields, row, &export->out, err))
            return false;
    }
    export->rows += (int64_t)rows->n;
    return buf_ok(&export->out) || err_memory(err);
}

/* The last row's sort values outlive the transaction. */
static bool remember(struct export *export, const struct row *last, struct err *err) {
    struct list *list = &export->list;
    list_key(list, last, &list->after);
    for (size_t i = 0; i < list->after.n; i++) {
        struct str *value = &list->after.values[i];
        if (!value->ptr)
            continue;
        *value = arena_str(export->action.arena, *value);
        if (!value->ptr)
            return err_memory(err);
    }
    list->follows = true;
    return true;
}

static bool read_page(struct export *export, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct list *list = &export->list;
    if (!read_begin(&export->action, &tx, err) || !list_page(&export->action, tx, list, err))
        return false;
    export->over = !list->has_more;
    return put_rows(export, &list->rows, err) &&
           (export->over || remember(export, &list->rows.list[list->rows.n - 1], err));
}

/* Who is no longer known, or somebody else by now, gets no more. */
static bool still_allowed(struct export *export, struct err *err) {
    struct principal now;
    if (export->n_pages == 0)
        return true;
    const struct sign_in sign_in = {.app = export->action.app,
                                    .token = export->action.bearer,
                                    .any_age = true,
                                    .when = export->action.when};
    if (!principal_find(&sign_in, &now, err))
        return false;
    if (now.role != export->who.role || strcmp(now.user_id, export->who.user_id) != 0)
        return err_set(err, PROBLEM_FORBIDDEN, "The caller's rights have changed.");
    return true;
}

/* What of it is sensitive is written down before it is sent. */
static bool next_page(struct export *export, struct err *err) {
    struct action *action = &export->action;
    struct arena *arena = &export->pages[export->n_pages % 2];
    arena_reset(arena);
    action->arena = arena;
    action->when = deadline_in_ms(action->app->config->request_ms);
    action->notes = (struct audit_notes){0};
    buf_reset(&export->out);
    export->taken = 0;
    if (export->n_pages == 0 && export->format == EXPORT_CSV) {
        buf_text(&export->out, export->bom ? "\xef\xbb\xbf" : "");
        export_csv_head(export->record_key.resource, export->list.view.fields, &export->out);
    }
    bool fine =
        still_allowed(export, err) && read_page(export, err) && audit_notes_write(action, err);
    export->n_pages++;
    return fine;
}

/* ---- coming and going ---- */

static struct export *export_new(struct exports *all, const struct action *action) {
    struct export *export = calloc(1, sizeof *export);
    if (!export)
        return NULL;
    arena_init(&export->asked, ASKED_ARENA);
    arena_init(&export->pages[0], PAGE_ARENA);
    arena_init(&export->pages[1], PAGE_ARENA);
    buf_init(&export->out, PAGE_TEXT);
    export->all = all;
    export->who = *action->who;
    export->action = *action;
    export->action.who = &export->who;
    export->action.arena = &export->asked;
    export->action.bearer = arena_str(&export->asked, action->bearer);
    export->action.request_id = arena_str(&export->asked, action->request_id);
    export->action.traceparent = arena_str(&export->asked, action->traceparent);
    export->began_us = clock_mono(&clock_system);
    return export;
}

bool export_open(struct exports *all, const struct action *action, enum export_format accepted,
                 struct export **ret, struct err *err) {
    if (atomic_fetch_add(&all->running, 1) >= EXPORTS_MAX) {
        atomic_fetch_sub(&all->running, 1);
        err->retry_after = 5;
        return err_set(err, PROBLEM_OVERLOADED, "%d exports are running; ask again.", EXPORTS_MAX);
    }
    struct export *export = export_new(all, action);
    if (!export || !export->action.bearer.ptr) {
        if (!export)
            atomic_fetch_sub(&all->running, 1);
        export_close(export);
        return err_memory(err);
    }
    export->format = accepted;
    export->record_key = (struct record_key){.resource = action->resource};
    list_init(action, &export->record_key, EXPORT_PAGE_ROWS, &export->list);
    if (!take_params(export, err) || !next_page(export, err)) {
        export->failed = true;
        export_close(export);
        return false;
    }
    *ret = export;
    return true;
}

const char *export_type(const struct export *export) {
    return export->format == EXPORT_CSV ? "text/csv; charset=utf-8" : "application/x-ndjson";
}

long export_take(struct export *export, char *ret, size_t room) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    while (export->taken == export->out.len && !export->over && !export->failed)
        if (!next_page(export, &err)) {
            export->failed = true;
            log_err(LOG_WARN, "export_cut", &err);
        }
    if (export->failed)
        return -1;
    size_t left = export->out.len - export->taken, n = left < room ? left : room;
    if (n > 0)
        memcpy(ret, export->out.ptr + export->taken, n);
    export->taken += n;
    export->bytes += (int64_t)n;
    return (long)n;
}

void export_close(struct export *export) {
    if (!export)
        return;
    if (export->n_pages > 0)
        LOG(LOG_INFO, "export", LOG_S("resource", export->record_key.resource->name),
            LOG_S("actor", export->who.actor), LOG_T("request_id", export->action.request_id),
            LOG_I("rows", export->rows), LOG_I("bytes", export->bytes),
            LOG_I("whole", export->over && !export->failed && export->taken == export->out.len),
            LOG_MS("ms", clock_mono(&clock_system) - export->began_us));
    atomic_fetch_sub(&export->all->running, 1);
    buf_release(&export->out);
    arena_release(&export->pages[0]);
    arena_release(&export->pages[1]);
    arena_release(&export->asked);
    free(export);
}
