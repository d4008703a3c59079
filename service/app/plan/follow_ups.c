/* Completes, snoozes, cancels and assigns follow-ups, and counts how many commitments to an account
 * were kept. Each action is one SQL statement that changes only an open follow-up; for any other
 * the caller gets 409. */
#include "app/follow_ups.h"

#include "base/write_once.h"
#include "domain/decode.h"
#include "record/references.h"
#include "record/view.h"
#include "store/array.h"
#include "store/record.h"

/* clang-format off */
static const struct field complete_fields[] = {
    {.name = "note", .type = FIELD_TEXT, .max = 2000},
    {.name = "completed_at", .type = FIELD_TIME},
};
static const struct field snooze_fields[] = {
    {.name = "until", .type = FIELD_TIME},
    {.name = "minutes", .type = FIELD_INT, .min = 1, .max = 527040},
};
static const struct field cancel_fields[] = {
    {.name = "series", .type = FIELD_BOOL},
};
static const struct field assign_fields[] = {
    {.name = "assignee_id", .type = FIELD_ID, .flags = F_REQUIRED, .ref = "user"},
};
/* clang-format on */

/* One action: the statement that does it, with the follow-up's id as $1. It touches nothing where
 * the state is in the way. */
struct act {
    struct str id;
    const char *sql;
    struct str params[2]; /* $2, $3 */
    size_t n_params;
    struct referrer referrer; /* without a document: it names no record */
    const char *refusal;
};

static const struct row *find(struct action *action, struct tx *tx, size_t slot, struct err *err) {
    struct record_key key = {.resource = resource_of(RES_FOLLOW_UP)};
    struct rows rows = rows_of(action, key.resource, tx, slot);

    if (!rows.list)
        err_memory(err);
    else if (rows.n == 0 || row_deleted(rows.list))
        not_found(&key, err);
    return err_is_set(err) ? NULL : rows.list;
}

static bool act_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                     struct err *err) {
    const struct act *act = arg;
    struct str ids = pg_array_param(action->arena, &act->id, 1);
    struct str params[] = {act->id, act->params[0], act->params[1]};
    struct view view;

    if (!ids.ptr)
        return err_memory(err);
    size_t slot = tx_query(tx, sql_for(action, RES_FOLLOW_UP)->lock, &ids, 1);
    if (!tx_flush(tx, err))
        return false;
    const struct row *row = find(action, tx, slot, err);
    if (!row || !row_if_match(action, row, err) ||
        (act->referrer.doc && !references_known(action, tx, &act->referrer, err)))
        return false;
    size_t done = tx_query(tx, act->sql, params, 1 + act->n_params);
    slot = tx_query(tx, sql_for(action, RES_FOLLOW_UP)->get, &ids, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_affected(tx, done) == 0)
        return err_set(err, PROBLEM_CONFLICT, "%s", act->refusal);
    row = find(action, tx, slot, err);
    if (!row)
        return false;
    view_init(&view);
    view_write(action, &view, row, &outcome->body, outcome->etag);
    return true;
}

#define CHANGE "update follow_up set version = version + 1, updated_at = now(), "
#define ONE_OPEN " where id = $1::uuid and status = 'open'"
#define NOT_OPEN "The follow-up is not open: it was done or cancelled before."

bool follow_up_complete(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&SHAPE_OF(complete_fields), doc, "", &clean, err))
        return false;
    struct act act = {
        .id = id,
        .sql = CHANGE "status = 'done', completed_at = $2::timestamptz, completion_note = "
                      "$3" ONE_OPEN,
        .params = {jv_text(jv_get(clean, "completed_at")), jv_text(jv_get(clean, "note"))},
        .n_params = 2,
        .refusal = NOT_OPEN,
    };
    return write_once(action, act_work, &act, outcome, err);
}

bool follow_up_snooze(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&SHAPE_OF(snooze_fields), doc, "", &clean, err))
        return false;
    struct str until = jv_text(jv_get(clean, "until"));
    int64_t minutes = jv_int(jv_get(clean, "minutes"));
    if (!until.ptr == (minutes == 0))
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/until"), "one_of",
                       "Give until or minutes, one of them.");
    struct act act = {
        .id = id,
        .sql =
            "with t as (select coalesce($2::timestamptz, now() + make_interval(mins => "
            "$3::int)) as at) " CHANGE "due_at = snooze_time(t.at), due_on = null from t" ONE_OPEN,
        .params = {until, minutes > 0 ? str_of(arena_format(action->arena, "%d", (int)minutes))
                                      : STR_ABSENT},
        .n_params = 2,
        .refusal = NOT_OPEN,
    };
    return write_once(action, act_work, &act, outcome, err);
}

bool follow_up_cancel(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&SHAPE_OF(cancel_fields), doc, "", &clean, err))
        return false;
    struct act act = {.id = id, .sql = CHANGE "status = 'cancelled'" ONE_OPEN, .refusal = NOT_OPEN};
    /* Without its rule, the last of a series is continued by nothing. */
    if (jv_bool(jv_get(clean, "series"))) {
        act.sql = CHANGE
            "status = 'cancelled', recurrence = null where status = 'open' and deleted_at is null "
            "and (id = $1::uuid or (series_id, account_id) = (select series_id, account_id from "
            "follow_up where id = $1::uuid) and occurrence_no > (select occurrence_no from "
            "follow_up where id = $1::uuid))";
        act.refusal = "Neither this follow-up nor one after it in its series is open.";
    }
    return write_once(action, act_work, &act, outcome, err);
}

bool follow_up_assign(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&SHAPE_OF(assign_fields), doc, "", &clean, err))
        return false;
    struct act act = {.id = id,
                      .sql = CHANGE "assignee_id = $2::uuid" ONE_OPEN,
                      .params = {jv_text(jv_get(clean, "assignee_id"))},
                      .n_params = 1,
                      .referrer = {.shape = &SHAPE_OF(assign_fields), .doc = clean},
                      .refusal = NOT_OPEN};
    return write_once(action, act_work, &act, outcome, err);
}

/* ---- promises ---- */

bool commitment_summary(struct action *action, struct outcome *outcome, struct err *err) {
    struct str account_id = action_arg(action, "account_id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct record_key account = {.resource = resource_of(RES_ACCOUNT)};
    static const char *const names[] = {"kept", "broken", "open", "renegotiated"};
    if (!read_begin(action, &tx, err))
        return false;
    size_t there = tx_query(tx, "select 1 from account where id = $1::uuid and deleted_at is null",
                            &account_id, 1);
    size_t slot = tx_query(
        tx,
        "select count(*) filter (where status = 'kept'), count(*) filter (where status = "
        "'broken'), count(*) filter (where status = 'open'), count(*) filter (where status = "
        "'renegotiated'), round(count(*) filter (where status = 'kept')::numeric / "
        "nullif(count(*) filter (where status in ('kept', 'broken')), 0), 4) from commitment "
        "where account_id = $1::uuid and deleted_at is null",
        &account_id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, there) == 0)
        return not_found(&account, err);
    buf_text(&outcome->body, "{\"account_id\":");
    buf_json(&outcome->body, account_id);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        buf_format(&outcome->body, ",\"%s\":", names[i]);
        buf_put(&outcome->body, tx_value(tx, slot, 0, i));
    }
    struct str rate = tx_value(tx, slot, 0, COUNT_OF(names));
    buf_text(&outcome->body, ",\"kept_rate\":");
    buf_put(&outcome->body, rate.ptr ? rate : STR("null"));
    buf_char(&outcome->body, '}');
    return true;
}
