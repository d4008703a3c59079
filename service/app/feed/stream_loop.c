/* Does one round of work for all event streams: gives new events to the streams that have caught
 * up, answers long polls, and gives old events to the streams that are behind. The lock is not held
 * while PostgreSQL is asked, so a stream may be gone when its page arrives. */
#include "feed/stream.h"
#include "store/array.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE 200
#define WAITING_AT_ONCE 20
#define BEHIND_AT_ONCE 20 /* that are given a page of the past in one round */

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
    struct arena *arena;
    struct tx *tx;
    size_t events;
    size_t seen_by; /* slot: (user, account, areas) of those accounts */
    size_t n;
    struct str *texts[2]; /* for those who read part of the account, and all of it */
};

static const struct tx_context everybody = {.scope = {"all", 3},
                                            .reach = AREAS_ALL | REACH_ADMIN,
                                            .actor = {"streams", 7},
                                            .origin = {"api", 3}};

static void event_text(struct tx *tx, size_t slot, size_t row, bool whole, struct buf *ret) {
    struct str id = tx_value(tx, slot, row, EVENT_POSITION);
    struct str type = tx_value(tx, slot, row, EVENT_TYPE);

    buf_format(ret, "id: %.*s\nevent: %.*s\ndata: ", STR_ARG(id), STR_ARG(type));
    event_write(tx, slot, row, whole, ret);
    buf_text(ret, "\n\n");
}

static bool make_texts(struct round *round, struct str **ret, bool whole, struct err *err) {
    struct str *texts = *ret = arena_array(round->arena, round->n + 1, sizeof(*texts));
    for (size_t i = 0; texts != NULL && i < round->n; i++) {
        struct buf text CLEANUP(buf_release) = {.max = STREAM_BACKLOG};
        event_text(round->tx, round->events, i, whole, &text);
        texts[i] = arena_str(round->arena, buf_str(&text));
        if (!buf_ok(&text) || texts[i].ptr == NULL)
            return err_memory(err);
    }
    return texts != NULL || err_memory(err);
}

#define SEERS_SQL                                                                                  \
    "select user_id, account_id, areas from access_now where account_id = any ($1::uuid[])"
enum { SEER_USER_ID, SEER_ACCOUNT_ID, SEER_AREAS };

static bool query_seers(struct round *round, struct err *err) {
    struct str *ids = arena_array(round->arena, round->n + 1, sizeof(*ids));
    size_t n = 0;

    for (size_t i = 0; ids != NULL && i < round->n; i++) {
        struct str id = tx_value(round->tx, round->events, i, EVENT_ACCOUNT);
        if (id.ptr != NULL)
            ids[n++] = id;
    }
    struct str list = ids == NULL ? STR_ABSENT : pg_array_param(round->arena, ids, n);
    if (list.ptr == NULL)
        return err_memory(err);
    round->seen_by = tx_query(round->tx, SEERS_SQL, &list, 1);
    return tx_flush(round->tx, err);
}

/* Row level security's rule, for a reader of the events of all: the areas of the account that this
 * one reads. */
static area_set areas_seen(const struct stream *stream, const struct round *round,
                           struct str account) {
    area_set most = role_reads(stream->who.role);
    if (account.ptr == NULL || role_sees_all(stream->who.role))
        return most;
    for (size_t i = 0; i < tx_rows(round->tx, round->seen_by); i++)
        if (str_is(tx_value(round->tx, round->seen_by, i, SEER_USER_ID), stream->who.user_id) &&
            str_eq(tx_value(round->tx, round->seen_by, i, SEER_ACCOUNT_ID), account))
            return most & (area_set)tx_int(round->tx, round->seen_by, i, SEER_AREAS);
    return 0;
}

/* Of a webhook endpoint: is_callers() in access.sql, for a reader of all events. */
static bool is_own(const struct stream *stream, const struct round *round, size_t i) {
    struct str maker = tx_value(round->tx, round->events, i, EVENT_ACTOR);
    area_set reach = (area_set)tx_int(round->tx, round->events, i, EVENT_REACH);
    area_set mine = caller_reach(stream->who.role, stream->who.scopes);
    return maker.ptr == NULL || (mine & REACH_ADMIN) != 0 ||
           (str_is(maker, stream->who.actor) && (reach & ~mine & (REACH_ADMIN - 1)) == 0);
}

static bool may_see(const struct stream *stream, const struct round *round, size_t i,
                    bool *ret_whole) {
    struct str account = tx_value(round->tx, round->events, i, EVENT_ACCOUNT);
    area_set areas = areas_seen(stream, round, account);
    *ret_whole = areas == AREAS_ALL || role_sees_all(stream->who.role);
    return is_own(stream, round, i) &&
           (account.ptr == NULL ||
            (areas >> tx_int(round->tx, round->events, i, EVENT_AREA) & 1) != 0);
}

static void tell_one(struct stream *stream, const struct round *round) {
    for (size_t i = 0; i < round->n; i++) {
        int64_t position = tx_int(round->tx, round->events, i, EVENT_POSITION);
        struct str account = tx_value(round->tx, round->events, i, EVENT_ACCOUNT);
        bool whole;
        if (position <= stream->cursor)
            continue;
        stream->cursor = position;
        if (!may_see(stream, round, i, &whole))
            continue;
        if (stream->waits != NULL) {
            stream->ripe =
                stream->ripe || change_wanted(stream->waits, round->tx, round->events, i);
            continue;
        }
        if (wants_type(stream, tx_value(round->tx, round->events, i, EVENT_TYPE)) &&
            (stream->account_id[0] == '\0' || str_is(account, stream->account_id)))
            stream_say(stream, round->texts[whole ? 1 : 0][i]);
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

/* After a time without listeners, the head is where the log ends now; streams that begin before it
 * catch up by pages of their own. */
static bool find_head(struct streams *all, struct tx *tx, struct err *err) {
    size_t slot = tx_query(tx, "select position from sequencer", NULL, 0);

    if (!tx_flush(tx, err))
        return false;
    all->head = tx_int(tx, slot, 0, 0);
    return true;
}

static bool read_new(struct streams *all, struct round *round, struct err *err) {
    char head[24];
    struct event_query query = {.page_size = STREAM_BATCH};

    if (!(round->tx = tx_begin(all->app->store, TX_READ, &everybody,
                               deadline_in_ms(all->app->config->request_ms), err)))
        return false;
    if (all->head < 0)
        return find_head(all, round->tx, err);
    snprintf(head, sizeof(head), "%" PRId64, all->head);
    query.after = str_of(head);
    round->events = event_page(round->tx, false, &query, STR("500"));
    if (!tx_flush(round->tx, err))
        return false;
    round->n = tx_rows(round->tx, round->events);
    if (round->n == 0)
        return true;
    if (!make_texts(round, &round->texts[0], false, err) ||
        !make_texts(round, &round->texts[1], true, err) || !query_seers(round, err))
        return false;
    tell_all(all, round);
    return true;
}

bool streams_tell(struct streams *all, struct arena *arena, size_t *ret_n, struct err *err) {
    struct round round = {.arena = arena};
    bool ok = read_new(all, &round, err);

    tx_end(&round.tx);
    *ret_n = round.n;
    return ok;
}

/* ---- those who wait for one page
 * ------------------------------------------------------------------------------ */

struct waiting {
    struct stream *stream; /* only to be compared */
    struct principal who;
    struct change_query *query; /* owned */
};

static size_t find_waiting(struct streams *all, struct waiting *ret) {
    size_t n = 0;

    pthread_mutex_lock(&all->lock);
    for (struct stream *s = all->first; s != NULL && n < WAITING_AT_ONCE; s = s->next) {
        if (s->waits == NULL || s->ended || !(s->ripe || s->cursor < all->head))
            continue;
        struct change_query *query = change_query_copy(s->waits);
        if (query == NULL)
            break;
        ret[n++] = (struct waiting){.stream = s, .who = s->who, .query = query};
    }
    pthread_mutex_unlock(&all->lock);
    return n;
}

static void give_answer(struct streams *all, const struct waiting *waiting, size_t n,
                        struct str page) {
    struct stream *stream;

    pthread_mutex_lock(&all->lock);
    for (stream = all->first; stream != NULL && stream != waiting->stream; stream = stream->next)
        ;
    if (stream != NULL && n > 0 && !stream->ended) {
        stream_say(stream, page);
        stream_end(stream);
    } else if (stream != NULL) {
        stream->ripe = false;
        stream->waits->after = waiting->query->after;
        if (stream->cursor < waiting->query->after)
            stream->cursor = waiting->query->after;
    }
    pthread_mutex_unlock(&all->lock);
}

/* Its next request is told why. */
static bool let_go(struct streams *all, const struct waiting *waiting, struct err *err) {
    struct stream *stream;

    pthread_mutex_lock(&all->lock);
    for (stream = all->first; stream != NULL && stream != waiting->stream; stream = stream->next)
        ;
    if (stream != NULL)
        stream_end(stream);
    pthread_mutex_unlock(&all->lock);
    err_release(err);
    return true;
}

static bool answer_one(struct streams *all, struct arena *arena, const struct waiting *waiting,
                       struct err *err) {
    struct buf page CLEANUP(buf_release) = {.max = CHANGE_PAGE_MAX};
    struct action action = {.app = all->app,
                            .who = &waiting->who,
                            .arena = arena,
                            .when = deadline_in_ms(all->app->config->request_ms),
                            .origin = STR("api")};
    size_t n = 0;

    if (!change_page(&action, waiting->query, &page, &n, err))
        return err->problem == PROBLEM_CURSOR_EXPIRED && let_go(all, waiting, err);
    give_answer(all, waiting, n, buf_str(&page));
    return true;
}

bool streams_answer(struct streams *all, struct arena *arena, struct err *err) {
    struct waiting list[WAITING_AT_ONCE];
    size_t n = WAITING_AT_ONCE;
    bool ok = true;

    while (ok && n == WAITING_AT_ONCE) {
        n = find_waiting(all, list);
        for (size_t i = 0; i < n; i++) {
            ok = ok && answer_one(all, arena, &list[i], err);
            free(list[i].query);
        }
    }
    return ok;
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
        if (s->waits != NULL || s->ended || s->cursor >= all->head || s->taken < s->out.len ||
            s->line == NULL)
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
        struct buf text CLEANUP(buf_release) = {.max = STREAM_BACKLOG};
        event_text(tx, slot, i, event_whole(tx, slot, i), &text);
        if (buf_ok(&text))
            stream_say(stream, buf_str(&text));
        else
            stream_end(stream);
        stream->cursor = tx_int(tx, slot, i, EVENT_POSITION);
    }
    /* Fewer than a page: no event up to the common head matches this stream. */
    if (stream != NULL && n < PAGE && stream->cursor < all->head)
        stream->cursor = all->head;
    pthread_mutex_unlock(&all->lock);
}

bool streams_catch_up(struct streams *all, struct arena *arena, struct err *err) {
    struct behind list[BEHIND_AT_ONCE];
    size_t n = find_behind(all, arena, list);

    for (size_t i = 0; i < n; i++) {
        struct tx *tx CLEANUP(tx_end) = NULL;
        struct action action = {.app = all->app,
                                .who = &list[i].who,
                                .arena = arena,
                                .when = deadline_in_ms(all->app->config->request_ms),
                                .origin = STR("api")};
        if (!read_begin(&action, &tx, err))
            return false;
        size_t slot = event_page(tx, !role_sees_all(list[i].who.role), &list[i].query, STR("200"));
        if (!tx_flush(tx, err))
            return false;
        give_page(all, &list[i], tx, slot);
    }
    return true;
}
