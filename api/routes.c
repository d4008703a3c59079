/* Every route of the public port. */
#include "handlers.h"

#define READ(path_, handler_, flags_, operation)                                                   \
    {                                                                                              \
        .method = "GET", .path = path_, .handler = handler_, .flags = (flags_), .resource = -1,    \
        .verb = VERB_READ, .operation_id = operation                                               \
    }

/* A document below an account that lies in one area. */
#define BELOW_AREA(path_, handler_, flags_, area_, operation)                                      \
    {                                                                                              \
        .method = "GET", .path = path_, .handler = handler_, .flags = (flags_), .resource = -1,    \
        .verb = VERB_READ, .areas = AREA_BIT(AREA_##area_), .operation_id = operation              \
    }

/* What shows the why of scores, too. */
#define EXPLAINS(path_, handler_, name, operation)                                                 \
    {                                                                                              \
        .method = "GET", .path = path_, .handler = handler_, .flags = ROUTE_QUERY, .resource = -1, \
        .verb = VERB_READ, .operation_id = operation, .explains = name                             \
    }

/* A plain resource: list, create, bulk, and one record's get, change, delete, restore, history. */
#define RESOURCE(base, id_, res, verb_create, verb_write, Name, Names)                             \
    {.method = "GET",                                                                              \
     .path = base,                                                                                 \
     .handler = resource_list,                                                                     \
     .flags = ROUTE_QUERY,                                                                         \
     .resource = res,                                                                              \
     .verb = VERB_READ,                                                                            \
     .operation_id = "list" Names},                                                                \
        {.method = "POST",                                                                         \
         .path = base,                                                                             \
         .handler = resource_create,                                                               \
         .flags = ROUTE_BODY,                                                                      \
         .resource = res,                                                                          \
         .verb = verb_create,                                                                      \
         .operation_id = "create" Name},                                                           \
        {.method = "POST",                                                                         \
         .path = base "/bulk",                                                                     \
         .handler = resource_bulk,                                                                 \
         .flags = ROUTE_BODY | ROUTE_BULK,                                                         \
         .resource = res,                                                                          \
         .verb = verb_create,                                                                      \
         .operation_id = "bulk" Names},                                                            \
        {.method = "GET",                                                                          \
         .path = base "/{id}",                                                                     \
         .handler = resource_get,                                                                  \
         .flags = ROUTE_QUERY,                                                                     \
         .resource = res,                                                                          \
         .verb = VERB_READ,                                                                        \
         .operation_id = "get" Name},                                                              \
        {.method = "PATCH",                                                                        \
         .path = base "/{id}",                                                                     \
         .handler = resource_patch,                                                                \
         .flags = ROUTE_BODY | ROUTE_MERGE,                                                        \
         .resource = res,                                                                          \
         .verb = verb_write,                                                                       \
         .operation_id = "update" Name},                                                           \
        {.method = "DELETE",                                                                       \
         .path = base "/{id}",                                                                     \
         .handler = resource_delete,                                                               \
         .resource = res,                                                                          \
         .verb = verb_write,                                                                       \
         .operation_id = "delete" Name},                                                           \
        {.method = "POST",                                                                         \
         .path = base "/{id}/restore",                                                             \
         .handler = resource_restore,                                                              \
         .flags = ROUTE_ACTION,                                                                    \
         .resource = res,                                                                          \
         .verb = verb_write,                                                                       \
         .operation_id = "restore" Name},                                                          \
    {                                                                                              \
        .method = "GET", .path = base "/{id}/history", .handler = resource_history,                \
        .flags = ROUTE_QUERY, .resource = res, .verb = VERB_READ,                                  \
        .operation_id = "get" Name "History"                                                       \
    }

#define BELOW(path_, res, Names)                                                                   \
    {                                                                                              \
        .method = "GET", .path = "/v1/accounts/{account_id}/" path_, .handler = resource_list,     \
        .flags = ROUTE_QUERY, .resource = res, .verb = VERB_READ,                                  \
        .operation_id = "listAccount" Names                                                        \
    }

/* Answers with JSON, CSV or SVG, as the parameter `format` asks. */
#define REPORT(name, operation, explains_)                                                         \
    {                                                                                              \
        .method = "GET", .path = "/v1/program/" name, .handler = report_show,                      \
        .flags = ROUTE_QUERY | ROUTE_HTML, .resource = -1, .verb = VERB_READ,                      \
        .operation_id = operation, .explains = explains_                                           \
    }

/* clang-format off */
const struct route routes[] = {
    RESOURCE("/v1/accounts", id, RES_ACCOUNT, VERB_CREATE_ACCOUNT, VERB_WRITE, "Account", "Accounts"),
    RESOURCE("/v1/contacts", id, RES_CONTACT, VERB_WRITE, VERB_WRITE, "Contact", "Contacts"),
    RESOURCE("/v1/plans", id, RES_PLAN, VERB_WRITE, VERB_WRITE, "Plan", "Plans"),
    RESOURCE("/v1/reviews", id, RES_REVIEW, VERB_WRITE, VERB_WRITE, "Review", "Reviews"),
    RESOURCE("/v1/follow-ups", id, RES_FOLLOW_UP, VERB_WRITE, VERB_WRITE, "FollowUp", "FollowUps"),
    RESOURCE("/v1/users", id, RES_USER, VERB_CREATE_ACCOUNT, VERB_CREATE_ACCOUNT, "User", "Users"),
    RESOURCE("/v1/custom-fields", id, RES_CUSTOM_FIELD, VERB_ADMIN, VERB_ADMIN, "CustomField", "CustomFields"),
    RESOURCE("/v1/accounts/{account_id}/interactions", id, RES_INTERACTION, VERB_WRITE, VERB_WRITE, "Interaction", "Interactions"),
    RESOURCE("/v1/accounts/{account_id}/problems", id, RES_PROBLEM, VERB_WRITE, VERB_WRITE, "Problem", "Problems"),
    RESOURCE("/v1/accounts/{account_id}/orders", id, RES_ORDER, VERB_ORDERS, VERB_ORDERS, "Order", "Orders"),
    RESOURCE("/v1/accounts/{account_id}/commitments", id, RES_COMMITMENT, VERB_WRITE, VERB_WRITE, "Commitment", "Commitments"),
    RESOURCE("/v1/accounts/{account_id}/team", id, RES_TEAM_MEMBER, VERB_WRITE, VERB_WRITE, "TeamMember", "TeamMembers"),
    RESOURCE("/v1/accounts/{account_id}/wallet", id, RES_WALLET, VERB_WRITE, VERB_WRITE, "Wallet", "Wallets"),
    RESOURCE("/v1/accounts/{account_id}/needs", id, RES_NEED, VERB_WRITE, VERB_WRITE, "Need", "Needs"),
    RESOURCE("/v1/accounts/{account_id}/solutions", id, RES_SOLUTION, VERB_WRITE, VERB_WRITE, "Solution", "Solutions"),
    RESOURCE("/v1/accounts/{account_id}/investments", id, RES_INVESTMENT, VERB_WRITE, VERB_WRITE, "Investment", "Investments"),
    RESOURCE("/v1/accounts/{account_id}/projects", id, RES_PROJECT, VERB_WRITE, VERB_WRITE, "Project", "Projects"),
    RESOURCE("/v1/accounts/{account_id}/links", id, RES_LINK, VERB_WRITE, VERB_WRITE, "Link", "Links"),
    BELOW("contacts", RES_CONTACT, "Contacts"),
    {.method = "GET", .path = "/v1/contacts/{id}/personal-data", .handler = contact_known, .flags = ROUTE_QUERY, .resource = RES_CONTACT, .verb = VERB_AUDIT, .operation_id = "getContactPersonalData"},
    {.method = "POST", .path = "/v1/contacts/{id}/erase", .handler = contact_forget, .flags = ROUTE_BODY, .resource = RES_CONTACT, .verb = VERB_DECIDE, .operation_id = "eraseContact"},
    BELOW("plans", RES_PLAN, "Plans"),
    BELOW("reviews", RES_REVIEW, "Reviews"),
    BELOW("follow-ups", RES_FOLLOW_UP, "FollowUps"),

#define FOLLOW_UP(word, handler_, flags_, operation)                                                \
    {.method = "POST", .path = "/v1/follow-ups/{id}/" word, .handler = handler_, .flags = (flags_), .resource = RES_FOLLOW_UP, .verb = VERB_WRITE, .operation_id = operation}
    FOLLOW_UP("complete", follow_up_done, ROUTE_BODY | ROUTE_OPTIONAL, "completeFollowUp"),
    FOLLOW_UP("snooze", follow_up_later, ROUTE_BODY, "snoozeFollowUp"),
    FOLLOW_UP("cancel", follow_up_off, ROUTE_BODY | ROUTE_OPTIONAL, "cancelFollowUp"),
    FOLLOW_UP("assign", follow_up_to, ROUTE_BODY, "assignFollowUp"),
    BELOW_AREA("/v1/accounts/{account_id}/commitments/summary", commitments_kept, 0, INTERACTIONS, "getCommitmentSummary"),
    READ("/v1/users/{id}/agenda", agenda_show, ROUTE_QUERY, "getAgenda"),
    {.method = "GET", .path = "/v1/users/{id}/agenda.ics", .handler = agenda_calendar, .flags = ROUTE_QUERY | ROUTE_HTML | ROUTE_SECRET, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getAgendaCalendar"},
    {.method = "POST", .path = "/v1/users/{id}/agenda-token", .handler = agenda_open, .flags = ROUTE_ACTION, .resource = -1, .verb = VERB_WRITE, .operation_id = "createAgendaToken"},
    {.method = "DELETE", .path = "/v1/users/{id}/agenda-token", .handler = agenda_close, .resource = -1, .verb = VERB_WRITE, .operation_id = "deleteAgendaToken"},

    READ("/v1/plans/{id}/sections", section_list, 0, "listPlanSections"),
    READ("/v1/plans/{id}/sections/interaction_history", section_generated, ROUTE_QUERY, "getPlanInteractionHistory"),
    {.method = "GET", .path = "/v1/plans/{id}/sections/{section}", .handler = section_get, .resource = RES_PLAN_SECTION, .verb = VERB_READ, .operation_id = "getPlanSection"},
    {.method = "PUT", .path = "/v1/plans/{id}/sections/{section}", .handler = section_write, .flags = ROUTE_BODY, .resource = RES_PLAN_SECTION, .verb = VERB_WRITE, .operation_id = "replacePlanSection"},
    {.method = "PATCH", .path = "/v1/plans/{id}/sections/{section}", .handler = section_write, .flags = ROUTE_BODY | ROUTE_MERGE, .resource = RES_PLAN_SECTION, .verb = VERB_WRITE, .operation_id = "updatePlanSection"},

#define PLAN(method_, path_, handler_, flags_, verb_, operation)                                        \
    {.method = method_, .path = "/v1/plans/{id}/" path_, .handler = handler_, .flags = (flags_), .resource = -1, .verb = verb_, .operation_id = operation}
    PLAN("POST", "activate", plan_on, ROUTE_BODY | ROUTE_OPTIONAL, VERB_WRITE, "activatePlan"),
    PLAN("POST", "close", plan_off, ROUTE_ACTION, VERB_WRITE, "closePlan"),
    PLAN("GET", "versions", versions_show, ROUTE_QUERY, VERB_READ, "listPlanVersions"),
    PLAN("GET", "versions/{version_no}", version_show, 0, VERB_READ, "getPlanVersion"),
    PLAN("GET", "versions/{version_no}/diff", version_compare, ROUTE_QUERY, VERB_READ, "diffPlanVersion"),
    PLAN("GET", "acknowledgements", acknowledgements_show, ROUTE_QUERY, VERB_READ, "listPlanAcknowledgements"),
    PLAN("POST", "acknowledgements", acknowledgements_add, ROUTE_BODY | ROUTE_OPTIONAL, VERB_WRITE, "acknowledgePlan"),
    READ("/v1/plan-templates", templates_show, ROUTE_QUERY, "listPlanTemplates"),
    READ("/v1/plan-templates/{version}", template_show, 0, "getPlanTemplate"),
    {.method = "POST", .path = "/v1/plan-templates", .handler = templates_add, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_DECIDE, .operation_id = "createPlanTemplate"},
    {.method = "POST", .path = "/v1/plan-templates/{version}/activate", .handler = template_use, .flags = ROUTE_ACTION, .resource = -1, .verb = VERB_DECIDE, .operation_id = "activatePlanTemplate"},
    {.method = "POST", .path = "/v1/reviews/{id}/complete", .handler = review_end, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_WRITE, .operation_id = "completeReview"},
    BELOW_AREA("/v1/accounts/{account_id}/expectations", expectations_show, 0, REVIEWS, "getExpectations"),
    {.method = "POST", .path = "/v1/accounts/{account_id}/expectations", .handler = expectations_add, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_WRITE, .areas = AREA_BIT(AREA_REVIEWS), .operation_id = "rateExpectations"},

    {.method = "GET", .path = "/v1/program", .handler = program_show, .resource = -1, .verb = VERB_READ, .operation_id = "getProgram"},
    {.method = "PATCH", .path = "/v1/program", .handler = program_change, .flags = ROUTE_BODY | ROUTE_MERGE, .resource = -1, .verb = VERB_DECIDE, .operation_id = "updateProgram"},
    {.method = "GET", .path = "/v1/program/settings", .handler = settings_show, .resource = -1, .verb = VERB_READ, .operation_id = "getProgramSettings"},
    {.method = "PATCH", .path = "/v1/program/settings", .handler = settings_change, .flags = ROUTE_BODY | ROUTE_MERGE, .resource = -1, .verb = VERB_DECIDE, .operation_id = "updateProgramSettings"},
    READ("/v1/program/rates", rates_show, 0, "listRates"),
    {.method = "PUT", .path = "/v1/program/rates/{currency_code}", .handler = rates_set, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_DECIDE, .operation_id = "putRate"},
    {.method = "DELETE", .path = "/v1/program/rates/{currency_code}", .handler = rates_drop, .resource = -1, .verb = VERB_DECIDE, .operation_id = "deleteRate"},
    READ("/v1/program/criteria/{version}", criteria_one, 0, "getCriteria"),
    READ("/v1/program/criteria", criteria_show, ROUTE_QUERY, "listCriteria"),
    {.method = "POST", .path = "/v1/program/criteria", .handler = criteria_add, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_DECIDE, .operation_id = "createCriteria"},
    {.method = "POST", .path = "/v1/program/criteria/{version}/activate", .handler = criteria_use, .flags = ROUTE_ACTION, .resource = -1, .verb = VERB_DECIDE, .operation_id = "activateCriteria"},
    {.method = "POST", .path = "/v1/program/evaluations", .handler = evaluation_add, .flags = ROUTE_BODY | ROUTE_OPTIONAL, .resource = -1, .verb = VERB_DECIDE, .operation_id = "startEvaluation"},
    {.method = "POST", .path = "/v1/program/simulations", .handler = simulation_add, .flags = ROUTE_BODY | ROUTE_OPTIONAL, .resource = -1, .verb = VERB_DECIDE, .operation_id = "simulateProgram", .explains = "simulation"},
    {.method = "GET", .path = "/v1/program/nominations", .handler = resource_list, .flags = ROUTE_QUERY, .resource = RES_NOMINATION, .verb = VERB_READ, .operation_id = "listNominations"},
    {.method = "POST", .path = "/v1/program/nominations", .handler = resource_create, .flags = ROUTE_BODY, .resource = RES_NOMINATION, .verb = VERB_WRITE, .operation_id = "createNomination"},
    {.method = "GET", .path = "/v1/program/nominations/{id}", .handler = resource_get, .flags = ROUTE_QUERY, .resource = RES_NOMINATION, .verb = VERB_READ, .operation_id = "getNomination"},
    {.method = "GET", .path = "/v1/program/nominations/{id}/history", .handler = resource_history, .flags = ROUTE_QUERY, .resource = RES_NOMINATION, .verb = VERB_READ, .operation_id = "getNominationHistory"},
    {.method = "POST", .path = "/v1/program/nominations/{id}/decline", .handler = nomination_refuse, .flags = ROUTE_BODY, .resource = RES_NOMINATION, .verb = VERB_DECIDE, .operation_id = "declineNomination"},
    {.method = "POST", .path = "/v1/program/nominations/{id}/withdraw", .handler = nomination_take_back, .flags = ROUTE_ACTION, .resource = RES_NOMINATION, .verb = VERB_WRITE, .operation_id = "withdrawNomination"},
    EXPLAINS("/v1/program/evaluations/{id}/results", evaluation_show, "evaluation", "listEvaluationResults"),
    REPORT("pareto", "getPareto", "report"),
    REPORT("capacity", "getCapacity", NULL),
    REPORT("attention-gap", "getAttentionGap", NULL),
    REPORT("cadence", "getCadence", NULL),
    REPORT("compliance", "getCompliance", NULL),
    REPORT("candidates", "getCandidates", "report"),
    REPORT("rollup", "getRollup", "report"),
    REPORT("late-access", "getLateAccess", NULL),
    READ("/v1/operations/{id}", operation_show, 0, "getOperation"),
    {.method = "POST", .path = "/v1/accounts/{id}/designate", .handler = account_designation, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_DECIDE, .operation_id = "designateAccount", .explains = "key_status"},
    {.method = "POST", .path = "/v1/accounts/{id}/merge", .handler = account_join, .flags = ROUTE_BODY, .resource = RES_ACCOUNT, .verb = VERB_DECIDE, .operation_id = "mergeAccount"},
    BELOW_AREA("/v1/accounts/{id}/opportunities", opportunities_show, ROUTE_QUERY, PLAN, "getAccountOpportunities"),
    BELOW_AREA("/v1/accounts/{id}/economics", economics_show, ROUTE_QUERY, ECONOMICS, "getAccountEconomics"),
    BELOW_AREA("/v1/accounts/{id}/whitespace", whitespace_show, ROUTE_QUERY, SALES, "getAccountWhitespace"),
    BELOW_AREA("/v1/accounts/{id}/sales", account_months, ROUTE_QUERY, SALES, "getAccountSales"),
    {.method = "POST", .path = "/v1/accounts/{id}/de-designate", .handler = account_release, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_DECIDE, .operation_id = "deDesignateAccount", .explains = "key_status"},
    {.method = "POST", .path = "/v1/program/swaps", .handler = account_swap, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_DECIDE, .operation_id = "swapKeyAccounts", .explains = "key_status"},
    BELOW_AREA("/v1/accounts/{id}/metrics", assessed_show, 0, ECONOMICS, "getAccountMetrics"),
    {.method = "PUT", .path = "/v1/accounts/{id}/metrics", .handler = assessed_set, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_WRITE, .areas = AREA_BIT(AREA_ECONOMICS), .operation_id = "putAccountMetrics"},
    BELOW_AREA("/v1/accounts/{id}/fit-check", fit_show, 0, PLAN, "getFitCheck"),
    {.method = "PUT", .path = "/v1/accounts/{id}/fit-check", .handler = fit_set, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_WRITE, .areas = AREA_BIT(AREA_PLAN), .operation_id = "putFitCheck"},
    BELOW_AREA("/v1/accounts/{id}/health", health_show, 0, ECONOMICS, "getAccountHealth"),
    EXPLAINS("/v1/accounts/{id}/key-status", account_status, "key_status", "getKeyStatus"),
    EXPLAINS("/v1/accounts/{id}/key-status/history", account_transitions, "key_status", "listKeyStatusHistory"),
    {.method = "GET", .path = "/v1/recognition", .handler = account_recognition, .flags = ROUTE_QUERY | ROUTE_MEMORY, .resource = -1, .verb = VERB_ANY, .operation_id = "recognise"},

    {.method = "PUT", .path = "/v1/sync/{system}/{resource}/{external_id}", .handler = sync_record, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_SYNC, .operation_id = "syncRecord"},
    {.method = "DELETE", .path = "/v1/sync/{system}/{resource}/{external_id}", .handler = sync_record_drop, .resource = -1, .verb = VERB_SYNC, .operation_id = "deleteSyncRecord"},
    {.method = "GET", .path = "/v1/sync/{system}/deferred", .handler = sync_deferred, .flags = ROUTE_QUERY, .resource = -1, .verb = VERB_SYNC, .operation_id = "listDeferredRecords"},
    {.method = "GET", .path = "/v1/sync/{system}/policy", .handler = policy_show, .resource = -1, .verb = VERB_SYNC, .operation_id = "getSyncPolicy"},
    {.method = "PUT", .path = "/v1/sync/{system}/policy", .handler = policy_set, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_ADMIN, .operation_id = "putSyncPolicy"},
    {.method = "GET", .path = "/v1/sync/{system}/conflicts", .handler = conflicts_show, .flags = ROUTE_QUERY, .resource = -1, .verb = VERB_SYNC, .operation_id = "listSyncConflicts"},
    {.method = "POST", .path = "/v1/sync/{system}/conflicts/{id}/resolve", .handler = conflict_end, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_SYNC, .operation_id = "resolveSyncConflict"},
    {.method = "POST", .path = "/v1/sync/{system}/{resource}", .handler = sync_records, .flags = ROUTE_BODY | ROUTE_BULK, .resource = -1, .verb = VERB_SYNC, .operation_id = "syncRecords"},

#define EXPORT(path_, res, Names)                                                                   \
    {.method = "GET", .path = "/v1/" path_ "/export", .handler = resource_export, .flags = ROUTE_QUERY | ROUTE_HTML, .resource = res, .verb = VERB_READ, .operation_id = "export" Names}
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

#define IMPORT(method_, path_, handler_, flags_, operation)                                         \
    {.method = method_, .path = "/v1/imports" path_, .handler = handler_, .flags = (flags_), .resource = -1, .verb = VERB_SYNC, .operation_id = operation}
    IMPORT("GET", "", imports_show, ROUTE_QUERY, "listImports"),
    IMPORT("POST", "", imports_add, ROUTE_BODY, "createImport"),
    IMPORT("GET", "/{id}", import_show, 0, "getImport"),
    IMPORT("PUT", "/{id}/parts/{n}", import_part, ROUTE_RAW, "putImportPart"),
    IMPORT("POST", "/{id}/start", import_go, ROUTE_ACTION, "startImport"),
    IMPORT("GET", "/{id}/errors", import_wrong, ROUTE_QUERY | ROUTE_HTML, "listImportErrors"),
    IMPORT("POST", "/{id}/revert", import_undo, ROUTE_ACTION, "revertImport"),
    READ("/v1/changes", changes_show, ROUTE_QUERY, "listChanges"),
    READ("/v1/events", events_show, ROUTE_QUERY, "listEvents"),
    {.method = "GET", .path = "/v1/events/stream", .handler = events_stream, .flags = ROUTE_QUERY | ROUTE_HTML, .resource = -1, .verb = VERB_READ, .operation_id = "streamEvents"},
    READ("/v1/event-types", event_types_show, 0, "listEventTypes"),

#define WEBHOOK(method_, path_, handler_, flags_, operation)                                        \
    {.method = method_, .path = path_, .handler = handler_, .flags = (flags_), .resource = RES_WEBHOOK_ENDPOINT, .verb = VERB_WEBHOOKS, .operation_id = operation}
    WEBHOOK("GET", "/v1/webhook-endpoints", resource_list, ROUTE_QUERY, "listWebhookEndpoints"),
    WEBHOOK("POST", "/v1/webhook-endpoints", webhook_add, ROUTE_BODY, "createWebhookEndpoint"),
    WEBHOOK("GET", "/v1/webhook-endpoints/{id}", resource_get, ROUTE_QUERY, "getWebhookEndpoint"),
    WEBHOOK("PATCH", "/v1/webhook-endpoints/{id}", webhook_change, ROUTE_BODY | ROUTE_MERGE, "updateWebhookEndpoint"),
    WEBHOOK("DELETE", "/v1/webhook-endpoints/{id}", resource_delete, 0, "deleteWebhookEndpoint"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/restore", resource_restore, ROUTE_ACTION, "restoreWebhookEndpoint"),
    WEBHOOK("GET", "/v1/webhook-endpoints/{id}/history", resource_history, ROUTE_QUERY, "getWebhookEndpointHistory"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/rotate-secret", webhook_rotate, ROUTE_BODY | ROUTE_OPTIONAL, "rotateWebhookSecret"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/test", webhook_try, ROUTE_ACTION, "testWebhookEndpoint"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/enable", webhook_on, ROUTE_ACTION, "enableWebhookEndpoint"),
    WEBHOOK("POST", "/v1/webhook-endpoints/{id}/replay", webhook_replay, ROUTE_BODY, "replayWebhookDeliveries"),
    WEBHOOK("GET", "/v1/webhook-endpoints/{id}/stats", stats_show, ROUTE_QUERY, "getWebhookStats"),
    {.method = "GET", .path = "/.well-known/webhook-keys", .handler = keys_show, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getWebhookKeys"},
    {.method = "POST", .path = "/v1/webhook-keys/rotate", .handler = keys_change, .flags = ROUTE_BODY | ROUTE_OPTIONAL, .resource = -1, .verb = VERB_ADMIN, .operation_id = "rotateWebhookKey"},
    WEBHOOK("GET", "/v1/webhook-deliveries", deliveries_show, ROUTE_QUERY, "listWebhookDeliveries"),
    WEBHOOK("GET", "/v1/webhook-deliveries/{id}", delivery_show, 0, "getWebhookDelivery"),
    WEBHOOK("GET", "/v1/webhook-deliveries/{id}/attempts", attempts_show, 0, "listWebhookAttempts"),
    WEBHOOK("POST", "/v1/webhook-deliveries/{id}/retry", delivery_again, ROUTE_ACTION, "retryWebhookDelivery"),

    READ("/v1/roles", roles_show, 0, "listRoles"),
    {.method = "PUT", .path = "/v1/roles/{role}", .handler = roles_set, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_DECIDE, .operation_id = "putRole"},
    {.method = "DELETE", .path = "/v1/roles/{role}", .handler = roles_drop, .resource = -1, .verb = VERB_DECIDE, .operation_id = "deleteRole"},
    READ("/v1/access/explain", access_show, ROUTE_QUERY, "explainAccess"),
    {.method = "GET", .path = "/v1/audit", .handler = audit_show, .flags = ROUTE_QUERY, .resource = -1, .verb = VERB_AUDIT, .operation_id = "listAudit"},
    {.method = "GET", .path = "/v1/audit/anchors", .handler = audit_anchors, .flags = ROUTE_QUERY, .resource = -1, .verb = VERB_AUDIT, .operation_id = "listAuditAnchors"},
    {.method = "GET", .path = "/v1/audit/verify", .handler = audit_check, .flags = ROUTE_QUERY, .resource = -1, .verb = VERB_AUDIT, .operation_id = "verifyAudit"},
    {.method = "GET", .path = "/.well-known/audit-keys", .handler = audit_keys, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getAuditKeys"},

    {.method = "GET", .path = "/v1/api-keys", .handler = api_keys_show, .flags = ROUTE_QUERY, .resource = -1, .verb = VERB_ADMIN, .operation_id = "listApiKeys"},
    {.method = "POST", .path = "/v1/api-keys", .handler = api_keys_add, .flags = ROUTE_BODY, .resource = -1, .verb = VERB_ADMIN, .operation_id = "createApiKey"},
    {.method = "GET", .path = "/v1/api-keys/{id}", .handler = api_keys_one, .resource = -1, .verb = VERB_ADMIN, .operation_id = "getApiKey"},
    {.method = "POST", .path = "/v1/api-keys/{id}/rotate", .handler = api_keys_rotate, .flags = ROUTE_BODY | ROUTE_OPTIONAL, .resource = -1, .verb = VERB_ADMIN, .operation_id = "rotateApiKey"},
    {.method = "DELETE", .path = "/v1/api-keys/{id}", .handler = api_keys_drop, .resource = -1, .verb = VERB_ADMIN, .operation_id = "revokeApiKey"},
    {.method = "PUT", .path = "/v1/user-subjects/{subject}", .handler = users_put, .flags = ROUTE_BODY, .resource = RES_USER, .verb = VERB_CREATE_ACCOUNT, .operation_id = "putUserBySubject"},
    {.method = "POST", .path = "/oauth/token", .handler = tokens_add, .flags = ROUTE_FORM | ROUTE_SECRET, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "createAccessToken"},
    {.method = "GET", .path = "/v1/me", .handler = me_show, .resource = -1, .verb = VERB_ANY, .operation_id = "getMe"},

    {.method = "GET", .path = "/livez", .handler = livez, .flags = ROUTE_FREE, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getLivez"},
    {.method = "GET", .path = "/readyz", .handler = readyz, .flags = ROUTE_FREE, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getReadyz"},
    {.method = "GET", .path = "/openapi.json", .handler = openapi_show, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getOpenapi"},
    {.method = "GET", .path = "/openapi-salesforce.json", .handler = openapi_salesforce_show, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getOpenapiSalesforce"},
    {.method = "GET", .path = "/docs", .handler = docs_show, .flags = ROUTE_HTML, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getDocs"},
    {.method = "GET", .path = "/docs/{file}", .handler = docs_show, .flags = ROUTE_HTML, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getDocsFile"},
    {.method = "GET", .path = "/problems/{code}", .handler = problem_show, .flags = ROUTE_HTML, .resource = -1, .verb = VERB_PUBLIC, .operation_id = "getProblemType"},
};
/* clang-format on */
const size_t n_routes = COUNT_OF(routes);
