/* The event log to pull from. */
#ifndef KAMD_APP_EVENTS_H
#define KAMD_APP_EVENTS_H

#include "app/records.h"

/* Parameters after, types, account_id, page_size. */
use_case event_list;
use_case event_types_list;

/* Every event type there is, with what it says; the descriptors' created, updated, deleted,
 * restored come on top. */
struct event_type {
    const char *name;
    const char *about;
    const char *data; /* example of its data, JSON */
};
extern const struct event_type event_types[];
extern const size_t n_event_types;
extern const char *const resource_event_ops[]; /* NULL-terminated */
/* Sections and orders tell of the plan and the account, settings of nothing. */
bool resource_has_events(enum resource_id id);

#endif
