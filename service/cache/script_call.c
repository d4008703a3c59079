/* Calls the Lua scripts with their keys and arguments, and checks the types of Redis's replies.
 * When Redis has forgotten a script (SCRIPT FLUSH), the call is repeated with the script's text. */
#include "script_call.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/random.h"

/* Keys of one call of the script: Redis answers nobody else meanwhile. */
#define KEYS_MAX 128
#define KEY_TEXT sizeof((struct cache_lease){.key = ""}.key)
#define NUMBER_TEXT 24
#define TOKEN_TEXT sizeof((struct cache_lease){.key = ""}.token)
_Static_assert(2 * KEYS_MAX + 4 <= LINK_ARGS, "a full call fits");

static void key_text(const struct link *link, const char *name, char ret[static KEY_TEXT]) {
    snprintf(ret, KEY_TEXT, "c:%s:%d:%.80s", link->epoch, EXCHANGE_FORMAT, name);
}

static enum link_result unexpected(struct link *link) {
    link_close(link);
    return LINK_BROKEN;
}

/* A call with one key, which is the first argument. */
struct script_call {
    enum script script;
    struct str args[5];
    size_t n_args;
};

/* After SCRIPT FLUSH the text goes along, which cannot miss. */
static enum link_result run_script(struct link *link, const struct exchange *exchange,
                                   const struct script_call *call, redisReply **ret) {
    bool unknown = false;
    enum link_result result = LINK_REFUSED;
    for (int attempt = 0; attempt < 2 && result == LINK_REFUSED; attempt++) {
        struct link_command command;
        if (attempt > 0 && !unknown)
            break;
        command_script(&command, link, call->script, attempt > 0, "1");
        for (size_t i = 0; i < call->n_args; i++)
            command_add(&command, call->args[i]);
        result = link_queue(link, &command) ? link_reply(link, exchange->when, ret, &unknown)
                                            : LINK_BROKEN;
    }
    return result;
}

/* A token of its own for each attempt: an earlier one may have reached Redis without its answer
 * reaching us, and be executed late. With the same token it could give a lease back that a
 * tombstone has just taken away. */
static void make_token(char ret[static TOKEN_TEXT]) {
    unsigned char bytes[(TOKEN_TEXT - 1) / 2];
    random_fill(&randomness_system, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

/* No script where the value is there: Redis takes three times as long for one. */
static enum link_result ask_value(struct link *link, const struct exchange *exchange,
                                  const char *key, redisReply **ret) {
    struct link_command command = {.n = 0};
    command_text(&command, "GET");
    command_text(&command, key);
    return link_queue(link, &command) ? link_reply(link, exchange->when, ret, NULL) : LINK_BROKEN;
}

static bool is_value(const redisReply *reply) {
    return reply->type == REDIS_REPLY_STRING && strncmp(reply->str, "V|", 2) == 0;
}

static enum link_result ask_lease(struct link *link, const struct exchange *exchange,
                                  struct exchange_get *get) {
    CLEANUP(reply_release) redisReply *reply = NULL;
    char value_ms[NUMBER_TEXT];
    snprintf(value_ms, sizeof(value_ms), "%d", exchange->value_ms);
    make_token(get->lease->token);
    const struct script_call call = {
        SCRIPT_GET, {str_of(get->lease->key), str_of(get->lease->token), str_of(value_ms)}, 3};
    enum link_result result = run_script(link, exchange, &call, &reply);
    if (result != LINK_OK)
        return result;
    bool number = reply->type == REDIS_REPLY_INTEGER;
    if (!number && reply->type != REDIS_REPLY_STRING)
        return unexpected(link);
    get->ret_granted = number && reply->integer == 0;
    get->ret_entry = number ? NULL : TAKE(reply);
    return LINK_OK;
}

enum link_result exchange_get(struct link *link, const struct exchange *exchange,
                              struct exchange_get *get) {
    CLEANUP(reply_release) redisReply *reply = NULL;
    key_text(link, get->name, get->lease->key);
    enum link_result result = ask_value(link, exchange, get->lease->key, &reply);
    if (result != LINK_OK)
        return result;
    if (!is_value(reply))
        return ask_lease(link, exchange, get);
    get->ret_entry = TAKE(reply);
    return LINK_OK;
}

enum link_result exchange_fill(struct link *link, const struct exchange *exchange,
                               const struct exchange_fill *fill) {
    CLEANUP(reply_release) redisReply *reply = NULL;
    char value_ms[NUMBER_TEXT];
    char version[NUMBER_TEXT];
    snprintf(value_ms, sizeof(value_ms), "%d", exchange->value_ms);
    snprintf(version, sizeof(version), "%" PRId64, fill->version);
    const struct script_call call = {SCRIPT_FILL,
                                     {str_of(fill->lease->key), str_of(fill->lease->token),
                                      str_of(value_ms), str_of(version), fill->sealed},
                                     5};
    enum link_result result = run_script(link, exchange, &call, &reply);
    if (result == LINK_OK && reply->type != REDIS_REPLY_INTEGER)
        return unexpected(link);
    return result;
}

/* ---- invalidation: many calls, one round trip ---- */

static bool queue_touches(struct link *link, const struct exchange *exchange, bool by_text,
                          const struct cache_touch *touches, size_t n) {
    struct link_command command;
    char keys[KEYS_MAX][KEY_TEXT];
    char versions[KEYS_MAX][NUMBER_TEXT];
    char n_keys[NUMBER_TEXT];
    char value_ms[NUMBER_TEXT];
    snprintf(n_keys, sizeof(n_keys), "%zu", n);
    snprintf(value_ms, sizeof(value_ms), "%d", exchange->value_ms);
    command_script(&command, link, SCRIPT_INVALIDATE, by_text, n_keys);
    for (size_t i = 0; i < n; i++) {
        key_text(link, touches[i].name, keys[i]);
        command_text(&command, keys[i]);
    }
    command_text(&command, value_ms);
    for (size_t i = 0; i < n; i++) {
        snprintf(versions[i], NUMBER_TEXT, "%" PRId64, touches[i].version);
        command_text(&command, versions[i]);
    }
    return link_queue(link, &command);
}

static size_t call_size(const struct exchange_touch *touch, size_t from) {
    return touch->n - from < KEYS_MAX ? touch->n - from : KEYS_MAX;
}

/* Reads all replies, also behind a refused one: the connection stays in step. */
static enum link_result confirm_touches(struct link *link, const struct exchange *exchange,
                                        const struct exchange_touch *touch, bool *ret_unknown) {
    enum link_result all = LINK_OK;
    for (size_t from = 0; from < touch->n; from += KEYS_MAX) {
        CLEANUP(reply_release) redisReply *reply = NULL;
        enum link_result result = link_reply(link, exchange->when, &reply, ret_unknown);
        if (result == LINK_BROKEN || result == LINK_TIMEOUT)
            return result;
        if (result == LINK_REFUSED)
            all = result;
        else if (reply->type != REDIS_REPLY_INTEGER ||
                 reply->integer != (long long)call_size(touch, from))
            return unexpected(link);
    }
    return all;
}

static enum link_result touch_all(struct link *link, const struct exchange *exchange,
                                  const struct exchange_touch *touch, bool by_text,
                                  bool *ret_unknown) {
    for (size_t from = 0; from < touch->n; from += KEYS_MAX)
        if (!queue_touches(link, exchange, by_text, touch->touches + from, call_size(touch, from)))
            return LINK_BROKEN;
    return confirm_touches(link, exchange, touch, ret_unknown);
}

enum link_result exchange_touch(struct link *link, const struct exchange *exchange,
                                const struct exchange_touch *touch) {
    bool unknown = false;
    enum link_result result = touch_all(link, exchange, touch, false, &unknown);
    if (result == LINK_REFUSED && unknown)
        result = touch_all(link, exchange, touch, true, &unknown);
    return result;
}

enum link_result exchange_take(struct link *link, const struct exchange *exchange,
                               struct exchange_take *take) {
    CLEANUP(reply_release) redisReply *reply = NULL;
    char key[KEY_TEXT];
    char numbers[3][NUMBER_TEXT];
    key_text(link, take->name, key);
    snprintf(numbers[0], NUMBER_TEXT, "%" PRId64, take->bucket->rate);
    snprintf(numbers[1], NUMBER_TEXT, "%" PRId64, take->bucket->burst);
    snprintf(numbers[2], NUMBER_TEXT, "%" PRId64, take->taken.wanted);
    const struct script_call call = {
        SCRIPT_TAKE, {str_of(key), str_of(numbers[0]), str_of(numbers[1]), str_of(numbers[2])}, 4};
    enum link_result result = run_script(link, exchange, &call, &reply);
    if (result != LINK_OK)
        return result;
    if (reply->type != REDIS_REPLY_INTEGER)
        return unexpected(link);
    take->taken.granted = reply->integer >= 0;
    take->taken.debt_us = reply->integer >= 0 ? reply->integer : -1 - reply->integer;
    return LINK_OK;
}

enum link_result exchange_ping(struct link *link, const struct exchange *exchange) {
    CLEANUP(reply_release) redisReply *reply = NULL;
    struct link_command command = {.n = 0};
    command_text(&command, "PING");
    enum link_result result =
        link_queue(link, &command) ? link_reply(link, exchange->when, &reply, NULL) : LINK_BROKEN;
    if (result == LINK_OK && reply->type != REDIS_REPLY_STATUS)
        return unexpected(link);
    return result;
}
