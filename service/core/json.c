/* Reads, changes, compares and writes JSON documents. No other file calls jansson. */
#include "core/json.h"

#include <jansson.h>
#include <string.h>

void json_start(void) { json_object_seed(0); }

/* --- reading
 * -------------------------------------------------------------------------------------------------------
 */

/* "…: line 3, column 7." The column counts characters from 1. */
static bool refuse_at(struct err *err, struct str text, size_t at, const char *what) {
    size_t line = 1;
    size_t start = 0;

    for (size_t i = 0; i < at; i++)
        if (text.ptr[i] == '\n') {
            line++;
            start = i + 1;
        }
    size_t column = str_chars((struct str){text.ptr + start, at - start}) + 1;
    return err_set(err, PROBLEM_MALFORMED_JSON, "%s: line %zu, column %zu.", what, line, column);
}

struct scan {
    size_t depth;
    size_t tokens;
    bool in_string;
};

/* Why the byte at `*at` must be refused, or NULL. Steps over the character after a backslash. */
static const char *scan_byte(struct scan *scan, struct str text, size_t *at, size_t max_tokens) {
    char c = text.ptr[*at];

    if (scan->in_string) {
        if (c == '"')
            scan->in_string = false;
        else if (c == '\\') {
            if (text.len - *at >= 6 && memcmp(text.ptr + *at, "\\u0000", 6) == 0)
                return "Text with NUL (\\u0000) is not accepted";
            (*at)++;
        }
        return NULL;
    }
    if (c == '"')
        scan->in_string = true;
    else if (c == '{' || c == '[') {
        scan->tokens++;
        if (++scan->depth > JSON_DEPTH)
            return "Nesting is deeper than 32 levels";
    } else if (c == '}' || c == ']')
        scan->depth -= scan->depth > 0; /* unbalanced ones are the parser's to refuse */
    else if (c == ',' || c == ':')
        scan->tokens++;
    return scan->tokens > max_tokens ? "The document has too many values" : NULL;
}

bool json_scan(struct str text, size_t max_tokens, struct err *err) {
    struct scan scan = {0};
    size_t good = str_utf8_prefix(text);

    if (text.len == 0)
        return err_set(err, PROBLEM_MALFORMED_JSON,
                       "The body is empty; a JSON document is needed.");
    if (good < text.len)
        return refuse_at(err, text, good,
                         text.ptr[good] == '\0' ? "A NUL byte is not accepted"
                                                : "The text is not valid UTF-8");
    if (str_starts(text, "\xEF\xBB\xBF"))
        return refuse_at(err, text, 0, "JSON must not begin with a byte order mark");
    for (size_t at = 0; at < text.len; at++) {
        size_t here = at;
        const char *why = scan_byte(&scan, text, &at, max_tokens);
        if (why != NULL)
            return refuse_at(err, text, here, why);
    }
    return true;
}

/* Our own sentence for the parser's: its text quotes the input and may be cut within a character.
 */
static const char *parser_says(const json_error_t *error) {
    enum json_error_code code = json_error_code(error);

    if (code == json_error_duplicate_key)
        return "The same key occurs twice in one object";
    if (code == json_error_numeric_overflow)
        return strstr(error->text, "integer") != NULL
                   ? "An integer does not fit into 64 bits; send large ones as text"
                   : "A number is too large";
    if (code == json_error_premature_end_of_input)
        return "The document ends too early";
    if (code == json_error_end_of_input_expected)
        return "Something follows after the end of the document";
    if (code == json_error_null_character || code == json_error_null_byte_in_key)
        return "Text with NUL (\\u0000) is not accepted";
    if (code == json_error_invalid_utf8)
        return "The text is not valid UTF-8";
    return "This is not JSON";
}

bool json_read(struct str text, size_t max_tokens, jv **ret, struct err *err) {
    json_error_t error;

    if (!json_scan(text, max_tokens, err))
        return false;
    json_t *value =
        json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (value == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return err_memory(err);
        size_t at = error.position < 0 ? 0 : (size_t)error.position;
        return refuse_at(err, text, at > text.len ? text.len : at, parser_says(&error));
    }
    *ret = value;
    return true;
}

/* --- looking
 * -------------------------------------------------------------------------------------------------------
 */

enum jv_kind jv_kind(const jv *value) {
    if (value == NULL)
        return JV_NULL;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return JV_OBJECT;
    case JSON_ARRAY:
        return JV_ARRAY;
    case JSON_STRING:
        return JV_TEXT;
    case JSON_INTEGER:
        return JV_INT;
    case JSON_REAL:
        return JV_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return JV_BOOL;
    case JSON_NULL:
        return JV_NULL;
    }
    return JV_NULL;
}

struct str jv_text(const jv *value) {
    return json_is_string(value) ? (struct str){json_string_value(value), json_string_length(value)}
                                 : STR_ABSENT;
}

int64_t jv_int(const jv *value) { return json_integer_value(value); }

bool jv_bool(const jv *value) { return json_is_true(value); }

double jv_real(const jv *value) { return json_number_value(value); }

bool jv_is_null(const jv *value) { return json_is_null(value); }

size_t jv_len(const jv *value) {
    return json_is_object(value) ? json_object_size(value) : json_array_size(value);
}

jv *jv_get(const jv *object, const char *name) { return json_object_get(object, name); }

jv *jv_at(const jv *array, size_t index) { return json_array_get(array, index); }

void *jv_first(const jv *object) { return json_object_iter((json_t *)object); }

void *jv_next(const jv *object, void *iterator) {
    return json_object_iter_next((json_t *)object, iterator);
}

const char *jv_key(void *iterator) { return json_object_iter_key(iterator); }

jv *jv_value(void *iterator) { return json_object_iter_value(iterator); }

/* --- making
 * --------------------------------------------------------------------------------------------------------
 */

jv *jv_new_object(void) { return json_object(); }

jv *jv_new_array(void) { return json_array(); }

jv *jv_new_text(struct str text) {
    return text.ptr == NULL ? json_null() : json_stringn(text.ptr, text.len);
}

jv *jv_new_int(int64_t value) { return json_integer(value); }

jv *jv_new_bool(bool value) { return json_boolean(value); }

jv *jv_new_null(void) { return json_null(); }

jv *jv_ref(jv *value) { return json_incref(value); }

jv *jv_copy(const jv *value) { return json_deep_copy(value); }

void jv_unref(jv **value) {
    json_decref(*value);
    *value = NULL;
}

bool jv_set(jv *object, const char *name, jv *value) {
    return json_object_set_new(object, name, value) == 0;
}

bool jv_push(jv *array, jv *value) { return json_array_append_new(array, value) == 0; }

void jv_remove(jv *object, const char *name) { json_object_del(object, name); }

bool jv_equal(const jv *a, const jv *b) { return a == b || json_equal(a, b) == 1; }

/* Merging recurses at most JSON_DEPTH deep: merge_object counts. NOLINTBEGIN(misc-no-recursion) */
static bool merge_object(jv *target, const jv *patch, int depth);

/* What member `name` of `target` becomes by `patch`, which is not null. */
static bool merge_member(jv *target, const char *name, const jv *patch, int depth) {
    jv *old = json_object_get(target, name);

    if (!json_is_object(patch))
        return jv_set(target, name, json_deep_copy(patch));
    if (json_is_object(old))
        return merge_object(old, patch, depth);
    /* An object that replaces something else: merged into an empty one, so that its nulls fall
     * away. */
    jv *fresh = json_object();
    if (fresh == NULL || !merge_object(fresh, patch, depth)) {
        json_decref(fresh);
        return false;
    }
    return jv_set(target, name, fresh);
}

static bool merge_object(jv *target, const jv *patch, int depth) {
    if (depth > JSON_DEPTH)
        return false;
    for (void *it = jv_first(patch); it != NULL; it = jv_next(patch, it)) {
        if (json_is_null(jv_value(it)))
            json_object_del(target, jv_key(it));
        else if (!merge_member(target, jv_key(it), jv_value(it), depth + 1))
            return false;
    }
    return true;
}
/* NOLINTEND(misc-no-recursion) */

bool jv_merge(jv **target, const jv *patch) {
    jv *next;

    if (json_is_object(patch) && json_is_object(*target))
        return merge_object(*target, patch, 1);
    next = json_is_object(patch) ? json_object() : json_deep_copy(patch);
    if (next == NULL || (json_is_object(patch) && !merge_object(next, patch, 1))) {
        json_decref(next);
        return false;
    }
    json_decref(*target);
    *target = next;
    return true;
}

/* --- writing
 * -------------------------------------------------------------------------------------------------------
 */

static int add_bytes(const char *bytes, size_t len, void *buf) {
    buf_add(buf, bytes, len);
    return buf_ok(buf) ? 0 : -1;
}

void jv_write(const jv *value, struct buf *ret) {
    /* 15 digits give back the decimal that was read; the default of 17 makes 0.1
     * 0.10000000000000001. */
    size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);

    if (value == NULL || json_dump_callback(value, add_bytes, ret, flags) != 0)
        ret->failed = true;
}
