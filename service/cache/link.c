/* Connects to Redis and exchanges commands and replies, by hiredis's non-blocking calls and poll(),
 * so that no wait outlasts the caller's deadline. Replies are limited: no arrays, at most 4 MiB. */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/cleanup.h"

/* A value has at most 1 MiB; INFO a few KiB. */
#define REPLY_MAX (4U << 20)

void reply_release(redisReply **reply) {
    if (*reply != NULL)
        freeReplyObject(*reply);
}

void link_close(struct link *link) {
    if (link->redis != NULL)
        redisFree(link->redis);
    link->redis = NULL;
}

static enum link_result fail(struct link *link, enum link_result result) {
    link_close(link);
    return result;
}

/* True when one of `events` (or an error) is there before the deadline. */
static bool wait_for(int fd, short events, deadline when) {
    for (;;) {
        struct pollfd pollfd = {.fd = fd, .events = events};
        int left = deadline_left_ms(when);
        int ready = poll(&pollfd, 1, left);
        if (ready > 0)
            return true;
        if (left == 0 || (ready < 0 && errno != EINTR))
            return false;
    }
}

bool link_usable(const struct link *link, const struct link_target *target) {
    if (link->redis == NULL || link->generation != address_generation(target->address))
        return false;
    const redisReader *reader = link->redis->reader;
    struct pollfd pollfd = {.fd = link->redis->fd, .events = POLLIN};
    return reader->pos == reader->len && poll(&pollfd, 1, 0) == 0;
}

/* ---- commands ---- */

void command_add(struct link_command *command, struct str arg) {
    command->args[command->n] = arg.ptr;
    command->lens[command->n++] = arg.len;
}

void command_text(struct link_command *command, const char *arg) {
    command_add(command, str_of(arg));
}

void command_script(struct link_command *command, const struct link *link, enum script script,
                    bool by_text, const char *n_keys) {
    command->n = 0;
    command_text(command, by_text ? "EVAL" : "EVALSHA");
    command_text(command, by_text ? script_text(script, link->lease) : link->sha[script]);
    command_text(command, n_keys);
}

bool link_queue(struct link *link, const struct link_command *command) {
    struct link_command *mutable = (struct link_command *)(uintptr_t)command;
    if (redisAppendCommandArgv(link->redis, command->n, mutable->args, command->lens) == REDIS_OK)
        return true;
    link_close(link);
    return false;
}

/* ---- replies ---- */

/* Which errors say nothing about the connection. -LOADING, -READONLY, -NOAUTH, -NOPERM, -BUSY, ...
 * do: a server that answers with those is not of use now, and may be another one (a replica) after
 * a new connection. Redis 6 hides -READONLY inside a script's error. */
static bool harmless(const redisReply *error) {
    static const char *const codes[] = {"NOSCRIPT", "OOM", "MISCONF", "WRONGTYPE", "ERR"};
    if (strstr(error->str, "READONLY") != NULL)
        return false;
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        if (strncmp(error->str, codes[i], strlen(codes[i])) == 0)
            return true;
    return false;
}

static enum link_result send_queued(struct link *link, deadline when) {
    for (int done = 0;;) {
        if (redisBufferWrite(link->redis, &done) != REDIS_OK)
            return fail(link, LINK_BROKEN);
        if (done)
            return LINK_OK;
        if (!wait_for(link->redis->fd, POLLOUT, when))
            return fail(link, LINK_TIMEOUT);
    }
}

static enum link_result receive(struct link *link, deadline when, redisReply **ret) {
    for (;;) {
        void *reply = NULL;
        if (redisGetReplyFromReader(link->redis, &reply) != REDIS_OK)
            return fail(link, LINK_BROKEN);
        if (reply != NULL) {
            *ret = reply;
            return LINK_OK;
        }
        if (!wait_for(link->redis->fd, POLLIN, when))
            return fail(link, LINK_TIMEOUT);
        if (redisBufferRead(link->redis) != REDIS_OK || link->redis->reader->len > REPLY_MAX)
            return fail(link, LINK_BROKEN);
    }
}

enum link_result link_reply(struct link *link, deadline when, redisReply **ret,
                            bool *ret_unknown_script) {
    CLEANUP(reply_release) redisReply *reply = NULL;
    enum link_result result = send_queued(link, when);
    if (result == LINK_OK)
        result = receive(link, when, &reply);
    if (result != LINK_OK)
        return result;
    if (reply->type == REDIS_REPLY_ERROR) {
        if (!harmless(reply))
            return fail(link, LINK_BROKEN);
        if (ret_unknown_script != NULL && strncmp(reply->str, "NOSCRIPT", 8) == 0)
            *ret_unknown_script = true;
        return LINK_REFUSED;
    }
    *ret = TAKE(reply);
    return LINK_OK;
}

/* ---- a new connection ---- */

/* The replies that kamd reads have no arrays. hiredis would believe "*1000000000" and allocate
 * that. */
#if HIREDIS_MAJOR >= 1
typedef size_t array_size;
#else
typedef int array_size;
#endif
static void *refuse_array(const redisReadTask *task, array_size elements) {
    (void)task;
    (void)elements;
    return NULL;
}

static enum link_result connect_to(struct link *link, const char *address, int port,
                                   deadline when) {
    link->redis = redisConnectNonBlock(address, port);
    if (link->redis == NULL || link->redis->err != 0)
        return fail(link, LINK_BROKEN);
    if (!wait_for(link->redis->fd, POLLOUT, when))
        return fail(link, LINK_TIMEOUT);
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(link->redis->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        return fail(link, LINK_BROKEN);
    link->functions = *link->redis->reader->fn;
    link->functions.createArray = refuse_array;
    link->redis->reader->fn = &link->functions;
    return LINK_OK;
}

/* One after the other, each with its share of the time: a name often stands for ::1 and 127.0.0.1.
 */
static enum link_result connect_any(struct link *link, const struct link_target *target,
                                    deadline when) {
    struct address_list list;
    enum link_result result = LINK_BROKEN;
    address_read(target->address, &list);
    link->generation = list.generation;
    for (size_t i = 0; i < list.n && result != LINK_OK; i++) {
        deadline share = deadline_in_ms(deadline_left_ms(when) / (int)(list.n - i));
        result = connect_to(link, list.text[i], target->url->port, i + 1 == list.n ? when : share);
    }
    return result;
}

static bool queue_text(struct link *link, int n, const char *const *words) {
    struct link_command command = {.n = 0};
    for (int i = 0; i < n; i++)
        command_text(&command, words[i]);
    return link_queue(link, &command);
}
#define QUEUE(link, ...)                                                                           \
    queue_text((link), (int)COUNT_OF(((const char *const[]){__VA_ARGS__})),                        \
               (const char *const[]){__VA_ARGS__})

static bool queue_login(struct link *link, const struct url *url) {
    char db[12];
    snprintf(db, sizeof(db), "%d", url->db);
    bool done = true;
    if (url->password[0] != '\0')
        done = url->user[0] != '\0' ? QUEUE(link, "AUTH", url->user, url->password)
                                    : QUEUE(link, "AUTH", url->password);
    return done && (url->db == 0 || QUEUE(link, "SELECT", db));
}

static bool queue_greeting(struct link *link, const struct link_target *target) {
    if (!queue_login(link, target->url) || !QUEUE(link, "INFO", "server") ||
        !QUEUE(link, "INFO", "replication"))
        return false;
    for (int i = 0; i < SCRIPT_COUNT; i++)
        if (!QUEUE(link, "SCRIPT", "LOAD", script_text((enum script)i, target->lease)))
            return false;
    return true;
}

/* Any error at this stage makes the connection useless. */
static enum link_result expect(struct link *link, int type, deadline when, redisReply **ret) {
    enum link_result result = link_reply(link, when, ret, NULL);
    if (result == LINK_REFUSED || (result == LINK_OK && (*ret)->type != type))
        return fail(link, LINK_BROKEN);
    return result;
}

static enum link_result expect_ok(struct link *link, deadline when) {
    CLEANUP(reply_release) redisReply *reply = NULL;
    return expect(link, REDIS_REPLY_STATUS, when, &reply);
}

static enum link_result learn_epoch(struct link *link, deadline when) {
    CLEANUP(reply_release) redisReply *info = NULL;
    enum link_result result = expect(link, REDIS_REPLY_STRING, when, &info);
    if (result != LINK_OK)
        return result;
    const char *at = strstr(info->str, "\nrun_id:");
    size_t len = at != NULL ? strspn(at + 8, "0123456789abcdef") : 0;
    if (len < LINK_EPOCH - 1)
        return fail(link, LINK_BROKEN);
    memcpy(link->epoch, at + 8, LINK_EPOCH - 1);
    link->epoch[LINK_EPOCH - 1] = '\0';
    return LINK_OK;
}

/* A replica holds what its master held some time ago, under this server's own run_id if it was
 * master before. */
static enum link_result expect_master(struct link *link, deadline when) {
    CLEANUP(reply_release) redisReply *info = NULL;
    enum link_result result = expect(link, REDIS_REPLY_STRING, when, &info);
    if (result == LINK_OK && strstr(info->str, "role:master") == NULL)
        return fail(link, LINK_BROKEN);
    return result;
}

static enum link_result learn_script(struct link *link, enum script script, deadline when) {
    CLEANUP(reply_release) redisReply *sha = NULL;
    enum link_result result = expect(link, REDIS_REPLY_STRING, when, &sha);
    if (result != LINK_OK)
        return result;
    if (sha->len != LINK_SHA - 1)
        return fail(link, LINK_BROKEN);
    memcpy(link->sha[script], sha->str, LINK_SHA);
    return LINK_OK;
}

static enum link_result greet(struct link *link, const struct link_target *target, deadline when) {
    if (!queue_greeting(link, target))
        return LINK_BROKEN;
    int statuses = (target->url->password[0] != '\0') + (target->url->db != 0);
    enum link_result result = LINK_OK;
    for (int i = 0; i < statuses && result == LINK_OK; i++)
        result = expect_ok(link, when);
    if (result == LINK_OK)
        result = learn_epoch(link, when);
    if (result == LINK_OK)
        result = expect_master(link, when);
    for (int i = 0; i < SCRIPT_COUNT && result == LINK_OK; i++)
        result = learn_script(link, (enum script)i, when);
    return result;
}

enum link_result link_open(struct link *link, const struct link_target *target, deadline when) {
    link_close(link);
    link->lease = target->lease;
    enum link_result result = connect_any(link, target, when);
    return result == LINK_OK ? greet(link, target, when) : result;
}
