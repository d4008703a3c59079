/* Compares two JSON documents recursively, and writes each difference both as an operation of a
 * JSON Patch (RFC 6902) and as a line for people. */
#include "domain/patch.h"

#define PATH_MAX_BYTES ((size_t)64 << 10)

/* A place in the document, in both spellings: "/objectives/0/target" and "objectives[0].target". */
struct walk {
    struct buf pointer;
    struct buf name;
    struct buf *patch;
    struct buf *lines;
    bool first;
};

struct place {
    size_t pointer;
    size_t name;
};

static struct place here(const struct walk *walk) {
    return (struct place){walk->pointer.len, walk->name.len};
}

static void cut(struct buf *buf, size_t len) {
    if (buf_ok(buf) && len < buf->len) {
        buf->len = len;
        buf->ptr[len] = '\0';
    }
}

static void go_back(struct walk *walk, struct place place) {
    cut(&walk->pointer, place.pointer);
    cut(&walk->name, place.name);
}

static void go_to_member(struct walk *walk, const char *key) {
    buf_char(&walk->pointer, '/');
    for (const char *c = key; *c; c++) {
        if (*c == '~' || *c == '/') /* RFC 6901 */
            buf_text(&walk->pointer, *c == '~' ? "~0" : "~1");
        else
            buf_char(&walk->pointer, *c);
    }
    buf_text(&walk->name, walk->name.len > 0 ? "." : "");
    buf_text(&walk->name, key);
}

static void go_to_element(struct walk *walk, size_t index) {
    buf_format(&walk->pointer, "/%zu", index);
    buf_format(&walk->name, "[%zu]", index);
}

/* "added objectives[1]: {...}", "removed ...", "objectives[0].target: "10" became "12"". */
static void write_line(struct walk *walk, const jv *old, const jv *new) {
    struct buf line;
    buf_init(&line, (size_t)8 << 20);
    buf_text(&line, !old ? "added " : !new ? "removed " : "");
    buf_put(&line, walk->name.len > 0 ? buf_str(&walk->name) : STR("the whole"));
    buf_text(&line, ": ");
    jv_write(old ? old : new, &line);
    if (old && new) {
        buf_text(&line, " became ");
        jv_write(new, &line);
    }
    buf_text(walk->lines, walk->first ? "" : ",");
    buf_json(walk->lines, buf_str(&line));
    buf_release(&line);
}

/* NULL for what is not there on that side. */
static void operation(struct walk *walk, const jv *old, const jv *new) {
    buf_format(walk->patch, "%s{\"op\":\"%s\",\"path\":", walk->first ? "" : ",",
               !old   ? "add"
               : !new ? "remove"
                      : "replace");
    buf_json(walk->patch, walk->pointer.len > 0 ? buf_str(&walk->pointer) : STR(""));
    if (new) {
        buf_text(walk->patch, ",\"value\":");
        jv_write(new, walk->patch);
    }
    buf_char(walk->patch, '}');
    write_line(walk, old, new);
    walk->first = false;
}

static void compare(struct walk *walk, const jv *old, const jv *new);

static void compare_objects(struct walk *walk, const jv *old, const jv *new) {
    struct place place = here(walk);
    for (void *it = jv_first(old); it; it = jv_next(old, it)) {
        const jv *other = jv_get(new, jv_key(it));
        go_to_member(walk, jv_key(it));
        if (other)
            compare(walk, jv_value(it), other);
        else
            operation(walk, jv_value(it), NULL);
        go_back(walk, place);
    }
    for (void *it = jv_first(new); it; it = jv_next(new, it)) {
        if (jv_get(old, jv_key(it)))
            continue;
        go_to_member(walk, jv_key(it));
        operation(walk, NULL, jv_value(it));
        go_back(walk, place);
    }
}

static void compare_arrays(struct walk *walk, const jv *old, const jv *new) {
    struct place place = here(walk);
    size_t n_old = jv_len(old), n_new = jv_len(new), start = 0, end = 0;
    size_t least = n_old < n_new ? n_old : n_new;
    while (start < least && jv_equal(jv_at(old, start), jv_at(new, start)))
        start++;
    while (end < least - start &&
           jv_equal(jv_at(old, n_old - 1 - end), jv_at(new, n_new - 1 - end)))
        end++;
    for (size_t i = start; i < least - end; i++) {
        go_to_element(walk, i);
        compare(walk, jv_at(old, i), jv_at(new, i));
        go_back(walk, place);
    }
    for (size_t i = n_old - end; i > least - end && n_old > n_new; i--) { /* from behind */
        go_to_element(walk, i - 1);
        operation(walk, jv_at(old, i - 1), NULL);
        go_back(walk, place);
    }
    for (size_t i = least - end; i < n_new - end && n_new > n_old; i++) {
        go_to_element(walk, i);
        operation(walk, NULL, jv_at(new, i));
        go_back(walk, place);
    }
}

/* Depth is bounded by the reader of both. */
static void compare(struct walk *walk, const jv *old, const jv *new) {
    if (jv_equal(old, new))
        return;
    if (jv_kind(old) == JV_OBJECT && jv_kind(new) == JV_OBJECT)
        compare_objects(walk, old, new);
    else if (jv_kind(old) == JV_ARRAY && jv_kind(new) == JV_ARRAY)
        compare_arrays(walk, old, new);
    else
        operation(walk, old, new);
}

void json_patch(const jv *from, const jv *to, struct buf *ret_patch, struct buf *ret_lines) {
    struct walk walk = {.patch = ret_patch, .lines = ret_lines, .first = true};
    buf_init(&walk.pointer, PATH_MAX_BYTES);
    buf_init(&walk.name, PATH_MAX_BYTES);
    buf_char(ret_patch, '[');
    buf_char(ret_lines, '[');
    compare(&walk, from, to);
    buf_char(ret_patch, ']');
    buf_char(ret_lines, ']');
    buf_release(&walk.pointer);
    buf_release(&walk.name);
}
