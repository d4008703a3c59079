/* The core of every write of resources: one record or two hundred, by id, by external id or new, in
 * a few set-based statements. Private to the app layer. */
#ifndef KAMD_APP_RECORD_BATCH_H
#define KAMD_APP_RECORD_BATCH_H

#include "record/references.h"
#include "record/view.h"

enum entry_kind { ENTRY_CREATE, ENTRY_CHANGE, ENTRY_DELETE, ENTRY_RESTORE };

/* What became of an entry. OPEN: it is not known yet. */
/* clang-format off */
#define ENTRY_OUTCOMES(X) \
    X(OPEN, "") \
    X(CREATED, "created") \
    X(UPDATED, "updated") \
    X(UNCHANGED, "unchanged") \
    X(STALE, "stale") \
    X(DEFERRED, "deferred") \
    X(DELETED, "deleted") \
    X(ERROR, "error")
/* clang-format on */
enum entry_outcome {
#define X(name, text) OUTCOME_##name,
    ENTRY_OUTCOMES(X)
#undef X
        OUTCOME_COUNT
};
const char *entry_outcome_text(enum entry_outcome outcome);

struct entry {
    enum entry_kind kind;
    bool upsert;            /* a change whose record may be deleted: it comes back */
    bool unconditional;     /* no If-Match: bulk and sync */
    bool replace;           /* `given` is the whole document */
    struct str id;          /* of a change; given to a creation by the batch */
    struct str account_id;  /* of nested records: what the path says */
    struct str external_id; /* echoed in results */
    const jv *given;        /* document or patch; borrowed */
    const char *at;         /* pointer of `given`: "" or "/records/3" */
    /* Not OPEN: what will become of it is known, and nothing is written. */
    enum entry_outcome settled;
    /* results */
    jv *clean; /* canonical document to write; owned */
    bool changed;
    bool was_deleted;
    const struct row *row; /* as it is now */
    enum entry_outcome outcome;
    struct err err;
};

/* Looks at a change or deletion that is decoded, beside the record as it is, and may settle it, or
 * take fields out of `given`: true, and it is decoded anew. `row` and `current` are NULL for a new
 * record; `current` also for a deletion. What it needs besides is batch->review_arg. */
struct batch;
typedef bool (*batch_review_change)(struct action *action, struct batch *batch, struct entry *entry,
                                    const struct row *row, const jv *current);

struct batch {
    batch_review_change review; /* NULL: none */
    void *review_arg;
    const struct resource *resource;
    struct entry *entries;
    size_t n;
    struct rows current; /* the records of the entries, locked, as they are before the write */
    struct custom_fields customs;
    struct references references;
    bool all_or_none;
    bool admin;       /* may set what is for admins (F_ADMIN): whose records these are */
    bool single;      /* errors of the one entry are the batch's */
    bool rolled_back; /* result: all_or_none, and one failed; the transaction must not be committed
                       */
};

struct batch *batch_new(struct action *action, const struct resource *resource, size_t n,
                        struct err *err);
void batch_release(struct batch **batch);
/* Inside a transaction: locks, decodes, writes, reads back. False: the whole fails (single, or the
 * database is away). */
bool batch_write(struct action *action, struct tx *tx, struct batch *batch, struct err *err);
/* Why an entry failed, as an array. */
void entry_errors(const struct entry *entry, struct buf *ret);
/* {"results":[...],"summary":{...}} */
void batch_results(struct action *action, const struct batch *batch, struct buf *ret);

#endif
