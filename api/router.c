/* Finds the route of a request by method and path, in a tree of path segments that is built once at
 * start. A literal segment wins over {name}; where the literal leads nowhere, the search goes back
 * and tries {name}. */
#include "router.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENTS 12
#define METHODS 8

/* A place in the tree of path segments. */
struct node {
    struct node *all;       /* chain of all nodes, to free them */
    struct str text;        /* the literal that leads here */
    struct node **literals; /* sorted by segment_order */
    size_t n_literals;
    struct node *param; /* where any other segment leads */
    const struct route *rows[METHODS];
    size_t n_rows;
};

struct router {
    struct node *root;
    struct node *all;
};

struct segments {
    struct str items[SEGMENTS];
    size_t n;
};

static bool split_path(struct str path, struct segments *ret) {
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    struct str rest = {path.ptr + 1, path.len - 1};
    struct str segment;
    ret->n = 0;
    while (str_split(&rest, '/', &segment)) {
        if (ret->n == SEGMENTS)
            return false;
        ret->items[ret->n++] = segment;
    }
    return true;
}

static int segment_order(struct str a, struct str b) {
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len == 0 ? 0 : memcmp(a.ptr, b.ptr, a.len);
}

/* Where the literal is, or would have to be put. */
static size_t literal_place(const struct node *node, struct str text, bool *ret_found) {
    size_t low = 0;
    size_t high = node->n_literals;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = segment_order(node->literals[middle]->text, text);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = false;
    return low;
}

/* ---- building ---- */

static struct node *node_new(struct router *router, struct str text) {
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return NULL;
    node->text = text;
    node->all = router->all;
    router->all = node;
    return node;
}

static struct node *add_literal(struct router *router, struct node *parent, struct str text) {
    bool found;
    size_t place = literal_place(parent, text, &found);
    if (found)
        return parent->literals[place];
    struct node **grown =
        reallocarray(parent->literals, parent->n_literals + 1, sizeof *parent->literals);
    if (grown == NULL)
        return NULL;
    parent->literals = grown;
    struct node *node = node_new(router, text);
    if (node == NULL)
        return NULL;
    memmove(&grown[place + 1], &grown[place], (parent->n_literals - place) * sizeof *grown);
    grown[place] = node;
    parent->n_literals++;
    return node;
}

static struct node *add_param(struct router *router, struct node *parent) {
    if (parent->param == NULL)
        parent->param = node_new(router, STR_ABSENT);
    return parent->param;
}

static bool is_param(struct str segment) {
    return segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

static bool is_literal(struct str segment) {
    for (size_t i = 0; i < segment.len; i++) {
        char c = segment.ptr[i];
        if (c <= ' ' || c > '~' || strchr("{}%?#\\", c) != NULL)
            return false;
    }
    return true;
}

static bool bad_row(const struct route *row, const char *why, struct err *err) {
    err_set(err, PROBLEM_INTERNAL, "The routes table is wrong.");
    return err_cause(err, "route %s %s: %s", row->method, row->path, why);
}

/* The node that a row's path leads to, made where it does not exist yet. */
static bool add_path(struct router *router, const struct route *row, struct node **ret,
                     struct err *err) {
    struct segments path;
    if (!split_path(str_of(row->path), &path))
        return bad_row(row, "the path must start with / and have few segments", err);
    struct node *node = router->root;
    size_t n_params = 0;
    for (size_t i = 0; i < path.n; i++) {
        struct str segment = path.items[i];
        if (segment.len == 0 && i + 1 < path.n)
            return bad_row(row, "empty segment", err);
        if (is_param(segment)) {
            if (++n_params > PATH_ARGS)
                return bad_row(row, "too many parameters", err);
            node = add_param(router, node);
        } else {
            if (!is_literal(segment))
                return bad_row(row, "a segment is neither plain text nor {name}", err);
            node = add_literal(router, node, segment);
        }
        if (node == NULL)
            return err_memory(err);
    }
    *ret = node;
    return true;
}

static bool add_row(struct router *router, const struct route *row, struct err *err) {
    if (row->method == NULL || row->path == NULL || row->method[0] == '\0') {
        err_set(err, PROBLEM_INTERNAL, "The routes table is wrong.");
        return err_cause(err, "a route has no method or path");
    }
    struct node *node = NULL;
    if (!add_path(router, row, &node, err))
        return false;
    for (size_t i = 0; i < node->n_rows; i++) {
        if (strcmp(node->rows[i]->method, row->method) == 0)
            return bad_row(row, node->rows[i]->path, err);
    }
    if (node->n_rows == METHODS)
        return bad_row(row, "too many methods", err);
    node->rows[node->n_rows++] = row;
    return true;
}

bool router_init(const struct route *routes, size_t n_routes, struct router **ret,
                 struct err *err) {
    struct router *router = calloc(1, sizeof *router);
    if (router == NULL)
        return err_memory(err);
    router->root = node_new(router, STR_ABSENT);
    bool ok = router->root != NULL || err_memory(err);
    for (size_t i = 0; ok && i < n_routes; i++)
        ok = add_row(router, &routes[i], err);
    if (!ok) {
        router_release(router);
        return false;
    }
    *ret = router;
    return true;
}

void router_release(struct router *router) {
    if (router == NULL)
        return;
    struct node *next;
    for (struct node *node = router->all; node != NULL; node = next) {
        next = node->all;
        free(node->literals);
        free(node);
    }
    free(router);
}

/* ---- matching ---- */

/* One step of the way down: the node, and whether its {name} branch was taken. */
struct step {
    const struct node *node;
    bool param;
};

static const struct node *literal_child(const struct node *node, struct str segment) {
    bool found;
    size_t place = literal_place(node, segment, &found);
    return found ? node->literals[place] : NULL;
}

/* Back to the last place where a literal was taken and {name} is still untried. */
static bool try_param_above(struct step *way, size_t *depth, const struct segments *path) {
    while (*depth > 0) {
        struct step *step = &way[--*depth];
        if (step->param || step->node->param == NULL || path->items[*depth].len == 0)
            continue;
        step->param = true;
        way[++*depth] = (struct step){.node = step->node->param};
        return true;
    }
    return false;
}

static const struct node *find(const struct router *router, const struct segments *path) {
    struct step way[SEGMENTS + 1];
    size_t depth = 0;
    way[0] = (struct step){.node = router->root};
    for (;;) {
        const struct node *here = way[depth].node;
        if (depth == path->n) {
            if (here->n_rows > 0)
                return here;
        } else {
            const struct node *next = literal_child(here, path->items[depth]);
            if (next == NULL && path->items[depth].len > 0) {
                next = here->param;
                way[depth].param = true;
            }
            if (next != NULL) {
                way[++depth] = (struct step){.node = next};
                continue;
            }
        }
        if (!try_param_above(way, &depth, path))
            return NULL;
    }
}

static const struct route *row_of(const struct node *node, struct str method) {
    for (size_t i = 0; i < node->n_rows; i++) {
        if (str_is(method, node->rows[i]->method))
            return node->rows[i];
    }
    return NULL;
}

static void write_method(struct buf *ret, const char *method) {
    buf_text(ret, ret->len > 0 ? ", " : "");
    buf_text(ret, method);
}

static void write_allow(const struct node *node, struct buf *ret) {
    for (size_t i = 0; i < node->n_rows; i++)
        write_method(ret, node->rows[i]->method);
    if (row_of(node, STR("GET")) != NULL && row_of(node, STR("HEAD")) == NULL)
        write_method(ret, "HEAD");
    if (row_of(node, STR("OPTIONS")) == NULL)
        write_method(ret, "OPTIONS");
}

static bool decode(struct str segment, struct arena *arena, struct str *ret) {
    if (memchr(segment.ptr, '%', segment.len) == NULL) {
        *ret = segment;
        return true;
    }
    char *decoded = arena_alloc(arena, segment.len + 1);
    size_t len;
    if (decoded == NULL || !percent_decode(segment, false, decoded, &len))
        return false;
    *ret = (struct str){decoded, len};
    return true;
}

static bool read_args(const struct route *row, const struct segments *path, struct arena *arena,
                      struct path_args *ret) {
    struct segments names;
    ret->n = 0;
    if (strchr(row->path, '{') == NULL)
        return true;
    if (!split_path(str_of(row->path), &names))
        return false;
    for (size_t i = 0; i < names.n; i++) {
        if (!is_param(names.items[i]))
            continue;
        struct param *arg = &ret->items[ret->n++];
        arg->name = (struct str){names.items[i].ptr + 1, names.items[i].len - 2};
        if (!decode(path->items[i], arena, &arg->value))
            return false;
    }
    return true;
}

enum match router_match(const struct router *router, const struct request *request,
                        const struct route **ret_route, struct path_args *ret_args,
                        struct buf *ret_allow) {
    struct segments segments;
    const struct node *node = split_path(request->path, &segments) ? find(router, &segments) : NULL;
    if (node == NULL)
        return MATCH_NO_PATH;
    const struct route *row = row_of(node, request->method);
    if (row == NULL && str_is(request->method, "HEAD"))
        row = row_of(node, STR("GET"));
    struct path_args args = {.n = 0};
    if (!read_args(row != NULL ? row : node->rows[0], &segments, request->arena, &args))
        return MATCH_NO_PATH;
    if (row == NULL) {
        if (ret_allow != NULL)
            write_allow(node, ret_allow);
        return MATCH_NO_METHOD;
    }
    *ret_route = row;
    *ret_args = args;
    return MATCH_FOUND;
}

struct str path_arg(const struct path_args *args, const char *name) {
    for (size_t i = 0; i < args->n; i++) {
        if (str_is(args->items[i].name, name))
            return args->items[i].value;
    }
    return STR_ABSENT;
}
