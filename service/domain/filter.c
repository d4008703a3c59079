/* Turns query parameters such as due_before=2026-11-21 into conditions, and writes conditions in a
 * canonical form for cursors. filter= expressions are in filter_parse.c, SQL in filter_sql.c. */
#include "domain/filter.h"

#include "filter_term.h"

#include <stdlib.h>
#include <string.h>

/* What err_add() takes for `where`. */
#define WHERE 128

static const struct {
    const char *suffix;
    enum cond_op op;
} suffixes[] = {
    {"_gte", COND_GE}, {"_gt", COND_GT},        {"_lte", COND_LE},
    {"_lt", COND_LT},  {"_is_null", COND_NULL},
};

/* updated_since stands for updated_at_gte: the words that people use of times. */
static const struct {
    const char *suffix;
    enum cond_op op;
} time_suffixes[] = {
    {"_since", COND_GE},
    {"_after", COND_GT},
    {"_before", COND_LT},
};

/* The name as text of a sentence and as err_add()'s `where`; cut when it is longer than any name
 * can be. */
static void copy_name(struct str name, char ret[static WHERE]) {
    size_t len = name.len < WHERE ? name.len : WHERE - 1;

    len = str_utf8_prefix((struct str){name.ptr, len});
    if (len > 0)
        memcpy(ret, name.ptr, len);
    ret[len] = '\0';
}

/* `sentence` has no subject; the parameter's name becomes it. */
static bool refuse(struct err *err, struct str name, const char *code, const char *sentence) {
    char where[WHERE];

    copy_name(name, where);
    return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER(where), code, "%s %s.", where,
                   sentence);
}

static bool refuse_value(struct err *err, struct str name, const char *sentence) {
    if (sentence[0] == '\0')
        return err_memory(err);
    return refuse(err, name, "invalid_value", sentence);
}

/* The field <stem>_at or <stem>_on that a name like due_before means. */
static bool find_time(const struct resource *resource, struct str stem, struct target *ret) {
    static const char *const ends[] = {"_at", "_on"};

    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char name[64];

        if (stem.len + strlen(ends[i]) >= sizeof(name))
            return false;
        memcpy(name, stem.ptr, stem.len);
        memcpy(name + stem.len, ends[i], strlen(ends[i]) + 1);
        if (target_find(resource, NULL, str_of(name), ret) && target_takes(ret, COND_GE))
            return true;
    }
    return false;
}

/* Which field and operator a parameter's name means. */
static bool find_name(const struct resource *resource, const struct custom_fields *customs,
                      struct str name, struct target *ret, enum cond_op *ret_op) {
    *ret_op = COND_IN;
    if (target_find(resource, customs, name, ret))
        return true;
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        *ret_op = suffixes[i].op;
        if (str_ends(name, suffixes[i].suffix) &&
            target_find(resource, customs,
                        (struct str){name.ptr, name.len - strlen(suffixes[i].suffix)}, ret) &&
            target_takes(ret, *ret_op))
            return true;
    }
    for (size_t i = 0; i < COUNT_OF(time_suffixes); i++) {
        *ret_op = time_suffixes[i].op;
        if (str_ends(name, time_suffixes[i].suffix) &&
            find_time(resource, (struct str){name.ptr, name.len - strlen(time_suffixes[i].suffix)},
                      ret))
            return true;
    }
    return false;
}

static bool flat_null(const struct target *target, const struct param *param, struct arena *arena,
                      struct cond **ret, struct err *err) {
    bool wanted = str_is(param->value, "true");
    struct cond *cond;

    if (!wanted && !str_is(param->value, "false"))
        return refuse(err, param->name, "invalid_value", "must be true or false");
    cond = cond_leaf(target, COND_NULL, NULL, 0, arena);
    if (cond != NULL && !wanted)
        cond = cond_group(COND_NOT, &cond, 1, arena);
    if (cond == NULL)
        return err_memory(err);
    *ret = cond;
    return true;
}

static size_t count_values(struct str value, enum cond_op op) {
    size_t n = 1;

    for (size_t i = 0; op == COND_IN && i < value.len; i++)
        n += value.ptr[i] == ',';
    return n;
}

/* The values that a parameter compares with; NULL with an error. */
static struct str *read_values(const struct target *target, enum cond_op op,
                               const struct param *param, struct arena *arena, struct err *err) {
    char sentence[VALUE_SENTENCE];
    struct str rest = param->value;
    size_t n = count_values(param->value, op);

    if (n > FILTER_VALUES) {
        refuse(err, param->name, "too_many", "takes at most 200 values");
        return NULL;
    }
    struct str *values = arena_array(arena, n, sizeof(*values));
    if (values == NULL)
        err_memory(err);
    for (size_t i = 0; values != NULL && i < n; i++) {
        struct str part = param->value;

        if (op == COND_IN)
            str_split(&rest, ',', &part);
        values[i] = target_value(target, op, part, arena, sentence);
        if (values[i].ptr == NULL) {
            refuse_value(err, param->name, sentence);
            return NULL;
        }
    }
    return values;
}

static bool has_search(const struct resource *resource) {
    for (size_t i = 0; i < resource->n_fields; i++)
        if ((resource->fields[i].flags & F_SEARCH) != 0)
            return true;
    return false;
}

static bool flat_search(const struct filter *filter, const struct param *param, struct cond **ret,
                        struct err *err) {
    struct str *words = arena_array(filter->arena, FILTER_WORDS, sizeof(*words));
    struct cond *cond = arena_alloc(filter->arena, sizeof(*cond));
    struct str rest = param->value;
    struct str word;
    size_t n = 0;

    if (words == NULL || cond == NULL)
        return err_memory(err);
    if (!str_is_utf8(param->value) || str_chars(param->value) > 200)
        return refuse(err, param->name, "invalid_value", "must be text of at most 200 characters");
    while (str_split(&rest, ' ', &word)) {
        if (word.len == 0)
            continue;
        if (n == FILTER_WORDS)
            return refuse(err, param->name, "too_many", "takes at most 8 words");
        words[n] = arena_str(filter->arena, word);
        if (words[n++].ptr == NULL)
            return err_memory(err);
    }
    if (n == 0)
        return refuse(err, param->name, "invalid_value", "must not be empty");
    *cond = (struct cond){
        .op = COND_SEARCH, .resource = filter->resource, .values = words, .n_values = n};
    *ret = cond;
    return true;
}

bool filter_flat(const struct filter *filter, const struct param *param, struct cond **ret,
                 struct err *err) {
    struct target target;
    enum cond_op op;

    if (str_is(param->name, "q") && has_search(filter->resource))
        return flat_search(filter, param, ret, err);
    if (!find_name(filter->resource, filter->customs, param->name, &target, &op))
        return refuse(err, param->name, "unknown_parameter", "is no parameter here");
    if (op == COND_NULL)
        return flat_null(&target, param, filter->arena, ret, err);
    struct str *values = read_values(&target, op, param, filter->arena, err);
    if (values == NULL)
        return false;
    size_t n = count_values(param->value, op);
    struct cond *cond = cond_leaf(&target, op, values, n, filter->arena);
    if (cond == NULL)
        return err_memory(err);
    *ret = cond;
    return true;
}

bool filter_all(struct cond *const *parts, size_t n, struct arena *arena, struct cond **ret,
                struct err *err) {
    struct cond *cond = n == 1 ? parts[0] : NULL;

    if (n > 1) {
        cond = cond_group(COND_ALL, parts, n, arena);
        if (cond == NULL)
            return err_memory(err);
    }
    *ret = cond;
    return true;
}

/* The depth of a tree is that of its expression, which is bounded by FILTER_DEPTH. */
void filter_each(const struct cond *cond, void (*visit)(const struct cond *leaf, void *arg),
                 void *arg) {
    if (cond == NULL)
        return;
    if (cond->n_parts == 0)
        visit(cond, arg);
    for (size_t i = 0; i < cond->n_parts; i++)
        filter_each(cond->parts[i], visit, arg);
}

static const char *op_name(enum cond_op op) {
    static const char *const names[] = {
        [COND_ALL] = "and",
        [COND_ANY] = "or",
        [COND_NOT] = "not",
        [COND_VIA] = "via",
        [COND_EQ] = "eq",
        [COND_NE] = "ne",
        [COND_GT] = "gt",
        [COND_GE] = "ge",
        [COND_LT] = "lt",
        [COND_LE] = "le",
        [COND_IN] = "in",
        [COND_CONTAINS] = "contains",
        [COND_STARTSWITH] = "startswith",
        [COND_NULL] = "null",
        [COND_SEARCH] = "search",
    };
    _Static_assert(COUNT_OF(names) == COND_SEARCH + 1, "one name per operator");
    return names[op];
}

static void canonical_leaf(const struct cond *cond, struct buf *ret) {
    buf_text(ret, op_name(cond->op));
    buf_char(ret, '(');
    if (cond->custom.ptr != NULL) {
        buf_text(ret, "custom.");
        buf_json(ret, cond->custom);
    } else if (cond->field != NULL) {
        buf_text(ret, cond->field->name);
    }
    for (size_t i = 0; i < cond->n_values; i++) {
        buf_char(ret, ',');
        buf_json(ret, cond->values[i]);
    }
    buf_char(ret, ')');
}

static int compare_texts(const void *left, const void *right) {
    const struct buf *a = left;
    const struct buf *b = right;
    size_t len = a->len < b->len ? a->len : b->len;
    int order = len == 0 ? 0 : memcmp(a->ptr, b->ptr, len);

    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* Parts in the order of their texts: `a and b` is `b and a`. */
static void canonical_group(const struct cond *cond, struct buf *ret) {
    struct buf *parts = calloc(cond->n_parts, sizeof(*parts));

    if (parts == NULL) {
        ret->failed = true;
        return;
    }
    for (size_t i = 0; i < cond->n_parts; i++) {
        buf_init(&parts[i], ret->max);
        filter_canonical(cond->parts[i], &parts[i]);
        ret->failed = ret->failed || !buf_ok(&parts[i]);
    }
    qsort(parts, cond->n_parts, sizeof(*parts), compare_texts);
    buf_text(ret, op_name(cond->op));
    buf_char(ret, '(');
    if (cond->via != NULL)
        buf_text(ret, cond->via->name);
    for (size_t i = 0; i < cond->n_parts; i++) {
        if (i > 0 || cond->via != NULL)
            buf_char(ret, ',');
        if (!ret->failed)
            buf_add(ret, parts[i].ptr, parts[i].len);
        buf_release(&parts[i]);
    }
    buf_char(ret, ')');
    free(parts);
}

void filter_canonical(const struct cond *cond, struct buf *ret) {
    if (cond == NULL)
        return;
    if (cond->n_parts == 0)
        canonical_leaf(cond, ret);
    else
        canonical_group(cond, ret);
}
