/* What the list of events and their streams share. Private to the app layer. */
#ifndef KAMD_APP_FEED_EVENT_QUERY_H
#define KAMD_APP_FEED_EVENT_QUERY_H

#include "app/events.h"
#include "app/records.h"
#include "base/transaction.h"

struct event_query {
    struct str after; /* absent: from the earliest kept */
    struct str types; /* as text[] */
    struct str account_id;
    size_t page_size;
};

/* From after, types, account_id and page_size. */
bool event_query_read(struct action *action, struct event_query *ret, struct err *err);
/* Where to begin: "now", or a position. */
bool event_after(struct str text, struct event_query *query, struct err *err);
/* The log in its order: p.position, e.*. Event by event, whatever the planner knows of the day's
 * partition, which is new each morning: a join of its choice has read all of it for each position.
 */
#define EVENT_LOG                                                                                  \
    "event_position p cross join lateral (select * from event l where l.at = p.at and l.seq = "    \
    "p.seq offset 0) e"
/* Was this position given out for what a restore took back? It lies in a gap that is left for that,
 * or is not reached yet. */
#define LOG_LOST(position)                                                                         \
    "(" position " > (select position from sequencer) or exists (select from database_change c "   \
    "where " position " > c.from_position and " position " < c.to_position))"
/* The slot of (earliest kept, last position, is `after` lost), and whether nobody can go on from
 * there. */
size_t event_bounds(struct tx *tx, struct str after);
bool event_expired(struct tx *tx, size_t bounds, struct str after, struct err *err);
/* Queues the events after `after` ("now" or a position), at most `limit`; `by_access_set`: of
 * accounts that the caller's access sets name. Only those of areas that the caller reads, and of
 * the caller's webhook endpoints. */
size_t event_page(struct tx *tx, bool by_access_set, const struct event_query *query,
                  struct str limit);
/* One row of event_page() as JSON. `whole`: the caller reads all areas of the account. */
void event_write(struct tx *tx, size_t slot, size_t row, bool whole, struct buf *ret);
bool event_whole(struct tx *tx, size_t slot, size_t row);
enum event_column {
    EVENT_POSITION,
    EVENT_ID,
    EVENT_TYPE,
    EVENT_AT,
    EVENT_SEQUENCE,
    EVENT_ACCOUNT,
    EVENT_ORIGIN,
    EVENT_DATA,
    EVENT_PREVIOUS,
    EVENT_AREA,
    EVENT_AREAS,
    EVENT_ACTOR, /* of a webhook endpoint: its maker, and what that one reached; else absent */
    EVENT_REACH
};

#endif
