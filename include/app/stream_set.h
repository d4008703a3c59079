/* The event log as it grows, for many listeners at once: one thread reads each event once, and
 * gives it to those who may see it. Nothing here waits for a listener: what one does not take is
 * kept up to a bound, then it is ended, and comes again with the last id that it has seen. */
#ifndef KAMD_APP_STREAM_SET_H
#define KAMD_APP_STREAM_SET_H

#include "app/changes.h"

#define STREAMS_MAX 1000
#define STREAM_SECONDS_MAX 86400

struct streams;
struct stream;

bool streams_start(struct app *app, struct streams **ret, struct err *err);
/* Ends all of them, and opens no more. NULL is fine. */
void streams_end(struct streams *streams);
/* After streams_end(), and once all are closed. NULL is fine. */
void streams_stop(struct streams *streams);
size_t streams_open(struct streams *streams);

/* What the query asks for: as event_list(), and max_seconds, after which the stream ends.
 * `last_id` (may be absent) is what a client that comes again has seen. It ends when the action's
 * bearer token does. */
bool stream_open(struct streams *streams, struct action *action, struct str last_id,
                 struct stream **ret, struct err *err);
/* A long poll of the change feed: it holds no thread, either. What comes of it is a page with the
 * first changes that come within the time, or the page that there was. */
bool stream_wait(struct streams *streams, struct action *action, const struct change_wait *wait,
                 struct stream **ret, struct err *err);
/* Who sends it. All of these are called under one lock. */
struct stream_line {
    void (*sleep)(void *context); /* there is nothing to send */
    void (*wake)(void *context);  /* there is again; once after each sleep */
    bool (*gone)(void *context);  /* asked while it sleeps: does nobody listen any more? */
};
void stream_attach(struct stream *stream, const struct stream_line *line, void *context);
/* Up to `room` bytes; 0: line->sleep was called; -1: it has ended. */
long stream_take(struct stream *stream, char *ret, size_t room);
void stream_close(struct stream *stream); /* NULL is fine */

#endif
