/* Finds the field that a filter names, checks that the operator and the value suit the field's
 * type, and builds the condition with the value in canonical form. */
#include "filter_term.h"

#include "domain/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bounds for values only; what a column holds is for PostgreSQL to compare. */
#define INT_DIGITS 15
#define PLACES 10
#define TEXT_CHARS 1000

static bool is_scalar_or_texts(enum field_type type) {
    switch (type) {
    case FIELD_ID:
    case FIELD_TEXT:
    case FIELD_INT:
    case FIELD_BOOL:
    case FIELD_DECIMAL:
    case FIELD_DATE:
    case FIELD_TIME:
    case FIELD_ENUM:
    case FIELD_TEXTS:
        return true;
    case FIELD_DOC:
    case FIELD_DOCS:
    case FIELD_MAP:
        return false;
    }
    return false;
}

bool target_find(const struct resource *resource, const struct custom_fields *customs,
                 struct str name, struct target *ret) {
    struct target target = {.resource = resource, .from = resource};

    if ((resource->flags & R_CUSTOM) != 0 && str_starts(name, "custom.")) {
        struct str custom = {name.ptr + strlen("custom."), name.len - strlen("custom.")};
        target.custom = custom_field_find(customs, resource->id, custom);
    } else {
        const struct field *field = resource_field(resource, name);
        if (field != NULL && (field->flags & F_FILTER) != 0 && is_scalar_or_texts(field->type))
            target.field = field;
    }
    if (target.field == NULL && target.custom == NULL)
        return false;
    *ret = target;
    return true;
}

bool target_find_related(const struct resource *resource, const struct custom_fields *customs,
                         struct str name, struct target *ret) {
    struct str rest = name;
    struct str head;

    if (target_find(resource, customs, name, ret))
        return true;
    if (!str_split(&rest, '.', &head) || rest.ptr == NULL)
        return false;
    for (size_t i = 0; i < resource->n_expansions; i++) {
        const struct expansion *via = &resource->expansions[i];
        struct target target;

        if (!str_is(head, via->name) ||
            !target_find(resource_of(via->target), customs, rest, &target))
            continue;
        target.from = resource;
        target.via = via;
        *ret = target;
        return true;
    }
    return false;
}

static enum field_type type_of_kind(enum custom_kind kind) {
    switch (kind) {
    case CUSTOM_TEXT:
        return FIELD_TEXT;
    case CUSTOM_NUMBER:
        return FIELD_DECIMAL;
    case CUSTOM_DATE:
        return FIELD_DATE;
    case CUSTOM_BOOLEAN:
        return FIELD_BOOL;
    case CUSTOM_CHOICE:
        return FIELD_ENUM;
    }
    return FIELD_TEXT;
}

enum field_type target_type(const struct target *target) {
    return target->field != NULL ? target->field->type : type_of_kind(target->custom->kind);
}

enum field_type cond_type(const struct cond *leaf) {
    return leaf->field != NULL ? leaf->field->type : type_of_kind(leaf->kind);
}

static bool is_ordered(enum field_type type) {
    return type == FIELD_INT || type == FIELD_DECIMAL || type == FIELD_DATE || type == FIELD_TIME;
}

bool target_takes(const struct target *target, enum cond_op op) {
    enum field_type type = target_type(target);

    switch (op) {
    case COND_EQ:
    case COND_NE:
    case COND_IN:
    case COND_NULL:
        return true;
    case COND_GT:
    case COND_GE:
    case COND_LT:
    case COND_LE:
        return is_ordered(type);
    case COND_CONTAINS:
        return type == FIELD_TEXT || type == FIELD_TEXTS;
    case COND_STARTSWITH:
        return type == FIELD_TEXT;
    case COND_ALL:
    case COND_ANY:
    case COND_NOT:
    case COND_VIA:
    case COND_SEARCH:
        return false;
    }
    return false;
}

const char *target_name(const struct target *target, char ret[static 64]) {
    const char *via = target->via != NULL ? target->via->name : "";
    const char *dot = target->via != NULL ? "." : "";

    if (target->field != NULL)
        snprintf(ret, 64, "%s%s%s", via, dot, target->field->name);
    else
        snprintf(ret, 64, "%s%scustom.%.*s", via, dot, STR_ARG(target->custom->name));
    return ret;
}

static bool is_one_of(const struct target *target, struct str value, bool *ret_closed) {
    const char *const *named = target->field != NULL ? target->field->values : NULL;

    *ret_closed =
        named != NULL || (target->custom != NULL && target->custom->kind == CUSTOM_CHOICE);
    for (size_t i = 0; named != NULL && named[i] != NULL; i++)
        if (str_is(value, named[i]))
            return true;
    for (size_t i = 0; target->custom != NULL && i < target->custom->n_choices; i++)
        if (str_eq(value, target->custom->choices[i]))
            return true;
    return false;
}

/* "must be one of A, B, C"; a list that is too long for a sentence ends with "...". */
static void say_choices(const struct target *target, char ret[static VALUE_SENTENCE]) {
    const char *const *named = target->field != NULL ? target->field->values : NULL;
    size_t n = target->custom != NULL ? target->custom->n_choices : 0;
    size_t len = (size_t)snprintf(ret, VALUE_SENTENCE, "must be one of");

    for (size_t i = 0; named != NULL ? named[i] != NULL : i < n; i++) {
        struct str choice = named != NULL ? str_of(named[i]) : target->custom->choices[i];
        const char *between = i == 0 ? " " : ", ";

        if (len + choice.len + strlen(", , ...") >= VALUE_SENTENCE) {
            snprintf(ret + len, VALUE_SENTENCE - len, "%s...", between);
            return;
        }
        len +=
            (size_t)snprintf(ret + len, VALUE_SENTENCE - len, "%s%.*s", between, STR_ARG(choice));
    }
}

/* Texts: a value that the field could never hold is a mistake, and better said than answered with
 * an empty list. */
static const char *check_text(const struct target *target, enum cond_op op, struct str value,
                              char sentence[static VALUE_SENTENCE]) {
    const struct field *field = target->field;
    size_t most = field != NULL && field->type == FIELD_TEXT && field->max > 0 ? (size_t)field->max
                                                                               : TEXT_CHARS;
    bool part = op == COND_STARTSWITH || (op == COND_CONTAINS && target_type(target) == FIELD_TEXT);
    const char *wrong = part || field == NULL || field->check == NULL ? NULL : field->check(value);
    bool closed;

    if (value.len == 0)
        return "must not be empty";
    if (!part && !is_one_of(target, value, &closed) && closed) {
        say_choices(target, sentence);
        return sentence;
    }
    if (wrong == NULL && str_chars(value) > most) {
        snprintf(sentence, VALUE_SENTENCE, "must have at most %zu characters", most);
        return sentence;
    }
    return wrong;
}

static const char *check_value(const struct target *target, enum cond_op op, struct str value,
                               char sentence[static VALUE_SENTENCE]) {
    int64_t number;

    switch (target_type(target)) {
    case FIELD_ID:
        return check_uuid(value);
    case FIELD_TEXT:
    case FIELD_ENUM:
    case FIELD_TEXTS:
        return check_text(target, op, value, sentence);
    case FIELD_INT:
        return str_to_i64(value, &number) ? NULL : "must be a whole number";
    case FIELD_BOOL:
        return str_is(value, "true") || str_is(value, "false") ? NULL : "must be true or false";
    case FIELD_DECIMAL:
        return check_decimal(value, INT_DIGITS, PLACES);
    case FIELD_DATE:
        return check_date(value);
    case FIELD_TIME:
        return check_time(value);
    case FIELD_DOC:
    case FIELD_DOCS:
    case FIELD_MAP:
        break;
    }
    return "cannot be compared";
}

static struct str canonical(enum field_type type, struct str value, struct arena *arena) {
    char utc[TIME_TEXT];

    if (type == FIELD_TIME && time_parse(value, utc))
        return arena_str(arena, str_of(utc));
    struct str copy = arena_str(arena, value);
    if (type == FIELD_ID && copy.ptr != NULL)
        for (char *at = (char *)copy.ptr; *at != '\0'; at++)
            *at = (char)(*at >= 'A' && *at <= 'F' ? *at + ('a' - 'A') : *at);
    return copy;
}

struct str target_value(const struct target *target, enum cond_op op, struct str value,
                        struct arena *arena, char ret_sentence[static VALUE_SENTENCE]) {
    const char *said = str_is_utf8(value) ? check_value(target, op, value, ret_sentence)
                                          : "must be UTF-8 without NUL";

    if (said != NULL) {
        if (said != ret_sentence)
            snprintf(ret_sentence, VALUE_SENTENCE, "%s", said);
        return STR_ABSENT;
    }
    ret_sentence[0] = '\0';
    return canonical(target_type(target), value, arena);
}

static int compare_values(const void *left, const void *right) {
    const struct str *a = left;
    const struct str *b = right;
    size_t len = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->ptr, b->ptr, len);

    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

struct cond *cond_group(enum cond_op op, struct cond *const *parts, size_t n, struct arena *arena) {
    struct cond *cond = arena_alloc(arena, sizeof(*cond));
    struct cond **copy = arena_array(arena, n, sizeof(*copy));

    if (cond == NULL || copy == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (parts[i] == NULL)
            return NULL;
        copy[i] = parts[i];
    }
    *cond = (struct cond){.op = op, .parts = copy, .n_parts = n};
    return cond;
}

struct cond *cond_leaf(const struct target *target, enum cond_op op, struct str *values, size_t n,
                       struct arena *arena) {
    struct cond *cond = arena_alloc(arena, sizeof(*cond));
    struct str custom = STR_ABSENT;

    /* Sorted, because they are a set: another order of them is the same question. */
    if (op == COND_IN)
        qsort(values, n, sizeof(*values), compare_values);
    if (target->custom != NULL)
        custom = arena_str(arena, target->custom->name);
    if (cond == NULL || (target->custom != NULL && custom.ptr == NULL))
        return NULL;
    *cond = (struct cond){
        .op = op == COND_IN && n == 1 ? COND_EQ : op,
        .resource = target->resource,
        .field = target->field,
        .custom = custom,
        .kind = target->custom != NULL ? target->custom->kind : CUSTOM_TEXT,
        .values = values,
        .n_values = n,
    };
    if (target->via == NULL)
        return cond;
    struct cond *via = cond_group(COND_VIA, &cond, 1, arena);
    if (via != NULL) {
        via->resource = target->from;
        via->via = target->via;
    }
    return via;
}
