/* Checks that the records which documents refer to are there and visible: all ids of all
 * documents of a call, with one query for each resource. */
#include "record/references.h"

#include "store/array.h"

#include <stdlib.h>
#include <string.h>

struct named {
    const struct field *field;
    struct str id;
    struct str account_id; /* of the document */
    const char *where;     /* pointer */
    struct err *err;
    struct named *next;
};

/* ---- from documents to ids ---- */

struct walk {
    struct action *action;
    struct named *list;
    size_t n;
    struct str account_id;
    struct err *err;
    bool short_of_memory;
};

/* That the account itself is there was asked when its lock was taken. */
static void add(struct walk *walk, const struct field *field, const jv *value, const char *where) {
    struct str id = jv_text(value);
    if (!id.ptr || (strcmp(field->ref, "account") == 0 && walk->account_id.ptr &&
                    str_eq(id, walk->account_id)))
        return;
    struct named *one = arena_alloc(walk->action->arena, sizeof *one);
    walk->short_of_memory |= !one || !where;
    if (!one)
        return;
    *one = (struct named){field, id, walk->account_id, where, walk->err, walk->list};
    walk->list = one;
    walk->n++;
}

static void walk_fields(struct walk *walk, const struct shape *shape, const jv *doc,
                        const char *at);

static void walk_field(struct walk *walk, const struct field *field, const jv *value,
                       const char *where) {
    bool many = field->type == FIELD_TEXTS || field->type == FIELD_DOCS;
    for (size_t i = 0; i < (many ? jv_len(value) : 1); i++) {
        const jv *one = many ? jv_at(value, i) : value;
        const char *place = many ? arena_format(walk->action->arena, "%s/%zu", where, i) : where;
        if (!place)
            walk->short_of_memory = true;
        else if (field->ref)
            add(walk, field, one, place);
        else
            walk_fields(walk, field->shape, one, place);
    }
}

/* Shapes are a few levels of const tables. */
static void walk_fields(struct walk *walk, const struct shape *shape, const jv *doc,
                        const char *at) {
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct field *field = &shape->fields[i];
        const jv *value = jv_get(doc, field->name);
        if ((!field->ref && !field->shape) || !field_writable(field) || !value || jv_is_null(value))
            continue;
        const char *where = arena_format(walk->action->arena, "%s/%s", at, field->name);
        if (where)
            walk_field(walk, field, value, where);
        walk->short_of_memory |= !where;
    }
}

static int by_name(const struct named *a, const struct named *b) {
    int order = strcmp(a->field->ref, b->field->ref);
    return order != 0 ? order : strcmp(a->id.ptr, b->id.ptr);
}

static int by_record(const void *a, const void *b) {
    return by_name(*(struct named *const *)a, *(struct named *const *)b);
}

static int by_place(const void *a, const void *b) {
    const struct named *x = *(struct named *const *)a, *y = *(struct named *const *)b;
    int order = strcmp(x->field->name, y->field->name);
    return order != 0 ? order : by_name(x, y);
}

/* The list as a sorted array of *ret_n; NULL: memory is out. */
static struct named **sorted(struct action *action, struct named *list,
                             int (*order)(const void *, const void *), size_t *ret_n) {
    size_t n = 0;
    for (const struct named *one = list; one; one = one->next)
        n++;
    struct named **ret = arena_array(action->arena, n + 1, sizeof *ret);
    *ret_n = n;
    for (n = 0; ret && list; list = list->next)
        ret[n++] = list;
    if (ret)
        qsort(ret, n, sizeof *ret, order);
    return ret;
}

bool references_take(struct action *action, struct references *references,
                     const struct referrer *referrer, struct err *err) {
    struct walk now = {.action = action, .account_id = referrer->account_id, .err = err},
                then = {.action = action, .account_id = referrer->account_id};
    size_t n = 0;
    walk_fields(&now, referrer->shape, referrer->doc, referrer->at ? referrer->at : "");
    if (referrer->before && now.n > 0)
        walk_fields(&then, referrer->shape, referrer->before, "");
    struct named **known = sorted(action, then.list, by_place, &n);
    if (!known || now.short_of_memory || then.short_of_memory)
        return false;
    while (now.list) {
        struct named *one = now.list;
        now.list = one->next;
        if (bsearch(&one, known, n, sizeof(struct named *), by_place))
            continue;
        one->next = references->list;
        references->list = one;
    }
    return true;
}

/* ---- from ids to records ---- */

/* The ids from `from` on that name records of one resource. */
struct group {
    size_t from, to;
    size_t slot;
};

static bool queue(struct action *action, struct tx *tx, struct named *const *all, bool deleted,
                  struct group *group) {
    const struct resource *resource = resource_by_name(all[group->from]->field->ref);
    struct str *ids = arena_array(action->arena, group->to - group->from, sizeof *ids);
    const char *sql = arena_format(
        action->arena, "select id, account_id from visible_%s($1::uuid[], %s) order by id",
        resource->table, deleted ? "true" : "false");
    size_t n = 0;
    for (size_t i = group->from; ids && i < group->to; i++)
        if (n == 0 || !str_eq(ids[n - 1], all[i]->id))
            ids[n++] = all[i]->id;
    struct str param = ids ? pg_array_param(action->arena, ids, n) : STR_ABSENT;
    if (!sql || !param.ptr)
        return false;
    group->slot = tx_query(tx, sql, &param, 1);
    return true;
}

static void unknown(const struct named *one, bool elsewhere) {
    const char *name = resource_by_name(one->field->ref)->name;
    if (elsewhere)
        err_add(one->err, PROBLEM_VALIDATION, ERR_POINTER(one->where), "unknown_reference",
                "This %s is of another account.", name);
    else
        err_add(one->err, PROBLEM_VALIDATION, ERR_POINTER(one->where), "unknown_reference",
                "There is no such %s that you can see.", name);
}

/* Both are in the order of the ids. */
static void judge(struct tx *tx, struct named *const *all, const struct group *group) {
    size_t row = 0, rows = tx_rows(tx, group->slot);
    for (size_t i = group->from; i < group->to; i++) {
        const struct named *one = all[i];
        while (row < rows && strcmp(tx_value(tx, group->slot, row, 0).ptr, one->id.ptr) < 0)
            row++;
        bool found = row < rows && str_eq(tx_value(tx, group->slot, row, 0), one->id);
        bool elsewhere = found && (one->field->flags & F_SAME_ACCOUNT) != 0 &&
                         !str_eq(tx_value(tx, group->slot, row, 1), one->account_id);
        if (!found || elsewhere)
            unknown(one, elsewhere);
    }
}

bool references_check(struct action *action, struct tx *tx, const struct references *references,
                      struct err *err) {
    struct group groups[RES_COUNT];
    size_t n = 0, n_groups = 0;
    struct named **all = sorted(action, references->list, by_record, &n);
    if (!all)
        return err_memory(err);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(all[i]->field->ref, all[i - 1]->field->ref) != 0)
            groups[n_groups++].from = i;
        groups[n_groups - 1].to = i + 1;
    }
    for (size_t i = 0; i < n_groups; i++)
        if (!queue(action, tx, all, references->deleted, &groups[i]))
            return err_memory(err);
    if (n_groups > 0 && !tx_flush(tx, err))
        return false;
    for (size_t i = 0; i < n_groups; i++)
        judge(tx, all, &groups[i]);
    return true;
}

bool references_known(struct action *action, struct tx *tx, const struct referrer *referrer,
                      struct err *err) {
    struct references references = {0};
    if (!references_take(action, &references, referrer, err))
        return err_memory(err);
    return references_check(action, tx, &references, err) && !err_is_set(err);
}
