/* Lists the roles of callers and of teams, changes the team roles, and explains why a user sees
 * each area of an account, or does not. */
#include "app/access.h"

#include "app/query.h"
#include "base/cursor.h"
#include "base/write_once.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "record/area_guard.h"
#include "record/view.h"
#include "store/array.h"

/* ---- roles ---- */

static void write_verbs(enum role role, struct buf *ret) {
    bool first = true;
    buf_char(ret, '[');
    for (enum verb verb = 0; verb < VERB_ANY; verb++) {
        if (!access_allows(role, verb))
            continue;
        buf_format(ret, "%s\"%s\"", first ? "" : ",", verb_name(verb));
        first = false;
    }
    buf_char(ret, ']');
}

static void write_caller_role(enum role role, struct buf *ret) {
    buf_format(ret, "{\"role\":\"%s\",\"kind\":\"caller\",\"accounts\":\"%s\",\"rights\":",
               role_name(role), role_sees_all(role) ? "all" : "own");
    write_verbs(role, ret);
    buf_text(ret, ",\"reads\":");
    write_areas(role_reads(role), ret);
    buf_text(ret, ",\"writes\":");
    write_areas(role_writes(role), ret);
    buf_char(ret, '}');
}

#define TEAM_ROLE_SQL                                                                              \
    "select jsonb_build_object('role', r.role, 'kind', 'team', 'areas', "                          \
    "to_jsonb(mask_areas(r.areas)), 'version', r.version, 'updated_at', utc_text(r.updated_at), "  \
    "'updated_by', r.updated_by) from team_role r "

bool role_list(struct action *action, struct outcome *outcome, struct err *err) {

    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, TEAM_ROLE_SQL "order by r.role", NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    buf_text(&outcome->body, "{\"data\":[");
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        buf_text(&outcome->body, role > 0 ? "," : "");
        write_caller_role(role, &outcome->body);
    }
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        buf_char(&outcome->body, ',');
        buf_put(&outcome->body, tx_value(tx, slot, i, 0));
    }
    page_end(outcome, false, -1);
    return true;
}

struct team_role {
    struct str role, areas;
};

static bool put_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                     struct err *err) {
    const struct team_role *one = arg;
    struct str values[] = {one->role, one->areas, str_of(action->who->actor)};
    size_t put = tx_query(tx,
                          "insert into team_role as r (role, areas, updated_by) values ($1, "
                          "areas_mask($2::text[]) | areas_mask('{profile}'), $3) on conflict "
                          "(role) do update set areas = excluded.areas, version = r.version + 1, "
                          "updated_at = now(), updated_by = excluded.updated_by returning r.xmax "
                          "= 0",
                          values, 3);
    size_t slot = tx_query(tx, TEAM_ROLE_SQL "where r.role = $1", values, 1);
    if (!tx_flush(tx, err))
        return false;
    outcome->status = tx_bool(tx, put, 0, 0) ? 201 : 200;
    buf_put(&outcome->body, tx_value(tx, slot, 0, 0));
    return true;
}

static bool is_team_role(struct str role, struct err *err) {
    enum role caller;
    /* An account manager is also a role in teams. */
    if (role_by_name(role, &caller) && caller != ROLE_ACCOUNT_MANAGER)
        return err_set(err, PROBLEM_CONFLICT, "The role %s of callers is fixed.",
                       role_name(caller));
    return true;
}

bool role_put(struct action *action, struct outcome *outcome, struct err *err) {
    struct str role = action_arg(action, "role");
    const jv *doc = action->doc;
    static const struct field fields[] = {{.name = "areas",
                                           .type = FIELD_TEXTS,
                                           .flags = F_REQUIRED,
                                           .max = AREA_COUNT,
                                           .values = area_names}};
    static const struct shape shape = {fields, COUNT_OF(fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!is_team_role(role, err) || !decode_shape(&shape, doc, "", &clean, err))
        return false;
    if (role.len > 64 || check_slug(role))
        return err_set(err, PROBLEM_NOT_FOUND, "This cannot be a role's name.");
    const jv *list = jv_get(clean, "areas");
    struct str items[AREA_COUNT];
    size_t n = jv_len(list);
    for (size_t i = 0; i < n && i < COUNT_OF(items); i++)
        items[i] = jv_text(jv_at(list, i));
    struct team_role one = {role, pg_array_param(action->arena, items, n)};
    return one.areas.ptr ? write_once(action, put_work, &one, outcome, err) : err_memory(err);
}

static bool delete_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    (void)action;
    size_t slot = tx_query(tx, "delete from team_role where role = $1", arg, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_affected(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such role.");
    outcome->status = 204;
    return true;
}

bool role_delete(struct action *action, struct outcome *outcome, struct err *err) {
    struct str role = action_arg(action, "role");
    if (str_is(role, "other"))
        return err_set(err, PROBLEM_CONFLICT, "Roles that are not listed fall back to this one.");
    return is_team_role(role, err) && write_once(action, delete_work, &role, outcome, err);
}

/* ---- why ---- */

struct question {
    struct str user_id, account_id, area;
};

static bool ask(const struct action *action, struct question *ret, struct err *err) {
    *ret = (struct question){.user_id = action_query(action, "user_id"),
                             .account_id = action_query(action, "account_id"),
                             .area = action_query(action, "area")};
    bool known = !ret->area.ptr;
    for (enum area area = 0; area < AREA_COUNT && !known; area++)
        known = str_is(ret->area, area_name(area));
    if (!known)
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("area"), "invalid_value",
                "there is no such area; see /v1/roles");
    if (!ret->account_id.ptr)
        err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("account_id"), "required",
                "of which account?");
    return !err_is_set(err);
}

/* Others are asked about by who answers for the program or audits it. */
static bool may_ask(const struct action *action, struct question *question, struct err *err) {
    if (!question->user_id.ptr)
        question->user_id = str_of(action->who->user_id);
    if (question->user_id.len == 0)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("user_id"), "required",
                       "this key belongs to nobody: about whom?");
    if (str_is(question->user_id, action->who->user_id) || action->who->role == ROLE_ADMIN ||
        action->who->role == ROLE_DIRECTOR || action->who->role == ROLE_AUDITOR)
        return true;
    return err_set(err, PROBLEM_FORBIDDEN, "You may ask about your own access only.");
}

#define REASONS_SQL "select area, visible, because from access_explain($1::uuid, $2::uuid)"
enum { REASON_AREA, REASON_VISIBLE, REASON_BECAUSE };

static void write_reason(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    buf_text(ret, "{\"area\":");
    buf_json(ret, tx_value(tx, slot, row, REASON_AREA));
    buf_format(ret, ",\"visible\":%s,\"because\":",
               tx_bool(tx, slot, row, REASON_VISIBLE) ? "true" : "false");
    buf_put(ret, tx_value(tx, slot, row, REASON_BECAUSE));
    buf_char(ret, '}');
}

bool access_explain(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct question question;
    area_set areas;
    bool first = true;
    if (!ask(action, &question, err) || !may_ask(action, &question, err) ||
        !read_begin(action, &tx, err))
        return false;
    struct str values[] = {question.user_id, question.account_id};
    size_t slot = tx_query(tx, REASONS_SQL, values, 2);
    if (!account_areas(action, tx, question.account_id, &areas, err))
        return false;
    buf_text(&outcome->body, "{\"user_id\":");
    buf_json(&outcome->body, question.user_id);
    buf_text(&outcome->body, ",\"account_id\":");
    buf_json(&outcome->body, question.account_id);
    buf_text(&outcome->body, ",\"areas\":[");
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        if (question.area.ptr && !str_eq(tx_value(tx, slot, i, 0), question.area))
            continue;
        buf_text(&outcome->body, first ? "" : ",");
        first = false;
        write_reason(tx, slot, i, &outcome->body);
    }
    buf_text(&outcome->body, "]}");
    return true;
}
