/* JSON patches between documents, and the lines that say the same. */
#include "core/json.h"
#include "core/start.h"
#include "domain/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static jv *read_text(const char *text) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    jv *value = NULL;
    assert_true(json_read(str_of(text), JSON_TOKENS, &value, &err));
    return value;
}

static void check(const char *from, const char *to, const char *patch, const char *lines) {
    CLEANUP(jv_unref) jv *old = read_text(from);
    CLEANUP(jv_unref) jv *new = read_text(to);
    struct buf got, said;
    buf_init(&got, 10000);
    buf_init(&said, 10000);
    json_patch(old, new, &got, &said);
    assert_string_equal(got.ptr, patch);
    if (lines)
        assert_string_equal(said.ptr, lines);
    buf_release(&got);
    buf_release(&said);
}

static void objects(void **state) {
    (void)state;
    check("{\"a\":1}", "{\"a\":1}", "[]", "[]");
    check("{\"a\":1}", "{\"a\":2}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":2}]",
          "[\"a: 1 became 2\"]");
    check("{\"a\":{\"b\":null}}", "{\"a\":{\"c\":[null]}}",
          "[{\"op\":\"remove\",\"path\":\"/a/b\"},{\"op\":\"add\",\"path\":\"/a/c\",\"value\":["
          "null]}]",
          "[\"removed a.b: null\",\"added a.c: [null]\"]");
    check("{\"a\":null}", "{\"a\":{}}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":{}}]",
          NULL);
}

static void names_are_escaped(void **state) {
    (void)state;
    check("{}", "{\"~/\\\"\":\"x\"}", "[{\"op\":\"add\",\"path\":\"/~0~1\\\"\",\"value\":\"x\"}]",
          "[\"added ~/\\\": \\\"x\\\"\"]");
    check("{\"\":1}", "{\"\":2}", "[{\"op\":\"replace\",\"path\":\"/\",\"value\":2}]", NULL);
}

static void the_whole(void **state) {
    (void)state;
    check("{\"a\":[]}", "[]", "[{\"op\":\"replace\",\"path\":\"\",\"value\":[]}]",
          "[\"the whole: {\\\"a\\\":[]} became []\"]");
}

static void arrays(void **state) {
    (void)state;
    check("[1,2,3]", "[1,9,2,3]", "[{\"op\":\"add\",\"path\":\"/1\",\"value\":9}]",
          "[\"added [1]: 9\"]");
    check("[1,2,3,4]", "[1,4]",
          "[{\"op\":\"remove\",\"path\":\"/2\"},{\"op\":\"remove\",\"path\":\"/1\"}]",
          "[\"removed [2]: 3\",\"removed [1]: 2\"]");
    check("[{\"t\":1},2]", "[{\"t\":3},2,4]",
          "[{\"op\":\"replace\",\"path\":\"/0/t\",\"value\":3},{\"op\":\"add\",\"path\":\"/2\","
          "\"value\":4}]",
          "[\"[0].t: 1 became 3\",\"added [2]: 4\"]");
    check("[1,1]", "[1]", "[{\"op\":\"remove\",\"path\":\"/1\"}]", NULL);
    check("[1]", "[1,1]", "[{\"op\":\"add\",\"path\":\"/1\",\"value\":1}]", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(the_whole),
        cmocka_unit_test(arrays),
    };
    return core_start() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
