#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/start.h"
#include "remote/signature.h"

#define ID STR("msg_p5jXN8AQM9LWM0D4loKWxJek")
#define AT STR("1614265330")
#define BODY STR("{\"test\": 2432232314}")

static struct str bytes_of(const char *base64, unsigned char room[64]) {
    size_t len;
    assert_true(base64_decode(str_of(base64), room, 64, &len));
    return (struct str){(char *)room, len};
}

/* The vector of the reference libraries (standard-webhooks, svix). */
static void vector(void **state) {
    (void)state;
    unsigned char room[64];
    struct buf text CLEANUP(buf_release) = {.max = 1000};
    webhook_sign(bytes_of("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", room), ID, AT, BODY, &text);
    assert_true(buf_ok(&text));
    assert_string_equal(text.ptr, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

/* While a secret is being replaced, receivers find a signature by each. */
static void several(void **state) {
    (void)state;
    unsigned char room[64];
    struct buf text CLEANUP(buf_release) = {.max = 1000};
    webhook_sign(STR("another secret, another secret.."), ID, AT, BODY, &text);
    size_t first = text.len;
    webhook_sign(bytes_of("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", room), ID, AT, BODY, &text);
    assert_int_equal(first, 47);
    assert_string_equal(text.ptr + first, " v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_memory_not_equal(text.ptr, text.ptr + first + 1, 47);
}

static void secret_text(void **state) {
    (void)state;
    unsigned char secret[WEBHOOK_SECRET] = {0};
    struct buf text CLEANUP(buf_release) = {.max = 100};
    webhook_secret_text((struct str){(char *)secret, sizeof(secret)}, &text);
    assert_string_equal(text.ptr, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(vector), cmocka_unit_test(several),
                                       cmocka_unit_test(secret_text)};
    if (!core_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
