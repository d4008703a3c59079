/* Writes a batch of records in a few SQL statements: locks and reads the records, decodes and
 * checks each entry, writes all of them, and reads the result back. When the database refuses the
 * set, each record is written by itself to find out which one is wrong. */
#include "record/batch.h"

#include "base/if_match.h"
#include "domain/decode.h"
#include "store/array.h"
#include "store/record.h"

#include <stdio.h>
#include <string.h>

struct batch *batch_new(struct action *action, const struct resource *resource, size_t n,
                        struct err *err) {
    struct batch *batch = arena_alloc(action->arena, sizeof *batch);
    if (batch) {
        *batch =
            (struct batch){.resource = resource,
                           .n = n,
                           .admin = caller_may(action->who->role, action->who->scopes, VERB_ADMIN)};
        batch->entries = arena_array(action->arena, n + 1, sizeof *batch->entries);
    }
    if (!batch || !batch->entries) {
        err_memory(err);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        batch->entries[i] = (struct entry){.at = "", .err = ERR_INIT};
    return batch;
}

static void entry_reset(struct entry *entry) {
    jv_unref(&entry->clean);
    err_release(&entry->err);
    entry->err = ERR_INIT;
    entry->row = NULL;
    entry->outcome = OUTCOME_OPEN;
    entry->changed = entry->was_deleted = false;
}

void batch_release(struct batch **batch) {
    for (size_t i = 0; *batch && i < (*batch)->n; i++)
        entry_reset(&(*batch)->entries[i]);
}

static bool failed(const struct entry *entry) { return err_is_set(&entry->err); }

/* ---- reading what is there ---- */

static struct str ids_of(struct action *action, const struct batch *batch, bool live_only) {
    struct str *ids = arena_array(action->arena, batch->n + 1, sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; ids && i < batch->n; i++)
        if (batch->entries[i].id.ptr && !(live_only && failed(&batch->entries[i])))
            ids[n++] = batch->entries[i].id;
    return ids ? pg_array_param(action->arena, ids, n) : STR_ABSENT;
}

static bool visible(const struct entry *entry, const struct row *row) {
    if (!row)
        return false;
    if (row_deleted(row) && entry->kind != ENTRY_RESTORE && !entry->upsert)
        return false;
    return row_below(row, entry->account_id);
}

static bool precondition(struct action *action, struct entry *entry, const struct row *row) {
    if (entry->unconditional)
        return true;
    if (!action->if_match.ptr && action->who->role == ROLE_INTEGRATION)
        return true;
    return if_match_given(action, &entry->err) && row_if_match(action, row, &entry->err);
}

static jv *document_of_row(const struct batch *batch, const struct row *row, struct err *err) {
    struct buf text;
    jv *doc = NULL;
    buf_init(&text, (size_t)8 << 20);
    render_writable(batch->resource, row->values, &text);
    if (!buf_ok(&text))
        err_memory(err);
    else if (!json_read(buf_str(&text), JSON_TOKENS * 10, &doc, err))
        doc = NULL;
    buf_release(&text);
    return doc;
}

/* ---- deciding ---- */

static void give_id(struct action *action, struct entry *entry) {
    struct uuid id = uuid_v7(action->app->clock, action->app->randomness);
    char text[UUID_TEXT];
    uuid_text(&id, text);
    entry->id = arena_str(action->arena, str_of(text));
    if (entry->clean)
        jv_set(entry->clean, "id", jv_new_text(entry->id));
}

/* `before` is NULL for a new record. */
static void take_references(struct action *action, struct batch *batch, struct entry *entry,
                            const jv *before) {
    const struct shape whole = {batch->resource->fields, batch->resource->n_fields};
    const struct referrer referrer = {.shape = &whole,
                                      .doc = entry->clean,
                                      .before = before,
                                      .account_id = jv_text(jv_get(entry->clean, "account_id")),
                                      .at = entry->at};
    if (!references_take(action, &batch->references, &referrer, &entry->err))
        err_memory(&entry->err);
}

/* Compared with what would be written, so that it does not matter who wins in a sync, nor what is
 * only repeated. `current` is NULL for a new record. */
static bool admin_fields(const struct batch *batch, struct entry *entry, const jv *current) {
    for (size_t i = 0; i < batch->resource->n_fields && !batch->admin; i++) {
        const struct field *field = &batch->resource->fields[i];
        const jv *before = jv_get(current, field->name), *now = jv_get(entry->clean, field->name);
        char where[128];
        if ((field->flags & F_ADMIN) == 0 || (before ? jv_equal(before, now) : jv_is_null(now)))
            continue;
        snprintf(where, sizeof where, "%s/%s", entry->at, field->name);
        err_add(&entry->err, PROBLEM_FORBIDDEN, ERR_POINTER(where), "admins_only",
                "is set and changed by admins only");
    }
    return !failed(entry);
}

static void decide_change(struct action *action, struct batch *batch, const struct decode *decode,
                          struct entry *entry, const struct row *row) {
    CLEANUP(jv_unref) jv *current = document_of_row(batch, row, &entry->err);
    if (!current)
        return;
    entry->was_deleted = row_deleted(row);
    bool fine = decode_change(decode, current, entry->given, &entry->clean, &entry->err);
    if (fine && batch->review && batch->review(action, batch, entry, row, current)) {
        jv_unref(&entry->clean);
        fine = decode_change(decode, current, entry->given, &entry->clean, &entry->err);
    }
    entry->changed = fine && !jv_equal(current, entry->clean);
    if (!fine || !admin_fields(batch, entry, current))
        return;
    jv_set(entry->clean, "id", jv_new_text(entry->id));
    if (entry->changed && !entry->settled)
        take_references(action, batch, entry, current);
}

static void decide(struct action *action, struct batch *batch, struct entry *entry) {
    struct decode decode = {.resource = batch->resource,
                            .customs = &batch->customs,
                            .at = entry->at,
                            .replace = entry->replace};
    if (failed(entry) || entry->settled)
        return;
    if (entry->kind == ENTRY_CREATE) {
        if (batch->resource->id == RES_ACCOUNT &&
            !area_writable(action, AREAS_ALL, AREA_PROFILE, &entry->err))
            return;
        if (!decode_new(&decode, entry->given, &entry->clean, &entry->err) ||
            !admin_fields(batch, entry, NULL))
            return;
        if (batch->review)
            batch->review(action, batch, entry, NULL, NULL);
        give_id(action, entry);
        if (!entry->settled)
            take_references(action, batch, entry, NULL);
        return;
    }
    const struct row *row = row_by_id(&batch->current, entry->id);
    struct record_key key = {.resource = batch->resource};
    if (!visible(entry, row))
        not_found(&key, &entry->err);
    else if (!row_writable(action, row, &entry->err))
        return;
    else if (precondition(action, entry, row) && entry->kind == ENTRY_CHANGE)
        decide_change(action, batch, &decode, entry, row);
    else if (!failed(entry)) {
        entry->was_deleted = row_deleted(row);
        if (batch->review)
            batch->review(action, batch, entry, row, NULL);
    }
}

/* ---- writing ---- */

static bool is_written_as(const struct entry *entry, enum entry_kind kind) {
    if (failed(entry) || entry->settled)
        return false;
    if (kind == ENTRY_RESTORE)
        return entry->was_deleted && (entry->kind == ENTRY_RESTORE || entry->kind == ENTRY_CHANGE);
    return entry->kind == kind && (kind != ENTRY_CHANGE || entry->changed) &&
           (kind != ENTRY_DELETE || !entry->was_deleted);
}

static struct str documents_json(struct action *action, const struct batch *batch, size_t from,
                                 size_t to, enum entry_kind kind) {
    struct buf text;
    struct str ret = STR_ABSENT;
    bool first = true;
    buf_init(&text, (size_t)32 << 20);
    buf_char(&text, '[');
    for (size_t i = from; i < to; i++) {
        if (!is_written_as(&batch->entries[i], kind))
            continue;
        if (!first)
            buf_char(&text, ',');
        first = false;
        jv_write(batch->entries[i].clean, &text);
    }
    buf_char(&text, ']');
    if (!first && buf_ok(&text))
        ret = arena_str(action->arena, buf_str(&text));
    buf_release(&text);
    return ret;
}

static struct str ids_wanting(struct action *action, const struct batch *batch, size_t from,
                              size_t to, enum entry_kind kind) {
    struct str *ids = arena_array(action->arena, to - from + 1, sizeof *ids);
    size_t n = 0;
    for (size_t i = from; ids && i < to; i++)
        if (is_written_as(&batch->entries[i], kind))
            ids[n++] = batch->entries[i].id;
    return n > 0 ? pg_array_param(action->arena, ids, n) : STR_ABSENT;
}

/* Restore comes before update: a change of a deleted record brings it back. */
static void queue_writes(struct action *action, struct tx *tx, const struct batch *batch,
                         size_t from, size_t to) {
    const struct record_sql *sql = sql_for(action, batch->resource->id);
    struct str back = ids_wanting(action, batch, from, to, ENTRY_RESTORE);
    struct str fresh = documents_json(action, batch, from, to, ENTRY_CREATE);
    struct str edited = documents_json(action, batch, from, to, ENTRY_CHANGE);
    struct str gone = ids_wanting(action, batch, from, to, ENTRY_DELETE);
    if (back.ptr)
        tx_query(tx, sql->restore, &back, 1);
    if (fresh.ptr)
        tx_query(tx, sql->insert, &fresh, 1);
    if (edited.ptr)
        tx_query(tx, sql->update, &edited, 1);
    if (gone.ptr)
        tx_query(tx, sql->del, &gone, 1);
}

/* The database is in the way, or no time is left: no fault of a record's, so the whole call fails,
 * and nothing is done. Moves what happened to `err`. */
static bool call_failure(struct err *what, struct err *err) {
    if (problem_info(what->problem)->status != 503)
        return false;
    err_release(err);
    *err = *what;
    *what = ERR_INIT;
    return true;
}

/* The database refused the set: one after the other, to learn which. */
static bool write_singly(struct action *action, struct tx *tx, struct batch *batch,
                         struct err *err) {
    for (size_t i = 0; i < batch->n; i++) {
        struct entry *entry = &batch->entries[i];
        if (failed(entry))
            continue;
        tx_savepoint(tx);
        queue_writes(action, tx, batch, i, i + 1);
        if (!tx_flush(tx, &entry->err) &&
            (call_failure(&entry->err, err) || !tx_rollback_to_savepoint(tx, err)))
            return false;
    }
    return true;
}

/* The one record's failure is the call's. */
static bool single_failure(struct batch *batch, struct err *err) {
    if (!batch->single || !failed(&batch->entries[0]))
        return false;
    err_release(err);
    *err = batch->entries[0].err;
    batch->entries[0].err = ERR_INIT;
    return true;
}

/* all_or_none: one failure takes the others with it. */
static bool fail_together(struct batch *batch) {
    bool any = false;
    for (size_t i = 0; i < batch->n; i++)
        any = any || failed(&batch->entries[i]);
    if (!any || !batch->all_or_none)
        return false;
    for (size_t i = 0; i < batch->n; i++) {
        struct entry *entry = &batch->entries[i];
        if (!failed(entry))
            err_add(&entry->err, PROBLEM_CONFLICT, ERR_POINTER(entry->at), "rolled_back",
                    "Nothing was written, since another record of this call failed.");
        entry->outcome = OUTCOME_ERROR;
        entry->row = NULL;
    }
    batch->rolled_back = true;
    return true;
}

static bool write_set(struct action *action, struct tx *tx, struct batch *batch, struct err *err) {
    if (batch->single) {
        queue_writes(action, tx, batch, 0, 1);
        return true; /* goes out together with the reading back */
    }
    tx_savepoint(tx);
    queue_writes(action, tx, batch, 0, batch->n);
    struct err set CLEANUP(err_release) = ERR_INIT;
    if (tx_flush(tx, &set))
        return true;
    return !call_failure(&set, err) && tx_rollback_to_savepoint(tx, err) &&
           write_singly(action, tx, batch, err);
}

static enum entry_outcome success_outcome(const struct entry *entry) {
    if (entry->settled)
        return entry->settled;
    switch (entry->kind) {
    case ENTRY_CREATE:
        return OUTCOME_CREATED;
    case ENTRY_CHANGE:
        return entry->changed || entry->was_deleted ? OUTCOME_UPDATED : OUTCOME_UNCHANGED;
    case ENTRY_RESTORE:
        return entry->was_deleted ? OUTCOME_UPDATED : OUTCOME_UNCHANGED;
    case ENTRY_DELETE:
        return entry->was_deleted ? OUTCOME_UNCHANGED : OUTCOME_DELETED;
    }
    return OUTCOME_ERROR;
}

static bool read_back(struct action *action, struct tx *tx, struct batch *batch, struct err *err) {
    struct str ids = ids_of(action, batch, true);
    if (!ids.ptr)
        return err_memory(err);
    size_t slot = tx_query(tx, sql_for(action, batch->resource->id)->get_any, &ids, 1);
    if (!tx_flush(tx, err))
        return false;
    struct rows rows = rows_of(action, batch->resource, tx, slot);
    if (!rows.list)
        return err_memory(err);
    for (size_t i = 0; i < batch->n; i++) {
        struct entry *entry = &batch->entries[i];
        entry->outcome = failed(entry) ? OUTCOME_ERROR : success_outcome(entry);
        entry->row = failed(entry) ? NULL : row_by_id(&rows, entry->id);
    }
    return true;
}

/* The account that a new record is for: as the path says, else as the document says. */
static struct str entry_account(const struct batch *batch, const struct entry *entry) {
    if ((batch->resource->flags & R_ACCOUNT_SCOPED) == 0 || entry->kind != ENTRY_CREATE ||
        failed(entry) || entry->settled)
        return STR_ABSENT;
    struct str said =
        entry->account_id.ptr ? entry->account_id : jv_text(jv_get(entry->given, "account_id"));
    return uuid_is(said) ? said : STR_ABSENT;
}

static struct str batch_accounts(struct action *action, const struct batch *batch) {
    struct str *ids = arena_array(action->arena, batch->n + 1, sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; ids && i < batch->n; i++) {
        struct str id = entry_account(batch, &batch->entries[i]);
        if (id.ptr)
            ids[n++] = id;
    }
    return n > 0 ? pg_array_param(action->arena, ids, n) : STR_ABSENT;
}

/* Nothing new below an account that is deleted, or that the caller does not see. */
static void check_accounts(struct action *action, struct batch *batch, struct tx *tx, size_t slot) {
    for (size_t i = 0; i < batch->n; i++) {
        struct entry *entry = &batch->entries[i];
        struct str id = entry_account(batch, entry);
        bool found = !id.ptr;
        for (size_t r = 0; r < tx_rows(tx, slot) && !found; r++) {
            found = str_case_is(id, tx_value(tx, slot, r, 0).ptr) && tx_value(tx, slot, r, 1).ptr;
            if (found)
                area_writable(action, (area_set)tx_int(tx, slot, r, 1), batch->resource->area,
                              &entry->err);
        }
        if (found)
            continue;
        struct record_key key = {.resource = resource_of(RES_ACCOUNT)};
        char where[128];
        snprintf(where, sizeof where, "%s/account_id", entry->at);
        if (entry->account_id.ptr)
            not_found(&key, &entry->err);
        else
            err_add(&entry->err, PROBLEM_VALIDATION, ERR_POINTER(where), "unknown_reference",
                    "There is no such account that you can see.");
    }
}

/* Shared locks: an account cannot be deleted while something is put below it. */
#define ACCOUNTS_SQL(areas, ids)                                                                   \
    "select id, " areas " from account where id = " ids " and deleted_at is null "                 \
    "order by id for share"
static const char *accounts_sql(struct action *action) {
    return role_sees_all(action->who->role)
               ? ACCOUNTS_SQL("caller_reads()", ANY_OF_IDS)
               : arena_format(action->arena, ACCOUNTS_SQL("areas_of(id)", ANY_VISIBLE), "account",
                              "false");
}

static bool read_current(struct action *action, struct tx *tx, struct batch *batch,
                         struct err *err) {
    struct str accounts = batch_accounts(action, batch), ids = ids_of(action, batch, false);
    size_t account_slot = 0;
    batch->current = (struct rows){NULL, 0};
    const char *sql = accounts_sql(action);
    if (!ids.ptr || !sql)
        return err_memory(err);
    if (accounts.ptr)
        account_slot = tx_query(tx, sql, &accounts, 1);
    bool any = ids.len > strlen("{}");
    size_t slot = any ? tx_query(tx, sql_for(action, batch->resource->id)->lock, &ids, 1) : 0;
    if ((accounts.ptr || any) && !tx_flush(tx, err))
        return false;
    if (accounts.ptr)
        check_accounts(action, batch, tx, account_slot);
    if (any)
        batch->current = rows_of(action, batch->resource, tx, slot);
    return !any || batch->current.list ? true : err_memory(err);
}

static bool uses_custom(const struct batch *batch) {
    for (size_t i = 0; i < batch->n && (batch->resource->flags & R_CUSTOM) != 0; i++)
        if (batch->entries[i].given &&
            (batch->entries[i].kind == ENTRY_CHANGE || jv_get(batch->entries[i].given, "custom")))
            return true;
    return false;
}

bool batch_write(struct action *action, struct tx *tx, struct batch *batch, struct err *err) {
    if (!read_current(action, tx, batch, err))
        return false;
    batch->customs = (struct custom_fields){0};
    if (uses_custom(batch) &&
        !custom_fields_load(action, tx, batch->resource, &batch->customs, err))
        return false;
    batch->references.list = NULL;
    for (size_t i = 0; i < batch->n; i++)
        decide(action, batch, &batch->entries[i]);
    if (!references_check(action, tx, &batch->references, err))
        return false;
    if (single_failure(batch, err))
        return false;
    if (fail_together(batch))
        return true;
    return write_set(action, tx, batch, err) &&
           (fail_together(batch) || read_back(action, tx, batch, err));
}
