/* The table of all routes of the public port: method, path, right, parameters, and the use case
 * that each one calls. */
#include "handlers.h"

#include "app/access.h"
#include "app/access_token.h"
#include "app/agenda.h"
#include "app/assessment.h"
#include "app/audit.h"
#include "app/bulk.h"
#include "app/changes.h"
#include "app/contacts.h"
#include "app/erasures.h"
#include "app/events.h"
#include "app/follow_ups.h"
#include "app/growth.h"
#include "app/imports.h"
#include "app/keys.h"
#include "app/merges.h"
#include "app/operation.h"
#include "app/plans.h"
#include "app/program.h"
#include "app/recognition.h"
#include "app/reports.h"
#include "app/reviews.h"
#include "app/sales.h"
#include "app/sections.h"
#include "app/sync.h"
#include "app/users.h"
#include "app/webhooks.h"

static const struct query_param paging[] = {QUERY_PAGE, {.name = NULL}};
#define PAGED(...) QUERY(QUERY_PAGE, __VA_ARGS__)
#define EVENT_FILTERS                                                                              \
    {.name = "after"}, {.name = "types"}, { .name = "account_id", .type = QUERY_ID }
#define AS_OF QUERY({.name = "as_of", .type = QUERY_DATE})

#define READ(path_, run_, query_, operation)                                                       \
    {                                                                                              \
        .method = "GET", .path = path_, .run = run_, .query = query_, .verb = VERB_READ,           \
        .operation_id = operation                                                                  \
    }

/* A document below an account that lies in one area. */
#define BELOW_AREA(path_, run_, query_, area_, operation)                                          \
    {                                                                                              \
        .method = "GET", .path = path_, .run = run_, .query = query_, .verb = VERB_READ,           \
        .areas = AREA_BIT(AREA_##area_), .operation_id = operation                                 \
    }

/* What shows the why of scores, too. */
#define EXPLAINS(path_, run_, query_, name, operation)                                             \
    {                                                                                              \
        .method = "GET", .path = path_, .run = run_, .query = query_, .verb = VERB_READ,           \
        .operation_id = operation, .explains = name                                                \
    }

/* A resource: list, create, bulk, and one record's get, change, delete, restore, history. */
#define RESOURCE_BY(get_, base, res, verb_create, verb_write, Name, Names)                         \
    {.method = "GET",                                                                              \
     .path = base,                                                                                 \
     .run = record_list,                                                                           \
     .flags = ROUTE_QUERY,                                                                         \
     .resource = res,                                                                              \
     .verb = VERB_READ,                                                                            \
     .operation_id = "list" Names},                                                                \
        {.method = "POST",                                                                         \
         .path = base,                                                                             \
         .run = record_create,                                                                     \
         .flags = ROUTE_BODY,                                                                      \
         .resource = res,                                                                          \
         .verb = verb_create,                                                                      \
         .operation_id = "create" Name},                                                           \
        {.method = "POST",                                                                         \
         .path = base "/bulk",                                                                     \
         .run = record_bulk,                                                                       \
         .flags = ROUTE_BODY | ROUTE_BULK,                                                         \
         .resource = res,                                                                          \
         .verb = verb_create,                                                                      \
         .operation_id = "bulk" Names},                                                            \
        {.method = "GET",                                                                          \
         .path = base "/{id}",                                                                     \
         .run = get_,                                                                              \
         .flags = ROUTE_QUERY,                                                                     \
         .resource = res,                                                                          \
         .verb = VERB_READ,                                                                        \
         .operation_id = "get" Name},                                                              \
        {.method = "PATCH",                                                                        \
         .path = base "/{id}",                                                                     \
         .run = record_patch,                                                                      \
         .flags = ROUTE_BODY | ROUTE_MERGE,                                                        \
         .resource = res,                                                                          \
         .verb = verb_write,                                                                       \
         .operation_id = "update" Name},                                                           \
        {.method = "DELETE",                                                                       \
         .path = base "/{id}",                                                                     \
         .run = record_delete,                                                                     \
         .resource = res,                                                                          \
         .verb = verb_write,                                                                       \
         .operation_id = "delete" Name},                                                           \
        {.method = "POST",                                                                         \
         .path = base "/{id}/restore",                                                             \
         .run = record_restore,                                                                    \
         .flags = ROUTE_ACTION,                                                                    \
         .resource = res,                                                                          \
         .verb = verb_write,                                                                       \
         .operation_id = "restore" Name},                                                          \
    {                                                                                              \
        .method = "GET", .path = base "/{id}/history", .run = record_history, .query = paging,     \
        .resource = res, .verb = VERB_READ, .operation_id = "get" Name "History"                   \
    }

#define RESOURCE(...) RESOURCE_BY(record_get, __VA_ARGS__)

#define BELOW(path_, res, Names)                                                                   \
    {                                                                                              \
        .method = "GET", .path = "/v1/accounts/{account_id}/" path_, .run = record_list,           \
        .flags = ROUTE_QUERY, .resource = res, .verb = VERB_READ,                                  \
        .operation_id = "listAccount" Names                                                        \
    }

/* Answers with JSON, CSV or SVG, as the parameter `format` asks. */
#define REPORT(name, operation, explains_)                                                         \
    {                                                                                              \
        .method = "GET", .path = "/v1/program/" name, .handler = report_show,                      \
        .flags = ROUTE_QUERY | ROUTE_HTML, .verb = VERB_READ, .operation_id = operation,           \
        .explains = explains_                                                                      \
    }

/* clang-format off */
const struct route routes[] = {
    RESOURCE("/v1/accounts", RES_ACCOUNT, VERB_CREATE_ACCOUNT, VERB_WRITE, "Account", "Accounts"),
    RESOURCE("/v1/contacts", RES_CONTACT, VERB_WRITE, VERB_WRITE, "Contact", "Contacts"),
    RESOURCE_BY(plan_get, "/v1/plans", RES_PLAN, VERB_WRITE, VERB_WRITE, "Plan", "Plans"),
    RESOURCE("/v1/reviews", RES_REVIEW, VERB_WRITE, VERB_WRITE, "Review", "Reviews"),
    RESOURCE("/v1/follow-ups", RES_FOLLOW_UP, VERB_WRITE, VERB_WRITE, "FollowUp", "FollowUps"),
    RESOURCE("/v1/users", RES_USER, VERB_CREATE_ACCOUNT, VERB_CREATE_ACCOUNT, "User", "Users"),
    {.method = "POST", .path = "/v1/users/{id}/deactivate", .run = user_deactivate, .flags = ROUTE_BODY, .resource = RES_USER, .verb = VERB_CREATE_ACCOUNT, .operation_id = "deactivateUser"},
    RESOURCE("/v1/custom-fields", RES_CUSTOM_FIELD, VERB_ADMIN, VERB_ADMIN, "CustomField", "CustomFields"),
    RESOURCE("/v1/accounts/{account_id}/interactions", RES_INTERACTION, VERB_WRITE, VERB_WRITE, "Interaction", "Interactions"),
    RESOURCE("/v1/accounts/{account_id}/problems", RES_PROBLEM, VERB_WRITE, VERB_WRITE, "Problem", "Problems"),
    RESOURCE("/v1/accounts/{account_id}/orders", RES_ORDER, VERB_ORDERS, VERB_ORDERS, "Order", "Orders"),
    RESOURCE("/v1/accounts/{account_id}/commitments", RES_COMMITMENT, VERB_WRITE, VERB_WRITE, "Commitment", "Commitments"),
    RESOURCE("/v1/accounts/{account_id}/team", RES_TEAM_MEMBER, VERB_WRITE, VERB_WRITE, "TeamMember", "TeamMembers"),
    RESOURCE("/v1/accounts/{account_id}/wallet", RES_WALLET, VERB_WRITE, VERB_WRITE, "Wallet", "Wallets"),
    RESOURCE("/v1/accounts/{account_id}/needs", RES_NEED, VERB_WRITE, VERB_WRITE, "Need", "Needs"),
    RESOURCE("/v1/accounts/{account_id}/solutions", RES_SOLUTION, VERB_WRITE, VERB_WRITE, "Solution", "Solutions"),
    RESOURCE("/v1/accounts/{account_id}/investments", RES_INVESTMENT, VERB_WRITE, VERB_WRITE, "Investment", "Investments"),
    RESOURCE("/v1/accounts/{account_id}/projects", RES_PROJECT, VERB_WRITE, VERB_WRITE, "Project", "Projects"),
    RESOURCE("/v1/accounts/{account_id}/links", RES_LINK, VERB_WRITE, VERB_WRITE, "Link", "Links"),
    BELOW("contacts", RES_CONTACT, "Contacts"),
    {.method = "GET", .path = "/v1/contacts/{id}/personal-data", .run = personal_data_list, .query = paging, .resource = RES_CONTACT, .verb = VERB_AUDIT, .operation_id = "getContactPersonalData"},
    {.method = "POST", .path = "/v1/contacts/{id}/erase", .run = contact_erase, .flags = ROUTE_BODY, .resource = RES_CONTACT, .verb = VERB_DECIDE, .operation_id = "eraseContact"},
    {.method = "POST", .path = "/v1/contacts/{id}/move", .run = contact_move, .flags = ROUTE_BODY, .resource = RES_CONTACT, .verb = VERB_WRITE, .operation_id = "moveContact"},
    BELOW("plans", RES_PLAN, "Plans"),
    BELOW("reviews", RES_REVIEW, "Reviews"),
    BELOW("follow-ups", RES_FOLLOW_UP, "FollowUps"),

#define FOLLOW_UP(word, run_, flags_, operation)                                                \
    {.method = "POST", .path = "/v1/follow-ups/{id}/" word, .run = run_, .flags = (flags_), .resource = RES_FOLLOW_UP, .verb = VERB_WRITE, .operation_id = operation}
    FOLLOW_UP("complete", follow_up_complete, ROUTE_BODY | ROUTE_OPTIONAL, "completeFollowUp"),
    FOLLOW_UP("snooze", follow_up_snooze, ROUTE_BODY, "snoozeFollowUp"),
    FOLLOW_UP("cancel", follow_up_cancel, ROUTE_BODY | ROUTE_OPTIONAL, "cancelFollowUp"),
    FOLLOW_UP("assign", follow_up_assign, ROUTE_BODY, "assignFollowUp"),
    BELOW_AREA("/v1/accounts/{account_id}/commitments/summary", commitment_summary, NULL, INTERACTIONS, "getCommitmentSummary"),
    READ("/v1/users/{id}/agenda", agenda_list, PAGED({.name = "due_before", .type = QUERY_TIME}), "getAgenda"),
    {.method = "GET", .path = "/v1/users/{id}/agenda.ics", .handler = agenda_calendar, .query = QUERY({.name = "token"}), .flags = ROUTE_HTML | ROUTE_SECRET, .verb = VERB_PUBLIC, .operation_id = "getAgendaCalendar"},
    {.method = "POST", .path = "/v1/users/{id}/agenda-token", .run = agenda_token_make, .flags = ROUTE_ACTION | ROUTE_NO_STORE, .verb = VERB_WRITE, .operation_id = "createAgendaToken"},
    {.method = "DELETE", .path = "/v1/users/{id}/agenda-token", .run = agenda_token_drop, .verb = VERB_WRITE, .operation_id = "deleteAgendaToken"},

    READ("/v1/plans/{id}/sections", plan_sections, NULL, "listPlanSections"),
    READ("/v1/plans/{id}/sections/interaction_history", plan_history, paging, "getPlanInteractionHistory"),
    {.method = "GET", .path = "/v1/plans/{id}/sections/{section}", .run = plan_section_get, .resource = RES_PLAN_SECTION, .verb = VERB_READ, .operation_id = "getPlanSection"},
    {.method = "PUT", .path = "/v1/plans/{id}/sections/{section}", .handler = section_write, .flags = ROUTE_BODY, .resource = RES_PLAN_SECTION, .verb = VERB_WRITE, .operation_id = "replacePlanSection"},
    {.method = "PATCH", .path = "/v1/plans/{id}/sections/{section}", .handler = section_write, .flags = ROUTE_BODY | ROUTE_MERGE, .resource = RES_PLAN_SECTION, .verb = VERB_WRITE, .operation_id = "updatePlanSection"},

#define PLAN(path_, run_, flags_, operation)                                                        \
    {.method = "POST", .path = "/v1/plans/{id}/" path_, .run = run_, .flags = (flags_), .verb = VERB_WRITE, .operation_id = operation}
    PLAN("activate", plan_activate, ROUTE_BODY | ROUTE_OPTIONAL, "activatePlan"),
    PLAN("close", plan_close, ROUTE_ACTION, "closePlan"),
    READ("/v1/plans/{id}/versions", plan_version_list, paging, "listPlanVersions"),
    READ("/v1/plans/{id}/versions/{version_no}", plan_version_get, NULL, "getPlanVersion"),
    READ("/v1/plans/{id}/versions/{version_no}/diff", plan_version_diff, QUERY(QUERY_FROM_TO("against", 0, INT32_MAX)), "diffPlanVersion"),
    READ("/v1/plans/{id}/acknowledgements", acknowledgement_list, paging, "listPlanAcknowledgements"),
    PLAN("acknowledgements", acknowledgement_add, ROUTE_BODY | ROUTE_OPTIONAL, "acknowledgePlan"),
    READ("/v1/plan-templates", template_list, paging, "listPlanTemplates"),
    READ("/v1/plan-templates/{version}", template_get, NULL, "getPlanTemplate"),
    {.method = "POST", .path = "/v1/plan-templates", .run = template_create, .flags = ROUTE_BODY, .verb = VERB_DECIDE, .operation_id = "createPlanTemplate"},
    {.method = "POST", .path = "/v1/plan-templates/{version}/activate", .run = template_activate, .flags = ROUTE_ACTION, .verb = VERB_DECIDE, .operation_id = "activatePlanTemplate"},
    {.method = "POST", .path = "/v1/reviews/{id}/complete", .run = review_complete, .flags = ROUTE_BODY, .verb = VERB_WRITE, .operation_id = "completeReview"},
    BELOW_AREA("/v1/accounts/{account_id}/expectations", expectation_get, NULL, REVIEWS, "getExpectations"),
    {.method = "POST", .path = "/v1/accounts/{account_id}/expectations", .run = expectation_rate, .flags = ROUTE_BODY, .verb = VERB_WRITE, .areas = AREA_BIT(AREA_REVIEWS), .operation_id = "rateExpectations"},

    {.method = "GET", .path = "/v1/program", .run = program_get, .verb = VERB_READ, .operation_id = "getProgram"},
    {.method = "PATCH", .path = "/v1/program", .run = program_patch, .flags = ROUTE_BODY | ROUTE_MERGE, .verb = VERB_DECIDE, .operation_id = "updateProgram"},
    {.method = "GET", .path = "/v1/program/settings", .run = settings_get, .verb = VERB_READ, .operation_id = "getProgramSettings"},
    {.method = "PATCH", .path = "/v1/program/settings", .run = settings_patch, .flags = ROUTE_BODY | ROUTE_MERGE, .verb = VERB_DECIDE, .operation_id = "updateProgramSettings"},
    READ("/v1/program/rates", rate_list, NULL, "listRates"),
    {.method = "PUT", .path = "/v1/program/rates/{currency_code}", .run = rate_put, .flags = ROUTE_BODY, .verb = VERB_DECIDE, .operation_id = "putRate"},
    {.method = "DELETE", .path = "/v1/program/rates/{currency_code}", .run = rate_delete, .verb = VERB_DECIDE, .operation_id = "deleteRate"},
    READ("/v1/program/criteria/{version}", criteria_get, NULL, "getCriteria"),
    READ("/v1/program/criteria", criteria_list, paging, "listCriteria"),
    {.method = "POST", .path = "/v1/program/criteria", .run = criteria_create, .flags = ROUTE_BODY, .verb = VERB_DECIDE, .operation_id = "createCriteria"},
    {.method = "POST", .path = "/v1/program/criteria/{version}/activate", .run = criteria_activate, .flags = ROUTE_ACTION, .verb = VERB_DECIDE, .operation_id = "activateCriteria"},
    {.method = "POST", .path = "/v1/program/evaluations", .run = evaluation_start, .flags = ROUTE_BODY | ROUTE_OPTIONAL, .verb = VERB_DECIDE, .operation_id = "startEvaluation"},
    {.method = "POST", .path = "/v1/program/simulations", .run = simulation_run, .flags = ROUTE_BODY | ROUTE_OPTIONAL, .verb = VERB_DECIDE, .operation_id = "simulateProgram", .explains = "simulation"},
    {.method = "GET", .path = "/v1/program/nominations", .run = record_list, .flags = ROUTE_QUERY, .resource = RES_NOMINATION, .verb = VERB_READ, .operation_id = "listNominations"},
    {.method = "POST", .path = "/v1/program/nominations", .run = record_create, .flags = ROUTE_BODY, .resource = RES_NOMINATION, .verb = VERB_WRITE, .operation_id = "createNomination"},
    {.method = "GET", .path = "/v1/program/nominations/{id}", .run = record_get, .flags = ROUTE_QUERY, .resource = RES_NOMINATION, .verb = VERB_READ, .operation_id = "getNomination"},
    {.method = "GET", .path = "/v1/program/nominations/{id}/history", .run = record_history, .query = paging, .resource = RES_NOMINATION, .verb = VERB_READ, .operation_id = "getNominationHistory"},
    {.method = "POST", .path = "/v1/program/nominations/{id}/decline", .run = nomination_decline, .flags = ROUTE_BODY, .resource = RES_NOMINATION, .verb = VERB_DECIDE, .operation_id = "declineNomination"},
    {.method = "POST", .path = "/v1/program/nominations/{id}/withdraw", .run = nomination_withdraw, .flags = ROUTE_ACTION, .resource = RES_NOMINATION, .verb = VERB_WRITE, .operation_id = "withdrawNomination"},
    EXPLAINS("/v1/program/evaluations/{id}/results", evaluation_results, paging, "evaluation", "listEvaluationResults"),
    REPORT("pareto", "getPareto", "report"),
    REPORT("capacity", "getCapacity", NULL),
    REPORT("attention-gap", "getAttentionGap", NULL),
    REPORT("cadence", "getCadence", NULL),
    REPORT("compliance", "getCompliance", NULL),
    REPORT("candidates", "getCandidates", "report"),
    REPORT("rollup", "getRollup", "report"),
    REPORT("late-access", "getLateAccess", NULL),
    READ("/v1/operations/{id}", operation_get, NULL, "getOperation"),
    {.method = "POST", .path = "/v1/accounts/{id}/designate", .run = account_designate, .flags = ROUTE_BODY, .verb = VERB_DECIDE, .operation_id = "designateAccount", .explains = "key_status"},
    {.method = "POST", .path = "/v1/accounts/{id}/merge", .run = account_merge, .flags = ROUTE_BODY, .resource = RES_ACCOUNT, .verb = VERB_DECIDE, .operation_id = "mergeAccount"},
    BELOW_AREA("/v1/accounts/{id}/opportunities", account_opportunities, QUERY(QUERY_SOME_OF("plan_status", "draft", "active", "closed")), PLAN, "getAccountOpportunities"),
    BELOW_AREA("/v1/accounts/{id}/economics", account_economics, AS_OF, ECONOMICS, "getAccountEconomics"),
    BELOW_AREA("/v1/accounts/{id}/whitespace", account_whitespace, QUERY(QUERY_ONE_OF("format", "json", "csv")), SALES, "getAccountWhitespace"),
    BELOW_AREA("/v1/accounts/{id}/sales", account_sales, QUERY({.name = "first_month", .type = QUERY_MONTH}, {.name = "last_month", .type = QUERY_MONTH}), SALES, "getAccountSales"),
    {.method = "POST", .path = "/v1/accounts/{id}/de-designate", .run = account_de_designate, .flags = ROUTE_BODY, .verb = VERB_DECIDE, .operation_id = "deDesignateAccount", .explains = "key_status"},
    {.method = "POST", .path = "/v1/program/swaps", .run = key_account_swap, .flags = ROUTE_BODY, .verb = VERB_DECIDE, .operation_id = "swapKeyAccounts", .explains = "key_status"},
    BELOW_AREA("/v1/accounts/{id}/metrics", account_metrics_get, NULL, ECONOMICS, "getAccountMetrics"),
    {.method = "PUT", .path = "/v1/accounts/{id}/metrics", .run = account_metrics_put, .flags = ROUTE_BODY, .verb = VERB_WRITE, .areas = AREA_BIT(AREA_ECONOMICS), .operation_id = "putAccountMetrics"},
    BELOW_AREA("/v1/accounts/{id}/fit-check", fit_check_get, NULL, PLAN, "getFitCheck"),
    {.method = "PUT", .path = "/v1/accounts/{id}/fit-check", .run = fit_check_put, .flags = ROUTE_BODY, .verb = VERB_WRITE, .areas = AREA_BIT(AREA_PLAN), .operation_id = "putFitCheck"},
    BELOW_AREA("/v1/accounts/{id}/health", account_health, NULL, ECONOMICS, "getAccountHealth"),
    EXPLAINS("/v1/accounts/{id}/key-status", account_key_status, AS_OF, "key_status", "getKeyStatus"),
    EXPLAINS("/v1/accounts/{id}/key-status/history", account_key_history, paging, "key_status", "listKeyStatusHistory"),
    {.method = "GET", .path = "/v1/recognition", .run = recognition, .query = QUERY({.name = "phone"}, {.name = "email"}, {.name = "domain"}, {.name = "account_number"}, {.name = "salesforce_id"}), .flags = ROUTE_MEMORY, .verb = VERB_ANY, .operation_id = "recognise"},

    {.method = "PUT", .path = "/v1/sync/{system}/{resource}/{external_id}", .run = sync_put, .flags = ROUTE_BODY, .verb = VERB_SYNC, .operation_id = "syncRecord"},
    {.method = "DELETE", .path = "/v1/sync/{system}/{resource}/{external_id}", .run = sync_delete, .verb = VERB_SYNC, .operation_id = "deleteSyncRecord"},
    {.method = "GET", .path = "/v1/sync/{system}/deferred", .run = sync_waiting, .query = paging, .verb = VERB_SYNC, .operation_id = "listDeferredRecords"},
    {.method = "GET", .path = "/v1/sync/{system}/policy", .run = sync_policy_get, .verb = VERB_SYNC, .operation_id = "getSyncPolicy"},
    {.method = "PUT", .path = "/v1/sync/{system}/policy", .run = sync_policy_put, .flags = ROUTE_BODY, .verb = VERB_ADMIN, .operation_id = "putSyncPolicy"},
    {.method = "GET", .path = "/v1/sync/{system}/conflicts", .run = sync_conflict_list, .query = PAGED(QUERY_ONE_OF("status", "open", "resolved")), .verb = VERB_SYNC, .operation_id = "listSyncConflicts"},
    {.method = "POST", .path = "/v1/sync/{system}/conflicts/{id}/resolve", .run = sync_conflict_resolve, .flags = ROUTE_BODY, .verb = VERB_SYNC, .operation_id = "resolveSyncConflict"},
    {.method = "POST", .path = "/v1/sync/{system}/{resource}", .run = sync_bulk, .flags = ROUTE_BODY | ROUTE_BULK, .verb = VERB_SYNC, .operation_id = "syncRecords"},

#define EXPORT(path_, res, Names)                                                                   \
    {.method = "GET", .path = "/v1/" path_ "/export", .handler = resource_export, .flags = ROUTE_QUERY | ROUTE_CHOICE, .resource = res, .verb = VERB_READ, .operation_id = "export" Names}
    EXPORT("accounts", RES_ACCOUNT, "Accounts"),
    EXPORT("contacts", RES_CONTACT, "Contacts"),
    EXPORT("plans", RES_PLAN, "Plans"),
    EXPORT("reviews", RES_REVIEW, "Reviews"),
    EXPORT("follow-ups", RES_FOLLOW_UP, "FollowUps"),
    EXPORT("users", RES_USER, "Users"),
    EXPORT("interactions", RES_INTERACTION, "Interactions"),
    EXPORT("problems", RES_PROBLEM, "Problems"),
    EXPORT("orders", RES_ORDER, "Orders"),
    EXPORT("commitments", RES_COMMITMENT, "Commitments"),
    EXPORT("team", RES_TEAM_MEMBER, "TeamMembers"),
    EXPORT("wallet", RES_WALLET, "Wallets"),
    EXPORT("needs", RES_NEED, "Needs"),
    EXPORT("solutions", RES_SOLUTION, "Solutions"),
    EXPORT("investments", RES_INVESTMENT, "Investments"),
    EXPORT("projects", RES_PROJECT, "Projects"),
    EXPORT("links", RES_LINK, "Links"),

#define IMPORT(method_, path_, run_, flags_, operation)                                         \
    {.method = method_, .path = "/v1/imports" path_, .run = run_, .flags = (flags_), .verb = VERB_SYNC, .operation_id = operation}
    {.method = "GET", .path = "/v1/imports", .run = import_list, .query = paging, .verb = VERB_SYNC, .operation_id = "listImports"},
    IMPORT("POST", "", import_create, ROUTE_BODY, "createImport"),
    IMPORT("GET", "/{id}", import_get, 0, "getImport"),
    IMPORT("PUT", "/{id}/parts/{n}", import_part_put, ROUTE_RAW, "putImportPart"),
    IMPORT("POST", "/{id}/start", import_start, ROUTE_ACTION, "startImport"),
    {.method = "GET", .path = "/v1/imports/{id}/errors", .run = import_errors, .query = PAGED(QUERY_ONE_OF("format", "json", "csv")), .flags = ROUTE_HTML, .verb = VERB_SYNC, .operation_id = "listImportErrors"},
    IMPORT("POST", "/{id}/revert", import_revert, ROUTE_ACTION, "revertImport"),
    {.method = "GET", .path = "/v1/changes", .handler = changes_show, .query = QUERY({.name = "after"}, {.name = "since", .type = QUERY_TIME}, {.name = "types"}, {.name = "account_id", .type = QUERY_ID}, {.name = "exclude_origin"}, {.name = "page_size", .type = QUERY_PAGE_SIZE}, QUERY_FROM_TO("wait", 0, CHANGE_WAIT_MAX)), .verb = VERB_READ, .operation_id = "listChanges"},
    READ("/v1/events", event_list, QUERY(EVENT_FILTERS, {.name = "page_size", .type = QUERY_PAGE_SIZE}), "listEvents"),
    {.method = "GET", .path = "/v1/events/stream", .handler = events_stream, .query = QUERY(EVENT_FILTERS, QUERY_FROM_TO("max_seconds", 1, STREAM_SECONDS_MAX)), .flags = ROUTE_HTML, .verb = VERB_READ, .operation_id = "streamEvents"},
    READ("/v1/event-types", event_types_list, NULL, "listEventTypes"),

#define WEBHOOK(method_, path_, run_, flags_, operation)                                        \
    {.method = method_, .path = path_, .run = run_, .flags = (flags_), .resource = RES_WEBHOOK_ENDPOINT, .verb = VERB_WEBHOOKS, .operation_id = operation}
    WEBHOOK("GET", "/v1/webhook-endpoints", record_list, ROUTE_QUERY, "listWebhookEndpoints"),
    WEBHOOK("POST", "/v1/webhook-endpoints", webhook_endpoint_create, ROUTE_BODY | ROUTE_NO_STORE, "createWebhookEndpoint"),
    WEBHOOK("GET", "/v1/webhook-endpoints/{id}", record_get, ROUTE_QUERY, "getWebhookEndpoint"),
    WEBHOOK("PATCH", "/v1/webhook-endpoints/{id}", webhook_endpoint_patch, ROUTE_BODY | ROUTE_MERGE, "updateWebhookEndpoint"),
    WEBHOOK("DELETE", "/v1/webhook-endpoints/{id}", record_delete, 0, "deleteWebhookEndpoint"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/restore", record_restore, ROUTE_ACTION, "restoreWebhookEndpoint"),
    {.method = "GET", .path = "/v1/webhook-endpoints/{id}/history", .run = record_history, .query = paging, .resource = RES_WEBHOOK_ENDPOINT, .verb = VERB_WEBHOOKS, .operation_id = "getWebhookEndpointHistory"},
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/rotate-secret", webhook_secret_rotate, ROUTE_BODY | ROUTE_OPTIONAL | ROUTE_NO_STORE, "rotateWebhookSecret"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/test", webhook_endpoint_test, ROUTE_ACTION, "testWebhookEndpoint"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/enable", webhook_endpoint_enable, ROUTE_ACTION, "enableWebhookEndpoint"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/replay", webhook_replay_start, ROUTE_BODY, "replayWebhookDeliveries"),
    {.method = "GET", .path = "/v1/webhook-endpoints/{id}/stats", .run = webhook_stats, .query = QUERY(QUERY_FROM_TO("hours", 1, 168)), .resource = RES_WEBHOOK_ENDPOINT, .verb = VERB_WEBHOOKS, .operation_id = "getWebhookStats"},
    {.method = "GET", .path = "/.well-known/webhook-keys", .run = webhook_keys_show, .flags = ROUTE_MINUTE, .verb = VERB_PUBLIC, .operation_id = "getWebhookKeys"},
    {.method = "POST", .path = "/v1/webhook-keys/rotate", .run = webhook_keys_rotate, .flags = ROUTE_BODY | ROUTE_OPTIONAL, .verb = VERB_ADMIN, .operation_id = "rotateWebhookKey"},
    {.method = "GET", .path = "/v1/webhook-deliveries", .run = webhook_delivery_list, .query = PAGED({.name = "endpoint_id", .type = QUERY_ID}, QUERY_ONE_OF("state", "pending", "delivered", "failed", "exhausted", "withheld")), .resource = RES_WEBHOOK_ENDPOINT, .verb = VERB_WEBHOOKS, .operation_id = "listWebhookDeliveries"},
    WEBHOOK("GET", "/v1/webhook-deliveries/{id}", webhook_delivery_get, 0, "getWebhookDelivery"),
    WEBHOOK("GET", "/v1/webhook-deliveries/{id}/attempts", webhook_attempt_list, 0, "listWebhookAttempts"),
    WEBHOOK("POST", "/v1/webhook-deliveries/{id}/retry", webhook_delivery_retry, ROUTE_ACTION, "retryWebhookDelivery"),

    READ("/v1/roles", role_list, NULL, "listRoles"),
    {.method = "PUT", .path = "/v1/roles/{role}", .run = role_put, .flags = ROUTE_BODY, .verb = VERB_DECIDE, .operation_id = "putRole"},
    {.method = "DELETE", .path = "/v1/roles/{role}", .run = role_delete, .verb = VERB_DECIDE, .operation_id = "deleteRole"},
    READ("/v1/access/explain", access_explain, QUERY({.name = "user_id", .type = QUERY_ID}, {.name = "account_id", .type = QUERY_ID}, {.name = "area"}), "explainAccess"),
    {.method = "GET", .path = "/v1/audit", .run = audit_list, .query = PAGED({.name = "account_id", .type = QUERY_ID}, {.name = "actor"},
        QUERY_ONE_OF("action", "created", "updated", "deleted", "restored", "merged", "erased", "read"), {.name = "resource"},
        {.name = "record_id", .type = QUERY_ID}, {.name = "since", .type = QUERY_TIME}, {.name = "until", .type = QUERY_TIME}), .verb = VERB_AUDIT, .operation_id = "listAudit"},
    {.method = "GET", .path = "/v1/audit/anchors", .run = audit_anchor_list, .query = paging, .verb = VERB_AUDIT, .operation_id = "listAuditAnchors"},
    {.method = "GET", .path = "/v1/audit/verify", .run = audit_verify, .query = QUERY({.name = "account_id", .type = QUERY_ID}), .verb = VERB_AUDIT, .operation_id = "verifyAudit"},
    {.method = "GET", .path = "/.well-known/audit-keys", .run = audit_keys_show, .flags = ROUTE_MINUTE, .verb = VERB_PUBLIC, .operation_id = "getAuditKeys"},

    {.method = "GET", .path = "/v1/api-keys", .run = api_key_list, .query = paging, .verb = VERB_ADMIN, .operation_id = "listApiKeys"},
    {.method = "POST", .path = "/v1/api-keys", .run = api_key_create, .flags = ROUTE_BODY | ROUTE_NO_STORE, .verb = VERB_ADMIN, .operation_id = "createApiKey"},
    {.method = "GET", .path = "/v1/api-keys/{id}", .run = api_key_get, .verb = VERB_ADMIN, .operation_id = "getApiKey"},
    {.method = "POST", .path = "/v1/api-keys/{id}/rotate", .run = api_key_rotate, .flags = ROUTE_BODY | ROUTE_OPTIONAL | ROUTE_NO_STORE, .verb = VERB_ADMIN, .operation_id = "rotateApiKey"},
    {.method = "DELETE", .path = "/v1/api-keys/{id}", .run = api_key_revoke, .verb = VERB_ADMIN, .operation_id = "revokeApiKey"},
    {.method = "PUT", .path = "/v1/user-subjects/{subject}", .run = user_put, .flags = ROUTE_BODY, .resource = RES_USER, .verb = VERB_CREATE_ACCOUNT, .operation_id = "putUserBySubject"},
    {.method = "POST", .path = "/oauth/token", .handler = tokens_add, .flags = ROUTE_FORM | ROUTE_SECRET, .verb = VERB_PUBLIC, .operation_id = "createAccessToken"},
    {.method = "GET", .path = "/v1/me", .run = me_get, .verb = VERB_ANY, .operation_id = "getMe"},

    {.method = "GET", .path = "/livez", .handler = livez, .flags = ROUTE_FREE, .verb = VERB_PUBLIC, .operation_id = "getLivez"},
    {.method = "GET", .path = "/readyz", .handler = readyz, .flags = ROUTE_FREE, .verb = VERB_PUBLIC, .operation_id = "getReadyz"},
    {.method = "GET", .path = "/openapi.json", .handler = openapi_show, .verb = VERB_PUBLIC, .operation_id = "getOpenapi"},
    {.method = "GET", .path = "/openapi-salesforce.json", .handler = openapi_salesforce_show, .verb = VERB_PUBLIC, .operation_id = "getOpenapiSalesforce"},
    {.method = "GET", .path = "/docs", .handler = docs_show, .flags = ROUTE_HTML, .verb = VERB_PUBLIC, .operation_id = "getDocs"},
    {.method = "GET", .path = "/docs/{file}", .handler = docs_show, .flags = ROUTE_HTML, .verb = VERB_PUBLIC, .operation_id = "getDocsFile"},
    {.method = "GET", .path = "/problems/{code}", .handler = problem_show, .flags = ROUTE_HTML, .verb = VERB_PUBLIC, .operation_id = "getProblemType"},
};
/* clang-format on */
const size_t n_routes = COUNT_OF(routes);
