/* Runs a write in one transaction, at most once for each Idempotency-Key. */
#include "base/write_once.h"

#include "base/audit_note.h"
#include "cache/cache.h"
#include "core/retention.h"
#include "core/trace.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void outcome_reset(struct outcome *outcome) {
    struct buf body = outcome->body;
    buf_reset(&body);
    *outcome = (struct outcome){.status = 200, .body = body};
}

struct once {
    struct action *action;
    write_work work;
    void *arg;
    struct outcome *outcome;
    size_t noted;   /* audit notes before the work */
    size_t touched; /* slot */
};

static struct str hash_text(struct action *action) {
    struct buf hex;
    char *text = arena_alloc(action->arena, 2 * CRYPTO_SHA256 + 3);
    if (!text)
        return STR_ABSENT;
    buf_init(&hex, 2 * CRYPTO_SHA256 + 3);
    buf_text(&hex, "\\x");
    buf_hex(&hex, action->request_hash, CRYPTO_SHA256);
    struct str whole = buf_str(&hex);
    if (whole.len > 0)
        memcpy(text, whole.ptr, whole.len);
    struct str ret = {text, whole.len};
    buf_release(&hex);
    return ret;
}

/* What triggers noted in this transaction: "kind:id version" lines of cached entries. */
#define TOUCHED                                                                                    \
    "select current_setting('kamd.touched', true), current_setting('kamd.revoked', true) = 'yes'"

/* All of them: the deletion of an account touches everything below it. */
void touches_read(struct action *action, struct outcome *outcome, struct str text) {
    struct str line, kind, id;
    int64_t version;
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    outcome->n_touches = 0;
    outcome->touches = arena_array(action->arena, lines, sizeof *outcome->touches);
    while (outcome->touches && str_split(&text, '\n', &line)) {
        if (!str_split(&line, ':', &kind) || !str_split(&line, ' ', &id) ||
            !str_to_i64(line, &version))
            continue;
        struct cache_touch *entry = &outcome->touches[outcome->n_touches++];
        snprintf(entry->name, sizeof entry->name, "%.*s:%.*s", STR_ARG(kind), STR_ARG(id));
        entry->version = version;
    }
}

/* As a fresh request would be answered. */
static bool access_kept(int64_t lost, struct err *err) {
    if (lost == 2)
        return err_set(
            err, PROBLEM_NOT_FOUND,
            "What the first request with this Idempotency-Key was about is not there for "
            "you any more. Nothing was done again.");
    return lost == 0 ||
           err_set(
               err, PROBLEM_FORBIDDEN,
               "The first request with this Idempotency-Key was answered with more than you may "
               "read now. Nothing was done again.");
}

/* The first answer by a key. */
#define FIRST_SQL                                                                                  \
    "select request_hash = $3::bytea, status, etag, location, body, touches,"                      \
    " access_lost(reach, told) from idempotency"                                                   \
    " where principal = $1 and key = $2 and created_at > " SINCE(ANSWERS_KEPT)
enum {
    FIRST_SAME,
    FIRST_STATUS,
    FIRST_ETAG,
    FIRST_LOCATION,
    FIRST_BODY,
    FIRST_TOUCHES,
    FIRST_LOST
};

/* *ret_replayed: the key was used before and the outcome is the first one. */
static bool idempotency_check(struct once *once, struct tx *tx, bool *ret_replayed,
                              struct err *err) {
    struct action *action = once->action;
    struct str who = str_of(action->who->id), key = action->idempotency_key;
    struct str lock = str_of(arena_format(action->arena, "%s|%.*s", action->who->id, STR_ARG(key)));
    size_t locked =
        tx_query(tx, "select pg_try_advisory_xact_lock(hashtextextended($1, 7))", &lock, 1);
    struct str params[] = {who, key, hash_text(action)};
    size_t seen = tx_query(tx, FIRST_SQL, params, 3);
    if (!tx_flush(tx, err))
        return false;
    if (!tx_bool(tx, locked, 0, 0)) {
        err->retry_after = 1;
        return err_set(err, PROBLEM_IN_FLIGHT, "A request with this Idempotency-Key is under way.");
    }
    *ret_replayed = tx_rows(tx, seen) > 0;
    if (!*ret_replayed)
        return true;
    if (!tx_bool(tx, seen, 0, FIRST_SAME))
        return err_set(err, PROBLEM_IDEMPOTENCY_REUSED,
                       "The first request with this key was another one.");
    if (!access_kept(tx_int(tx, seen, 0, FIRST_LOST), err))
        return false;
    struct outcome *outcome = once->outcome;
    outcome->status = (int)tx_int(tx, seen, 0, FIRST_STATUS);
    snprintf(outcome->etag, sizeof outcome->etag, "%s", tx_value(tx, seen, 0, FIRST_ETAG).ptr);
    snprintf(outcome->location, sizeof outcome->location, "%s",
             tx_value(tx, seen, 0, FIRST_LOCATION).ptr);
    buf_put(&outcome->body, tx_value(tx, seen, 0, FIRST_BODY));
    touches_read(action, outcome, tx_value(tx, seen, 0, FIRST_TOUCHES));
    outcome->replayed = true;
    return true;
}

static void idempotency_store(struct once *once, struct tx *tx) {
    struct action *action = once->action;
    const struct outcome *outcome = once->outcome;
    char status[16];
    snprintf(status, sizeof status, "%d", outcome->status);
    struct str body = buf_str(&outcome->body);
    struct str params[] = {str_of(action->who->id),   action->idempotency_key,
                           hash_text(action),         str_of(status),
                           str_of(outcome->etag),     str_of(outcome->location),
                           body.ptr ? body : STR(""), action->path};
    /* A key older than ANSWERS_KEPT is free again, also before the housekeeping has removed it. */
    tx_query(
        tx,
        "insert into idempotency (principal, key, request_hash, status, etag, location, body, "
        "touches, told)"
        " values ($1, $2, $3::bytea, $4::int, $5, $6, $7, coalesce(current_setting('kamd.touched', "
        "true), ''), case when current_setting('kamd.scope', true) <> 'all' then "
        "told_accounts(concat_ws(' ', $8::text, $6::text, $7::text)) end) on conflict (principal, "
        "key) do update set"
        " request_hash = excluded.request_hash, status = excluded.status, etag = excluded.etag,"
        " location = excluded.location, body = excluded.body, touches = excluded.touches, "
        "reach = excluded.reach, told = excluded.told, created_at = now()",
        params, COUNT_OF(params));
}

static bool once_work(struct tx *tx, void *arg, struct err *err) {
    struct once *once = arg;
    bool replayed = false, keyed = once->action->idempotency_key.ptr != NULL;
    outcome_reset(once->outcome);
    once->action->notes.n = once->noted;
    if (keyed && !idempotency_check(once, tx, &replayed, err))
        return false;
    if (replayed)
        return true;
    if (!once->work(once->action, tx, once->arg, once->outcome, err))
        return false;
    if (!buf_ok(&once->outcome->body))
        return err_memory(err);
    if (!notes_queue(once->action, tx, err))
        return false;
    if (keyed)
        idempotency_store(once, tx);
    once->touched = tx_query(tx, TOUCHED, NULL, 0);
    return true;
}

static void once_after(struct tx *tx, void *arg) {
    struct once *once = arg;
    if (once->outcome->replayed)
        return;
    once->outcome->revoked = tx_bool(tx, once->touched, 0, 1);
    touches_read(once->action, once->outcome, tx_value(tx, once->touched, 0, 0));
}

/* For the tests that kill a process between commit and answer. */
static void fault(const struct action *action, const char *point) {
    struct str setting = str_of(action->app->config->fault), name;
    if (setting.len > 0 && str_split(&setting, ':', &name) && str_is(name, point) &&
        str_is(setting, "kill"))
        kill(getpid(), SIGKILL);
}

static void invalidate(const struct action *action, const struct outcome *outcome) {
    struct trace trace;
    trace_child(&trace, action->traceparent);
    bool done = cache_invalidate(action->app->cache, outcome->touches, outcome->n_touches);
    TRACE_END(&trace, SPAN_CLIENT, STR("redis invalidate"), !done,
              SPAN_S("db.system.name", "redis"), SPAN_I("kamd.cache.entries", outcome->n_touches));
}

bool write_once(struct action *action, write_work work, void *arg, struct outcome *outcome,
                struct err *err) {
    struct once once = {
        .action = action, .work = work, .arg = arg, .outcome = outcome, .noted = action->notes.n};
    struct tx_context context = action_context(action);
    if (!store_run(action->app->store, &context, action->when, once_work, once_after, &once, err))
        return outcome->rolled_back && !err_is_set(err);
    action->notes.n = 0; /* committed with the write; a replay shows again what was noted then */
    fault(action, "after_commit");
    if (outcome->n_touches > 0)
        invalidate(action, outcome);
    return true;
}
