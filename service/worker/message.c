/* Builds the HTTP request of a webhook delivery: JSON body, headers, signatures. Ed25519 signatures
 * cost much and are the same for all endpoints, so recent ones are cached by event. */
#include "message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define API_VERSION "v1"

void message_body(const struct message_event *event, struct buf *ret) {
    buf_text(ret, "{\"id\":");
    buf_json(ret, event->id);
    buf_text(ret, ",\"type\":");
    buf_json(ret, event->type);
    buf_text(ret, ",\"timestamp\":");
    buf_json(ret, event->at);
    buf_text(ret, ",\"sequence\":");
    buf_put(ret, event->sequence);
    buf_text(ret, ",\"api_version\":\"" API_VERSION "\",\"data\":");
    buf_put(ret, event->data);
    buf_text(ret, ",\"previous\":");
    buf_put(ret, event->previous);
    if (event->record.ptr != NULL) {
        buf_text(ret, ",\"record\":");
        buf_put(ret, event->record);
    }
    buf_char(ret, '}');
}

void message_init(struct message *message) {
    buf_init(&message->text, 16 * 1024);
    for (size_t i = 0; i < MESSAGE_SIGNED; i++) {
        buf_init(&message->lately[i].body, MESSAGE_SIGNED_BODY);
        buf_init(&message->lately[i].signatures, 4096);
    }
}

void message_release(struct message *message) {
    explicit_bzero(&message->keys, sizeof(message->keys));
    buf_release(&message->text);
    for (size_t i = 0; i < MESSAGE_SIGNED; i++) {
        buf_release(&message->lately[i].body);
        buf_release(&message->lately[i].signatures);
    }
}

void message_keys(struct message *message, const struct keyring *keyring,
                  const struct webhook_key *keys, size_t n) {
    if (!webhook_keys_set(&message->keys, keyring, keys, n))
        return;
    for (size_t i = 0; i < MESSAGE_SIGNED; i++)
        message->lately[i].event_id[0] = '\0';
}

static bool is_traceparent(struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'))
            return false;
    }
    return text.len > 0;
}

/* Remembers where each header ends; the buffer moves while it grows. */
struct header_ends {
    size_t at[POST_HEADERS];
    size_t n;
};

static void end_header(struct message *message, struct header_ends *ends) {
    ends->at[ends->n++] = message->text.len;
}

static bool was_signed(const struct message_signed *lately, const struct delivery *delivery,
                       int64_t timestamp) {
    return lately->timestamp == timestamp && strcmp(lately->event_id, delivery->event_id) == 0 &&
           str_eq(buf_str(&lately->body), (struct str){delivery->body, delivery->body_len});
}

static void sign_public(struct message *message, const struct delivery *delivery, int64_t timestamp,
                        struct str seconds, struct buf *ret) {
    struct str body = {delivery->body, delivery->body_len};
    struct message_signed *lately =
        &message->lately[str_hash(str_of(delivery->event_id)) % MESSAGE_SIGNED];

    if (!was_signed(lately, delivery, timestamp)) {
        buf_reset(&lately->body);
        buf_reset(&lately->signatures);
        buf_put(&lately->body, body);
        webhook_sign_public(&message->keys, str_of(delivery->event_id), seconds, body,
                            &lately->signatures);
        memcpy(lately->event_id, delivery->event_id, sizeof(lately->event_id));
        lately->timestamp = timestamp;
    }
    if (lately->signatures.len > 0)
        buf_char(ret, ' ');
    buf_put(ret, buf_str(&lately->signatures));
    ret->failed |= lately->signatures.failed;
    if (!buf_ok(&lately->body) || lately->signatures.failed) /* too long to be kept */
        lately->event_id[0] = '\0';
}

static void signatures(struct message *message, const struct delivery *delivery, int64_t timestamp,
                       struct str seconds) {
    const struct endpoint *endpoint = delivery->endpoint;
    struct buf text CLEANUP(buf_release) = {0};

    buf_init(&text, 4096);
    for (size_t i = 0; i < endpoint->n_secrets; i++)
        webhook_sign((struct str){(const char *)endpoint->secrets[i], WEBHOOK_SECRET},
                     str_of(delivery->event_id), seconds,
                     (struct str){delivery->body, delivery->body_len}, &text);
    sign_public(message, delivery, timestamp, seconds, &text);
    buf_put(&message->text, buf_str(&text));
    message->text.failed |= text.failed;
}

static void own_headers(struct message *message, const struct delivery *delivery,
                        struct header_ends *ends) {
    struct str rest = str_of(delivery->endpoint->headers), line;

    while (ends->n < POST_HEADERS && str_split(&rest, '\n', &line))
        if (line.len > 0) {
            buf_put(&message->text, line);
            end_header(message, ends);
        }
}

bool message_make(struct message *message, const struct delivery *delivery, int64_t timestamp) {
    struct buf *text = &message->text;
    struct header_ends ends = {.n = 0};
    char seconds[24];
    size_t from = 0;

    snprintf(seconds, sizeof(seconds), "%" PRId64, timestamp);
    buf_reset(text);
    buf_text(text, "Content-Type: application/json");
    end_header(message, &ends);
    buf_format(text, "webhook-id: %s", delivery->event_id);
    end_header(message, &ends);
    buf_format(text, "webhook-timestamp: %s", seconds);
    end_header(message, &ends);
    buf_text(text, "webhook-signature: ");
    signatures(message, delivery, timestamp, str_of(seconds));
    end_header(message, &ends);
    if (delivery->trace.on || is_traceparent(str_of(delivery->traceparent))) {
        char own[TRACEPARENT_TEXT];
        if (delivery->trace.on)
            trace_text(&delivery->trace, own);
        buf_format(text, "traceparent: %s", delivery->trace.on ? own : delivery->traceparent);
        end_header(message, &ends);
    }
    own_headers(message, delivery, &ends);
    if (!buf_ok(text))
        return false;
    message->request = (struct post_request){
        .url = str_of(delivery->endpoint->url),
        .n_headers = ends.n,
        .body = {delivery->body, delivery->body_len},
        /* Not const there: it comes back with the result. */
        .tag = (void *)(uintptr_t)delivery,
    };
    for (size_t i = 0; i < ends.n; from = ends.at[i], i++)
        message->request.headers[i] = (struct str){text->ptr + from, ends.at[i] - from};
    return true;
}
