/* Signatures of webhooks against the vector of the reference libraries, with several secrets and
 * keys at once. */
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

/* The keys follow from the master key and their number; each signs, the newest first. Verified by
 * other people's code in tests/e2e/webhook-options.test.mjs. */
static void keys(void **state) {
    (void)state;
    struct keyring ring;
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct webhook_keys pair = {.n = 0}, one = {.n = 0};
    struct buf both CLEANUP(buf_release) = {.max = 1000},
                    first CLEANUP(buf_release) = {.max = 1000};
    struct buf name CLEANUP(buf_release) = {.max = 100}, other CLEANUP(buf_release) = {.max = 100};
    assert_true(keyring_init(&ring, STR("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), &err));
    webhook_keys_set(&pair, &ring, (const struct webhook_key[]){{.number = 2}, {.number = 1}}, 2);
    webhook_keys_set(&one, &ring, &(const struct webhook_key){.number = 1}, 1);
    buf_text(&both, "v1,x");
    webhook_sign_public(&pair, ID, AT, BODY, &both);
    webhook_sign_public(&one, ID, AT, BODY, &first);
    assert_int_equal(first.len, 4 + 88);
    assert_int_equal(both.len, 4 + 2 * (1 + first.len));
    assert_memory_equal(both.ptr, "v1,x v1a,", 9);
    assert_memory_equal(both.ptr + both.len - first.len, first.ptr, first.len);
    assert_memory_not_equal(both.ptr + 5, first.ptr, first.len);
    assert_true(webhook_public_text(&ring, &(const struct webhook_key){.number = 1}, &name));
    assert_true(webhook_public_text(&ring, &(const struct webhook_key){.number = 2}, &other));
    assert_int_equal(name.len, 5 + 44);
    assert_string_not_equal(name.ptr, other.ptr);
    webhook_keys_set(&pair, &ring, NULL, 0);
    assert_int_equal(pair.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(vector), cmocka_unit_test(several),
                                       cmocka_unit_test(secret_text), cmocka_unit_test(keys)};
    if (!core_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
