/* The insides of the streams of events. Private to the app layer. */
#ifndef KAMD_APP_FEED_STREAM_H
#define KAMD_APP_FEED_STREAM_H

#include "app/stream_set.h"
#include "feed/change_query.h"
#include "feed/event_query.h"

#include <pthread.h>

#define STREAM_BACKLOG ((size_t)1 << 20)
#define STREAM_BATCH 500

struct stream {
    struct streams *all;
    struct stream *next;
    struct principal who;
    char *bearer; /* the caller's token, as it was sent */
    char *types;  /* owned, text[] for SQL; NULL = all */
    char *names;  /* owned, the same as a comma list */
    char account_id[UUID_TEXT];
    int64_t cursor;             /* all up to here was given or is not for it */
    struct change_query *waits; /* owned; of a long poll, which is one answer; else NULL */
    char *nothing;              /* owned; what it answers when its time is over */
    bool ripe;                  /* there is something for it */
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

/* Both under the lock. */
void stream_say(struct stream *stream, struct str text);
void stream_end(struct stream *stream);

/* Reads what is new and tells it to all who have caught up; *ret_n counts the events. */
bool streams_tell(struct streams *all, struct arena *arena, size_t *ret_n, struct err *err);
/* A page for some of those who wait for one. */
bool streams_answer(struct streams *all, struct arena *arena, struct err *err);
/* A page of the past for some of the others. */
bool streams_catch_up(struct streams *all, struct arena *arena, struct err *err);

#endif
