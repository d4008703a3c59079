/* Completes a review, with the follow-ups and changes of the plan that come of it, and keeps
 * what was expected of us and how we were rated. */
#include "app/reviews.h"

#include "base/json.h"
#include "base/write_once.h"
#include "domain/decode.h"
#include "record/batch.h"
#include "record/references.h"
#include "record/view.h"

#include <stdio.h>
#include <string.h>

/* ---- completion ---- */

/* A completion in its transaction. */
struct completion {
    struct action *action;
    struct tx *tx;
    struct str review_id;
    const jv *doc; /* the body */
    size_t review; /* REVIEW_SQL's slot */
    jv *clean;     /* what the body says of the review itself */
    jv *documents; /* of the follow-ups, which the batch only borrows */
    struct batch *follow_ups;
};

static void completion_release(struct completion *completion) {
    jv_unref(&completion->clean);
    jv_unref(&completion->documents);
    batch_release(&completion->follow_ups);
}

static struct str review_value(const struct completion *completion, size_t column) {
    return tx_value(completion->tx, completion->review, 0, column);
}

/* The fields of the body that are the review's own; none is required. */
static const char *const kept[] = {"outcome",   "held_at",      "participants", "findings",
                                   "decisions", "expectations", "notes"};

static bool decode_kept(const jv *doc, jv **ret, struct err *err) {
    struct field fields[COUNT_OF(kept)];
    struct shape shape = {fields, COUNT_OF(kept)};
    CLEANUP(jv_unref) jv *own = jv_copy(doc);
    if (!own)
        return err_memory(err);
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        fields[i] = *resource_field(resource_of(RES_REVIEW), str_of(kept[i]));
        fields[i].flags = 0;
        fields[i].preset = NULL;
    }
    jv_remove(own, "follow_ups");
    jv_remove(own, "plan_changes");
    return decode_shape(&shape, own, "", ret, err);
}

/* The violations of a batch that is part of a larger body, at their places in that body. */
static bool batch_result(struct batch *batch, struct err *err) {
    for (size_t i = 0; i < batch->n; i++) {
        struct entry *entry = &batch->entries[i];
        if (err_is_set(&entry->err) && entry->err.n_items == 0)
            err_set(err, entry->err.problem, "%s", entry->err.detail);
        for (size_t k = 0; k < entry->err.n_items; k++) {
            const struct err_item *item = &entry->err.items[k];
            char where[2 * sizeof item->where];
            bool placed = strncmp(item->where, entry->at, strlen(entry->at)) == 0;
            snprintf(where, sizeof where, "%s%s", placed ? "" : entry->at, item->where);
            if (strcmp(item->code, "rolled_back") != 0)
                err_add(err, entry->err.problem, (struct err_place){item->at, where}, item->code,
                        "%s", item->detail);
        }
    }
    return !err_is_set(err);
}

/* A review that names no plan is of the one in force. */
#define REVIEW_SQL                                                                                 \
    "select status, outcome, account_id, coalesce(plan_id, (select p.id from plan p where "        \
    "p.account_id = review.account_id and p.status = 'active' and p.deleted_at is null)), "        \
    "time_zone from review where id = $1::uuid and deleted_at is null"
enum { REVIEW_STATUS, REVIEW_OUTCOME, REVIEW_ACCOUNT, REVIEW_PLAN, REVIEW_ZONE };

#define FOLLOW_UPS_MAX 50

/* A follow-up of the body as its resource has it, below the review's account, review and plan. A
 * date without a zone is of the review's. */
static jv *follow_up_of(const struct completion *completion, const jv *given) {
    CLEANUP(jv_unref) jv *doc = jv_copy(given);
    struct str plan_id = review_value(completion, REVIEW_PLAN);
    bool fine = doc &&
                jv_set(doc, "account_id", jv_new_text(review_value(completion, REVIEW_ACCOUNT))) &&
                jv_set(doc, "review_id", jv_new_text(completion->review_id));
    if (fine && plan_id.ptr)
        fine = jv_set(doc, "plan_id", jv_new_text(plan_id));
    if (fine && jv_get(doc, "due_on") && !jv_get(doc, "time_zone"))
        fine = jv_set(doc, "time_zone", jv_new_text(review_value(completion, REVIEW_ZONE)));
    return fine ? TAKE(doc) : NULL;
}

static bool follow_ups_shape(const jv *list, struct err *err) {
    if (list && (jv_kind(list) != JV_ARRAY || jv_len(list) > FOLLOW_UPS_MAX))
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER("/follow_ups"), "wrong_type",
                       "must be an array of at most %d objects", FOLLOW_UPS_MAX);
    for (size_t i = 0; i < jv_len(list); i++) {
        char where[48];
        snprintf(where, sizeof where, "/follow_ups/%zu", i);
        if (jv_kind(jv_at(list, i)) != JV_OBJECT)
            err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER(where), "wrong_type",
                    "must be an object");
    }
    return !err_is_set(err);
}

/* The follow-ups as entries of a batch. */
static bool follow_ups_batch(struct completion *completion, struct err *err) {
    const jv *list = jv_get(completion->doc, "follow_ups");
    struct arena *arena = completion->action->arena;
    if (!follow_ups_shape(list, err))
        return false;
    completion->documents = jv_new_array();
    completion->follow_ups =
        batch_new(completion->action, resource_of(RES_FOLLOW_UP), jv_len(list), err);
    if (!completion->documents || !completion->follow_ups)
        return err_is_set(err) ? false : err_memory(err);
    completion->follow_ups->all_or_none = true;
    for (size_t i = 0; i < completion->follow_ups->n; i++) {
        struct entry *entry = &completion->follow_ups->entries[i];
        entry->kind = ENTRY_CREATE;
        entry->unconditional = true;
        entry->at = arena_format(arena, "/follow_ups/%zu", i);
        if (!entry->at || !jv_push(completion->documents, follow_up_of(completion, jv_at(list, i))))
            return err_memory(err);
        entry->given = jv_at(completion->documents, i);
    }
    return true;
}

/* All violations of the body at once, before anything is written. */
static bool check_follow_ups(const struct batch *batch, struct err *err) {
    struct decode decode = {.resource = batch->resource};
    for (size_t i = 0; i < batch->n; i++) {
        CLEANUP(jv_unref) jv *clean = NULL;
        decode.at = batch->entries[i].at;
        decode_new(&decode, batch->entries[i].given, &clean, err);
    }
    return !err_is_set(err);
}

/* One record of a batch of its own; `patch` stands at `at` of the body. */
static bool change_one(const struct completion *completion, const struct record_key *key,
                       const jv *patch, const char *at, struct err *err) {
    CLEANUP(batch_release)
    struct batch *batch = batch_new(completion->action, key->resource, 1, err);
    if (!batch)
        return false;
    batch->single = true;
    batch->entries[0] = (struct entry){.kind = ENTRY_CHANGE,
                                       .unconditional = true,
                                       .id = key->id,
                                       .given = patch,
                                       .at = at,
                                       .err = ERR_INIT};
    return batch_write(completion->action, completion->tx, batch, err);
}

static bool may_complete(struct completion *completion, struct err *err) {
    struct record_key key = {.resource = resource_of(RES_REVIEW)};
    if (tx_rows(completion->tx, completion->review) == 0)
        return not_found(&key, err);
    struct str status = review_value(completion, REVIEW_STATUS);
    /* One that was missed may still be held, late. */
    return str_is(status, "scheduled") || str_is(status, "missed") ||
           err_set(err, PROBLEM_CONFLICT, "The review is %.*s already.", STR_ARG(status));
}

/* The account before the review, as where a plan is activated. A review that is over says so
 * without waiting for the lock; it is asked again under it. */
static bool lock_review(struct completion *completion, struct err *err) {
    struct tx *tx = completion->tx;
    completion->review = tx_query(tx, REVIEW_SQL, &completion->review_id, 1);
    if (!tx_flush(tx, err) || !may_complete(completion, err))
        return false;
    tx_query(tx,
             "select 1 from account where id = (select account_id from review where id = "
             "$1::uuid) for no key update",
             &completion->review_id, 1);
    completion->review = tx_query(tx, REVIEW_SQL " for no key update", &completion->review_id, 1);
    return tx_flush(tx, err) && may_complete(completion, err);
}

static bool check_body(struct completion *completion, struct err *err) {
    if (jv_get(completion->doc, "plan_changes") && !review_value(completion, REVIEW_PLAN).ptr)
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/plan_changes"), "no_plan",
                "The review is of no plan.");
    decode_kept(completion->doc, &completion->clean, err);
    check_follow_ups(completion->follow_ups, err);
    if (!review_value(completion, REVIEW_OUTCOME).ptr &&
        !jv_text(jv_get(completion->doc, "outcome")).ptr)
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/outcome"), "required",
                "A review ends with keep, adapt or replace.");
    return !err_is_set(err);
}

/* The plan changes before review_finish() makes its next version of them, and the review comes
 * last: its event names what it made. */
static bool complete_writes(struct completion *completion, struct err *err) {
    const jv *changes = jv_get(completion->doc, "plan_changes");
    struct str plan_id = review_value(completion, REVIEW_PLAN);
    struct record_key plan = {.resource = resource_of(RES_PLAN), .id = plan_id},
                      review = {.resource = resource_of(RES_REVIEW), .id = completion->review_id};
    struct str values[] = {completion->review_id, plan_id,
                           json_param(completion->action, completion->clean)};
    struct batch *follow_ups = completion->follow_ups;
    if (!values[2].ptr)
        return err_memory(err);
    if (changes && !change_one(completion, &plan, changes, "/plan_changes", err))
        return false;
    tx_query(completion->tx, "select review_finish($1::uuid, $2::uuid, $3::jsonb)", values, 3);
    if (!tx_flush(completion->tx, err))
        return false;
    if (follow_ups->n > 0 && (!batch_write(completion->action, completion->tx, follow_ups, err) ||
                              !batch_result(follow_ups, err)))
        return false;
    bool fine = jv_set(completion->clean, "status", jv_new_text(STR("held")));
    if (plan_id.ptr)
        fine = fine && jv_set(completion->clean, "plan_id", jv_new_text(plan_id));
    return fine ? change_one(completion, &review, completion->clean, "", err) : err_memory(err);
}

static bool complete_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                          struct err *err) {
    (void)arg;
    const struct record_key review = {.resource = resource_of(RES_REVIEW),
                                      .id = action_arg(action, "id")};
    CLEANUP(completion_release)
    struct completion completion = {
        .action = action, .tx = tx, .review_id = review.id, .doc = action->doc};
    return lock_review(&completion, err) && view_if_match(action, tx, &review, err) &&
           follow_ups_batch(&completion, err) && check_body(&completion, err) &&
           complete_writes(&completion, err) && view_answer(action, tx, &review, outcome, err);
}

bool review_complete(struct action *action, struct outcome *outcome, struct err *err) {
    if (jv_kind(action->doc) != JV_OBJECT)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER(""), "wrong_type",
                       "must be an object");
    return write_once(action, complete_work, NULL, outcome, err);
}

/* ---- the seven buyer expectations ---- */

static bool expectation_answer(struct action *action, struct tx *tx, struct str account_id,
                               struct outcome *outcome, struct err *err) {
    struct record_key key = {.resource = resource_of(RES_ACCOUNT)};
    size_t slot = tx_query(tx,
                           "select jsonb_build_object('account_id', id) || "
                           "expectation_result(id, null, null, now()) from account where id = "
                           "$1::uuid and deleted_at is null",
                           &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return not_found(&key, err);
    view_object(action, account_id, 1, tx_value(tx, slot, 0, 0), outcome);
    return true;
}

bool expectation_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "account_id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && expectation_answer(action, tx, account_id, outcome, err);
}

static bool rate_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    const struct referrer *rating = arg;
    struct str values[] = {rating->account_id, json_param(action, rating->doc),
                           str_of(action->who->actor)};
    if (!values[1].ptr)
        return err_memory(err);
    if (!references_known(action, tx, rating, err))
        return false;
    tx_query(tx,
             "insert into expectation_rating (account_id, expectation, rater, rating, rated_at, "
             "contact_id, note, recorded_by) select a.id, r ->> 'expectation', d ->> 'rater', (r "
             "->> 'rating')::int, coalesce((d ->> 'rated_at')::timestamptz, now()), (d ->> "
             "'contact_id')::uuid, d ->> 'note', $3 from account a, (select $2::jsonb as d) x, "
             "jsonb_array_elements(d -> 'ratings') r where a.id = $1::uuid and a.deleted_at is "
             "null",
             values, 3);
    if (!expectation_answer(action, tx, rating->account_id, outcome, err))
        return false;
    outcome->status = 201;
    snprintf(outcome->location, sizeof outcome->location, "/v1/accounts/%.*s/expectations",
             STR_ARG(rating->account_id));
    return true;
}

const char *const expectation_raters[] = {"customer", "internal", NULL};

bool expectation_rate(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "account_id");
    const jv *doc = action->doc;
    const struct field *seven = resource_field(resource_of(RES_REVIEW), STR("expectations"));
    const struct field rating_fields[] = {
        seven->shape->fields[0], /* expectation */
        {.name = "rating", .type = FIELD_INT, .flags = F_REQUIRED, .min = 1, .max = 5},
    };
    const struct shape rating_shape = {rating_fields, COUNT_OF(rating_fields)};
    const struct field fields[] = {
        {.name = "rater", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = expectation_raters},
        {.name = "ratings",
         .type = FIELD_DOCS,
         .flags = F_REQUIRED,
         .min = 1,
         .max = 7,
         .shape = &rating_shape},
        {.name = "rated_at", .type = FIELD_TIME},
        {.name = "contact_id", .type = FIELD_ID, .flags = F_SAME_ACCOUNT, .ref = "contact"},
        {.name = "note", .type = FIELD_TEXT, .max = 2000},
    };
    const struct shape shape = {fields, COUNT_OF(fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    struct referrer rating = {.shape = &shape, .account_id = account_id};
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    rating.doc = clean;
    return write_once(action, rate_work, &rating, outcome, err);
}
