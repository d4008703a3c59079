/* One connection to Redis, of one thread, on which nothing waits longer than the caller's deadline.
 * hiredis runs non-blocking here and every wait is a poll() with what is left of the deadline: its
 * own timeouts count each read(2) anew, and it forgets them over redisReconnect(). Whatever goes
 * wrong closes the connection: after a timeout the late reply is still on its way, and a connection
 * that is used again would take it for the answer to the next question. SIGPIPE must be ignored
 * (main does). */
#ifndef KAMD_SERVICE_CACHE_LINK_H
#define KAMD_SERVICE_CACHE_LINK_H

#include <hiredis/hiredis.h>

#include "address.h"
#include "core/clock.h"
#include "script.h"
#include "url.h"

#define LINK_EPOCH 9 /* 8 hex digits of the server's run_id */
#define LINK_SHA 41

struct link {
    redisContext *redis; /* NULL: not connected */
    unsigned generation; /* of the addresses it was made from */
    char epoch[LINK_EPOCH];
    bool lease; /* which scripts */
    char sha[SCRIPT_COUNT][LINK_SHA];
    redisReplyObjectFunctions
        functions; /* hiredis', with limits; `redis` points to it: a link never moves */
};

/* What a connection is made to. */
struct link_target {
    const struct url *url;
    struct address *address;
    bool lease; /* which scripts */
};

enum link_result {
    LINK_OK,
    LINK_REFUSED, /* Redis answered with an error that leaves the connection good (-OOM, -WRONGTYPE,
                     ...) */
    LINK_BROKEN,  /* closed, reset, not allowed, not Redis, a replica, loading */
    LINK_TIMEOUT
};

/* Connects, authenticates, learns the run_id and loads the scripts: two round trips. */
enum link_result link_open(struct link *link, const struct link_target *target, deadline when);
void link_close(struct link *link);
/* Connected to where Redis is now, and silent: bytes nobody asked for, or an end, make it unusable.
 */
bool link_usable(const struct link *link, const struct link_target *target);

/* One command under construction: borrowed arguments. */
#define LINK_ARGS 264
struct link_command {
    int n;
    const char *args[LINK_ARGS];
    size_t lens[LINK_ARGS];
};
void command_add(struct link_command *command, struct str arg);
void command_text(struct link_command *command, const char *arg);
/* EVALSHA (or EVAL, which works whatever SCRIPT FLUSH did and loads the script again) with the
 * number of keys. */
void command_script(struct link_command *command, const struct link *link, enum script script,
                    bool by_text, const char *n_keys);

/* Queues a command; the next link_reply() sends all that is queued. */
bool link_queue(struct link *link, const struct link_command *command);
/* The next reply of the wanted type (REDIS_REPLY_...). Anything else than LINK_OK sets no reply;
 * LINK_BROKEN and LINK_TIMEOUT have closed the link. *ret_unknown_script (may be NULL) tells a
 * LINK_REFUSED for -NOSCRIPT. */
enum link_result link_reply(struct link *link, deadline when, redisReply **ret,
                            bool *ret_unknown_script);
void reply_release(redisReply **reply);

#endif
