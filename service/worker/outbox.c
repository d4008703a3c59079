/* Lists of the webhook deliveries that this process has claimed: queued, in flight, settled, being
 * written. The lists have no lock, because only the delivery thread uses them. */
#include "outbox.h"

#include <stdlib.h>
#include <string.h>

void delivery_release(struct delivery *delivery) {
    free(delivery->body);
    free(delivery);
}

static void list_release(struct delivery *list) {
    while (list != NULL) {
        struct delivery *next = list->next;
        delivery_release(list);
        list = next;
    }
}

static void endpoint_release(struct endpoint *endpoint) {
    list_release(endpoint->queue);
    list_release(endpoint->flying);
    explicit_bzero(endpoint->secrets, sizeof(endpoint->secrets));
    free(endpoint->url);
    free(endpoint->headers);
    free(endpoint);
}

void outbox_release(struct outbox *outbox) {
    while (outbox->endpoints != NULL) {
        struct endpoint *next = outbox->endpoints->next;
        endpoint_release(outbox->endpoints);
        outbox->endpoints = next;
    }
    list_release(outbox->settled);
    list_release(outbox->written);
    *outbox = (struct outbox){0};
}

struct endpoint *outbox_find(struct outbox *outbox, struct str id) {
    struct endpoint *endpoint = outbox->endpoints;

    while (endpoint != NULL && !str_is(id, endpoint->id))
        endpoint = endpoint->next;
    return endpoint;
}

struct endpoint *outbox_add(struct outbox *outbox, struct str id) {
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

    if (endpoint == NULL || id.len != UUID_TEXT - 1) {
        free(endpoint);
        return NULL;
    }
    memcpy(endpoint->id, id.ptr, id.len);
    endpoint->pause_ms = -1;
    endpoint->next = outbox->endpoints;
    outbox->endpoints = endpoint;
    outbox->n_endpoints++;
    return endpoint;
}

void outbox_remove(struct outbox *outbox, struct endpoint *endpoint) {
    struct endpoint **at = &outbox->endpoints;

    while (*at != endpoint)
        at = &(*at)->next;
    *at = endpoint->next;
    outbox->n_endpoints--;
    outbox->n_queued -= endpoint->n_queued;
    endpoint_release(endpoint);
}

void outbox_rotate(struct outbox *outbox) {
    struct endpoint *first = outbox->endpoints;
    struct endpoint **last = &outbox->endpoints;

    if (first == NULL)
        return;
    while (*last != NULL)
        last = &(*last)->next;
    *last = first;
    outbox->endpoints = first->next;
    first->next = NULL;
}

void outbox_queue(struct outbox *outbox, struct endpoint *endpoint, struct delivery *delivery) {
    struct delivery **at = &endpoint->queue;

    while (*at != NULL && (*at)->position <= delivery->position)
        at = &(*at)->next;
    delivery->next = *at;
    *at = delivery;
    delivery->endpoint = endpoint;
    endpoint->n_queued++;
    outbox->n_queued++;
}

/* Within a queue a lane is in order, so only what is flying can be in its way. */
static bool lane_is_busy(const struct endpoint *endpoint, const struct delivery *delivery) {
    if (!delivery->lane)
        return false;
    for (const struct delivery *f = endpoint->flying; f != NULL; f = f->next)
        if (f->lane && strcmp(f->account_id, delivery->account_id) == 0)
            return true;
    return false;
}

static struct delivery *unqueue(struct outbox *outbox, struct delivery **at) {
    struct delivery *delivery = *at;

    *at = delivery->next;
    delivery->endpoint->n_queued--;
    outbox->n_queued--;
    return delivery;
}

struct delivery *outbox_take(struct outbox *outbox, struct endpoint *endpoint) {
    struct delivery **at = &endpoint->queue;

    while (*at != NULL && lane_is_busy(endpoint, *at))
        at = &(*at)->next;
    if (*at == NULL)
        return NULL;
    struct delivery *delivery = unqueue(outbox, at);
    delivery->next = endpoint->flying;
    endpoint->flying = delivery;
    endpoint->n_flying++;
    return delivery;
}

static bool waits(const struct delivery *delivery) {
    return delivery->lane &&
           (delivery->outcome == OUTCOME_FAILED || delivery->outcome == OUTCOME_RETURNED);
}

static void settle(struct outbox *outbox, struct delivery *delivery, enum outcome_kind outcome) {
    delivery->outcome = outcome;
    delivery->endpoint->changed_since_report = true;
    outbox->n_waiting += waits(delivery);
    delivery->next = outbox->settled;
    outbox->settled = delivery;
    outbox->n_settled++;
}

void outbox_settle(struct outbox *outbox, struct delivery *delivery, enum outcome_kind outcome) {
    struct delivery **at = &delivery->endpoint->flying;

    while (*at != delivery)
        at = &(*at)->next;
    *at = delivery->next;
    delivery->endpoint->n_flying--;
    settle(outbox, delivery, outcome);
}

void outbox_return(struct outbox *outbox, struct endpoint *endpoint, const char *account_id) {
    struct delivery **at = &endpoint->queue;

    while (*at != NULL) {
        if (account_id == NULL || ((*at)->lane && strcmp((*at)->account_id, account_id) == 0))
            settle(outbox, unqueue(outbox, at), OUTCOME_RETURNED);
        else
            at = &(*at)->next;
    }
}

bool outbox_lane_waits(const struct outbox *outbox, const struct delivery *delivery) {
    const struct delivery *s = delivery->lane && outbox->n_waiting > 0 ? outbox->settled : NULL;

    while (s != NULL && !(waits(s) && s->endpoint == delivery->endpoint &&
                          strcmp(s->account_id, delivery->account_id) == 0))
        s = s->next;
    return s != NULL;
}

void outbox_write(struct outbox *outbox) {
    outbox->written = outbox->settled;
    outbox->settled = NULL;
    outbox->n_settled = outbox->n_waiting = 0;
}

static void settle_again(struct outbox *outbox) {
    while (outbox->written != NULL) {
        struct delivery *delivery = outbox->written;
        outbox->written = delivery->next;
        settle(outbox, delivery, delivery->outcome);
    }
    for (struct endpoint *e = outbox->endpoints; e != NULL; e = e->next)
        e->changed_since_report |= e->report_in_flight;
}

void outbox_written(struct outbox *outbox, bool ok) {
    if (!ok) {
        settle_again(outbox);
        return;
    }
    list_release(outbox->written);
    outbox->written = NULL;
    for (struct endpoint *e = outbox->endpoints, *next; e != NULL; e = next) {
        next = e->next;
        if (e->report_in_flight && !e->changed_since_report) {
            e->pause_ms = -1;
            e->disable_reason = NULL;
        }
        if (e->returning)
            outbox_remove(outbox, e);
    }
}

static int64_t first_of(const struct delivery *list) {
    int64_t first = INT64_MAX;

    for (; list != NULL; list = list->next)
        if (list->position < first)
            first = list->position;
    return first;
}

int64_t outbox_settled_to(const struct endpoint *endpoint) {
    int64_t queued = first_of(endpoint->queue);
    int64_t flying = first_of(endpoint->flying);
    int64_t first = queued < flying ? queued : flying;

    return first == INT64_MAX ? first : first - 1;
}
