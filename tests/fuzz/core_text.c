/* The small decoders and scanners of text: each reads its input only, and what it accepts is what
 * its writer writes. */
#include "core/arena.h"
#include "core/buf.h"
#include "core/crypto.h"
#include "core/id.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds)
        abort();
}

static void try_percent(struct str input, struct arena *arena) {
    struct buf text CLEANUP(buf_release) = {0};
    char *plain = arena_alloc(arena, input.len);
    size_t len;
    size_t back_len = 0;

    if (plain == NULL || !percent_decode(input, false, plain, &len))
        return;
    must(len <= input.len && memchr(plain, '\0', len) == NULL);
    buf_init(&text, 1 << 22);
    buf_percent(&text, (struct str){plain, len});
    must(buf_ok(&text));
    char *room = arena_alloc(arena, text.len);
    must(room != NULL && percent_decode(buf_str(&text), true, room, &back_len));
    must(back_len == len && memcmp(room, plain, len) == 0);
}

static void try_base64(struct str input, struct arena *arena) {
    struct buf text CLEANUP(buf_release) = {0};
    char *plain = arena_alloc(arena, input.len);
    size_t len;

    buf_init(&text, 1 << 22);
    if (plain != NULL && base64_decode(input, plain, input.len, &len)) {
        buf_base64(&text, plain, len);
        must(str_eq(buf_str(&text), input)); /* one spelling only */
    }
    buf_reset(&text);
    if (plain != NULL && base64url_decode(input, plain, input.len, &len)) {
        buf_base64url(&text, plain, len);
        must(str_eq(buf_str(&text), input));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena CLEANUP(arena_release) = {.limit = 64 << 20};
    struct str input = {size == 0 ? "" : (const char *)data, size};
    struct uuid id;
    int64_t number;
    size_t good = str_utf8_prefix(input);

    must(good <= size && str_is_utf8((struct str){input.ptr, good}));
    must(good == size || str_char_len((struct str){input.ptr + good, size - good}) == 0);
    must(str_chars(input) <= size);
    (void)str_to_i64(str_trim(input), &number);
    (void)uuid_parse(input, &id);
    (void)api_key_is(input);
    try_percent(input, &arena);
    try_base64(input, &arena);
    return 0;
}
