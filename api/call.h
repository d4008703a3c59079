/* One request on its way through the pipeline. Private to the API. */
#ifndef API_CALL_H
#define API_CALL_H

#include "admin.h"
#include "app/app.h"
#include "app/exports.h"
#include "app/records.h"
#include "app/stream_set.h"
#include "http.h"
#include "router.h"

enum route_flag {
    ROUTE_BODY = 1 << 0,      /* takes a JSON document */
    ROUTE_OPTIONAL = 1 << 1,  /* ... which may be left out: {} */
    ROUTE_MERGE = 1 << 2,     /* also as application/merge-patch+json */
    ROUTE_BULK = 1 << 3,      /* up to 8 MiB, Idempotency-Key required, token limit per record */
    ROUTE_QUERY = 1 << 4,     /* the use case checks the query itself, by a descriptor */
    ROUTE_MEMORY = 1 << 5,    /* answers from memory, so a known key need not be looked up anew */
    ROUTE_EMPTY = 1 << 7,     /* the document has no members */
    ROUTE_HTML = 1 << 6,      /* answers browsers: Accept is not ours to refuse */
    ROUTE_CHOICE = 1 << 14,   /* the handler chooses between types by Accept, and may refuse */
    ROUTE_FREE = 1 << 8,      /* a probe: no rate limit */
    ROUTE_RAW = 1 << 12,      /* takes text/csv or application/x-ndjson of up to 8 MiB, as it is */
    ROUTE_FORM = 1 << 10,     /* takes a form instead of a document */
    ROUTE_NO_STORE = 1 << 11, /* the answer holds a secret: nobody keeps it */
    ROUTE_MINUTE = 1 << 13,   /* anybody may keep the answer for a minute */
    ROUTE_SECRET = 1 << 9     /* public, but checks a secret: only wrong ones are counted */
};

/* An action without parameters: {} or nothing. */
#define ROUTE_ACTION (ROUTE_BODY | ROUTE_OPTIONAL | ROUTE_EMPTY)

struct api_context {
    struct app *app;
    struct router *router;
    struct streams *streams;
    struct admin *admin;
    struct limits *limits;
    struct exports exports;
    size_t unmatched_cell;
};

struct call {
    struct api_context *face;
    struct request *request;
    struct answer *answer;
    const struct route *route;
    struct path_args args;
    struct principal who;
    struct param *params; /* of the query; action.params are these */
    struct action action;
    jv *doc; /* owned; action.doc is this one */
    struct outcome outcome;
    struct err err;
    bool done; /* the handler wrote the answer itself */
};

extern const struct route routes[];
extern const size_t n_routes;

/* What the server calls. `context` is a struct api_context. */
void pipeline_serve(void *context, struct request *request, struct answer *answer);
/* What it tells of answers that it gave without asking. */
void pipeline_refused(void *context, const struct request *request, const struct answer *answer);
/* Headers of every answer that the settings decide. */
void pipeline_adorn(void *context, const struct request *request, struct answer *answer);
/* Labels of METRIC_HTTP_REQUESTS: five status classes per route, and five for what matches none. */
bool pipeline_metrics(void);

/* The route's path without its parameters' values; "unmatched" for none. */
const char *route_label(const struct route *route);

#endif
