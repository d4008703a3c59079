#include "handlers.h"
#include "app/bulk.h"
#include "app/merges.h"
#include "app/operation.h"
#include "app/recognition.h"

#include "app/access.h"
#include "app/agenda.h"
#include "app/assessment.h"
#include "app/audit.h"
#include "app/erasures.h"
#include "app/events.h"
#include "app/follow_ups.h"
#include "app/growth.h"
#include "app/plans.h"
#include "app/program.h"
#include "app/reports.h"
#include "app/reviews.h"
#include "app/sales.h"
#include "app/sections.h"
#include "app/webhooks.h"

#include <string.h>

static struct str arg(const struct call *call, const char *name) {
    return path_arg(&call->args, name);
}

static struct record_key key_of(const struct call *call) {
    return (struct record_key){
        .resource = resource_of((enum resource_id)call->route->resource),
        .id = arg(call, "id"),
        .account_id = arg(call, "account_id"),
    };
}

/* ---- resources ---- */

void resource_list(struct call *call) {
    struct record_key key = key_of(call);
    record_list(&call->action, &key, call->params, call->n_params, &call->outcome, &call->err);
}

void resource_create(struct call *call) {
    struct record_key key = key_of(call);
    record_create(&call->action, &key, call->doc, &call->outcome, &call->err);
}

/* The customer's copy of a plan is another document, not another form of the record. */
static bool asks_for_view(const struct call *call) {
    bool asked = false;
    for (size_t i = 0; i < call->n_params && call->route->resource == RES_PLAN; i++)
        asked = asked || str_is(call->params[i].name, "view");
    return asked;
}

void resource_get(struct call *call) {
    struct record_key key = key_of(call);
    if (asks_for_view(call)) {
        plan_shared(&call->action, key.id, call->params, call->n_params, &call->outcome,
                    &call->err);
        return;
    }
    record_get(&call->action, &key, call->params, call->n_params, &call->outcome, &call->err);
}

void resource_patch(struct call *call) {
    struct record_key key = key_of(call);
    record_patch(&call->action, &key, call->doc, &call->outcome, &call->err);
}

void resource_delete(struct call *call) {
    struct record_key key = key_of(call);
    record_delete(&call->action, &key, &call->outcome, &call->err);
}

void resource_restore(struct call *call) {
    struct record_key key = key_of(call);
    record_restore(&call->action, &key, &call->outcome, &call->err);
}

void resource_history(struct call *call) {
    struct record_key key = key_of(call);
    record_history(&call->action, &key, call->params, call->n_params, &call->outcome, &call->err);
}

void resource_bulk(struct call *call) {
    struct record_key key = key_of(call);
    record_bulk(&call->action, &key, call->doc, &call->outcome, &call->err);
}

/* ---- follow-ups, commitments, agenda ---- */

void follow_up_done(struct call *call) {
    follow_up_complete(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void follow_up_later(struct call *call) {
    follow_up_snooze(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void follow_up_off(struct call *call) {
    follow_up_cancel(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void follow_up_to(struct call *call) {
    follow_up_assign(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void commitments_kept(struct call *call) {
    commitment_summary(&call->action, arg(call, "account_id"), &call->outcome, &call->err);
}

void agenda_show(struct call *call) {
    agenda_list(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                &call->err);
}

/* Calendar programs ask without a key; the token in the URL is all they have. */
void agenda_calendar(struct call *call) {
    struct str token = STR("");
    for (size_t i = 0; i < call->n_params; i++) {
        if (str_is(call->params[i].name, "token"))
            token = call->params[i].value;
        else
            err_add(&call->err, PROBLEM_INVALID_REQUEST, ERR_AT_PARAMETER,
                    arena_copy(call->request->arena, call->params[i].name), "unknown_parameter",
                    "There is no such parameter here.");
    }
    if (err_is_set(&call->err) ||
        !agenda_feed(&call->action, arg(call, "id"), token, &call->answer->body, &call->err))
        return;
    call->answer->content_type = "text/calendar; charset=utf-8";
    call->answer->status = 200;
    call->done = true;
}

void agenda_open(struct call *call) {
    answer_header(call->answer, "Cache-Control", STR("no-store"));
    agenda_token_make(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void agenda_close(struct call *call) {
    agenda_token_drop(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

/* ---- plan sections ---- */

void section_list(struct call *call) {
    plan_sections(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void section_get(struct call *call) {
    plan_section_get(&call->action, arg(call, "id"), arg(call, "section"), &call->outcome,
                     &call->err);
}

void section_write(struct call *call) {
    if (str_is(arg(call, "section"), "interaction_history")) {
        answer_header(call->answer, "Allow", STR("GET, HEAD, OPTIONS"));
        err_set(&call->err, PROBLEM_METHOD_NOT_ALLOWED,
                "Section i is generated from interactions, problems, orders, reviews and versions; "
                "nobody "
                "types it (004-24).");
        return;
    }
    plan_section_write(&call->action, arg(call, "id"), arg(call, "section"), call->doc,
                       str_is(call->request->method, "PUT"), &call->outcome, &call->err);
}

void section_generated(struct call *call) {
    plan_history(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                 &call->err);
}

/* ---- plans: template, versions, acknowledgements ---- */

void templates_show(struct call *call) {
    template_list(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

void template_show(struct call *call) {
    template_get(&call->action, arg(call, "version"), &call->outcome, &call->err);
}

void templates_add(struct call *call) {
    template_create(&call->action, call->doc, &call->outcome, &call->err);
}

void template_use(struct call *call) {
    template_activate(&call->action, arg(call, "version"), &call->outcome, &call->err);
}

void plan_on(struct call *call) {
    plan_activate(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void plan_off(struct call *call) {
    plan_close(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void versions_show(struct call *call) {
    plan_version_list(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                      &call->err);
}

void version_show(struct call *call) {
    plan_version_get(&call->action, arg(call, "id"), arg(call, "version_no"), &call->outcome,
                     &call->err);
}

void version_compare(struct call *call) {
    plan_version_diff(&call->action, arg(call, "id"), arg(call, "version_no"), call->params,
                      call->n_params, &call->outcome, &call->err);
}

void acknowledgements_show(struct call *call) {
    acknowledgement_list(&call->action, arg(call, "id"), call->params, call->n_params,
                         &call->outcome, &call->err);
}

void acknowledgements_add(struct call *call) {
    acknowledgement_add(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

/* ---- reviews, expectations ---- */

void review_end(struct call *call) {
    review_complete(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void expectations_show(struct call *call) {
    expectation_get(&call->action, arg(call, "account_id"), &call->outcome, &call->err);
}

void expectations_add(struct call *call) {
    expectation_rate(&call->action, arg(call, "account_id"), call->doc, &call->outcome, &call->err);
}

/* ---- program ---- */

void program_show(struct call *call) { program_get(&call->action, &call->outcome, &call->err); }

void program_change(struct call *call) {
    program_patch(&call->action, call->doc, &call->outcome, &call->err);
}

void settings_show(struct call *call) { settings_get(&call->action, &call->outcome, &call->err); }

void settings_change(struct call *call) {
    settings_patch(&call->action, call->doc, &call->outcome, &call->err);
}

void roles_show(struct call *call) { role_list(&call->action, &call->outcome, &call->err); }

void roles_set(struct call *call) {
    role_put(&call->action, arg(call, "role"), call->doc, &call->outcome, &call->err);
}

void roles_drop(struct call *call) {
    role_delete(&call->action, arg(call, "role"), &call->outcome, &call->err);
}

void access_show(struct call *call) {
    access_explain(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

void rates_show(struct call *call) { rate_list(&call->action, &call->outcome, &call->err); }

void rates_set(struct call *call) {
    rate_put(&call->action, arg(call, "currency_code"), call->doc, &call->outcome, &call->err);
}

void rates_drop(struct call *call) {
    rate_delete(&call->action, arg(call, "currency_code"), &call->outcome, &call->err);
}

void criteria_one(struct call *call) {
    criteria_get(&call->action, arg(call, "version"), &call->outcome, &call->err);
}

void criteria_show(struct call *call) {
    criteria_list(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

void criteria_add(struct call *call) {
    criteria_create(&call->action, call->doc, &call->outcome, &call->err);
}

void criteria_use(struct call *call) {
    criteria_activate(&call->action, arg(call, "version"), &call->outcome, &call->err);
}

void evaluation_add(struct call *call) {
    evaluation_start(&call->action, call->doc, &call->outcome, &call->err);
}

void evaluation_show(struct call *call) {
    evaluation_results(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                       &call->err);
}

void operation_show(struct call *call) {
    operation_get(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void simulation_add(struct call *call) {
    simulation_run(&call->action, call->doc, &call->outcome, &call->err);
}

void nomination_refuse(struct call *call) {
    nomination_decline(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void nomination_take_back(struct call *call) {
    nomination_withdraw(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

/* The route's last part is the report's name. */
void report_show(struct call *call) {
    const struct report *report = report_by_name(str_of(strrchr(call->route->path, '/') + 1));
    if (report)
        report_get(&call->action, report, call->params, call->n_params, &call->outcome, &call->err);
    else
        err_set(&call->err, PROBLEM_NOT_FOUND, "There is no such report.");
}

void account_designation(struct call *call) {
    account_designate(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void account_release(struct call *call) {
    account_de_designate(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void account_join(struct call *call) {
    account_merge(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void contact_forget(struct call *call) {
    contact_erase(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void contact_known(struct call *call) {
    personal_data_list(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                       &call->err);
}

void account_swap(struct call *call) {
    key_account_swap(&call->action, call->doc, &call->outcome, &call->err);
}

void assessed_show(struct call *call) {
    account_metrics_get(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void assessed_set(struct call *call) {
    account_metrics_put(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void fit_show(struct call *call) {
    fit_check_get(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void fit_set(struct call *call) {
    fit_check_put(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void health_show(struct call *call) {
    account_health(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void account_status(struct call *call) {
    account_key_status(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                       &call->err);
}

void account_months(struct call *call) {
    account_sales(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                  &call->err);
}

void opportunities_show(struct call *call) {
    account_opportunities(&call->action, arg(call, "id"), call->params, call->n_params,
                          &call->outcome, &call->err);
}

void economics_show(struct call *call) {
    account_economics(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                      &call->err);
}

void whitespace_show(struct call *call) {
    account_whitespace(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                       &call->err);
}

void account_transitions(struct call *call) {
    account_key_history(&call->action, arg(call, "id"), call->params, call->n_params,
                        &call->outcome, &call->err);
}

void account_recognition(struct call *call) {
    recognition(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

/* ---- events, keys ---- */

void events_show(struct call *call) {
    event_list(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

/* The pipeline has found the key in the same header before. */
void events_stream(struct call *call) {
    struct str key = request_header(call->request, "Authorization", NULL), scheme;
    struct str last_id = request_header(call->request, "Last-Event-ID", NULL);
    if (!str_split(&key, ' ', &scheme) ||
        !stream_open(call->face->streams, &call->action, call->params, call->n_params, last_id,
                     str_trim(key), &call->answer->stream, &call->err))
        return;
    call->answer->status = 200;
    call->answer->content_type = "text/event-stream";
    call->answer->close = true;
    answer_header(call->answer, "Cache-Control", STR("no-store"));
    answer_header(call->answer, "X-Accel-Buffering", STR("no"));
    call->done = true;
}

void event_types_show(struct call *call) {
    event_types_list(&call->action, &call->outcome, &call->err);
}

/* ---- audit ---- */

void audit_show(struct call *call) {
    audit_list(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

void audit_anchors(struct call *call) {
    audit_anchor_list(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

void audit_keys(struct call *call) {
    answer_header(call->answer, "Cache-Control", STR("public, max-age=60"));
    audit_keys_show(&call->action, &call->outcome, &call->err);
}

void audit_check(struct call *call) {
    audit_verify(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

/* ---- webhooks ---- */

void webhook_add(struct call *call) {
    answer_header(call->answer, "Cache-Control", STR("no-store"));
    webhook_endpoint_create(&call->action, call->doc, &call->outcome, &call->err);
}

void webhook_change(struct call *call) {
    struct record_key key = key_of(call);
    webhook_endpoint_patch(&call->action, &key, call->doc, &call->outcome, &call->err);
}

void webhook_rotate(struct call *call) {
    answer_header(call->answer, "Cache-Control", STR("no-store"));
    webhook_secret_rotate(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

/* Anybody may keep it for a while; a key that is about to sign is there before it does. */
void keys_show(struct call *call) {
    answer_header(call->answer, "Cache-Control", STR("public, max-age=60"));
    webhook_keys_show(&call->action, &call->outcome, &call->err);
}

void keys_change(struct call *call) {
    webhook_keys_rotate(&call->action, call->doc, &call->outcome, &call->err);
}

void webhook_try(struct call *call) {
    webhook_endpoint_test(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void webhook_on(struct call *call) {
    webhook_endpoint_enable(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void webhook_replay(struct call *call) {
    webhook_replay_start(&call->action, arg(call, "id"), call->doc, &call->outcome, &call->err);
}

void stats_show(struct call *call) {
    webhook_stats(&call->action, arg(call, "id"), call->params, call->n_params, &call->outcome,
                  &call->err);
}

void deliveries_show(struct call *call) {
    webhook_delivery_list(&call->action, call->params, call->n_params, &call->outcome, &call->err);
}

void delivery_show(struct call *call) {
    webhook_delivery_get(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void attempts_show(struct call *call) {
    webhook_attempt_list(&call->action, arg(call, "id"), &call->outcome, &call->err);
}

void delivery_again(struct call *call) {
    webhook_delivery_retry(&call->action, arg(call, "id"), &call->outcome, &call->err);
}
