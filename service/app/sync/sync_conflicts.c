/* Decides who wins where kamd and another system changed the same field of a record, and keeps
 * what lost. */
#include "base/json.h"
#include "core/crypto.h"
#include "sync/bulk.h"

#include <stdio.h>
#include <string.h>

/* In the order of sync_rules. */
enum rule { SOURCE_WINS, KAMD_WINS, LATEST_WINS, SOURCE_OWNS, KAMD_OWNS, RULES };

/* Whether two systems can contradict each other about a field. external_ids and custom are merged
 * member by member. */
static bool can_conflict(const char *field) {
    return strcmp(field, "external_ids") != 0 && strcmp(field, "custom") != 0;
}

static enum rule rule_by_name(struct str name) {
    enum rule rule = SOURCE_WINS;
    while (rule < RULES && !str_is(name, sync_rules[rule]))
        rule++;
    return rule < RULES ? rule : SOURCE_WINS;
}

static enum rule rule_of(const struct bulk_run *run, const struct resource *resource,
                         const char *field) {
    for (size_t i = 0; i < jv_len(run->field_rules); i++) {
        const jv *one = jv_at(run->field_rules, i);
        if (str_is(jv_text(jv_get(one, "resource")), resource->name) &&
            str_is(jv_text(jv_get(one, "field")), field))
            return rule_by_name(jv_text(jv_get(one, "rule")));
    }
    return rule_by_name(run->policy);
}

static struct str digest_of(struct arena *arena, const jv *value) {
    unsigned char hash[CRYPTO_SHA256];
    struct str ret = STR_ABSENT;
    struct buf text;
    buf_init(&text, (size_t)8 << 20);
    jv_write(value, &text);
    if (buf_ok(&text)) {
        sha256(buf_str(&text), hash);
        buf_reset(&text);
        buf_hex(&text, hash, 8);
        ret = arena_str(arena, buf_str(&text));
    }
    buf_release(&text);
    return ret;
}

/* Nothing that anybody would miss. */
static bool blank(const jv *value) {
    switch (jv_kind(value)) {
    case JV_NULL:
        return true;
    case JV_ARRAY:
    case JV_OBJECT:
        return jv_len(value) == 0;
    case JV_TEXT:
        return jv_text(value).len == 0;
    case JV_BOOL:
    case JV_INT:
    case JV_REAL:
        return false;
    }
    return false;
}

/* Times as PostgreSQL and we write them, in UTC with microseconds, compare as texts. */
static bool theirs_is_later(const struct sync_message *message, const char *field,
                            struct str updated) {
    struct str ours = jv_text(jv_get(message->changed_at, field));
    ours = ours.ptr ? ours : updated;
    return message->stamp.len == 0 || !ours.ptr || strcmp(message->stamp.ptr, ours.ptr) >= 0;
}

static bool source_wins(enum rule rule, bool theirs_later) {
    switch (rule) {
    case SOURCE_WINS:
    case SOURCE_OWNS:
        return true;
    case KAMD_WINS:
    case KAMD_OWNS:
        return false;
    case LATEST_WINS:
        return theirs_later;
    case RULES:
        break;
    }
    return true;
}

/* A field that the two sides say otherwise. */
struct difference {
    const char *field;
    const jv *ours, *theirs;
};

static void note(struct sync_message *message, const struct difference *difference, enum rule rule,
                 bool source) {
    jv *one = jv_new_object();
    jv_set(one, "field", jv_new_text(str_of(difference->field)));
    jv_set(one, "kamd_value", jv_copy(difference->ours));
    jv_set(one, "system_value", jv_copy(difference->theirs));
    jv_set(one, "rule", jv_new_text(str_of(sync_rules[rule])));
    jv_set(one, "winner", jv_new_text(source ? STR("source") : STR("kamd")));
    if (!message->conflicts)
        message->conflicts = jv_new_array();
    jv_push(message->conflicts, one);
}

/* True: ours stays. */
static bool keep_ours(struct action *action, const struct bulk_run *run, size_t i,
                      const struct difference *difference) {
    const char *field = difference->field;
    const jv *ours = difference->ours, *theirs = difference->theirs;
    struct sync_message *message = &run->messages[i];
    enum rule rule = rule_of(run, run->batch->resource, field);
    struct str before = jv_text(jv_get(message->previous_digests, field));
    bool they_changed = !before.ptr || !str_eq(before, digest_of(action->arena, theirs));
    bool we_changed = before.ptr ? !str_eq(before, digest_of(action->arena, ours)) : !blank(ours);
    bool source = source_wins(rule, theirs_is_later(message, field, str_of(message->updated_at)));
    if (rule == KAMD_OWNS) {
        if (they_changed)
            note(message, difference, rule, false);
        return true;
    }
    if (!we_changed)
        return false;
    /* Said once more, not changed: only a system that always wins overrides what we did since. */
    if (!they_changed && rule != SOURCE_WINS && rule != SOURCE_OWNS)
        return true;
    note(message, difference, rule, source);
    return !source;
}

static bool resolve_fields(struct action *action, const struct bulk_run *run, size_t i,
                           const struct row *row, const jv *current) {
    struct entry *entry = &run->batch->entries[i];
    const char *lost[256];
    size_t n = 0;
    (void)row;
    for (void *it = jv_first(run->given[i]); it && n < COUNT_OF(lost);
         it = jv_next(run->given[i], it)) {
        const struct difference field = {jv_key(it), jv_get(current, jv_key(it)),
                                         jv_get(entry->clean, jv_key(it))};
        if (can_conflict(field.field) && field.theirs && field.ours &&
            !jv_equal(field.ours, field.theirs) && keep_ours(action, run, i, &field))
            lost[n++] = arena_copy(action->arena, str_of(jv_key(it)));
    }
    for (size_t k = 0; k < n; k++)
        if (lost[k])
            jv_remove(run->given[i], lost[k]);
    return n > 0;
}

/* The digests of what is said now, also where it does not win. */
static void listen(struct action *action, const struct bulk_run *run, size_t i) {
    struct sync_message *message = &run->messages[i];
    const jv *clean = run->batch->entries[i].clean;
    if (run->batch->resource->id == RES_ORDER) /* facts: nobody types them here */
        return;
    message->digests = jv_new_object();
    for (void *it = jv_first(run->given[i]); it; it = jv_next(run->given[i], it))
        if (can_conflict(jv_key(it)) && jv_get(clean, jv_key(it)))
            jv_set(message->digests, jv_key(it),
                   jv_new_text(digest_of(action->arena, jv_get(clean, jv_key(it)))));
}

/* One side deleted it, the other changed it. True: it stays as it is here. */
static bool resolve_existence(const struct bulk_run *run, size_t i, const struct row *row) {
    struct entry *entry = &run->batch->entries[i];
    struct sync_message *message = &run->messages[i];
    const struct resource *resource = run->batch->resource;
    bool deleted = row_deleted(row), del = entry->kind == ENTRY_DELETE;
    bool ours = del ? message->version > 0 && row_version(row) != message->version
                    : message->known && !message->was_deleted;
    if (deleted == del || !ours || resource->id == RES_ORDER)
        return false;
    enum rule rule = rule_by_name(run->policy);
    bool source = source_wins(rule, theirs_is_later(message, "", str_of(message->updated_at)));
    CLEANUP(jv_unref) jv *gone = jv_new_bool(true);
    CLEANUP(jv_unref) jv *there = jv_new_bool(false);
    const struct difference existence = {"deleted_at", deleted ? gone : there, del ? gone : there};
    note(message, &existence, rule, source);
    if (!source)
        entry->settled = OUTCOME_UNCHANGED;
    return !source;
}

bool sync_resolve_conflicts(struct action *action, struct batch *batch, struct entry *entry,
                            const struct row *row, const jv *current) {
    struct bulk_run *run = batch->review_arg;
    size_t i = (size_t)(entry - batch->entries);
    bool kept = false;
    if (row) {
        struct str updated = row_value(row, "updated_at");
        struct buf text;
        buf_init(&text, sizeof run->messages[i].updated_at + 2);
        render_value(&(const struct field){.type = FIELD_TIME}, updated, &text);
        if (buf_ok(&text) && text.len > 2)
            snprintf(run->messages[i].updated_at, sizeof run->messages[i].updated_at, "%.*s",
                     (int)text.len - 2, text.ptr + 1);
        buf_release(&text);
    }
    if (entry->clean)
        listen(action, run, i);
    if (row && resolve_existence(run, i, row))
        return false;
    if (row && current && entry->clean)
        kept = resolve_fields(action, run, i, row, current);
    return kept;
}

static void finish(const struct bulk *bulk, const struct bulk_run *run, size_t i, jv *conflicts) {
    const struct entry *entry = &run->batch->entries[i];
    const struct sync_message *message = &run->messages[i];
    struct str account = bulk->resource->id == RES_ACCOUNT ? entry->id
                         : (bulk->resource->flags & R_ACCOUNT_SCOPED) != 0 && entry->row
                             ? row_value(entry->row, "account_id")
                             : STR_ABSENT;
    for (size_t k = 0; k < jv_len(message->conflicts); k++) {
        jv *one = jv_copy(jv_at(message->conflicts, k));
        jv_set(one, "system", jv_new_text(bulk->system));
        jv_set(one, "resource", jv_new_text(str_of(bulk->resource->name)));
        jv_set(one, "external_id", jv_new_text(entry->external_id));
        jv_set(one, "record_id", jv_new_text(entry->id));
        jv_set(one, "account_id", account.ptr ? jv_new_text(account) : jv_new_null());
        jv_set(one, "version", jv_new_int(entry->row ? row_version(entry->row) : 0));
        if (message->stamp.len > 0)
            jv_set(one, "system_modstamp", jv_new_text(message->stamp));
        jv_push(conflicts, one);
    }
}

bool sync_conflicts_keep(struct action *action, const struct bulk *bulk, struct tx *tx,
                         const struct bulk_run *run, struct err *err) {
    CLEANUP(jv_unref) jv *conflicts = jv_new_array();
    for (size_t i = 0; conflicts && i < run->batch->n; i++)
        if (!err_is_set(&run->batch->entries[i].err))
            finish(bulk, run, i, conflicts);
    if (!conflicts)
        return err_memory(err);
    if (jv_len(conflicts) == 0)
        return true;
    struct str text = json_param(action, conflicts);
    if (!text.ptr)
        return err_memory(err);
    tx_query(tx, "select sync_conflicts_put($1::jsonb)", &text, 1);
    return true;
}
