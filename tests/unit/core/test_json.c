/* What the JSON reader takes and refuses, at which position, and what looking up, copying and
 * merging give. */
#include "unit.h"

#include "core/json.h"
#include "core/start.h"

#include <stdlib.h>

#define IN(literal)                                                                                \
    { literal, sizeof(literal) - 1 }

/* What the reader promises, whether by its own scan or by jansson. `says` is a part of the
 * detail of what is refused; NULL: accepted. */
static const struct {
    const char *name;
    struct str text;
    const char *says;
} documents[] = {
    {"object", IN("{\"a\":[1,2.5,\"x\",true,false,null]}"), NULL},
    {"top-level text", IN("\"x\""), NULL},
    {"top-level number", IN(" 1 "), NULL},
    {"top-level null", IN("null"), NULL},
    {"brackets in text", IN("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[\""),
     NULL},
    {"U+FFFF", IN("\"\xEF\xBF\xBF\""), NULL},
    {"surrogate pair", IN("\"\\ud83d\\ude00\""), NULL},
    {"2^63-1", IN("[9223372036854775807]"), NULL},
    {"-2^63", IN("[-9223372036854775808]"), NULL},
    {"2^53+1", IN("[9007199254740993]"), NULL},
    {"1e-400", IN("[1e-400]"), NULL},
    {"-0", IN("[-0]"), NULL},
    {"escaped backslash before u0000", IN("[\"\\\\u0000\"]"), NULL},
    {"same key in two objects", IN("[{\"a\":1},{\"a\":2}]"), NULL},

    {"empty", IN(""), "empty"},
    {"blank", IN(" \n "), "line 2"},
    {"cut off", IN("{\"a\":"), "ends too early"},
    {"cut off in text", IN("\"abc"), "not JSON|ends too early"},
    {"cut off after backslash", IN("\"abc\\"), "not JSON|ends too early"},
    {"trailing bytes", IN("{} x"), "follows after the end"},
    {"two documents", IN("{}{}"), "follows after the end"},
    {"trailing comma", IN("[1,]"), "not JSON"},
    {"comment", IN("[1] // x"), "follows after the end"},
    {"single quotes", IN("{'a':1}"), "not JSON"},
    {"NaN", IN("[NaN]"), "not JSON"},
    {"Infinity", IN("[Infinity]"), "not JSON"},
    {"leading zero", IN("[01]"), "not JSON"},
    {"leading plus", IN("[+1]"), "not JSON"},
    {"hex", IN("[0x1]"), "not JSON"},
    {"unbalanced", IN("]]]]"), "not JSON"},
    {"mismatched", IN("[{]}"), "not JSON"},
    {"duplicate key", IN("{\"a\":1,\n \"a\":2}"), "twice"},
    {"duplicate key, one escaped", IN("{\"a\":1,\"\\u0061\":2}"), "twice"},
    {"duplicate key within", IN("{\"x\":[{\"k\":1,\"k\":1}]}"), "twice"},
    {"2^63", IN("[9223372036854775808]"), "64 bits"},
    {"-2^63-1", IN("[-9223372036854775809]"), "64 bits"},
    {"1e400", IN("[1e400]"), "too large"},
    {"-1e400", IN("[-1e400]"), "too large"},
    {"NUL byte", IN("[\"a\0b\"]"), "NUL"},
    {"NUL byte outside", IN("[]\0"), "NUL"},
    {"\\u0000 in text", IN("[\"a\\u0000b\"]"), "NUL"},
    {"\\u0000 in key", IN("{\"a\\u0000b\":1}"), "NUL"},
    {"lone high surrogate", IN("[\"\\ud800\"]"), "not JSON|UTF-8"},
    {"lone low surrogate", IN("[\"\\udc00\"]"), "not JSON|UTF-8"},
    {"reversed surrogates", IN("[\"\\ude00\\ud83d\"]"), "not JSON|UTF-8"},
    {"CESU-8", IN("[\"\xED\xA0\xBD\xED\xB8\x80\"]"), "UTF-8"},
    {"overlong", IN("[\"\xC0\xAF\"]"), "UTF-8"},
    {"beyond U+10FFFF", IN("[\"\xF4\x90\x80\x80\"]"), "UTF-8"},
    {"Latin-1", IN("[\"\xFC\"]"), "UTF-8"},
    {"byte order mark", IN("\xEF\xBB\xBF{}"), "byte order mark"},
    {"UTF-16", IN("{\0}\0"), "NUL"},
    {"raw control", IN("[\"a\nb\"]"), "not JSON"},
    {"raw tab", IN("[\"a\tb\"]"), "not JSON"},
};

/* `says` may name two alternatives. */
static bool has(const char *detail, const char *says) {
    struct str rest = str_of(says);
    struct str part;
    while (str_split(&rest, '|', &part)) {
        char word[64] = "";
        memcpy(word, part.ptr, part.len);
        if (strstr(detail, word) != NULL)
            return true;
    }
    return false;
}

static void reading(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(documents); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        jv *value CLEANUP(jv_unref) = NULL;
        /* A copy without a byte behind it, so that AddressSanitizer sees an overrun. */
        char *copy = malloc(documents[i].text.len + (documents[i].text.len == 0));
        memcpy(copy, documents[i].text.ptr, documents[i].text.len);
        bool ok = json_read((struct str){copy, documents[i].text.len}, JSON_TOKENS, &value, &err);
        free(copy);
        assert_case(ok == (documents[i].says == NULL), documents[i].name);
        assert_case(ok == (value != NULL), documents[i].name);
        if (ok)
            continue;
        assert_case(err.problem == PROBLEM_MALFORMED_JSON, documents[i].name);
        if (!has(err.detail, documents[i].says))
            print_error("detail: %s\n", err.detail);
        assert_case(has(err.detail, documents[i].says), documents[i].name);
        assert_case(documents[i].text.len == 0 || strstr(err.detail, "line ") != NULL,
                    documents[i].name);
    }
}

static void position(void **state) {
    (void)state;
    static const struct {
        struct str text;
        const char *want;
    } cases[] = {
        {IN("{\n  \"\xC3\xBC\": \"\xFF\"}"), "The text is not valid UTF-8: line 2, column 9."},
        {IN("[1,\n2,\n  \"\\u0000\"]"),
         "Text with NUL (\\u0000) is not accepted: line 3, column 4."},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        jv *value CLEANUP(jv_unref) = NULL;
        assert_false(json_read(cases[i].text, JSON_TOKENS, &value, &err));
        assert_string_equal(err.detail, cases[i].want);
    }
    struct err err CLEANUP(err_release) = ERR_INIT;
    jv *value CLEANUP(jv_unref) = NULL;
    assert_false(json_read(STR("{\n\"b\": 1 2}"), JSON_TOKENS, &value, &err));
    assert_non_null(strstr(err.detail, "line 2, column "));
}

static bool nested(size_t depth, char open, char close, struct err *err) {
    char text[8192];
    jv *value CLEANUP(jv_unref) = NULL;
    size_t at = 0;
    for (size_t i = 0; i < depth; i++) {
        text[at++] = open;
        if (open == '{' && i + 1 < depth)
            at += (size_t)snprintf(text + at, 5, "\"k\":");
    }
    memset(text + at, close, depth);
    return json_read((struct str){text, at + depth}, JSON_TOKENS, &value, err);
}

static void depth(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    assert_true(nested(32, '[', ']', &err));
    assert_true(nested(32, '{', '}', &err));
    assert_false(nested(33, '[', ']', &err));
    assert_string_equal(err.detail, "Nesting is deeper than 32 levels: line 1, column 33.");
    assert_false(nested(33, '{', '}', &err));
    assert_false(nested(4000, '[', ']', &err));
    /* Only nesting counts, not how many there were. */
    assert_true(json_scan(STR("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
                              "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]"),
                          JSON_TOKENS, &err));
}

static void tokens(void **state) {
    (void)state;
    struct err err CLEANUP(err_release) = ERR_INIT;
    /* [ and two commas: 3; { : , : : 4 */
    assert_true(json_scan(STR("[1,2,3]"), 3, &err));
    assert_false(json_scan(STR("[1,2,3]"), 2, &err));
    assert_true(json_scan(STR("{\"a,:[{\":1,\"b\":2}"), 4, &err));
    assert_false(json_scan(STR("{\"a,:[{\":1,\"b\":2}"), 3, &err));
    assert_non_null(strstr(err.detail, "too many values"));
    /* A million keys, and F5's 1 MiB of {},{}: refused before anything is built. */
    struct buf buf CLEANUP(buf_release) = {0};
    jv *value CLEANUP(jv_unref) = NULL;
    buf_init(&buf, 32 << 20);
    for (int i = 0; i < 1000000; i++)
        buf_format(&buf, "%s\"k%d\":1", i == 0 ? "{" : ",", i);
    buf_char(&buf, '}');
    assert_true(buf_ok(&buf));
    assert_false(json_read(buf_str(&buf), JSON_TOKENS, &value, &err));
    buf_reset(&buf);
    for (int i = 0; i < 350000; i++)
        buf_text(&buf, i == 0 ? "[{}" : ",{}");
    buf_char(&buf, ']');
    assert_false(json_read(buf_str(&buf), JSON_TOKENS, &value, &err));
    assert_null(value);
    /* Exactly at the limit it is read: one bracket and 19,999 commas. */
    buf_reset(&buf);
    for (int i = 0; i < JSON_TOKENS; i++)
        buf_text(&buf, i == 0 ? "[0" : ",0");
    buf_char(&buf, ']');
    assert_true(json_read(buf_str(&buf), JSON_TOKENS, &value, &err));
    assert_int_equal(jv_len(value), JSON_TOKENS);
}

static jv *parse(const char *text) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    jv *value = NULL;
    json_read(str_of(text), JSON_TOKENS, &value, &err);
    return value;
}

static void looking(void **state) {
    (void)state;
    jv *doc CLEANUP(jv_unref) =
        parse("{\"i\":-7,\"r\":2.5,\"t\":\"x\",\"y\":true,\"n\":null,\"a\":[1,2],\"o\":{}}");
    assert_int_equal(jv_kind(doc), JV_OBJECT);
    assert_int_equal(jv_len(doc), 7);
    assert_int_equal(jv_kind(jv_get(doc, "i")), JV_INT);
    assert_int_equal(jv_int(jv_get(doc, "i")), -7);
    assert_true(jv_real(jv_get(doc, "i")) < -6.9 && jv_real(jv_get(doc, "r")) > 2.4);
    assert_int_equal(jv_kind(jv_get(doc, "r")), JV_REAL);
    assert_int_equal(jv_int(jv_get(doc, "r")), 0);
    assert_text(jv_text(jv_get(doc, "t")), "x");
    assert_null(jv_text(jv_get(doc, "i")).ptr);
    assert_true(jv_bool(jv_get(doc, "y")));
    assert_int_equal(jv_kind(jv_get(doc, "y")), JV_BOOL);
    assert_false(jv_bool(jv_get(doc, "t")));
    assert_true(jv_is_null(jv_get(doc, "n")));
    assert_false(jv_is_null(jv_get(doc, "missing")));
    assert_null(jv_get(doc, "missing"));
    assert_int_equal(jv_int(jv_at(jv_get(doc, "a"), 1)), 2);
    assert_null(jv_at(jv_get(doc, "a"), 2));
    assert_int_equal(jv_len(NULL), 0);
    assert_int_equal(jv_len(jv_get(doc, "t")), 0);
    assert_null(jv_first(jv_get(doc, "o")));
    size_t n = 0;
    for (void *it = jv_first(doc); it != NULL; it = jv_next(doc, it), n++)
        assert_ptr_equal(jv_value(it), jv_get(doc, jv_key(it)));
    assert_int_equal(n, 7);
}

static void written(const jv *value, const char *want) {
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 4096);
    jv_write(value, &buf);
    assert_text(buf_str(&buf), want);
}

static void making(void **state) {
    (void)state;
    jv *doc CLEANUP(jv_unref) = jv_new_object();
    jv *list = jv_new_array();
    assert_true(jv_push(list, jv_new_int(INT64_MIN)));
    assert_true(jv_push(list, jv_new_bool(false)));
    assert_true(jv_push(list, jv_new_null()));
    assert_true(jv_push(list, jv_new_text(STR("\"\xC3\xBC\n"))));
    assert_true(jv_push(list, jv_new_text(STR_ABSENT)));
    assert_true(jv_set(doc, "list", list));
    written(doc, "{\"list\":[-9223372036854775808,false,null,\"\\\"\xC3\xBC\\n\",null]}");
    assert_false(jv_set(doc, "bad", jv_new_text(STR("\xFF")))); /* not UTF-8: no value */
    assert_false(jv_set(doc, "bad", NULL));
    assert_false(jv_push(doc, jv_new_int(1))); /* the value is taken over all the same */
    jv *copy CLEANUP(jv_unref) = jv_copy(doc);
    assert_true(jv_equal(copy, doc));
    jv_remove(copy, "list");
    jv_remove(copy, "list");
    assert_false(jv_equal(copy, doc));
    assert_true(jv_equal(NULL, NULL));
    assert_false(jv_equal(doc, NULL));
    jv *again CLEANUP(jv_unref) = jv_ref(doc);
    assert_ptr_equal(again, doc);
    struct buf buf CLEANUP(buf_release) = {0};
    buf_init(&buf, 10);
    jv_write(doc, &buf);
    assert_false(buf_ok(&buf));
    buf_reset(&buf);
    jv_write(NULL, &buf);
    assert_false(buf_ok(&buf));
}

static void decimals(void **state) {
    (void)state;
    jv *doc CLEANUP(jv_unref) = parse("[0.1,99999999999999.9,2.50,1e-7,-0.0,1e15]");
    written(doc, "[0.1,99999999999999.9,2.5,1e-7,-0.0,1e15]");
}

/* RFC 7396, appendix A, all cases; and two where an object replaces something else. */
static void merge(void **state) {
    (void)state;
    static const struct {
        const char *target, *patch, *want;
    } cases[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        {"{\"a\":5}", "{\"a\":{\"x\":{\"y\":1,\"z\":null}}}", "{\"a\":{\"x\":{\"y\":1}}}"},
        {"{}", "{\"a\":[null,{\"b\":null}]}", "{\"a\":[null,{\"b\":null}]}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        jv *target CLEANUP(jv_unref) = parse(cases[i].target);
        jv *patch CLEANUP(jv_unref) = parse(cases[i].patch);
        jv *want CLEANUP(jv_unref) = parse(cases[i].want);
        jv *before CLEANUP(jv_unref) = jv_copy(patch);
        assert_true(jv_merge(&target, patch));
        assert_case(jv_equal(target, want), cases[i].patch);
        assert_case(jv_equal(patch, before), cases[i].patch);
    }
}

/* A patch built by hand may be deeper than the reader allows: refused, nothing lost. */
static void merge_too_deep(void **state) {
    (void)state;
    jv *patch CLEANUP(jv_unref) = jv_new_object();
    for (int i = 0; i < 40; i++) {
        jv *outer = jv_new_object();
        assert_true(jv_set(outer, "k", patch));
        patch = outer;
    }
    jv *target CLEANUP(jv_unref) = parse("[1]");
    assert_false(jv_merge(&target, patch));
    written(target, "[1]");
}

static int start(void **state) {
    (void)state;
    return core_start() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading),  cmocka_unit_test(position), cmocka_unit_test(depth),
        cmocka_unit_test(tokens),   cmocka_unit_test(looking),  cmocka_unit_test(making),
        cmocka_unit_test(decimals), cmocka_unit_test(merge),    cmocka_unit_test(merge_too_deep),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
