/* Descriptor of webhook endpoints: where events are sent to. */
#include "domain/check.h"
#include "fields.h"

#include <stdio.h>

/* clang-format off */
static const struct field header_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 64, .check = check_header_name, .about = "None that HTTP or the message itself needs."},
    {.name = "value", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 1000, .check = check_header_value, .about = "Printable ASCII. Kept sealed and never shown again: what is read is `sealed:` and an id, which may be sent back to keep it."},
};
static void webhook_endpoint_check(const jv *doc, const char *at, struct err *err)
{
    const jv *headers = jv_get(doc, "headers");
    for (size_t i = 0; i < jv_len(headers); i++)
        for (size_t k = 0; k < i; k++)
            if (str_case_is(jv_text(jv_get(jv_at(headers, i), "name")), jv_text(jv_get(jv_at(headers, k), "name")).ptr)) {
                char where[128];
                snprintf(where, sizeof where, "%s/headers/%zu/name", at, i);
                err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "repeated", "This header is there already.");
            }
}
static const struct field webhook_endpoint_fields[] = {
    FIELDS_COMMON,
    {.name = "url", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 2000, .about = "https; the address is checked again at every connection."},
    {.name = "description", .type = FIELD_TEXT, .max = 500, .about = "What it is for."},
    {.name = "event_types", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 100, .check = check_event_type, .preset = "[]", .about = "Empty: all. `account.*` means all that begin so."},
    {.name = "account_ids", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 1000, .ref = "account", .check = check_uuid, .preset = "[]", .about = "Empty: all accounts."},
    {.name = "account_tiers", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 3, .values = VALUES("A", "B", "C"), .preset = "[]",
     .about = "Empty: all. Only events of accounts that are in one of these tiers when the event goes out."},
    {.name = "account_key_statuses", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 6, .values = VALUES("none", "candidate", "key", "at_risk", "divesting", "divested"), .preset = "[]",
     .about = "Empty: all. Only events of accounts that have one of these key statuses when the event goes out."},
    {.name = "changed_fields", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 100, .check = check_slug, .preset = "[]",
     .about = "Empty: all. Events that name `changed_fields` come only when one of these is among them."},
    {.name = "ordering", .type = FIELD_ENUM, .flags = F_NOT_NULL, .values = VALUES("parallel", "account"), .preset = "\"parallel\"", .about = "account: one event of an account at a time, in order."},
    {.name = "payload", .type = FIELD_ENUM, .flags = F_NOT_NULL, .values = VALUES("thin", "full"), .preset = "\"thin\"",
     .about = "thin: ids and versions; the receiver reads the rest. full: also `record`, as the endpoint's maker would read it when it is sent."},
    {.name = "headers", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 10, .shape = SHAPE(header_fields), .preset = "[]",
     .about = "Sent with each message. They are kept and shown as they are: it is the signature that proves where a message comes from."},
    {.name = "state", .type = FIELD_ENUM, .flags = F_NOT_NULL | F_FILTER, .values = VALUES("enabled", "disabled"), .preset = "\"enabled\"", .about = "disabled: nothing is sent until it is enabled."},
    {.name = "disabled_reason", .type = FIELD_TEXT, .flags = F_READ_ONLY, .about = "Why it was disabled, when it was not by hand."},
};
const struct resource webhook_endpoint_resource = {
    .id = RES_WEBHOOK_ENDPOINT, .name = "webhook_endpoint", .path = "webhook-endpoints", .table = "webhook_endpoint", FIELDS(webhook_endpoint_fields), .area = AREA_PROFILE,
    .flags = R_OWN, .check = webhook_endpoint_check, .about = "Where events are sent.",
};
/* clang-format on */
