/* The JSON reader: whatever it accepts survives writing, reading again, copying and merging. */
#include "core/json.h"
#include "core/start.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool started;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct buf text CLEANUP(buf_release) = {0};
    jv *value CLEANUP(jv_unref) = NULL;
    jv *again CLEANUP(jv_unref) = NULL;
    jv *merged CLEANUP(jv_unref) = NULL;
    struct str input = {size == 0 ? "" : (const char *)data, size};

    started = started || core_start();
    bool scanned = json_scan(input, JSON_TOKENS, &err);
    if (!json_read(input, JSON_TOKENS, &value, &err)) {
        must(value == NULL && err_is_set(&err) && str_is_utf8(str_of(err.detail)));
        return 0;
    }
    must(scanned && str_is_utf8(input));
    buf_init(&text, 16 << 20);
    jv_write(value, &text);
    must(buf_ok(&text) && json_read(buf_str(&text), JSON_TOKENS, &again, &err));
    must(jv_kind(again) == jv_kind(value) && jv_len(again) == jv_len(value));
    merged = jv_copy(again);
    must(jv_equal(merged, again) && jv_merge(&merged, value));
    return 0;
}
