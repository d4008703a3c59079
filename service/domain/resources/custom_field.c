/* Descriptor of custom fields, which a company adds to resources. */
#include "domain/check.h"
#include "fields.h"

/* clang-format off */
static const struct field custom_field_fields[] = {
    FIELDS_COMMON,
    {.name = "resource", .type = FIELD_ENUM, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .values = VALUES("account"), .about = "What carries the field."},
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED | F_CREATE_ONLY | F_FILTER, .min = 1, .max = 40, .check = check_slug, .about = "Its name in `custom`."},
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED | F_CREATE_ONLY, .values = VALUES("text", "number", "date", "boolean", "choice"), .about = "What its values are."},
    {.name = "label", .type = FIELD_TEXT, .max = 200, .about = "What people see."},
    {.name = "choices", .type = FIELD_TEXTS, .flags = F_NOT_NULL, .max = 200, .preset = "[]", .about = "The values of a choice."},
};
const struct resource custom_field_resource = {
    .id = RES_CUSTOM_FIELD, .name = "custom_field", .path = "custom-fields", .table = "custom_field", FIELDS(custom_field_fields), .area = AREA_PROFILE,
    .about = "The definition of a custom field.",
};
/* clang-format on */
