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

/* The texts of a request's headers live here while it is made. */
struct message {
    struct buf text;
    struct webhook_keys keys;
    struct post_request request;
};
void message_init(struct message *message);
void message_release(struct message *message);
/* `timestamp`: seconds, by the database's clock. False when memory is out. */
bool message_make(struct message *message, const struct delivery *delivery, int64_t timestamp);

#endif
