#include "app/streams.h"

#include "app/keys.h"
#include "core/log.h"
#include "core/metrics.h"
#include "cursor.h"
#include "event_query.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 200
#define READ_MS 2000
#define BATCH 500
#define PAGE 200
#define BEHIND_AT_ONCE 20 /* that are given a page of the past in one round */
#define BACKLOG_MAX (1 << 20)
#define HEARTBEAT_US 15000000
#define CHECK_US 2000000 /* a key that was revoked listens no longer than this */
#define SECONDS_MAX 86400
#define ROUND_ARENA ((size_t)32 << 20)

struct stream {
    struct streams *all;
    struct stream *next;
    struct principal who;
    char key[API_KEY_TEXT];
    char *types; /* owned, text[] for SQL; NULL = all */
    char *names; /* owned, the same as a comma list */
    char account_id[UUID_TEXT];
    int64_t cursor; /* all up to here was given or is not for it */
    struct buf out;
    size_t taken;
    int64_t spoke_us;
    int64_t checked_us;
    int64_t ends_us; /* 0: when somebody ends it */
    bool asleep;
    bool ended;
    const struct stream_line *line; /* NULL: not yet attached */
    void *context;
};

struct streams {
    struct app *app;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of all below, and of every stream */
    pthread_cond_t changed;
    struct stream *first;
    size_t n;
    bool ending; /* no more are opened */
    bool stopping;
    /* the thread's own */
    int64_t head; /* up to here everybody who has caught up was told; -1: nobody listens */
    bool failing;
};

/* ---- one stream; under the lock
 * ------------------------------------------------------------------------------ */

static void stir(struct stream *stream) {
    if (!stream->asleep)
        return;
    stream->asleep = false;
    stream->line->wake(stream->context);
}

static void end(struct stream *stream) {
    stream->ended = true;
    stir(stream);
}

static void say(struct stream *stream, struct str text) {
    if (stream->ended)
        return;
    if (stream->taken == stream->out.len) {
        buf_reset(&stream->out);
        stream->taken = 0;
    }
    buf_put(&stream->out, text);
    stream->spoke_us = clock_mono(&clock_system);
    /* Too slow: what it holds is dropped, and it comes again from its last id. */
    if (stream->out.failed)
        end(stream);
    else
        stir(stream);
}

static bool wants_type(const struct stream *stream, struct str type) {
    struct str rest = str_of(stream->names), one;

    if (stream->names == NULL)
        return true;
    while (str_split(&rest, ',', &one))
        if (str_eq(one, type))
            return true;
    return false;
}

/* ---- what everybody is told
 * ------------------------------------------------------------------------------ */

struct round {
    struct arena arena;
    struct tx *tx;
    size_t events;
    size_t seen_by; /* slot: (user, account) of those accounts */
    size_t n;
    struct str *texts;
};

static const struct tx_context everybody = {
    .scope = {"all", 3}, .actor = {"streams", 7}, .origin = {"api", 3}};

static void event_text(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    struct str id = tx_value(tx, slot, row, EVENT_POSITION);
    struct str type = tx_value(tx, slot, row, EVENT_TYPE);

    buf_format(ret, "id: %.*s\nevent: %.*s\ndata: ", STR_ARG(id), STR_ARG(type));
    event_write(tx, slot, row, ret);
    buf_text(ret, "\n\n");
}

static bool make_texts(struct round *round, struct err *err) {
    round->texts = arena_array(&round->arena, round->n + 1, sizeof(*round->texts));
    for (size_t i = 0; round->texts != NULL && i < round->n; i++) {
        struct buf text CLEANUP(buf_release) = {.max = BACKLOG_MAX};
        event_text(round->tx, round->events, i, &text);
        round->texts[i] = arena_str(&round->arena, buf_str(&text));
        if (!buf_ok(&text) || round->texts[i].ptr == NULL)
            return err_memory(err);
    }
    return round->texts != NULL || err_memory(err);
}

static bool query_seers(struct round *round, struct err *err) {
    struct str *ids = arena_array(&round->arena, round->n + 1, sizeof(*ids));
    size_t n = 0;

    for (size_t i = 0; ids != NULL && i < round->n; i++) {
        struct str id = tx_value(round->tx, round->events, i, EVENT_ACCOUNT);
        if (id.ptr != NULL)
            ids[n++] = id;
    }
    struct str list = ids == NULL ? STR_ABSENT : array_param(&round->arena, ids, n);
    if (list.ptr == NULL)
        return err_memory(err);
    round->seen_by = tx_query(round->tx,
                              "select distinct user_id, account_id from acl"
                              " where account_id = any ($1::uuid[]) and visible_from <= now()"
                              " and visible_until > now()",
                              &list, 1);
    return tx_flush(round->tx, err);
}

/* Row level security's rule, for a reader of the events of all. */
static bool may_see(const struct stream *stream, const struct round *round, struct str account) {
    if (account.ptr == NULL || role_sees_all(stream->who.role))
        return true;
    for (size_t i = 0; i < tx_rows(round->tx, round->seen_by); i++)
        if (str_is(tx_value(round->tx, round->seen_by, i, 0), stream->who.user_id) &&
            str_eq(tx_value(round->tx, round->seen_by, i, 1), account))
            return true;
    return false;
}

static void tell_one(struct stream *stream, const struct round *round) {
    for (size_t i = 0; i < round->n; i++) {
        int64_t position = tx_int(round->tx, round->events, i, EVENT_POSITION);
        struct str account = tx_value(round->tx, round->events, i, EVENT_ACCOUNT);
        if (position <= stream->cursor)
            continue;
        stream->cursor = position;
        if (wants_type(stream, tx_value(round->tx, round->events, i, EVENT_TYPE)) &&
            (stream->account_id[0] == '\0' || str_is(account, stream->account_id)) &&
            may_see(stream, round, account))
            say(stream, round->texts[i]);
    }
}

static void tell_all(struct streams *all, const struct round *round) {
    pthread_mutex_lock(&all->lock);
    for (struct stream *s = all->first; s != NULL; s = s->next)
        if (s->cursor >= all->head)
            tell_one(s, round);
    all->head = tx_int(round->tx, round->events, round->n - 1, EVENT_POSITION);
    pthread_mutex_unlock(&all->lock);
}

/* Where it begins, after nobody listened: those who are here already catch up. */
static bool find_head(struct streams *all, struct tx *tx, struct err *err) {
    size_t slot = tx_query(tx, "select position from sequencer", NULL, 0);

    if (!tx_flush(tx, err))
        return false;
    all->head = tx_int(tx, slot, 0, 0);
    return true;
}

static bool read_new(struct streams *all, struct round *round, struct err *err) {
    char head[24];
    struct event_query query = {.page_size = BATCH};

    if (!tx_begin(all->app->store, TX_READ, &everybody, deadline_in_ms(READ_MS), &round->tx, err))
        return false;
    if (all->head < 0)
        return find_head(all, round->tx, err);
    snprintf(head, sizeof(head), "%" PRId64, all->head);
    query.after = str_of(head);
    round->events = event_page(round->tx, &query, STR("500"));
    if (!tx_flush(round->tx, err))
        return false;
    round->n = tx_rows(round->tx, round->events);
    if (round->n == 0)
        return true;
    if (!make_texts(round, err) || !query_seers(round, err))
        return false;
    tell_all(all, round);
    return true;
}

/* ---- those who come again with an older id
 * ------------------------------------------------------------------------------ */

/* What is needed of a stream while the lock is not held: it may go meanwhile. */
struct behind {
    struct stream *stream; /* only to be compared */
    struct principal who;
    struct event_query query;
    char after[24];
};

static size_t find_behind(struct streams *all, struct arena *arena, struct behind *ret) {
    size_t n = 0;

    pthread_mutex_lock(&all->lock);
    for (struct stream *s = all->first; s != NULL && n < BEHIND_AT_ONCE; s = s->next) {
        if (s->ended || s->cursor >= all->head || s->taken < s->out.len || s->line == NULL)
            continue;
        struct behind *one = &ret[n++];
        *one = (struct behind){.stream = s, .who = s->who};
        snprintf(one->after, sizeof(one->after), "%" PRId64, s->cursor);
        one->query.after = str_of(one->after);
        one->query.types = s->types == NULL ? STR_ABSENT : arena_str(arena, str_of(s->types));
        one->query.account_id =
            s->account_id[0] == '\0' ? STR_ABSENT : arena_str(arena, str_of(s->account_id));
    }
    pthread_mutex_unlock(&all->lock);
    return n;
}

static void give_page(struct streams *all, const struct behind *behind, struct tx *tx,
                      size_t slot) {
    size_t n = tx_rows(tx, slot);
    struct stream *stream;

    pthread_mutex_lock(&all->lock);
    for (stream = all->first; stream != NULL && stream != behind->stream; stream = stream->next)
        ;
    for (size_t i = 0; stream != NULL && i < n; i++) {
        struct buf text CLEANUP(buf_release) = {.max = BACKLOG_MAX};
        event_text(tx, slot, i, &text);
        if (buf_ok(&text))
            say(stream, buf_str(&text));
        else
            end(stream);
        stream->cursor = tx_int(tx, slot, i, EVENT_POSITION);
    }
    /* Nothing else up to where the others are was for it. */
    if (stream != NULL && n < PAGE && stream->cursor < all->head)
        stream->cursor = all->head;
    pthread_mutex_unlock(&all->lock);
}

static bool catch_up(struct streams *all, struct arena *arena, struct err *err) {
    struct behind list[BEHIND_AT_ONCE];
    size_t n = find_behind(all, arena, list);

    for (size_t i = 0; i < n; i++) {
        struct tx *tx CLEANUP(tx_end) = NULL;
        struct action action = {.app = all->app,
                                .who = &list[i].who,
                                .arena = arena,
                                .when = deadline_in_ms(READ_MS),
                                .origin = STR("api")};
        if (!read_begin(&action, &tx, err))
            return false;
        size_t slot = event_page(tx, &list[i].query, STR("200"));
        if (!tx_flush(tx, err))
            return false;
        give_page(all, &list[i], tx, slot);
    }
    return true;
}

/* ---- the thread
 * ------------------------------------------------------------------------------ */

static bool still_known(struct streams *all, const struct stream *stream) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct principal who;

    return principal_find(all->app, str_of(stream->key), true, deadline_in_ms(TICK_MS), &who,
                          &err) ||
           err.problem != PROBLEM_UNAUTHENTICATED;
}

/* From memory alone, so it may hold the lock. */
static void look_after(struct streams *all) {
    int64_t now = clock_mono(&clock_system);

    pthread_mutex_lock(&all->lock);
    for (struct stream *s = all->first; s != NULL; s = s->next) {
        if (now - s->spoke_us > HEARTBEAT_US && s->taken == s->out.len)
            say(s, STR(": heartbeat\n\n"));
        if (s->ends_us != 0 && now >= s->ends_us)
            end(s);
        if (now - s->checked_us < CHECK_US)
            continue;
        s->checked_us = now;
        if (!still_known(all, s) || (s->asleep && s->line->gone(s->context)))
            end(s);
    }
    pthread_mutex_unlock(&all->lock);
}

static void report(struct streams *all, bool ok, const struct err *err) {
    if (!ok && !all->failing)
        log_err(LOG_WARN, "streams_wait", err);
    all->failing = !ok;
}

/* False: there is more to read at once. */
static bool round_once(struct streams *all) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct round round = {.n = 0};

    arena_init(&round.arena, ROUND_ARENA);
    bool ok = read_new(all, &round, &err);
    tx_end(&round.tx);
    ok = ok && catch_up(all, &round.arena, &err);
    arena_release(&round.arena);
    report(all, ok, &err);
    look_after(all);
    return round.n < BATCH;
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
        end(s);
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

static struct str param_of(const struct param *params, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (str_is(params[i].name, name))
            return params[i].value;
    return STR_ABSENT;
}

/* Without `after` and last id it begins with what happens from now on. */
static bool find_cursor(struct action *action, struct event_query *query, int64_t *ret,
                        struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;

    if (!read_begin(action, &tx, err))
        return false;
    size_t bounds = event_bounds(tx);
    if (!tx_flush(tx, err) || event_expired(tx, bounds, query->after, err))
        return false;
    if (query->after.ptr == NULL || !str_to_i64(query->after, ret))
        *ret = tx_int(tx, bounds, 0, 1);
    return true;
}

static bool read_query(struct action *action, const struct param *params, size_t n_params,
                       struct str last_id, struct event_query *ret, int64_t *ret_seconds,
                       struct err *err) {
    const struct param last = {STR("after"), last_id};

    for (size_t i = 0; i < n_params; i++) {
        if (!str_is(params[i].name, "max_seconds")) {
            if (str_is(params[i].name, "page_size"))
                unknown_parameter(action, params[i].name, err);
            else
                event_query_read(action, &params[i], 1, ret, err);
        } else if (!str_to_i64(params[i].value, ret_seconds) || *ret_seconds < 1 ||
                   *ret_seconds > SECONDS_MAX) {
            err_add(err, PROBLEM_INVALID_REQUEST, ERR_AT_PARAMETER, "max_seconds", "out_of_range",
                    "must be between 1 and 86400");
        }
    }
    if (last_id.ptr != NULL)
        event_query_read(action, &last, 1, ret, err);
    return !err_is_set(err);
}

static void stream_free(struct stream *stream) {
    explicit_bzero(stream->key, sizeof(stream->key));
    buf_release(&stream->out);
    free(stream->types);
    free(stream->names);
    free(stream);
}

static bool stream_fill(struct stream *stream, const struct action *action,
                        const struct event_query *query, struct str names, struct str key) {
    stream->who = *action->who;
    stream->checked_us = stream->spoke_us = clock_mono(&clock_system);
    buf_init(&stream->out, BACKLOG_MAX);
    if (key.len >= sizeof(stream->key))
        return false;
    memcpy(stream->key, key.ptr, key.len);
    if (query->account_id.ptr != NULL && query->account_id.len < sizeof(stream->account_id))
        for (size_t i = 0; i < query->account_id.len; i++) { /* as the database writes it */
            char c = query->account_id.ptr[i];
            stream->account_id[i] = c >= 'A' && c <= 'F' ? (char)(c + ('a' - 'A')) : c;
        }
    if (query->types.ptr == NULL)
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

bool stream_open(struct streams *all, struct action *action, const struct param *params,
                 size_t n_params, struct str last_id, struct str key, struct stream **ret,
                 struct err *err) {
    struct event_query query = {.after = STR_ABSENT};
    int64_t cursor = 0, seconds = 0;

    if (!read_query(action, params, n_params, last_id, &query, &seconds, err) ||
        !find_cursor(action, &query, &cursor, err))
        return false;
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return err_memory(err);
    stream->all = all;
    stream->cursor = cursor;
    stream->ends_us = seconds == 0 ? 0 : clock_mono(&clock_system) + seconds * 1000000;
    if (!stream_fill(stream, action, &query, param_of(params, n_params, "types"), key)) {
        stream_free(stream);
        return err_memory(err);
    }
    say(stream, STR("retry: 2000\n: from now on\n\n"));
    if (!stream_add(all, stream, err)) {
        stream_free(stream);
        return false;
    }
    *ret = stream;
    return true;
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
