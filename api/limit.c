/* Applies the rate limits to a request: takes a token from the bucket of the client or of the
 * network address, tells in the RateLimit headers what is left, and refuses the request (429) when
 * the bucket is empty. */
#include "limit.h"

#include "app/limits.h"
#include "core/metrics.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { CELL_CLIENT, CELL_ADDRESS };

bool limit_metrics(void) {
    static const char *const cells[] = {
        [CELL_CLIENT] = "by=\"client\"", [CELL_ADDRESS] = "by=\"address\""};
    return metrics_labels(LABELS_CLIENT, cells, COUNT_OF(cells));
}

static bool limit_of(const struct call *call, struct limit *ret) {
    const struct config *config = call->face->app->config;
    *ret = (struct limit){.rate = config->rate_limit, .burst = config->rate_burst};
    return ret->rate > 0;
}

/* Of an IPv6 address the network: its owner has 2^64 of them. */
static void name_address(struct str client, char ret[static LIMIT_NAME]) {
    unsigned char bytes[16];
    char text[LIMIT_NAME];
    snprintf(text, sizeof text, "%.*s", STR_ARG(client));
    if (inet_pton(AF_INET6, text, bytes) == 1) {
        memset(bytes + 8, 0, 8);
        inet_ntop(AF_INET6, bytes, text, sizeof text);
    }
    snprintf(ret, LIMIT_NAME, "a:%.60s", text);
}

static void name_client(const struct principal *who, char ret[static LIMIT_NAME]) {
    snprintf(ret, LIMIT_NAME, "c:%.60s", who->id[0] ? who->id : who->actor);
}

/* draft-ietf-httpapi-ratelimit-headers-11: what there is, and how much of it is left. */
static void tell(struct call *call, const char *policy, const struct limit *limit,
                 const struct limit_state *state) {
    struct arena *arena = call->request->arena;
    const char *rule = arena_format(arena, "\"%s\";q=%lld;w=%lld", policy, (long long)limit->burst,
                                    (long long)((limit->burst + limit->rate - 1) / limit->rate));
    const char *left = arena_format(arena, "\"%s\";r=%lld;t=%lld", policy, (long long)state->left,
                                    (long long)state->full_s);
    if (rule && left) {
        answer_header(call->answer, "RateLimit-Policy", str_of(rule));
        answer_header(call->answer, "RateLimit", str_of(left));
    }
}

static bool take(struct call *call, const char *name, const char *policy, size_t cell) {
    struct limit limit;
    struct limit_state state;
    if (!limit_of(call, &limit))
        return true;
    bool fine = limits_take(call->face->limits, name, &limit, &state);
    tell(call, policy, &limit, &state);
    if (fine)
        return true;
    metrics_count(METRIC_RATE_LIMITED, cell, 1);
    err_set(&call->err, PROBLEM_TOO_MANY_REQUESTS, "%lld requests a second, and %lld at once.",
            (long long)limit.rate, (long long)limit.burst);
    call->err.retry_after = (int)state.retry_s;
    return false;
}

bool limit_admit(struct call *call) {
    char name[LIMIT_NAME];
    if ((call->route->flags & (ROUTE_FREE | ROUTE_SECRET)) != 0)
        return true;
    if (call->route->verb == VERB_PUBLIC) {
        name_address(call->request->client, name);
        return take(call, name, "address", CELL_ADDRESS);
    }
    name_client(&call->who, name);
    return take(call, name, "client", CELL_CLIENT);
}

void limit_stranger(struct call *call) {
    char name[LIMIT_NAME];
    name_address(call->request->client, name);
    take(call, name, "address", CELL_ADDRESS);
}

void limit_return(struct call *call) {
    char name[LIMIT_NAME];
    struct limit limit;
    if (call->route->verb == VERB_PUBLIC || !limit_of(call, &limit))
        return;
    name_client(&call->who, name);
    limits_give_back(call->face->limits, name, &limit);
}
