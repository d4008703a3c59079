/* The closed list of what can go wrong, as clients see it: HTTP status, stable code, title (RFC
 * 9457).
 * `/problems/{code}` shows the text; openapi.yaml and the contract test name the same codes. */
#ifndef KAMD_CORE_PROBLEM_H
#define KAMD_CORE_PROBLEM_H

#include "core/retention.h"

/* X(enum, status, code, title, meaning) */
#define PROBLEMS(X)                                                                                \
    X(MALFORMED_JSON, 400, "malformed_json", "The body is not valid JSON",                         \
      "The body must be one JSON document in UTF-8, without duplicate keys, NUL, or nesting "      \
      "deeper than 32 levels.")                                                                    \
    X(INVALID_REQUEST, 400, "invalid_request",                                                     \
      "The request is malformed or names something unknown",                                       \
      "errors[] names every unknown or malformed parameter, header and field of the request.")     \
    X(INVALID_CURSOR, 400, "invalid_cursor", "The cursor does not belong to this list",            \
      "A cursor works only with the filters and the ordering it was made for. Start again "        \
      "without one.")                                                                              \
    X(UNAUTHENTICATED, 401, "unauthenticated", "A valid API key or access token is needed",        \
      "Send `Authorization: Bearer ...` with an API key that exists and has not expired, or with " \
      "an access token of the identity provider or of /oauth/token.")                              \
    X(FORBIDDEN, 403, "forbidden", "You may not do this",                                          \
      "The caller's role or scopes do not include this action.")                                   \
    X(REGION_CRITERIA, 403, "criteria_are_company_wide", "Criteria are one for the whole company", \
      "Regions cannot set criteria of their own; they may nominate accounts.")                     \
    X(NOT_FOUND, 404, "not_found", "There is nothing here that you can see",                       \
      "The resource does not exist, was deleted, or is not visible to the caller.")                \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "This path has no such method",               \
      "The Allow header lists the methods of this path.")                                          \
    X(NOT_ACCEPTABLE, 406, "not_acceptable", "No representation fits the Accept header",           \
      "kamd answers with application/json.")                                                       \
    X(CONFLICT, 409, "conflict", "The current state does not allow this",                          \
      "The detail says which state is in the way.")                                                \
    X(ALREADY_EXISTS, 409, "already_exists", "A value that must be unique is taken",               \
      "errors[] names the field whose value another record already has.")                          \
    X(IN_FLIGHT, 409, "request_in_flight", "The same Idempotency-Key is being worked on",          \
      "Wait for retry_after_seconds and send the same request again.")                             \
    X(CONTACT_ERASED, 409, "contact_erased", "The person was erased for good",                     \
      "A contact that was erased is not restored, written or created again, also not by another "  \
      "system under the id that it had there.")                                                    \
    X(ACCOUNT_CYCLE, 409, "account_cycle", "An account cannot be below itself",                    \
      "The parent named is the account itself or one of its descendants.")                         \
    X(KEY_IS_CUSTOMER, 409, "key_account_is_customer",                                             \
      "A key account does not become a unit of another customer",                                  \
      "End its key status first, or let a director make it a customer of its own (standalone).")   \
    X(UNIT_OF_CUSTOMER, 409, "unit_of_customer", "The account is a unit of a customer",            \
      "A key account is a customer with all its units: take customer_id, or let a director make "  \
      "the unit a customer of its own (standalone).")                                              \
    X(KEY_CAP_REACHED, 409, "key_account_cap_reached", "The list of key accounts is full",         \
      "max_key_accounts is reached. weakest[] names the members with the lowest score; swap one "  \
      "out, or raise the cap.")                                                                    \
    X(GROWTH_REACHED, 409, "key_account_growth_reached",                                           \
      "The list may not grow further this year",                                                   \
      "max_net_growth of this program year is used up.")                                           \
    X(MANAGER_OVERLOADED, 409, "manager_capacity_reached",                                         \
      "The manager has no room for another key account",                                           \
      "The accountable manager already has as many key accounts as the capacity allows.")          \
    X(SECOND_MANAGER, 409, "second_account_manager", "A team has one account manager at a time",   \
      "Somebody else is the team's account manager on one of these days; end that membership "     \
      "first.")                                                                                    \
    X(USER_NEEDED, 409, "user_is_needed", "The person still answers for something",                \
      "counts says for what: accounts, open follow-ups, promises and so on. Hand it over with "    \
      "POST /v1/users/{id}/deactivate, which also ends the person's access.")                      \
    X(TRANSACTIONAL, 409, "transactional_sales_cycle",                                             \
      "Key account management does not work for a transactional sales cycle",                      \
      "A director may override it with a reason and an expiry (requirement 000-02).")              \
    X(FIT_UNSUITABLE, 409, "fit_check_unsuitable", "The fit check found the account unsuitable",   \
      "A director may override it with a reason and an expiry (requirement 000-07).")              \
    X(FIT_REQUIRED, 409, "fit_check_required", "A recent fit check is needed",                     \
      "Go through the checklist first: PUT /v1/accounts/{id}/fit-check (requirement 000-01).")     \
    X(PLAN_NOT_READY, 409, "plan_not_ready", "The plan cannot be activated yet",                   \
      "errors[] names everything that is missing: the fit check, sections, win-win on both "       \
      "sides, the manager, the sponsor.")                                                          \
    X(REVIEW_SCHEDULED, 409, "review_is_scheduled",                                                \
      "The account has a scheduled review of this cadence",                                        \
      "Hold, move or cancel the scheduled review, or give the new one another cadence.")           \
    X(CURSOR_EXPIRED, 410, "cursor_expired", "That far back is no longer kept",                    \
      "Events are kept for " EVENTS_KEPT                                                           \
      ", and a restore of the database takes some back. Read the "                                 \
      "resources again, then go on from the newest event.")                                        \
    X(PRECONDITION_FAILED, 412, "precondition_failed", "The resource has changed",                 \
      "current_etag is the resource's ETag now. Read it again and repeat the change on it.")       \
    X(PAYLOAD_TOO_LARGE, 413, "payload_too_large", "The body is too large",                        \
      "At most 1 MiB; 8 MiB on bulk routes.")                                                      \
    X(URI_TOO_LONG, 414, "uri_too_long", "The URL is too long",                                    \
      "Path and query together may have at most 8 KiB.")                                           \
    X(UNSUPPORTED_MEDIA, 415, "unsupported_media_type", "This media type is not read here",        \
      "Send application/json (PATCH also takes application/merge-patch+json).")                    \
    X(VALIDATION, 422, "validation_failed", "Well-formed, but against a rule",                     \
      "errors[] names every violation with a JSON pointer.")                                       \
    X(IDEMPOTENCY_REUSED, 422, "idempotency_key_reused",                                           \
      "This Idempotency-Key belongs to another request",                                           \
      "The key was used with another method, path or body within the last " ANSWERS_KEPT ".")      \
    X(NOT_EXISTING_CUSTOMER, 422, "not_existing_customer",                                         \
      "Only an existing customer can become a key account",                                        \
      "The account's lifecycle must be `customer` (requirement 002-11).")                          \
    X(LEVEL_ORDER, 422, "level_order", "Levels must descend along the tree",                       \
      "global, regional, national, sub_regional: a child's level must be below its parent's "      \
      "(requirement 004-05).")                                                                     \
    X(PRECONDITION_REQUIRED, 428, "precondition_required", "If-Match is required",                 \
      "Send the etag that you read in If-Match, so that nobody's change is lost.")                 \
    X(TOO_MANY_REQUESTS, 429, "too_many_requests", "Too many requests",                            \
      "Wait for retry_after_seconds.")                                                             \
    X(HEADERS_TOO_LARGE, 431, "headers_too_large", "The header fields are too large",              \
      "All header fields together may have at most 8 KiB; more than 25 fields, cookies, or a "     \
      "long URL beside them leave less.")                                                          \
    X(INTERNAL, 500, "internal_error", "Something went wrong on our side",                         \
      "The error is logged under the request_id.")                                                 \
    X(OVERLOADED, 503, "overloaded", "Too busy to take this request",                              \
      "Nothing was done. Wait for retry_after_seconds and send the request again.")                \
    X(DATABASE_UNAVAILABLE, 503, "database_unavailable", "The database is not reachable",          \
      "Nothing was done. Wait for retry_after_seconds and send the request again.")                \
    X(SIGN_IN_UNAVAILABLE, 503, "sign_in_unavailable",                                             \
      "The identity provider's keys are not known",                                                \
      "Tokens cannot be verified before the identity provider was reached; API keys work. Wait "   \
      "for retry_after_seconds and send the request again.")                                       \
    X(OUTCOME_UNKNOWN, 503, "outcome_unknown", "It is not known whether the change was made",      \
      "The database was lost during commit. Send the same request with the same Idempotency-Key: " \
      "it takes effect once.")                                                                     \
    X(NOT_READY, 503, "not_ready", "This instance is starting or stopping",                        \
      "Send the request again; another instance will answer.")

enum problem {
    PROBLEM_NONE,
#define X(name, status, code, title, meaning) PROBLEM_##name,
    PROBLEMS(X)
#undef X
        PROBLEM_COUNT
};

struct problem_info {
    int status;
    const char *code;
    const char *title;
    const char *meaning;
};

const struct problem_info *problem_info(enum problem problem);
/* PROBLEM_NONE when the list has no such code. */
enum problem problem_by_code(const char *code);

#endif
