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
    struct outcome *outcome;
    write_work work;
    void *arg;
    size_t n_notes; /* audit notes before the first attempt */
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

/* outcome->replayed: the key was used before, and the outcome is the first one. */
static bool idempotency_check(struct action *action, struct tx *tx, struct outcome *outcome,
                              struct err *err) {
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
    if (tx_rows(tx, seen) == 0)
        return true;
    if (!tx_bool(tx, seen, 0, FIRST_SAME))
        return err_set(err, PROBLEM_IDEMPOTENCY_REUSED,
                       "The first request with this key was another one.");
    if (!access_kept(tx_int(tx, seen, 0, FIRST_LOST), err))
        return false;
    outcome->status = (int)tx_int(tx, seen, 0, FIRST_STATUS);
    snprintf(outcome->etag, sizeof outcome->etag, "%s", tx_value(tx, seen, 0, FIRST_ETAG).ptr);
    snprintf(outcome->location, sizeof outcome->location, "%s",
             tx_value(tx, seen, 0, FIRST_LOCATION).ptr);
    buf_put(&outcome->body, tx_value(tx, seen, 0, FIRST_BODY));
    touches_read(action, outcome, tx_value(tx, seen, 0, FIRST_TOUCHES));
    outcome->replayed = true;
    return true;
}

static void idempotency_store(struct action *action, struct tx *tx, const struct outcome *outcome) {
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

/* What triggers noted in this transaction. */
#define NOTED_SQL                                                                                  \
    "select current_setting('kamd.touched', true), current_setting('kamd.revoked', true) = 'yes'"
enum { NOTED_TOUCHED, NOTED_REVOKED };

/* One attempt. Behind the work, what is stored under the key and the reading of the notes go out
 * with the COMMIT, in one round trip. */
static bool attempt(struct once *once, struct tx *tx, struct err *err) {
    struct action *action = once->action;
    struct outcome *outcome = once->outcome;
    bool keyed = action->idempotency_key.ptr != NULL;
    outcome_reset(outcome);
    action->notes.n = once->n_notes;
    if (keyed && !idempotency_check(action, tx, outcome, err))
        return false;
    if (outcome->replayed)
        return tx_commit(tx, err);
    if (!once->work(action, tx, once->arg, outcome, err))
        return false;
    if (!buf_ok(&outcome->body))
        return err_memory(err);
    if (!notes_queue(action, tx, err))
        return false;
    if (keyed)
        idempotency_store(action, tx, outcome);
    size_t noted = tx_query(tx, NOTED_SQL, NULL, 0);
    if (!tx_commit(tx, err))
        return false;
    outcome->revoked = tx_bool(tx, noted, 0, NOTED_REVOKED);
    touches_read(action, outcome, tx_value(tx, noted, 0, NOTED_TOUCHED));
    return true;
}

static bool commit_once(struct once *once, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct tx_context context = action_context(once->action);
    bool done;
    if (!(tx = tx_begin(once->action->app->store, TX_WRITE, &context, once->action->when, err)))
        return false;
    do
        done = attempt(once, tx, err);
    while (!done && tx_repeat(tx, err));
    return done;
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
    struct once once = {action, outcome, work, arg, action->notes.n};
    if (!commit_once(&once, err))
        return outcome->rolled_back && !err_is_set(err);
    action->notes.n = 0; /* committed with the write; a replay shows again what was noted then */
    fault(action, "after_commit");
    if (outcome->n_touches > 0)
        invalidate(action, outcome);
    return true;
}
