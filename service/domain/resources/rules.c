/* Fields and rules that several descriptors share. */
#include "fields.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct field contact_preference_fields[] = {
    {.name = "channels", .type = FIELD_TEXTS, .max = 5, .values = CHANNELS},
    {.name = "min_days_between", .type = FIELD_INT, .min = 0, .max = 3660},
    {.name = "max_per_month", .type = FIELD_INT, .min = 0, .max = 100},
    {.name = "do_not_contact_until", .type = FIELD_DATE},
};
/* clang-format on */
const struct shape contact_preference_shape = {contact_preference_fields,
                                               COUNT_OF(contact_preference_fields)};

const char *check_external_id(struct str text) {
    return text.len >= 1 && text.len <= 255 ? NULL : "1 to 255 characters";
}

const char *check_event_type(struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool last_star = c == '*' && i + 1 == text.len && (i == 0 || text.ptr[i - 1] == '.');
        if (!((c >= 'a' && c <= 'z') || c == '_' || c == '.' || last_star))
            return "an event type such as account.updated, a group such as account.*, or *";
    }
    return text.len > 0 && text.len <= 64 ? NULL : "1 to 64 characters";
}

void rule_broken(const char *at, const char *place, const char *code, const char *why,
                 struct err *err) {
    char where[128];
    snprintf(where, sizeof where, "%s/%s", at, place);
    err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), code, "%s", why);
}

void rule_ordered(const jv *doc, const char *first, const char *second, const char *at,
                  struct err *err) {
    struct str a = jv_text(jv_get(doc, first)), b = jv_text(jv_get(doc, second));
    /* Dates and normalised times compare as text. */
    if (!a.ptr || !b.ptr || strcmp(a.ptr, b.ptr) <= 0)
        return;
    char why[128];
    snprintf(why, sizeof why, "%s is before %s.", second, first);
    rule_broken(at, second, "before_start", why, err);
}
