/* Activates and closes plans, lists and compares their versions, keeps who has acknowledged
 * them, and makes the customer's copy. The rules are in plans.sql. */
#include "app/plans.h"

#include "app/query.h"
#include "base/audit_note.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/write_once.h"
#include "domain/decode.h"
#include "domain/patch.h"
#include "record/references.h"
#include "record/view.h"

#include <stdio.h>

/* ---- activation, closing ---- */

/* clang-format off */
static const struct field activation_fields[] = {
    {.name = "customer_impact", .type = FIELD_ENUM, .values = (const char *const[]){"positive", "neutral", "negative", NULL}},
    {.name = "note", .type = FIELD_TEXT, .max = 2000},
};
/* clang-format on */
static const struct shape activation_shape = {activation_fields, COUNT_OF(activation_fields)};

/* Members fill in sections; who answers for the account puts its plan in force (004-10). */
static bool answers_for_plans(const struct action *action, struct err *err) {
    return action->who->role != ROLE_MEMBER ||
           err_set(err, PROBLEM_FORBIDDEN,
                   "Plans are activated and closed by who answers for the account.");
}

static struct record_key plan_key(const struct action *action) {
    return (struct record_key){.resource = resource_of(RES_PLAN), .id = action_arg(action, "id")};
}

static bool lock_plan(struct action *action, struct tx *tx, const struct record_key *plan,
                      struct err *err) {
    tx_query(tx, "select plan_lock($1::uuid)", &plan->id, 1);
    return view_if_match(action, tx, plan, err);
}

static bool activate_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                          struct err *err) {
    const jv *said = arg;
    const struct record_key plan = plan_key(action);
    struct str values[] = {plan.id, jv_text(jv_get(said, "customer_impact")),
                           jv_text(jv_get(said, "note"))};
    if (!lock_plan(action, tx, &plan, err))
        return false;
    tx_query(tx, "select plan_activate($1::uuid, $2, $3)", values, 3);
    return view_answer(action, tx, &plan, outcome, err);
}

bool plan_activate(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(jv_unref) jv *clean = NULL;
    return answers_for_plans(action, err) &&
           decode_shape(&activation_shape, action->doc, "", &clean, err) &&
           write_once(action, activate_work, clean, outcome, err);
}

static bool close_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    const struct record_key plan = plan_key(action);
    (void)arg;
    if (!lock_plan(action, tx, &plan, err))
        return false;
    tx_query(tx, "select plan_close($1::uuid)", &plan.id, 1);
    return view_answer(action, tx, &plan, outcome, err);
}

bool plan_close(struct action *action, struct outcome *outcome, struct err *err) {
    return answers_for_plans(action, err) && write_once(action, close_work, NULL, outcome, err);
}

/* ---- the customer's copy ---- */

static bool no_plan(struct err *err) {
    struct record_key key = {.resource = resource_of(RES_PLAN)};
    return not_found(&key, err);
}

static bool shared(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str plan_id = action_arg(action, "id");
    if (!str_is(action_query(action, "view"), "shared"))
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("view"), "unknown_value",
                "must be shared");
    for (size_t i = 0; i < action->n_params; i++)
        if (!str_is(action->params[i].name, "view"))
            unknown_parameter(action->arena, action->params[i].name, err);
    if (err_is_set(err) || !read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(
        tx, "select plan_shared($1::uuid), version from plan where id = $1::uuid", &plan_id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0 || !tx_value(tx, slot, 0, 0).ptr)
        return no_plan(err);
    view_object(action, plan_id, tx_int(tx, slot, 0, 1), tx_value(tx, slot, 0, 0), outcome);
    note_sections(action, plan_id, buf_str(&outcome->body));
    return true;
}

bool plan_get(struct action *action, struct outcome *outcome, struct err *err) {
    return action_query(action, "view").ptr ? shared(action, outcome, err)
                                            : record_get(action, outcome, err);
}

/* ---- versions ---- */

/* A plan that the caller sees; its row, if it is there. */
#define PLAN_SQL "select version_no from plan where id = $1::uuid and deleted_at is null"

static const struct field version_fields[] = {
    {.name = "version_no", .type = FIELD_INT},
    {.name = "id", .type = FIELD_ID},
    {.name = "plan_id", .type = FIELD_ID},
    {.name = "account_id", .type = FIELD_ID},
    {.name = "kind", .type = FIELD_TEXT},
    {.name = "review_id", .type = FIELD_ID},
    {.name = "template_version", .type = FIELD_INT},
    {.name = "customer_impact", .type = FIELD_TEXT},
    {.name = "note", .type = FIELD_TEXT},
    {.name = "created_at", .type = FIELD_TIME},
    {.name = "created_by", .type = FIELD_TEXT},
    {.name = "content", .type = FIELD_DOC},
};
/* Without the content, as lists show it. */
static const struct shape version_summary = {version_fields, COUNT_OF(version_fields) - 1};

#define VERSION_SQL                                                                                \
    "select v.version_no, v.id, v.plan_id, v.account_id, v.kind, v.review_id, "                    \
    "v.template_version, v.customer_impact, v.note, v.created_at, v.created_by"
#define VERSION_FROM                                                                               \
    " from plan_version v join plan p on p.id = v.plan_id and p.deleted_at is null where "         \
    "v.plan_id = $1::uuid"

bool plan_version_list(struct action *action, struct outcome *outcome, struct err *err) {
    struct str plan_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str list = str_of(arena_format(action->arena, "versions|%.*s", STR_ARG(plan_id)));
    struct page page = {.list = list, .key_columns = {0}, .n_keys = 1, .shape = &version_summary};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {plan_id, page.keys[0], page_limit(action, &page)};
    size_t there = tx_query(tx, PLAN_SQL, values, 1);
    size_t slot = tx_query(tx,
                           VERSION_SQL VERSION_FROM " and ($2::int is null or v.version_no < "
                                                    "$2::int) order by v.version_no desc limit "
                                                    "$3::int",
                           values, 3);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, there) == 0)
        return no_plan(err);
    page_write(action, &page, tx, slot, outcome);
    return true;
}

static bool no_version(struct err *err) {
    return err_set(err, PROBLEM_NOT_FOUND, "There is no such version of a plan that you can see.");
}

/* -1 for what is no version's number. */
static int64_t number_of(struct str text) {
    int64_t number;
    return str_to_i64(text, &number) && number >= 0 && number <= INT32_MAX ? number : -1;
}

bool plan_version_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str plan_id = action_arg(action, "id");
    struct str version_no = action_arg(action, "version_no");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str values[] = {plan_id, version_no};
    struct buf object;
    if (number_of(version_no) < 1)
        return no_version(err);
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot =
        tx_query(tx,
                 VERSION_SQL ", plan_version_content(v.plan_id, v.version_no)" VERSION_FROM
                             " and v.version_no = $2::int",
                 values, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return no_version(err);
    buf_init(&object, (size_t)16 << 20);
    write_row(tx, slot, 0, &SHAPE_OF(version_fields), &object);
    bool fine = buf_ok(&object);
    if (fine)
        view_object(action, tx_value(tx, slot, 0, 1), 1, buf_str(&object), outcome);
    note_sections(action, plan_id, buf_str(&object));
    buf_release(&object);
    return fine ? true : err_memory(err);
}

static bool write_diff(struct tx *tx, size_t from, size_t to, struct buf *ret, struct err *err) {
    CLEANUP(jv_unref) jv *old = NULL;
    CLEANUP(jv_unref) jv *new = NULL;
    struct buf lines;
    if (!json_read(tx_value(tx, from, 0, 0), JSON_TOKENS * 10, &old, err) ||
        !json_read(tx_value(tx, to, 0, 0), JSON_TOKENS * 10, &new, err))
        return false;
    buf_init(&lines, (size_t)16 << 20);
    buf_text(ret, ",\"patch\":");
    json_patch(old, new, ret, &lines);
    buf_text(ret, ",\"lines\":");
    buf_put(ret, buf_ok(&lines) ? buf_str(&lines) : STR("[]"));
    buf_char(ret, '}');
    bool fine = buf_ok(&lines);
    buf_release(&lines);
    return fine ? true : err_memory(err);
}

bool plan_version_diff(struct action *action, struct outcome *outcome, struct err *err) {
    struct str plan_id = action_arg(action, "id");
    struct str version_no = action_arg(action, "version_no");
    static const char content[] =
        "select plan_version_content(v.plan_id, v.version_no)" VERSION_FROM
        " and v.version_no = $2::int";
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str against = action_query(action, "against");
    if (!against.ptr)
        against = str_of(arena_format(action->arena, "%lld", (long long)number_of(version_no) - 1));
    if (number_of(version_no) < 1 || number_of(against) < 0)
        return no_version(err);
    if (!read_begin(action, &tx, err))
        return false;
    struct str from_values[] = {plan_id, against}, to_values[] = {plan_id, version_no};
    /* Before the first version there was nothing. */
    size_t from = number_of(against) == 0 ? tx_query(tx, "select '{}'::jsonb", NULL, 0)
                                          : tx_query(tx, content, from_values, 2);
    size_t to = tx_query(tx, content, to_values, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, from) == 0 || tx_rows(tx, to) == 0)
        return no_version(err);
    buf_text(&outcome->body, "{\"plan_id\":");
    buf_json(&outcome->body, plan_id);
    buf_text(&outcome->body, ",\"version_no\":");
    buf_i64(&outcome->body, number_of(version_no));
    buf_text(&outcome->body, ",\"against\":");
    buf_i64(&outcome->body, number_of(against));
    if (!write_diff(tx, from, to, &outcome->body, err))
        return false;
    note_sections(action, plan_id, buf_str(&outcome->body));
    return true;
}

/* ---- acknowledgements ---- */

/* Of each version: who has said to know it, and who of the team has not (004-03). */
#define ACKNOWLEDGED_SQL                                                                           \
    "select v.version_no, v.created_at, coalesce(k.list, '[]'), coalesce(m.list, '[]')"            \
    " from plan_version v cross join lateral (select "                                             \
    "jsonb_agg(jsonb_build_object('user_id', a.user_id, 'name', u.name, 'acknowledged_at', "       \
    "utc_text(a.acknowledged_at), 'recorded_by', a.recorded_by) order by a.acknowledged_at, "      \
    "a.user_id) as list from plan_acknowledgement a join app_user u on u.id = a.user_id"           \
    " where a.plan_id = v.plan_id and a.version_no = v.version_no) k"                              \
    " cross join lateral (select jsonb_agg(distinct jsonb_build_object('user_id', u.id, 'name', "  \
    "u.name)) as list from team_member t join app_user u on u.id = t.user_id"                      \
    " where t.account_id = v.account_id and t.deleted_at is null and (t.active_from is null or "   \
    "t.active_from <= current_date) and (t.active_until is null or t.active_until >= "             \
    "current_date) and not exists (select 1 from plan_acknowledgement a where a.plan_id = "        \
    "v.plan_id and a.version_no = v.version_no and a.user_id = t.user_id)) m"                      \
    " where v.plan_id = $1::uuid and ($2::int is null or v.version_no < $2::int)"                  \
    " order by v.version_no desc limit $3::int"
enum { ACKNOWLEDGED_VERSION_NO, ACKNOWLEDGED_CREATED_AT, ACKNOWLEDGED_BY, ACKNOWLEDGED_MISSING };

static void write_acknowledged(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    static const struct field time = {.type = FIELD_TIME};
    buf_format(ret, "{\"version_no\":%.*s,\"created_at\":",
               STR_ARG(tx_value(tx, slot, row, ACKNOWLEDGED_VERSION_NO)));
    render_value(&time, tx_value(tx, slot, row, ACKNOWLEDGED_CREATED_AT), ret);
    buf_text(ret, ",\"acknowledged\":");
    buf_put(ret, tx_value(tx, slot, row, ACKNOWLEDGED_BY));
    buf_text(ret, ",\"missing\":");
    buf_put(ret, tx_value(tx, slot, row, ACKNOWLEDGED_MISSING));
    buf_char(ret, '}');
}

bool acknowledgement_list(struct action *action, struct outcome *outcome, struct err *err) {
    struct str plan_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page = {
        .list = str_of(arena_format(action->arena, "acknowledgements|%.*s", STR_ARG(plan_id))),
        .key_columns = {ACKNOWLEDGED_VERSION_NO},
        .n_keys = 1,
        .write = write_acknowledged};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {plan_id, page.keys[0], page_limit(action, &page)};
    size_t there = tx_query(tx, PLAN_SQL, values, 1);
    size_t slot = tx_query(tx, ACKNOWLEDGED_SQL, values, 3);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, there) == 0)
        return no_plan(err);
    page_write(action, &page, tx, slot, outcome);
    return true;
}

static const struct field acknowledgement_fields[] = {
    {.name = "version_no", .type = FIELD_INT, .min = 1, .max = INT32_MAX},
    {.name = "user_id", .type = FIELD_ID, .ref = "user"},
};
static const struct shape acknowledgement_shape = {acknowledgement_fields,
                                                   COUNT_OF(acknowledgement_fields)};

struct acknowledgement {
    struct str plan_id;
    struct str user_id;
    const jv *said;
};

/* The version that is meant: the one named, else the last. */
static bool version_meant(struct tx *tx, const struct acknowledgement *one, char ret[static 16],
                          struct err *err) {
    size_t plan = tx_query(tx, PLAN_SQL, &one->plan_id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, plan) == 0)
        return no_plan(err);
    const jv *named = jv_get(one->said, "version_no");
    int64_t last = tx_int(tx, plan, 0, 0), version_no = named ? jv_int(named) : last;
    snprintf(ret, 16, "%lld", (long long)version_no);
    if (last == 0)
        return err_set(err, PROBLEM_CONFLICT,
                       "The plan has no version yet; it gets one by its activation.");
    if (version_no > last)
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/version_no"), "unknown_reference",
                       "The plan has no such version; the last is %lld.", (long long)last);
    return true;
}

static bool acknowledge_work(struct action *action, struct tx *tx, void *arg,
                             struct outcome *outcome, struct err *err) {
    const struct acknowledgement *one = arg;
    const struct referrer referrer = {.shape = &acknowledgement_shape, .doc = one->said};
    char version_no[16];
    if (!version_meant(tx, one, version_no, err) || !references_known(action, tx, &referrer, err))
        return false;
    struct str values[] = {one->plan_id, str_of(version_no), one->user_id,
                           str_of(action->who->actor)};
    size_t made = tx_query(tx,
                           "insert into plan_acknowledgement (plan_id, account_id, version_no, "
                           "user_id, recorded_by) select id, account_id, $2::int, $3::uuid, $4 "
                           "from plan where id = $1::uuid on conflict do nothing",
                           values, 4);
    size_t slot = tx_query(tx,
                           "select jsonb_build_object('plan_id', plan_id, 'version_no', "
                           "version_no, 'user_id', user_id, 'acknowledged_at', "
                           "utc_text(acknowledged_at), 'recorded_by', recorded_by) from "
                           "plan_acknowledgement where plan_id = $1::uuid and version_no = "
                           "$2::int and user_id = $3::uuid",
                           values, 3);
    if (!tx_flush(tx, err))
        return false;
    outcome->status = tx_affected(tx, made) > 0 ? 201 : 200;
    if (outcome->status == 201)
        snprintf(outcome->location, sizeof outcome->location, "/v1/plans/%.*s/acknowledgements",
                 STR_ARG(one->plan_id));
    view_object(action, one->user_id, tx_int(tx, slot, 0, 0), tx_value(tx, slot, 0, 0), outcome);
    return true;
}

/* People speak for themselves; who may speak for others records what they were told. */
static bool speaker(struct action *action, const jv *said, struct str *ret, struct err *err) {
    struct str own = str_of(action->who->user_id), named = jv_text(jv_get(said, "user_id"));
    enum role role = action->who->role;
    *ret = named.ptr ? named : own;
    if (ret->len == 0)
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/user_id"), "required",
                       "The key stands for no user; say who acknowledges.");
    if (!str_eq(*ret, own) && role != ROLE_ADMIN && role != ROLE_DIRECTOR &&
        role != ROLE_INTEGRATION)
        return err_set(err, PROBLEM_FORBIDDEN, "You may acknowledge a version for yourself only.");
    return true;
}

bool acknowledgement_add(struct action *action, struct outcome *outcome, struct err *err) {
    struct str plan_id = action_arg(action, "id");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    struct acknowledgement one = {.plan_id = plan_id};
    if (!decode_shape(&acknowledgement_shape, doc, "", &clean, err) ||
        !speaker(action, clean, &one.user_id, err))
        return false;
    one.said = clean;
    return write_once(action, acknowledge_work, &one, outcome, err);
}
