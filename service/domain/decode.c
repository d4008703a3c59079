/* Turns the JSON of a request into a resource's canonical document, by the resource's descriptor:
 * checks names, types, limits and custom fields, and applies merge patches (RFC 7396). */
#include "domain/decode.h"

#include "core/id.h"
#include "domain/check.h"
#include "domain/salesforce_id.h"

#include <stdio.h>
#include <string.h>

#define POINTER 128
#define DECIMAL_INTS 15
#define DECIMAL_PLACES 4

/* RFC 6901: '~' and '/' of a member's name are escaped. Cut where it does not fit: it is for
 * people. */
static void pointer_to(char ret[static POINTER], const char *at, const char *name) {
    size_t n = (size_t)snprintf(ret, POINTER, "%s/", at);
    for (; *name && n + 3 < POINTER; name++) {
        if (*name == '~' || *name == '/') {
            ret[n++] = '~';
            ret[n++] = *name == '~' ? '0' : '1';
        } else {
            ret[n++] = *name;
        }
    }
    ret[n < POINTER ? n : POINTER - 1] = '\0';
}

static void malformed(struct err *err, const char *at, const char *code, const char *detail) {
    err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER(at), code, "%s", detail);
}

static void broken(struct err *err, const char *at, const char *code, const char *detail) {
    err_add(err, PROBLEM_VALIDATION, ERR_POINTER(at), code, "%s", detail);
}

static const char *const wanted[] = {
    [FIELD_ID] = "must be a UUID as text",
    [FIELD_TEXT] = "must be text",
    [FIELD_INT] = "must be a whole number",
    [FIELD_BOOL] = "must be true or false",
    [FIELD_DECIMAL] = "must be a decimal number as text, e.g. \"12.50\"",
    [FIELD_DATE] = "must be a date as text, YYYY-MM-DD",
    [FIELD_TIME] = "must be a time as text, e.g. \"2026-11-21T09:30:00Z\"",
    [FIELD_ENUM] = "must be text",
    [FIELD_TEXTS] = "must be an array of texts",
    [FIELD_DOC] = "must be an object",
    [FIELD_DOCS] = "must be an array of objects",
    [FIELD_MAP] = "must be an object",
};

static jv *wrong_type(const struct field *field, const char *at, struct err *err) {
    malformed(err, at, "wrong_type", wanted[field->type]);
    return NULL;
}

static jv *decode_value(const struct field *field, jv *value, const char *at, struct err *err);

static jv *decode_id(jv *value, const char *at, struct err *err) {
    struct uuid id;
    char text[UUID_TEXT];
    if (!uuid_parse(jv_text(value), &id)) {
        malformed(err, at, "malformed_id", "must be a UUID");
        return NULL;
    }
    uuid_text(&id, text);
    return jv_new_text(str_of(text));
}

/* What a text must look like says more than how long it may be. */
static jv *decode_text(const struct field *field, jv *value, const char *at, struct err *err) {
    struct str text = jv_text(value);
    size_t chars = str_chars(text);
    if (field->min > 0 && chars == 0)
        broken(err, at, "empty", "must not be empty");
    else if (field->check && field->check(text))
        broken(err, at, "invalid", field->check(text));
    else if (field->min > 0 && chars < (size_t)field->min)
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(at), "too_short",
                "must have at least %d characters", field->min);
    else if (field->max > 0 && chars > (size_t)field->max)
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(at), "too_long",
                "must have at most %d characters", field->max);
    else
        return field->ref ? decode_id(value, at, err) : jv_ref(value);
    return NULL;
}

static jv *decode_enum(const struct field *field, jv *value, const char *at, struct err *err) {
    struct str text = jv_text(value);
    char list[160] = "must be one of";
    size_t n = strlen(list);
    for (const char *const *v = field->values; *v; v++) {
        if (str_is(text, *v))
            return jv_ref(value);
        int put = snprintf(list + n, sizeof list - n, "%s %s", v == field->values ? "" : ",", *v);
        n = put > 0 && n + (size_t)put < sizeof list ? n + (size_t)put : n;
    }
    malformed(err, at, "unknown_value", list);
    return NULL;
}

static jv *decode_int(const struct field *field, jv *value, const char *at, struct err *err) {
    int64_t number = jv_int(value);
    if (number >= field->min && (field->max == 0 || number <= field->max))
        return jv_ref(value);
    err_add(err, PROBLEM_VALIDATION, ERR_POINTER(at), "out_of_range", "must be between %d and %d",
            field->min, field->max);
    return NULL;
}

static jv *decode_date(jv *value, const char *at, struct err *err) {
    const char *wrong = check_date(jv_text(value));
    if (!wrong)
        return jv_ref(value);
    malformed(err, at, "malformed_date", wrong);
    return NULL;
}

static jv *decode_time(jv *value, const char *at, struct err *err) {
    char text[TIME_TEXT];
    if (time_parse(jv_text(value), text))
        return jv_new_text(str_of(text));
    const char *wrong = check_time(jv_text(value));
    malformed(err, at, "malformed_time", wrong ? wrong : wanted[FIELD_TIME]);
    return NULL;
}

/* All places are written out, as numeric(19,4) shows them, so that equal numbers are equal texts.
 */
static jv *decode_decimal(const struct field *field, jv *value, const char *at, struct err *err) {
    char text[64];
    int n = jv_kind(value) == JV_INT ? snprintf(text, sizeof text, "%lld", (long long)jv_int(value))
                                     : snprintf(text, sizeof text, "%.40s", jv_text(value).ptr);
    int places = field->max > 0 ? field->max : DECIMAL_PLACES;
    const char *wrong = jv_text(value).len > 40
                            ? wanted[FIELD_DECIMAL]
                            : check_decimal((struct str){text, (size_t)n}, DECIMAL_INTS, places);
    if (wrong) {
        malformed(err, at, "malformed_decimal", wrong);
        return NULL;
    }
    if ((field->flags & F_MIN) != 0 && field->min == 0 && text[0] == '-') {
        broken(err, at, "out_of_range", "must not be negative");
        return NULL;
    }
    char *point = strchr(text, '.');
    int have = point ? (int)strlen(point + 1) : 0;
    if (!point)
        text[n++] = '.';
    while (have++ < places)
        text[n++] = '0';
    return jv_new_text((struct str){text, (size_t)n});
}

static jv *decode_elements(const struct field *field, jv *value, const char *at, struct err *err) {
    struct field element = *field;
    element.type = field->type == FIELD_DOCS ? FIELD_DOC : field->values ? FIELD_ENUM : FIELD_TEXT;
    element.min = element.type == FIELD_TEXT ? 1 : 0;
    element.max = element.type == FIELD_TEXT ? 300 : 0;
    size_t n = jv_len(value);
    if (n > (size_t)field->max || n < (size_t)field->min) {
        err_add(err, PROBLEM_VALIDATION, ERR_POINTER(at),
                n > (size_t)field->max ? "too_many" : "too_few", "must have %d to %d elements",
                field->min, field->max);
        return NULL;
    }
    CLEANUP(jv_unref) jv *list = jv_new_array();
    for (size_t i = 0; i < n; i++) {
        char where[POINTER];
        snprintf(where, sizeof where, "%.100s/%zu", at, i);
        jv *one = decode_value(&element, jv_at(value, i), where, err);
        if (one)
            jv_push(list, one);
    }
    return TAKE(list);
}

static jv *decode_map(const struct field *field, jv *value, const char *at, struct err *err) {
    if ((field->flags & F_UNCHECKED) != 0 || !field->check)
        return jv_ref(value);
    CLEANUP(jv_unref) jv *map = jv_new_object();
    for (void *it = jv_first(value); it; it = jv_next(value, it)) {
        char where[POINTER];
        pointer_to(where, at, jv_key(it));
        struct str text = jv_text(jv_value(it));
        const char *wrong = check_slug(str_of(jv_key(it)));
        if (wrong)
            broken(err, where, "invalid_name", wrong);
        else if (!text.ptr)
            malformed(err, where, "wrong_type", "must be text");
        else if (field->check(text))
            broken(err, where, "invalid", field->check(text));
        else if (strcmp(jv_key(it), "salesforce") == 0) {
            char id[SALESFORCE_ID_TEXT];
            if (salesforce_id_parse(text, id))
                jv_set(map, jv_key(it), jv_new_text(str_of(id)));
            else
                broken(err, where, "invalid", check_salesforce_id(text));
        } else
            jv_set(map, jv_key(it), jv_ref(jv_value(it)));
    }
    return TAKE(map);
}

static jv *decode_value(const struct field *field, jv *value, const char *at, struct err *err) {
    enum jv_kind kind = jv_kind(value);
    switch (field->type) {
    case FIELD_TEXT:
        return kind == JV_TEXT ? decode_text(field, value, at, err) : wrong_type(field, at, err);
    case FIELD_ENUM:
        return kind == JV_TEXT ? decode_enum(field, value, at, err) : wrong_type(field, at, err);
    case FIELD_ID:
        return kind == JV_TEXT ? decode_id(value, at, err) : wrong_type(field, at, err);
    case FIELD_DATE:
        return kind == JV_TEXT ? decode_date(value, at, err) : wrong_type(field, at, err);
    case FIELD_TIME:
        return kind == JV_TEXT ? decode_time(value, at, err) : wrong_type(field, at, err);
    case FIELD_DECIMAL:
        return kind == JV_TEXT || kind == JV_INT ? decode_decimal(field, value, at, err)
                                                 : wrong_type(field, at, err);
    case FIELD_INT:
        return kind == JV_INT ? decode_int(field, value, at, err) : wrong_type(field, at, err);
    case FIELD_BOOL:
        return kind == JV_BOOL ? jv_ref(value) : wrong_type(field, at, err);
    case FIELD_TEXTS:
    case FIELD_DOCS:
        return kind == JV_ARRAY ? decode_elements(field, value, at, err)
                                : wrong_type(field, at, err);
    case FIELD_MAP:
        return kind == JV_OBJECT ? decode_map(field, value, at, err) : wrong_type(field, at, err);
    case FIELD_DOC:
        if (kind == JV_OBJECT) {
            jv *doc = NULL;
            return decode_shape(field->shape, value, at, &doc, err) ? doc : NULL;
        }
        return wrong_type(field, at, err);
    }
    return NULL;
}

static const struct field *find(const struct field *fields, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static void check_names(const struct field *fields, size_t n, const jv *given, const char *at,
                        struct err *err) {
    for (void *it = jv_first(given); it; it = jv_next(given, it)) {
        const struct field *field = find(fields, n, jv_key(it));
        char where[POINTER];
        pointer_to(where, at, jv_key(it));
        if (!field)
            malformed(err, where, "unknown_field", "There is no such field here.");
        else if (!field_writable(field))
            malformed(err, where, "read_only", "This field is kept by kamd and cannot be set.");
    }
}

/* Canonical values of all writable fields of `doc`; `whole`: those that it does not have are null.
 */
static jv *decode_fields(const struct shape *shape, const jv *doc, const char *at, bool whole,
                         struct err *err) {
    jv *ret = jv_new_object();
    for (size_t i = 0; ret && i < shape->n_fields; i++) {
        const struct field *field = &shape->fields[i];
        if (!field_writable(field))
            continue;
        jv *value = jv_get(doc, field->name);
        char where[POINTER];
        pointer_to(where, at, field->name);
        if (value && !jv_is_null(value)) {
            jv *clean = decode_value(field, value, where, err);
            if (clean)
                jv_set(ret, field->name, clean);
            continue;
        }
        if ((field->flags & F_REQUIRED) != 0 || (value && (field->flags & F_NOT_NULL) != 0)) {
            broken(err, where, "required", value ? "must not be null" : "is required");
        } else if (field->preset) {
            CLEANUP(jv_unref) jv *preset = NULL;
            if (json_read(str_of(field->preset), JSON_TOKENS, &preset, err))
                jv_set(ret, field->name, TAKE(preset));
        } else if (whole) {
            jv_set(ret, field->name, jv_new_null());
        }
    }
    return ret;
}

bool decode_shape(const struct shape *shape, const jv *given, const char *at, jv **ret,
                  struct err *err) {
    if (jv_kind(given) != JV_OBJECT) {
        malformed(err, at, "wrong_type", "must be an object");
        return false;
    }
    size_t before = err->n_items;
    check_names(shape->fields, shape->n_fields, given, at, err);
    CLEANUP(jv_unref) jv *doc = decode_fields(shape, given, at, false, err);
    if (err->n_items != before || !doc)
        return doc ? false : err_memory(err);
    *ret = TAKE(doc);
    return true;
}

static bool custom_value_fits(const struct custom_field *custom, const jv *value) {
    struct str text = jv_text(value);
    switch (custom->kind) {
    case CUSTOM_TEXT:
        return text.ptr && str_chars(text) <= 1000;
    case CUSTOM_NUMBER:
        return jv_kind(value) == JV_INT || jv_kind(value) == JV_REAL;
    case CUSTOM_DATE:
        return text.ptr && !check_date(text);
    case CUSTOM_BOOLEAN:
        return jv_kind(value) == JV_BOOL;
    case CUSTOM_CHOICE:
        for (size_t i = 0; i < custom->n_choices; i++)
            if (text.ptr && str_eq(text, custom->choices[i]))
                return true;
        return false;
    }
    return false;
}

static void check_custom(const struct decode *decode, const jv *doc, struct err *err) {
    const jv *values = jv_get(doc, "custom");
    for (void *it = jv_first(values); it; it = jv_next(values, it)) {
        char at[POINTER], where[POINTER];
        snprintf(at, sizeof at, "%.60s/custom", decode->at);
        pointer_to(where, at, jv_key(it));
        const struct custom_field *custom =
            custom_field_find(decode->customs, decode->resource->id, str_of(jv_key(it)));
        if (!custom)
            malformed(err, where, "unknown_field",
                      "There is no such custom field; define it at /v1/custom-fields.");
        else if (!jv_is_null(jv_value(it)) && !custom_value_fits(custom, jv_value(it)))
            malformed(err, where, "wrong_type", "does not fit the custom field's kind or choices");
    }
}

static bool decode_whole(const struct decode *decode, const jv *doc, jv **ret, struct err *err) {
    const struct resource *resource = decode->resource;
    const struct shape shape = {resource->fields, resource->n_fields};
    size_t before = err->n_items;
    CLEANUP(jv_unref) jv *clean = decode_fields(&shape, doc, decode->at, true, err);
    if (!clean)
        return err_memory(err);
    if ((resource->flags & R_CUSTOM) != 0)
        check_custom(decode, doc, err);
    if (err->n_items == before && resource->check)
        resource->check(clean, decode->at, err);
    if (err->n_items != before)
        return false;
    *ret = TAKE(clean);
    return true;
}

static bool is_object(const struct decode *decode, const jv *given, struct err *err) {
    if (jv_kind(given) == JV_OBJECT)
        return true;
    malformed(err, decode->at, "wrong_type", "must be an object");
    return false;
}

bool decode_new(const struct decode *decode, const jv *given, jv **ret, struct err *err) {
    if (!is_object(decode, given, err))
        return false;
    size_t before = err->n_items;
    check_names(decode->resource->fields, decode->resource->n_fields, given, decode->at, err);
    CLEANUP(jv_unref) jv *clean = NULL;
    bool fine = decode_whole(decode, given, &clean, err) && err->n_items == before;
    if (fine)
        *ret = TAKE(clean);
    return fine;
}

static void check_create_only(const struct decode *decode, const jv *current, const jv *clean,
                              struct err *err) {
    for (size_t i = 0; i < decode->resource->n_fields; i++) {
        const struct field *field = &decode->resource->fields[i];
        if ((field->flags & F_CREATE_ONLY) == 0 ||
            jv_equal(jv_get(current, field->name), jv_get(clean, field->name)))
            continue;
        char where[POINTER];
        pointer_to(where, decode->at, field->name);
        broken(err, where, "create_only", "cannot be changed after creation");
    }
}

/* What can be changed starts from nothing; what cannot stays. */
static jv *without_changeable(const struct decode *decode, const jv *current) {
    jv *kept = jv_copy(current);
    for (size_t i = 0; kept && i < decode->resource->n_fields; i++)
        if ((decode->resource->fields[i].flags & F_CREATE_ONLY) == 0)
            jv_remove(kept, decode->resource->fields[i].name);
    return kept;
}

bool decode_change(const struct decode *decode, const jv *current, const jv *given, jv **ret,
                   struct err *err) {
    if (!is_object(decode, given, err))
        return false;
    size_t before = err->n_items;
    check_names(decode->resource->fields, decode->resource->n_fields, given, decode->at, err);
    CLEANUP(jv_unref)
    jv *merged = decode->replace ? without_changeable(decode, current) : jv_copy(current);
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!merged || !jv_merge(&merged, given))
        return err_memory(err);
    if (!decode_whole(decode, merged, &clean, err) || err->n_items != before)
        return false;
    check_create_only(decode, current, clean, err);
    if (err->n_items != before)
        return false;
    if (decode->resource->follow)
        decode->resource->follow(current, given, clean);
    *ret = TAKE(clean);
    return true;
}
