/* Designates, de-designates and swaps key accounts. The limits and gates are in the database:
 * key_admit(), key_release(). */
#include "app/program.h"
#include "base/json.h"
#include "base/write_once.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "program/key_status.h"

#include <stdio.h>

/* clang-format off */
static const struct field override_fields[] = {
    {.name = "reason", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000},
    {.name = "expires_on", .type = FIELD_DATE, .flags = F_REQUIRED},
};
static const struct shape override_shape = {override_fields, COUNT_OF(override_fields)};
#define TERMS \
    {.name = "reason", .type = FIELD_TEXT, .min = 1, .max = 2000}, \
    {.name = "benefits", .type = FIELD_TEXTS, .max = 50}, \
    {.name = "charter", .type = FIELD_TEXT, .max = 20000}, \
    {.name = "told_customer_at", .type = FIELD_TIME}, \
    {.name = "override", .type = FIELD_DOC, .shape = &override_shape}
/* clang-format on */

struct designation {
    struct str account_id;
    struct str out_account_id; /* absent: nobody goes */
    struct str terms;
};

/* The terms as they are kept: without what is null, and without the accounts of a swap. */
static bool read_designation(struct action *action, const struct shape *shape, const jv *doc,
                             struct designation *ret, struct err *err) {
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(shape, doc, "", &clean, err))
        return false;
    struct str in = jv_text(jv_get(clean, "in_account_id")),
               out = jv_text(jv_get(clean, "out_account_id"));
    if (in.ptr)
        ret->account_id = arena_str(action->arena, in);
    if (out.ptr)
        ret->out_account_id = arena_str(action->arena, out);
    ret->terms = json_param(action, clean);
    return ret->terms.ptr ? true : err_memory(err);
}

#define TERMS_SQL "jsonb_strip_nulls($2::jsonb - '{in_account_id,out_account_id}'::text[])"

static bool designate_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                           struct err *err) {
    const struct designation *designation = arg;
    struct str values[] = {designation->account_id, designation->terms};
    tx_query(tx, "select * from designate($1::uuid, " TERMS_SQL ")", values, 2);
    if (!status_answer(action, tx, designation->account_id, outcome, err))
        return false;
    outcome->status = 201;
    snprintf(outcome->location, sizeof outcome->location, "/v1/accounts/%.*s/key-status",
             STR_ARG(designation->account_id));
    return true;
}

bool account_designate(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    const jv *doc = action->doc;
    static const struct field fields[] = {TERMS};
    static const struct shape shape = {fields, COUNT_OF(fields)};
    struct designation designation = {.account_id = account_id};
    return read_designation(action, &shape, doc, &designation, err) &&
           write_once(action, designate_work, &designation, outcome, err);
}

static bool de_designate_work(struct action *action, struct tx *tx, void *arg,
                              struct outcome *outcome, struct err *err) {
    const struct designation *designation = arg;
    struct str values[] = {designation->account_id, designation->terms};
    tx_query(tx, "select * from de_designate($1::uuid, $2::jsonb ->> 'reason')", values, 2);
    return status_answer(action, tx, designation->account_id, outcome, err);
}

bool account_de_designate(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "id");
    const jv *doc = action->doc;
    static const struct field fields[] = {
        {.name = "reason", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000}};
    static const struct shape shape = {fields, COUNT_OF(fields)};
    struct designation designation = {.account_id = account_id};
    return read_designation(action, &shape, doc, &designation, err) &&
           write_once(action, de_designate_work, &designation, outcome, err);
}

static bool swap_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    const struct designation *swap = arg;
    struct str values[] = {swap->account_id, swap->terms, swap->out_account_id};
    tx_query(tx, "select * from swap_key_accounts($1::uuid, $3::uuid, " TERMS_SQL ")", values, 3);
    buf_text(&outcome->body, "{\"in\":");
    if (!status_answer(action, tx, swap->account_id, outcome, err))
        return false;
    buf_text(&outcome->body, ",\"out\":");
    if (!status_answer(action, tx, swap->out_account_id, outcome, err))
        return false;
    buf_char(&outcome->body, '}');
    outcome->status = 201;
    snprintf(outcome->location, sizeof outcome->location, "/v1/accounts/%.*s/key-status",
             STR_ARG(swap->account_id));
    return true;
}

bool key_account_swap(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    static const struct field fields[] = {
        {.name = "in_account_id", .type = FIELD_ID, .flags = F_REQUIRED},
        {.name = "out_account_id", .type = FIELD_ID, .flags = F_REQUIRED},
        TERMS,
    };
    static const struct shape shape = {fields, COUNT_OF(fields)};
    struct designation swap = {.account_id = STR_ABSENT};
    if (!read_designation(action, &shape, doc, &swap, err))
        return false;
    if (str_eq(swap.account_id, swap.out_account_id)) {
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/out_account_id"), "same_account",
                "must be another account than the one that comes in");
        return false;
    }
    return write_once(action, swap_work, &swap, outcome, err);
}
