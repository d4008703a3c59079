/* Descriptor of orders, with their lines. */
#include "domain/check.h"
#include "fields.h"

#include <stdio.h>

/* clang-format off */
static const struct field order_line_fields[] = {
    {.name = "line_no", .type = FIELD_INT, .flags = F_REQUIRED, .min = 1, .max = 100000},
    {.name = "product", .type = FIELD_TEXT, .max = 200},
    {.name = "quantity", .type = FIELD_DECIMAL},
    {.name = "amount", .type = FIELD_DECIMAL, .flags = F_REQUIRED, .about = "At most four places; never rounded."},
    {.name = "cost", .type = FIELD_DECIMAL, .about = "Unknown stays unknown; it is not zero (002-17)."},
};
static const struct field order_fields[] = {
    FIELDS_COMMON, FIELD_EXTERNAL_IDS, FIELD_ACCOUNT,
    {.name = "external_id", .type = FIELD_TEXT, .flags = F_FILTER, .min = 1, .max = 255, .about = "The order's number; unique within the account."},
    {.name = "ordered_on", .type = FIELD_DATE, .flags = F_REQUIRED | F_FILTER | F_SORT, .about = "The day that counts for scores."},
    {.name = "currency_code", .type = FIELD_TEXT, .flags = F_REQUIRED, .max = 3, .check = check_currency, .about = "ISO 4217, of all lines."},
    {.name = "lines", .type = FIELD_DOCS, .flags = F_REQUIRED, .min = 1, .max = 1000, .shape = SHAPE(order_line_fields), .about = "What was sold; the order is their sum."},
    {.name = "amount", .type = FIELD_DECIMAL, .flags = F_READ_ONLY | F_NOT_NULL | F_FILTER, .about = "Sum of the lines."},
    {.name = "cost", .type = FIELD_DECIMAL, .flags = F_READ_ONLY, .about = "Sum of the lines; null when the cost of one is unknown."},
};
static void order_check(const jv *doc, const char *at, struct err *err)
{
    const jv *lines = jv_get(doc, "lines");
    for (size_t i = 1; i < jv_len(lines); i++) {
        /* Lines come in order in nearly all feeds; only a line that does not ascend needs the search. */
        int64_t no = jv_int(jv_get(jv_at(lines, i), "line_no"));
        if (no > jv_int(jv_get(jv_at(lines, i - 1), "line_no")))
            continue;
        for (size_t j = 0; j < i; j++) {
            if (jv_int(jv_get(jv_at(lines, j), "line_no")) != no)
                continue;
            char where[128];
            snprintf(where, sizeof where, "%s/lines/%zu/line_no", at, i);
            err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), "duplicate", "The order has this line_no already.");
            break;
        }
    }
}
const struct resource order_resource = {
    .id = RES_ORDER, .name = "order", .path = "orders", .table = "sales_order", FIELDS(order_fields), OF_ACCOUNT(AREA_SALES, R_NESTED | R_SYNC), .check = order_check, .about = "A sales fact, sent by integrations in bulk (003-01).",
};
/* clang-format on */
