/* Reads and writes the sections of an account plan. The section `interaction_history` is not
 * stored: it is generated from the account's interactions, problems, orders, reviews and plan
 * versions. */
#include "app/sections.h"

#include "base/cursor.h"
#include "record/one.h"
#include "record/view.h"
#include "store/record.h"

/* The record behind (plan, section); not found where the plan is not visible. */
static bool find(struct action *action, struct str plan_id, struct str section,
                 struct record_key *ret, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str params[] = {plan_id, section};
    *ret = (struct record_key){.resource = resource_of(RES_PLAN_SECTION)};
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx,
                           "select v.id from visible_plan_section(array[plan_section_id($1::uuid, "
                           "$2)], false) v",
                           params, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND,
                       "There is no such plan or section that you can see.");
    ret->id = arena_str(action->arena, tx_value(tx, slot, 0, 0));
    return ret->id.ptr ? true : err_memory(err);
}

/* What the caller reads of the plan's account; not found where the plan is not visible. Sends what
 * is queued. */
static bool plan_areas(struct action *action, struct tx *tx, struct str plan_id, area_set *ret,
                       struct err *err) {
    struct record_key plan = {.resource = resource_of(RES_PLAN)};
    size_t slot = tx_query(tx,
                           "select areas_of(account_id) from plan where id = $1::uuid and "
                           "deleted_at is null",
                           &plan_id, 1);
    if (!tx_flush(tx, err))
        return false;
    area_set areas = tx_rows(tx, slot) == 0 ? 0 : (area_set)tx_int(tx, slot, 0, 0);
    *ret = areas & role_reads(action->who->role);
    return (*ret & AREA_BIT(AREA_PLAN)) != 0 || not_found(&plan, err);
}

bool plan_sections(struct action *action, struct outcome *outcome, struct err *err) {
    struct str plan_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    const struct record_sql *sql = sql_for(action, RES_PLAN_SECTION);
    const char *text = arena_format(
        action->arena,
        "select %s from %s where t.plan_id = $1::uuid and t.deleted_at is null order by t.section",
        sql->columns, sql->from);
    area_set areas = 0;
    if (!text || !read_begin(action, &tx, err))
        return text ? false : err_memory(err);
    size_t slot = tx_query(tx, text, &plan_id, 1);
    if (!plan_areas(action, tx, plan_id, &areas, err))
        return false;
    struct rows rows = rows_of(action, resource_of(RES_PLAN_SECTION), tx, slot);
    if (!rows.list)
        return err_memory(err);
    struct view view;
    char etag[ETAG_TEXT];
    view_init(&view);
    buf_text(&outcome->body, "{\"data\":[");
    for (size_t i = 0; i < rows.n; i++) {
        view_write(action, &view, &rows.list[i], &outcome->body, etag);
        if (i + 1 < rows.n || (areas & AREA_BIT(AREA_INTERACTION_HISTORY)) != 0)
            buf_char(&outcome->body, ',');
    }
    if ((areas & AREA_BIT(AREA_INTERACTION_HISTORY)) != 0) {
        buf_text(&outcome->body, "{\"plan_id\":");
        buf_json(&outcome->body, plan_id);
        buf_text(&outcome->body, ",\"section\":\"interaction_history\",\"generated\":true}");
    }
    buf_char(&outcome->body, ']');
    if ((AREAS_SECTIONS & ~areas) != 0) {
        buf_text(&outcome->body, ",\"redacted\":");
        write_areas(AREAS_SECTIONS & ~areas, &outcome->body);
    }
    page_tail(outcome, false, -1);
    return true;
}

bool plan_section_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str plan_id = action_arg(action, "id");
    struct str section = action_arg(action, "section");
    struct record_key key;
    return find(action, plan_id, section, &key, err) && one_read(action, &key, outcome, err);
}

bool plan_section_write(struct action *action, bool replace, struct outcome *outcome,
                        struct err *err) {
    struct record_key key;
    if (!find(action, action_arg(action, "id"), action_arg(action, "section"), &key, err))
        return false;
    return replace ? one_replace(action, &key, action->doc, outcome, err)
                   : one_change(action, &key, action->doc, outcome, err);
}

/* Of what comes together here each lies in an area of its own. */
#define READS(area) " and x.areas >> area_number('" area "') & 1 = 1"
#define READS_INTERACTIONS READS("interactions")
#define READS_PROBLEMS READS("problems")
#define READS_SALES READS("sales")
#define READS_REVIEWS READS("reviews")
#define HISTORY_SQL                                                                                \
    "select h.kind, h.id, h.at, h.what from plan p cross join lateral areas_of(p.account_id) "     \
    "x(areas) cross join lateral ("                                                                \
    " select 'interaction' as kind, i.id, i.occurred_at as at, jsonb_build_object('kind', "        \
    "i.kind, 'channel', i.channel, 'subject', i.subject, 'user_id', i.user_id) as what"            \
    " from interaction i where i.account_id = p.account_id"                                        \
    " and i.deleted_at is null" READS_INTERACTIONS                                                 \
    " union all select 'problem', b.id, b.opened_at, jsonb_build_object('category', b.category,"   \
    " 'severity', b.severity, 'title', b.title, 'resolved_at', b.resolved_at)"                     \
    " from problem b where b.account_id = p.account_id"                                            \
    " and b.deleted_at is null" READS_PROBLEMS                                                     \
    " union all select 'order', o.id, o.ordered_on::timestamp at time zone 'UTC',"                 \
    " jsonb_build_object('external_id', o.external_id, 'amount', o.amount::text,"                  \
    " 'currency_code', o.currency_code)"                                                           \
    " from sales_order o where o.account_id = p.account_id and o.deleted_at is null" READS_SALES   \
    " union all select 'review', r.id,"                                                            \
    " coalesce(r.held_at, r.due_on::timestamp at time zone 'UTC'),"                                \
    " jsonb_build_object('outcome', r.outcome, 'cadence', r.cadence)"                              \
    " from review r where r.account_id = p.account_id and r.status = 'held'"                       \
    " and r.deleted_at is null" READS_REVIEWS                                                      \
    " union all select 'version', v.id, v.created_at, jsonb_build_object('plan_id', v.plan_id,"    \
    " 'version_no', v.version_no, 'kind', v.kind, 'review_id', v.review_id)"                       \
    " from plan_version v where v.account_id = p.account_id) h"                                    \
    " where p.id = $1::uuid and p.deleted_at is null"                                              \
    " and ($2::timestamptz is null or (h.at, h.id) < ($2::timestamptz, $3::uuid))"                 \
    " order by h.at desc, h.id desc limit $4::int"
enum { HISTORY_KIND, HISTORY_ID, HISTORY_AT, HISTORY_WHAT };

static void write_entry(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    static const struct field at = {.type = FIELD_TIME};
    buf_format(ret,
               "{\"kind\":\"%s\",\"id\":\"%s\",\"at\":", tx_value(tx, slot, row, HISTORY_KIND).ptr,
               tx_value(tx, slot, row, HISTORY_ID).ptr);
    render_value(&at, tx_value(tx, slot, row, HISTORY_AT), ret);
    buf_text(ret, ",\"what\":");
    buf_put(ret, tx_value(tx, slot, row, HISTORY_WHAT));
    buf_char(ret, '}');
}

bool plan_history(struct action *action, struct outcome *outcome, struct err *err) {
    struct str plan_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    area_set areas;
    struct page page = {
        .list = str_of(arena_format(action->arena, "interaction_history|%.*s", STR_ARG(plan_id))),
        .key_columns = {HISTORY_AT, HISTORY_ID},
        .n_keys = 2,
        .write = write_entry};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {plan_id, page.keys[0], page.keys[1], page_limit(action, &page)};
    size_t slot = tx_query(tx, HISTORY_SQL, values, 4);
    if (!plan_areas(action, tx, plan_id, &areas, err))
        return false;
    if ((areas & AREA_BIT(AREA_INTERACTION_HISTORY)) == 0)
        return err_set(err, PROBLEM_NOT_FOUND,
                       "There is no such plan or section that you can see.");
    buf_text(&outcome->body, "{\"plan_id\":");
    buf_json(&outcome->body, plan_id);
    buf_text(&outcome->body, ",\"section\":\"interaction_history\",\"generated\":true");
    page_write(action, &page, tx, slot, outcome);
    return true;
}
