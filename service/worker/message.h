/* A delivery as an HTTP request. */
#ifndef KAMD_WORKER_MESSAGE_H
#define KAMD_WORKER_MESSAGE_H

#include "outbox.h"

/* An event as a webhook's body shows it; data and previous are JSON. */
struct message_event {
    struct str id;
    struct str type;
    struct str at; /* RFC 3339 */
    struct str sequence;
    struct str data;
    struct str previous;
    struct str record; /* absent: thin */
};

/* Made from the event alone, so that each attempt sends the same bytes; a full one also has the
 * record as it is when it is claimed. */
void message_body(const struct message_event *event, struct buf *ret);

/* Signatures that anybody can verify are the same for all endpoints, and dear. */
#define MESSAGE_SIGNED 256
#define MESSAGE_SIGNED_BODY 4096
struct message_signed {
    char event_id[UUID_TEXT];
    int64_t timestamp;
    struct buf body;
    struct buf signatures;
};

/* The texts of a request's headers live here while it is made. */
struct message {
    struct buf text;
    struct webhook_keys keys;
    struct message_signed lately[MESSAGE_SIGNED]; /* by event */
    struct post_request request;
};
void message_init(struct message *message);
void message_release(struct message *message);
/* The live keys; see webhook_keys_set(). */
void message_keys(struct message *message, const struct keyring *keyring,
                  const struct webhook_key *keys, size_t n);
/* `timestamp`: seconds, by the database's clock. False when memory is out. */
bool message_make(struct message *message, const struct delivery *delivery, int64_t timestamp);

#endif
