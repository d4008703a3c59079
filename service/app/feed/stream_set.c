/* Opens and closes event streams and long polls, and runs the one thread that serves them all. The
 * thread also sends heartbeats, and ends streams whose key was revoked, whose time is over or whose
 * client has gone. */
#include "app/audit_note.h"
#include "app/query.h"
#include "app/sign_in.h"
#include "base/audit_note.h"
#include "core/log.h"
#include "core/metrics.h"
#include "feed/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 200
#define HEARTBEAT_US 15000000
#define CHECK_US 2000000 /* a key that was revoked listens no longer than this */
#define ROUND_ARENA ((size_t)32 << 20)

/* ---- the thread
 * ------------------------------------------------------------------------------ */

static bool still_known(struct streams *all, const struct stream *stream) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct principal who;
    const struct sign_in sign_in = {.app = all->app,
                                    .token = str_of(stream->bearer),
                                    .any_age = true,
                                    .when = deadline_in_ms(TICK_MS)};

    return principal_find(&sign_in, &who, &err) || err.problem != PROBLEM_UNAUTHENTICATED;
}

/* From memory alone, so it may hold the lock. */
static void look_after(struct streams *all) {
    int64_t now = clock_mono(&clock_system);

    pthread_mutex_lock(&all->lock);
    for (struct stream *s = all->first; s != NULL; s = s->next) {
        if (!s->waits && now - s->spoke_us > HEARTBEAT_US && s->taken == s->out.len)
            stream_say(s, STR(": heartbeat\n\n"));
        if (s->ends_us != 0 && now >= s->ends_us)
            stream_end(s);
        if (now - s->checked_us < CHECK_US)
            continue;
        s->checked_us = now;
        if (!still_known(all, s) || (s->asleep && s->line->gone(s->context)))
            stream_end(s);
    }
    pthread_mutex_unlock(&all->lock);
}

static void report(struct streams *all, bool ok, const struct err *err) {
    if (!ok && !all->failing)
        log_err(LOG_WARN, "streams_wait", err);
    all->failing = !ok;
}

/* One round for all streams. False: a full batch was read, so there is more to read at once. */
static bool round_once(struct streams *all) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct arena arena CLEANUP(arena_release) = {0};
    size_t n = 0;

    arena_init(&arena, ROUND_ARENA);
    bool ok = streams_tell(all, &arena, &n, &err) && streams_answer(all, &arena, &err) &&
              streams_catch_up(all, &arena, &err);
    report(all, ok, &err);
    look_after(all);
    return n < STREAM_BATCH;
}

static void wait_a_moment(struct streams *all) {
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    if (!all->stopping)
        pthread_cond_timedwait(&all->changed, &all->lock, &until);
}

static void *run(void *argument) {
    struct streams *all = argument;
    bool pause = false;

    pthread_mutex_lock(&all->lock);
    while (!all->stopping) {
        while (all->n == 0 && !all->stopping) {
            all->head = -1;
            pthread_cond_wait(&all->changed, &all->lock);
        }
        if (pause)
            wait_a_moment(all);
        if (all->stopping)
            break;
        pthread_mutex_unlock(&all->lock);
        pause = round_once(all);
        pthread_mutex_lock(&all->lock);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

bool streams_start(struct app *app, struct streams **ret, struct err *err) {
    struct streams *all = calloc(1, sizeof(*all));
    pthread_condattr_t attr;

    if (all == NULL)
        return err_memory(err);
    all->app = app;
    all->head = -1;
    pthread_mutex_init(&all->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&all->changed, &attr);
    pthread_condattr_destroy(&attr);
    all->started = pthread_create(&all->thread, NULL, run, all) == 0;
    if (!all->started) {
        streams_stop(all);
        return err_memory(err);
    }
    pthread_setname_np(all->thread, "streams");
    *ret = all;
    return true;
}

void streams_end(struct streams *all) {
    if (all == NULL)
        return;
    pthread_mutex_lock(&all->lock);
    all->ending = true;
    for (struct stream *s = all->first; s != NULL; s = s->next)
        stream_end(s);
    pthread_mutex_unlock(&all->lock);
}

void streams_stop(struct streams *all) {
    if (all == NULL)
        return;
    pthread_mutex_lock(&all->lock);
    all->stopping = true;
    pthread_cond_signal(&all->changed);
    pthread_mutex_unlock(&all->lock);
    if (all->started)
        pthread_join(all->thread, NULL);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

size_t streams_open(struct streams *all) {
    pthread_mutex_lock(&all->lock);
    size_t n = all->n;
    pthread_mutex_unlock(&all->lock);
    return n;
}

/* ---- coming and going
 * ------------------------------------------------------------------------------ */

/* A stream is noted once, as it begins, for each sensitive area that it may tell of. */
static void note_stream(struct action *action, const struct event_query *query) {
    for (enum area area = 0; area < AREA_COUNT; area++)
        if ((role_reads(action->who->role) & AREA_BIT(area)) != 0)
            audit_note(action, area, "event_stream", query->account_id, STR_ABSENT);
}

/* Without `after` and last id it begins with what happens from now on. */
static bool find_cursor(struct action *action, struct event_query *query, int64_t *ret,
                        struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;

    if (!read_begin(action, &tx, err))
        return false;
    size_t bounds = event_bounds(tx, query->after);
    note_stream(action, query);
    if (!notes_queue(action, tx, err) || !tx_flush(tx, err) ||
        event_expired(tx, bounds, query->after, err))
        return false;
    action->notes.n = 0;
    if (query->after.ptr == NULL || !str_to_i64(query->after, ret))
        *ret = tx_int(tx, bounds, 0, 1);
    return true;
}

static void stream_free(struct stream *stream) {
    if (stream->bearer != NULL)
        explicit_bzero(stream->bearer, strlen(stream->bearer));
    free(stream->bearer);
    buf_release(&stream->out);
    free(stream->types);
    free(stream->names);
    free(stream->waits);
    free(stream->nothing);
    free(stream);
}

static bool stream_fill(struct stream *stream, const struct action *action,
                        const struct event_query *query, struct str names) {
    stream->who = *action->who;
    stream->checked_us = stream->spoke_us = clock_mono(&clock_system);
    buf_init(&stream->out, STREAM_BACKLOG);
    stream->bearer = strndup(action->bearer.ptr, action->bearer.len);
    if (stream->bearer == NULL)
        return false;
    snprintf(stream->account_id, sizeof(stream->account_id), "%.*s", STR_ARG(query->account_id));
    if (query->types.ptr == NULL || names.ptr == NULL)
        return true;
    stream->types = strndup(query->types.ptr, query->types.len);
    stream->names = strndup(names.ptr, names.len);
    return stream->types != NULL && stream->names != NULL;
}

static bool stream_add(struct streams *all, struct stream *stream, struct err *err) {
    pthread_mutex_lock(&all->lock);
    bool fits = !all->ending && all->n < STREAMS_MAX;
    if (fits) {
        stream->next = all->first;
        all->first = stream;
        all->n++;
        metrics_set(METRIC_STREAMS, 0, (double)all->n);
        pthread_cond_signal(&all->changed);
    }
    pthread_mutex_unlock(&all->lock);
    if (!fits) {
        err_set(err, PROBLEM_OVERLOADED, "Too many streams are open.");
        err->retry_after = 5;
    }
    return fits;
}

bool stream_open(struct streams *all, struct action *action, struct str last_id,
                 struct stream **ret, struct err *err) {
    struct event_query query;
    int64_t cursor = 0, seconds = action_query_number(action, "max_seconds", 0);

    if (!event_query_read(action, &query, err) ||
        (last_id.ptr != NULL && !event_after(last_id, &query, err)) ||
        !find_cursor(action, &query, &cursor, err))
        return false;
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return err_memory(err);
    stream->all = all;
    stream->cursor = cursor;
    stream->ends_us = seconds == 0 ? 0 : clock_mono(&clock_system) + seconds * 1000000;
    if (!stream_fill(stream, action, &query, action_query(action, "types"))) {
        stream_free(stream);
        return err_memory(err);
    }
    stream_say(stream, STR("retry: 2000\n: from now on\n\n"));
    if (!stream_add(all, stream, err)) {
        stream_free(stream);
        return false;
    }
    *ret = stream;
    return true;
}

bool stream_wait(struct streams *all, struct action *action, const struct change_wait *wait,
                 struct stream **ret, struct err *err) {
    static const struct event_query every = {.after = STR_ABSENT};
    struct stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL)
        return err_memory(err);
    stream->all = all;
    stream->cursor = wait->query->after;
    stream->ends_us = clock_mono(&clock_system) + wait->seconds * 1000000;
    stream->waits = change_query_copy(wait->query);
    stream->nothing = strndup(wait->nothing.ptr, wait->nothing.len);
    bool fine = stream->waits != NULL && stream->nothing != NULL;
    if (!fine || !stream_fill(stream, action, &every, STR_ABSENT))
        err_memory(err);
    stream->out.max = CHANGE_PAGE_MAX;
    if (!err_is_set(err) && stream_add(all, stream, err))
        *ret = stream;
    else
        stream_free(stream);
    return !err_is_set(err);
}

void stream_attach(struct stream *stream, const struct stream_line *line, void *context) {
    pthread_mutex_lock(&stream->all->lock);
    stream->line = line;
    stream->context = context;
    pthread_mutex_unlock(&stream->all->lock);
}

long stream_take(struct stream *stream, char *ret, size_t room) {
    pthread_mutex_lock(&stream->all->lock);
    size_t n = stream->out.failed ? 0 : stream->out.len - stream->taken;
    n = n < room ? n : room;
    if (n > 0) {
        memcpy(ret, stream->out.ptr + stream->taken, n);
        stream->taken += n;
    } else if (!stream->ended) {
        stream->asleep = true;
        stream->line->sleep(stream->context);
    }
    long result = n > 0 ? (long)n : stream->ended ? -1 : 0;
    pthread_mutex_unlock(&stream->all->lock);
    return result;
}

void stream_close(struct stream *stream) {
    if (stream == NULL)
        return;
    struct streams *all = stream->all;
    pthread_mutex_lock(&all->lock);
    struct stream **at = &all->first;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    all->n--;
    metrics_set(METRIC_STREAMS, 0, (double)all->n);
    pthread_mutex_unlock(&all->lock);
    stream_free(stream);
}
