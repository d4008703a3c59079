/* What this process has claimed and not yet settled: per endpoint a queue, what is in flight, and
 * how it fares. Belongs to the delivery thread alone. */
#ifndef KAMD_WORKER_OUTBOX_H
#define KAMD_WORKER_OUTBOX_H

#include "core/id.h"
#include "core/trace.h"
#include "remote/post.h"
#include "remote/signature.h"

#define SECRETS_MAX 10
#define BREAKER_FAILURES 5

struct endpoint;

enum outcome_kind {
    OUTCOME_NONE,
    OUTCOME_DELIVERED,
    OUTCOME_FAILED,    /* there is another attempt */
    OUTCOME_EXHAUSTED, /* there is none */
    OUTCOME_RETURNED   /* claimed, but not sent: it does not count */
};

struct delivery {
    struct delivery *next;
    struct endpoint *endpoint;
    char id[UUID_TEXT];
    char event_id[UUID_TEXT];
    char account_id[UUID_TEXT]; /* "" = none */
    char traceparent[TRACEPARENT_TEXT];
    int64_t position;
    int n;      /* which attempt this is, from 1 */
    int base;   /* attempts before this round of retries */
    bool lane;  /* its account's later events wait for it */
    bool gone;  /* the event is no longer kept */
    char *body; /* owned */
    size_t body_len;
    /* once settled */
    enum outcome_kind outcome;
    int64_t pause_ms; /* until the next attempt */
    int64_t started_us;
    struct trace trace; /* of this attempt */
    struct post_result result;
};

struct endpoint {
    struct endpoint *next;
    char id[UUID_TEXT];
    char *url; /* owned */
    bool ordered;
    char *headers; /* owned; of its own, "Name: value", a line each; "" = none */
    unsigned char secrets[SECRETS_MAX][WEBHOOK_SECRET];
    size_t n_secrets;
    struct delivery *queue; /* by position */
    struct delivery *flying;
    size_t n_queued;
    size_t n_flying;
    int failures;               /* in a row */
    int pauses;                 /* how often it was paused since the last success */
    bool paused;                /* send nothing more now */
    bool tripped_by_rate;       /* ... because too many failed: single successes do not close it */
    int64_t pause_ms;           /* with paused: for so long; -1: no change */
    const char *disable_reason; /* static: why it must be disabled */
    bool changed_since_report;  /* a delivery was settled since the database was last told */
    bool report_in_flight;      /* the state as it was then is being written */
    bool returning;             /* this worker is giving the endpoint back */
};

struct outbox {
    struct endpoint *endpoints;
    size_t n_endpoints;
    struct delivery *settled; /* waits to be written */
    size_t n_settled;
    size_t n_waiting;         /* of these, the ones that a lane waits for */
    struct delivery *written; /* is being written */
    size_t n_queued;          /* of all endpoints */
};

void outbox_release(struct outbox *outbox);
struct endpoint *outbox_find(struct outbox *outbox, struct str id);
/* NULL when memory is out. */
struct endpoint *outbox_add(struct outbox *outbox, struct str id);
void outbox_remove(struct outbox *outbox, struct endpoint *endpoint);
/* Another one is first, so that each has its turn. */
void outbox_rotate(struct outbox *outbox);
/* Takes over `delivery`, in its place by position. */
void outbox_queue(struct outbox *outbox, struct endpoint *endpoint, struct delivery *delivery);
/* The first that may be sent now: never two of one lane at a time. It is flying then. NULL: none.
 */
struct delivery *outbox_take(struct outbox *outbox, struct endpoint *endpoint);
/* A flying one has an outcome. */
void outbox_settle(struct outbox *outbox, struct delivery *delivery, enum outcome_kind outcome);
/* Gives back what is queued: all, or, with `account_id`, that account's lane. */
void outbox_return(struct outbox *outbox, struct endpoint *endpoint, const char *account_id);
/* The settled deliveries are being written from now on. */
void outbox_write(struct outbox *outbox);
/* After outbox_write(): the database has the results (`ok`), or they wait to be written again. */
void outbox_written(struct outbox *outbox, bool ok);
/* Up to where everything claimed is settled, once what is in outbox->settled is written. INT64_MAX:
 * all. */
int64_t outbox_settled_to(const struct endpoint *endpoint);
/* Was something of this account's lane settled, but not delivered, that is not written yet? Then
 * nothing behind it may be sent. */
bool outbox_lane_waits(const struct outbox *outbox, const struct delivery *delivery);
void delivery_release(struct delivery *delivery);

#endif
