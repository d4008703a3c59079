/* One function per operation: from a call to a use case. Private to the API. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "call.h"

typedef void handler(struct call *call);

handler resource_list, resource_create, resource_get, resource_patch, resource_delete,
    resource_restore, resource_history, resource_bulk, resource_export;
handler follow_up_done, follow_up_later, follow_up_off, follow_up_to, commitments_kept;
handler agenda_show, agenda_calendar, agenda_open, agenda_close;
handler section_list, section_get, section_write, section_generated;
handler plan_on, plan_off, versions_show, version_show, version_compare, acknowledgements_show,
    acknowledgements_add;
handler roles_show, roles_set, roles_drop, access_show;
handler templates_show, template_show, templates_add, template_use;
handler review_end, expectations_show, expectations_add;
handler sync_record, sync_record_drop, sync_records, sync_deferred, policy_show, policy_set,
    conflicts_show, conflict_end, imports_show, imports_add, import_show, import_part, import_go,
    import_wrong, import_undo;
handler program_show, program_change, criteria_show, criteria_add, criteria_use, evaluation_add,
    evaluation_show, operation_show, simulation_add, nomination_refuse, nomination_take_back;
handler report_show;
handler settings_show, settings_change, criteria_one, rates_show, rates_set, rates_drop;
handler contact_forget, contact_known;
handler account_designation, account_join, account_release, account_swap, account_months,
    account_status, account_transitions, account_recognition;
handler opportunities_show, economics_show, whitespace_show;
handler assessed_show, assessed_set, fit_show, fit_set, health_show;
handler events_show, events_stream, event_types_show, changes_show;
handler webhook_add, webhook_change, webhook_rotate, webhook_try, webhook_on, deliveries_show,
    delivery_show, attempts_show, delivery_again, keys_show, keys_change, webhook_replay,
    stats_show;
handler audit_show, audit_anchors, audit_keys, audit_check;
handler api_keys_show, api_keys_add, api_keys_one, api_keys_rotate, api_keys_drop, users_put,
    tokens_add, me_show;
handler livez, readyz, openapi_show, openapi_salesforce_show, docs_show, problem_show;

#endif
