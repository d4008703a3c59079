/* Many records in one call: what bulk by our ids and sync by another system's ids share. Private to
 * the app layer. */
#ifndef KAMD_APP_SYNC_BULK_H
#define KAMD_APP_SYNC_BULK_H

#include "app/sync.h"
#include "record/batch.h"

struct bulk {
    const struct resource *resource;
    struct str account_id; /* of nested resources: the path's */
    struct str system;     /* of sync; absent for bulk by id */
    const jv *records;
    const jv *refused; /* of sync; for each record null, or {field, code, detail}; NULL: none is */
    bool all_or_none;
    bool one; /* PUT or DELETE of one: the record itself is the answer */
    bool del; /* of one */
    bool defer;
    bool late; /* its records were sent before; `admin`: by an admin */
    bool admin;
    struct str policy;      /* conflict_policy of the call; absent: the system's */
    struct str external_id; /* of one */
};

/* What another system says about a record beside its fields. */
struct sync_message {
    struct str stamp;   /* system_modstamp; "" when it is not told */
    struct str parents; /* deferred: text[] of what it waits for */
    /* What is known of the record. */
    bool known;           /* the system has said something before */
    bool was_deleted;     /* its last word was that it is deleted */
    bool erased;          /* it means a person who was erased: nothing of it is kept */
    int64_t version;      /* of ours, after its last word; 0: none */
    jv *previous_digests; /* owned; {field: digest} of what it said before */
    jv *changed_at;       /* owned; {field: time} of our last changes; only for latest_wins */
    char updated_at[40];  /* of our record */
    /* What comes of it. */
    jv *digests;   /* owned; {field: digest} of what it says now */
    jv *conflicts; /* owned; [{field, kamd_value, system_value, rule, winner}] */
};

struct bulk_run {
    struct batch *batch;
    jv **given; /* owned copies */
    struct sync_message *messages;
    bool waiting;       /* some records of this system wait for parents */
    struct str arrived; /* the records that others may have waited for, as an array parameter */
    struct str policy;  /* of conflicts, where no field has a rule of its own */
    jv *field_rules;    /* owned; [{resource, field, rule}] */
};

bool bulk_run_start(struct action *action, const struct bulk *bulk, struct bulk_run *run,
                    struct err *err);
void bulk_run_release(struct bulk_run *run);
bool bad_record(struct entry *entry, const char *name, const char *code, const char *detail);
/* A copy of the record without the members that steer the call. */
jv *payload(const jv *record, const char *const *without);
/* The same record twice in one call has no order that a set-based write could keep. */
void refuse_repeats(struct batch *batch);

/* Reads, finds, writes and remembers the records of a sync call, in the transaction. */
bool sync_run(struct action *action, const struct bulk *bulk, struct tx *tx, struct bulk_run *run,
              struct err *err);
/* What a transaction of bulk does, of either kind: a write_work, `arg` is a struct bulk. */
bool bulk_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
               struct err *err);

/* ---- what each system said last: sync_state.c ---- */

/* Takes the locks of all external ids in one order, so that twenty identical calls make one record;
 * then finds what is known, and what is older than what was said before. */
bool sync_find(struct action *action, const struct bulk *bulk, struct tx *tx, struct bulk_run *run,
               struct err *err);
/* After the write: remembers what was said. */
bool sync_remember(struct action *action, const struct bulk *bulk, struct tx *tx,
                   struct bulk_run *run, struct err *err);

/* ---- conflicts: sync_conflicts.c, sync_policy.c ---- */

/* NULL when it is one, else a sentence. */
const char *check_conflict_policy(struct str text);
/* A batch_review_change: batch->review_arg is the struct bulk_run. */
bool sync_resolve_conflicts(struct action *action, struct batch *batch, struct entry *entry,
                            const struct row *row, const jv *current);
/* After the write: keeps what lost. */
bool sync_conflicts_keep(struct action *action, const struct bulk *bulk, struct tx *tx,
                         const struct bulk_run *run, struct err *err);

/* ---- records that wait for their parents: sync_deferred.c ---- */

/* A reference by another system's id. */
struct reference {
    size_t entry;
    const struct field *field;
    const char *name;
    struct str external_id;
};
/* All of all records; *ret is NULL when memory is out. */
size_t sync_references(struct action *action, const struct bulk *bulk, const struct bulk_run *run,
                       struct reference **ret);
/* "resource|external id": what is waited for, and what is locked. */
struct str sync_key(struct arena *arena, const char *resource, struct str external_id);
/* Keeps those that are to wait. */
bool sync_defer(struct action *action, const struct bulk *bulk, struct tx *tx, struct bulk_run *run,
                struct err *err);
/* Writes those that waited for records of this call, and those that waited for them in turn. */
bool sync_arrived(struct action *action, const struct bulk *bulk, struct tx *tx,
                  struct bulk_run *run, struct err *err);

#endif
