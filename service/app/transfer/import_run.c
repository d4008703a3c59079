/* Runs one step of an import in a worker: reads the next rows of the file, writes their records
 * through sync, and keeps the results and the position in the same transaction. When a worker dies,
 * only its last step is done again; a dry run rolls the records back and keeps the results. */
#include "transfer/import_run.h"

#include "base/json.h"
#include "base/operation.h"
#include "base/write_once.h"
#include "cache/cache.h"
#include "core/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS 60000
#define STEP_ARENA ((size_t)48 << 20)

static const struct tx_context worker = {
    .scope = {"all", 3}, .actor = {"worker", 6}, .origin = {"worker", 6}};

static void copy(char *ret, size_t room, struct str text) {
    snprintf(ret, room, "%.*s", STR_ARG(text));
}

#define OPEN_SQL                                                                                   \
    "select i.id, i.system, i.resource, i.format, i.dry_run, i.presets, i.status, i.who, "         \
    "i.actor, i.role, i.user_id, i.reach >> 41 & 1 = 1"                                            \
    " from operation o join import i on i.id = (o.request ->> 'import_id')::uuid"                  \
    " where o.id = $1::uuid"
/* The columns of OPEN_SQL. */
enum {
    IMPORT_ID,
    IMPORT_SYSTEM,
    IMPORT_RESOURCE,
    IMPORT_FORMAT,
    IMPORT_DRY_RUN,
    IMPORT_PRESETS,
    IMPORT_STATUS,
    IMPORT_WHO,
    IMPORT_ACTOR,
    IMPORT_ROLE,
    IMPORT_USER,
    IMPORT_ADMIN
};

/* The work is done as by who asked for it. */
static bool take_over(struct import *import, struct tx *tx, size_t slot, struct err *err) {
    const struct resource *resource = resource_by_name(tx_value(tx, slot, 0, IMPORT_RESOURCE).ptr);
    char *request;
    import->id = arena_str(&import->arena, tx_value(tx, slot, 0, IMPORT_ID));
    import->system = arena_str(&import->arena, tx_value(tx, slot, 0, IMPORT_SYSTEM));
    import->resource = resource;
    import->format = arena_str(&import->arena, tx_value(tx, slot, 0, IMPORT_FORMAT));
    import->dry_run = tx_bool(tx, slot, 0, IMPORT_DRY_RUN);
    import->admin = tx_bool(tx, slot, 0, IMPORT_ADMIN);
    import->status = arena_str(&import->arena, tx_value(tx, slot, 0, IMPORT_STATUS));
    copy(import->who.id, sizeof import->who.id, tx_value(tx, slot, 0, IMPORT_WHO));
    copy(import->who.actor, sizeof import->who.actor, tx_value(tx, slot, 0, IMPORT_ACTOR));
    copy(import->who.user_id, sizeof import->who.user_id, tx_value(tx, slot, 0, IMPORT_USER));
    if (!resource || !role_by_name(tx_value(tx, slot, 0, IMPORT_ROLE), &import->who.role))
        return err_set(err, PROBLEM_INTERNAL, "The import names what is not there.");
    request = arena_format(&import->arena, "import-%.*s", STR_ARG(import->id));
    import->action = (struct action){.app = import->app,
                                     .who = &import->who,
                                     .arena = &import->arena,
                                     .when = deadline_in_ms(STEP_MS),
                                     .request_id = str_of(request),
                                     .origin = import->system};
    return json_read(tx_value(tx, slot, 0, IMPORT_PRESETS), JSON_TOKENS, &import->presets, err);
}

bool import_open(struct import *ret, const struct taken_operation *operation, bool *ret_found,
                 struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    *ret = (struct import){
        .app = operation->app, .operation = operation->id, .token = operation->token};
    arena_init(&ret->arena, STEP_ARENA);
    if (!(tx = tx_begin(ret->app->store, TX_READ, &worker, deadline_in_ms(STEP_MS), err)))
        return false;
    size_t slot = tx_query(tx, OPEN_SQL, &operation->id, 1);
    if (!tx_flush(tx, err))
        return false;
    *ret_found = tx_rows(tx, slot) > 0;
    return !*ret_found || take_over(ret, tx, slot, err);
}

void import_close(struct import *import) {
    jv_unref(&import->presets);
    jv_unref(&import->header);
    jv_unref(&import->counts);
    jv_unref(&import->apart);
    arena_release(&import->arena);
}

#define STATE_SQL                                                                                  \
    "select at_byte, at_line, size, header, counts, scan_byte, scan_line, scan_orders,"            \
    " scan_chunks, scattered, joined_to from import where id = $1::uuid for update"
enum {
    STATE_AT_BYTE,
    STATE_AT_LINE,
    STATE_SIZE,
    STATE_HEADER,
    STATE_COUNTS,
    STATE_SCAN_BYTE,
    STATE_SCAN_LINE,
    STATE_SCAN_ORDERS,
    STATE_SCAN_CHUNKS,
    STATE_SCATTERED,
    STATE_JOINED_TO
};

static bool read_state(struct import *import, struct tx *tx, size_t slot, struct err *err) {
    import->at_byte = tx_int(tx, slot, 0, STATE_AT_BYTE);
    import->at_line = tx_int(tx, slot, 0, STATE_AT_LINE);
    import->size = tx_int(tx, slot, 0, STATE_SIZE);
    jv_unref(&import->header);
    jv_unref(&import->counts);
    import->scan_byte = tx_int(tx, slot, 0, STATE_SCAN_BYTE);
    import->scan_line = tx_int(tx, slot, 0, STATE_SCAN_LINE);
    import->scan_orders = tx_int(tx, slot, 0, STATE_SCAN_ORDERS);
    import->scan_chunks = tx_int(tx, slot, 0, STATE_SCAN_CHUNKS);
    import->scattered = tx_bool(tx, slot, 0, STATE_SCATTERED);
    import->joined_to = arena_str(&import->arena, tx_value(tx, slot, 0, STATE_JOINED_TO));
    struct str header = tx_value(tx, slot, 0, STATE_HEADER);
    return (!header.ptr || json_read(header, JSON_TOKENS, &import->header, err)) &&
           json_read(tx_value(tx, slot, 0, STATE_COUNTS), JSON_TOKENS, &import->counts, err);
}

bool import_begin(struct import *import, struct tx **ret, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct tx_context context = action_context(&import->action);
    struct str params[] = {import->operation, import->token, import->id};
    if (!(tx = tx_begin(import->app->store, TX_WRITE, &context, import->action.when, err)))
        return false;
    size_t lock = tx_query(tx, OPERATION_LOCK_SQL, params, 1);
    size_t mine = tx_query(tx,
                           "select 1 from operation where id = $1::uuid and lease_token = $2::uuid "
                           "and status = 'running'",
                           params, 2);
    size_t state = tx_query(tx, STATE_SQL, &params[2], 1);
    if (!tx_flush(tx, err))
        return false;
    if (!tx_bool(tx, lock, 0, 0) || tx_rows(tx, mine) == 0)
        return true; /* cancelled, or somebody else's by now */
    if (!read_state(import, tx, state, err))
        return false;
    *ret = TAKE(tx);
    return true;
}

bool import_commit(struct import *import, struct tx *tx, struct err *err) {
    struct outcome outcome;
    outcome_init(&outcome);
    size_t slot = tx_query(tx, "select current_setting('kamd.touched', true)", NULL, 0);
    bool fine = tx_commit(tx, err);
    if (fine)
        touches_read(&import->action, &outcome, tx_value(tx, slot, 0, 0));
    if (fine && outcome.n_touches > 0)
        cache_invalidate(import->app->cache, outcome.touches, outcome.n_touches);
    outcome_release(&outcome);
    return fine;
}

void import_end(struct import *import, struct tx *tx, const char *status, struct str failure) {
    struct str params[] = {import->operation, import->id, str_of(status), failure};
    tx_query(tx,
             "update import set status = $2, failure = $3, updated_at = now() where id = $1::uuid",
             params + 1, 3);
    tx_query(tx,
             "update operation o set status = case when $4::text is null then 'succeeded' else "
             "'failed' end, failure = $4, leased_until = null, updated_at = now(), progress_done = "
             "case when $4::text is null then o.progress_total else o.progress_done end, result = "
             "(select jsonb_build_object('import_id', i.id, 'status', $3::text) || i.counts from "
             "import i where i.id = $2::uuid) where o.id = $1::uuid",
             params, 4);
}

/* ---- the window ---- */

static bool next_rows(struct import *import, struct tx *tx, struct import_rows *rows,
                      struct err *err) {
    static const char *const sizes[] = {WINDOW_SMALL, WINDOW_LARGE};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        import_rows_release(rows);
        rows->window =
            (struct window){.byte = import->at_byte, .line = import->at_line, .size = sizes[i]};
        if (!import_window(import, tx, &rows->window, err) ||
            !import_look_apart(import, tx, rows->window, err) || !import_rows(import, rows, err))
            return false;
        if (rows->window.used > 0 || rows->window.wrong.ptr)
            return true;
    }
    rows->window.wrong = STR(IMPORT_ENDLESS);
    return true;
}

/* ---- what came of them ---- */

static void count(struct import *import, const char *name) {
    jv_set(import->counts, name, jv_new_int(jv_int(jv_get(import->counts, name)) + 1));
}

struct results {
    struct str errors, records; /* JSON arrays */
};

/* Which line of the file is meant where one of the order is; of a line_no that comes twice, both:
 * the lines are sorted by it. */
static void name_line(const struct import_row *row, const char *at, struct err_item *item) {
    static const char lines[] = "/lines/";
    const char *where = item->where + strlen(at);
    const jv *line_of = jv_get(row->line_of, "lines");
    size_t len = strlen(item->detail), room = sizeof item->detail - len;
    if (strncmp(item->where, at, strlen(at)) != 0 || strncmp(where, lines, strlen(lines)) != 0)
        return;
    size_t nth = strtoul(where + strlen(lines), NULL, 10);
    if (nth >= jv_len(line_of))
        return;
    int64_t line = jv_int(jv_at(line_of, nth));
    if (nth > 0 && strcmp(item->code, "duplicate") == 0)
        snprintf(item->detail + len, room, " (lines %" PRId64 " and %" PRId64 ")",
                 jv_int(jv_at(line_of, nth - 1)), line);
    else
        snprintf(item->detail + len, room, " (line %" PRId64 ")", line);
}

static bool write_results(struct import *import, const struct import_rows *rows,
                          const struct bulk_run *run, struct results *ret, struct err *err) {
    CLEANUP(buf_release) struct buf errors;
    CLEANUP(buf_release) struct buf records;
    buf_init(&errors, (size_t)8 << 20);
    buf_init(&records, (size_t)1 << 20);
    for (size_t i = 0; i < rows->n; i++) {
        struct entry *entry = &run->batch->entries[i];
        bool failed = err_is_set(&entry->err);
        for (size_t k = 0; k < entry->err.n_items; k++)
            name_line(&rows->of[i], entry->at, &entry->err.items[k]);
        count(import, failed ? "failed" : entry_outcome_text(entry->outcome));
        if (failed) {
            buf_format(&errors, "%s{\"line\":%" PRId64 ",\"external_id\":", errors.len ? "," : "[",
                       rows->of[i].line);
            buf_json(&errors, entry->external_id);
            buf_text(&errors, ",\"errors\":");
            entry_errors(entry, &errors);
            buf_char(&errors, '}');
        } else if (entry->row &&
                   (entry->outcome == OUTCOME_CREATED || entry->outcome == OUTCOME_UPDATED)) {
            buf_format(&records, "%s{\"record_id\":", records.len ? "," : "[");
            buf_json(&records, entry->id);
            buf_format(&records, ",\"outcome\":\"%s\",\"version\":%" PRId64 "}",
                       entry_outcome_text(entry->outcome), row_version(entry->row));
        }
    }
    buf_text(&errors, errors.len ? "]" : "[]");
    buf_text(&records, records.len ? "]" : "[]");
    ret->errors = arena_str(&import->arena, buf_str(&errors));
    ret->records = arena_str(&import->arena, buf_str(&records));
    return (ret->errors.ptr && ret->records.ptr) || err_memory(err);
}

static bool keep_results(struct import *import, struct tx *tx, struct import_rows *rows,
                         const struct results *results, struct err *err) {
    struct action *action = &import->action;
    struct str params[] = {
        import->id,
        results->errors,
        results->records,
        str_of(
            arena_format(&import->arena, "%" PRId64, import->at_byte + (int64_t)rows->window.used)),
        str_of(arena_format(&import->arena, "%" PRId64, import->at_line + rows->window.n_lines)),
        import->header ? json_param(action, import->header) : STR_ABSENT,
        json_param(action, import->counts),
        import->operation};
    if (!params[3].ptr || !params[4].ptr || !params[6].ptr)
        return err_memory(err);
    tx_query(tx,
             "insert into import_error (import_id, line, external_id, errors) select $1::uuid, "
             "e.line, e.external_id, e.errors from jsonb_to_recordset($2::jsonb) e(line bigint, "
             "external_id text, errors jsonb)",
             params, 2);
    struct str made[] = {params[0], params[2]};
    if (!import->dry_run)
        tx_query(tx,
                 "insert into import_record (import_id, record_id, outcome, version) select "
                 "$1::uuid, r.record_id, r.outcome, r.version from jsonb_to_recordset($2::jsonb) "
                 "r(record_id uuid, outcome text, version bigint)",
                 made, 2);
    if (!import_keep_apart(import, tx, rows, err))
        return false;
    struct str state[] = {params[0], params[3], params[4], params[5], params[6], rows->joined_to};
    tx_query(tx,
             "update import set at_byte = $2::bigint, at_line = $3::bigint, header = $4::jsonb, "
             "counts = $5::jsonb, joined_to = coalesce($6, joined_to), status = 'running', "
             "updated_at = now() where id = $1::uuid",
             state, 6);
    struct str progress[] = {params[7], params[3], params[0]};
    tx_query(tx,
             "update operation set progress_done = $2::bigint, progress_total = (select size from "
             "import where id = $3::uuid) where id = $1::uuid",
             progress, 3);
    return true;
}

static bool write_records(struct import *import, struct tx **tx, const struct import_rows *rows,
                          struct results *ret, struct err *err) {
    CLEANUP(bulk_run_release) struct bulk_run run = {0};
    CLEANUP(jv_unref) jv *records = jv_new_array();
    CLEANUP(jv_unref) jv *refused = jv_new_array();
    struct bulk bulk = {.resource = import->resource,
                        .system = import->system,
                        .records = records,
                        .refused = refused,
                        .late = true,
                        .admin = import->admin};
    *ret = (struct results){STR("[]"), STR("[]")};
    for (size_t i = 0; i < rows->n; i++) {
        const struct import_row *row = &rows->of[i];
        if (!jv_push(records, jv_ref(row->record)) ||
            !jv_push(refused, row->refused ? jv_ref(row->refused) : jv_new_null()))
            return err_memory(err);
    }
    if (rows->n == 0)
        return true;
    if (!sync_run(&import->action, &bulk, *tx, &run, err) ||
        (!import->dry_run && !sync_arrived(&import->action, &bulk, *tx, &run, err)) ||
        !write_results(import, rows, &run, ret, err))
        return false;
    if (!import->dry_run)
        return true;
    /* Nothing of it was; only what would have come of it is kept. */
    jv *counts = jv_copy(import->counts);
    jv *header = import->header ? jv_copy(import->header) : NULL;
    tx_end(tx);
    bool fine = import_begin(import, tx, err);
    jv_unref(&import->counts);
    jv_unref(&import->header);
    import->counts = counts;
    import->header = header;
    return fine;
}

#define STATISTICS_FROM 1000

/* Each time that twice as many records came out: the tables grow too fast for autovacuum. */
static bool outgrown(const struct import *import, const struct import_rows *rows) {
    int64_t next = STATISTICS_FROM, now = 0;
    for (void *it = jv_first(import->counts); it; it = jv_next(import->counts, it))
        now += jv_int(jv_value(it));
    while (next <= now - (int64_t)rows->n)
        next *= 2;
    return now >= next;
}

/* Without them it goes on, slower. */
static void refresh_statistics(struct import *import) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct err err CLEANUP(err_release) = ERR_INIT;
    if (!(tx = tx_begin(import->app->store, TX_WRITE, &worker, deadline_in_ms(STEP_MS), &err)))
        return;
    tx_query(tx, "select import_statistics()", NULL, 0);
    if (!tx_commit(tx, &err))
        log_err(LOG_WARN, "import_statistics", &err);
}

static bool scan(struct import *import, struct tx *tx, bool *ret_more, struct err *err) {
    struct str wrong;
    if (!import_scan(import, tx, &wrong, err))
        return false;
    if (wrong.ptr)
        import_end(import, tx, "failed", wrong);
    *ret_more = !wrong.ptr;
    return import_commit(import, tx, err);
}

static bool write(struct import *import, struct tx **tx, bool *ret_more, struct err *err) {
    CLEANUP(import_rows_release) struct import_rows rows = {.window.wrong = STR_ABSENT};
    struct results results;
    bool apart = import->at_byte >= import->size; /* what is left was kept aside */
    if (!(apart ? import_take_apart : next_rows)(import, *tx, &rows, err) ||
        !write_records(import, tx, &rows, &results, err) || !*tx)
        return !err_is_set(err);
    if (!keep_results(import, *tx, &rows, &results, err))
        return false;
    const struct window *window = &rows.window;
    bool over = import->at_byte + (int64_t)window->used >= import->size &&
                (!import->scattered || (apart && rows.n == 0));
    bool wrong = window->wrong.ptr && rows.n == 0;
    if (wrong)
        import_end(import, *tx, "failed", window->wrong);
    else if (over)
        import_end(import, *tx, "succeeded", STR_ABSENT);
    *ret_more = !over && !wrong;
    if (!import_commit(import, *tx, err))
        return false;
    tx_end(tx);
    if (outgrown(import, &rows))
        refresh_statistics(import);
    return true;
}

static bool step(struct import *import, bool *ret_more, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!import_begin(import, &tx, err) || !tx)
        return !err_is_set(err);
    return import_scans(import) ? scan(import, tx, ret_more, err)
                                : write(import, &tx, ret_more, err);
}

bool import_step(const struct taken_operation *operation, bool *ret_more, struct err *err) {
    CLEANUP(import_close) struct import import;
    bool found = false;
    *ret_more = false;
    return import_open(&import, operation, &found, err) && (!found || step(&import, ret_more, err));
}
