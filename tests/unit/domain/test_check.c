/* Checks of single values: tables of what passes and what does not. */
#include "core/buf.h"
#include "domain/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef const char *(*check)(struct str text);

/* Each text lives in memory of exactly its size, so that AddressSanitizer sees a read beyond it. */
static const char *run_exact(check function, struct str text) {
    char *copy = malloc(text.len + (text.len == 0));
    assert_non_null(copy);
    memcpy(copy, text.ptr, text.len);
    const char *said = function((struct str){copy, text.len});
    free(copy);
    return said;
}

static void expect(check function, const char *const *good, const char *const *bad) {
    for (; *good != NULL; good++) {
        const char *said = run_exact(function, str_of(*good));
        if (said != NULL)
            fail_msg("\"%s\" was refused: %s", *good, said);
    }
    for (; *bad != NULL; bad++) {
        const char *said = run_exact(function, str_of(*bad));
        if (said == NULL)
            fail_msg("\"%s\" was accepted", *bad);
        assert_true(strlen(said) > 10 && strlen(said) < 150);
    }
    assert_non_null(function(STR_ABSENT));
    assert_non_null(function((struct str){"ab\0cd.example", 13}));
}

#define LIST(...)                                                                                  \
    (const char *const[]) { __VA_ARGS__, NULL }

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void emails(void **state) {
    (void)state;
    expect(check_email,
           LIST("a@b.co", "first.last+tag@Sub.Example.COM", "o'neil@example.ie", A64 "@example.com",
                "x_{|}~!#$%&*/=?^`-@example.com", "1@2.example"),
           LIST("", "@", "a", "a@", "@b.co", "a@b", "a@@b.co", "a@b@c.co", ".a@b.co", "a.@b.co",
                "a..b@c.co", "a b@c.co", "a@b .co", "a@-b.co", "a@b-.co", "a@b..co", "a@.b.co",
                "a@b.co.", "\"a b\"@c.co", "a@[10.0.0.1]", "a@10.0.0.1", "j\u00F6rg@example.com",
                "a@ex\u00E4mple.com", "a<b@c.co", "a,b@c.co", "a@b.co\n", A64 "a@example.com",
                "a@" A64 ".com", "a@" A63 "." A63 "." A63 "." A63 ".com"));
    /* 254 in all is the limit: 64 + 1 + 189. */
    expect(check_email, LIST(A64 "@" A63 "." A63 "." A61),
           LIST(A64 "@" A63 "." A63 "." A61 "a", A64 "@" A63 "." A63 "." A63));
}

static void phones(void **state) {
    (void)state;
    expect(check_phone, LIST("+12345678", "+123456789012345", "+4930123456"),
           LIST("", "+", "+1234567", "+1234567890123456", "4930123456", "+0930123456",
                "+49 30123456", "+49-30123456", "+4930123456x", "++930123456", "004930123456"));
}

static void phones_are_normalised(void **state) {
    static const struct {
        const char *spelling;
        const char *expected; /* NULL: no */
    } cases[] = {
        {"+4930123456", "+4930123456"},
        {"+49 (0)30-123456", "+4930123456"},
        {"+49(0)30/12 34 56", "+4930123456"},
        {"0049 30 123456", "+4930123456"},
        {"00 49 (0) 30 123456", "+4930123456"},
        {"00 49 (30) 123456", "+4930123456"},
        {"(+49) 30 123456", "+4930123456"},
        {"(0049) 30 123456", "+4930123456"},
        {"tel:+1-202-555-0134", "+12025550134"},
        {"TEL: +1.202.555.0134", "+12025550134"},
        {"  +1 202 555 0134  ", "+12025550134"},
        {"+1\u00A0202\u2011555\u20130134", "+12025550134"},
        {"+44\t20 7946 0018", "+442079460018"},
        {"\u00A0+44 20 7946 0018\u202F", "+442079460018"},
        {"tel:+44-20-7946-0018;ext=12;isub=3", "+442079460018"},
        {"tel:0044 (0)20 7946 0018;", "+442079460018"},
        {"tel:;ext=12", NULL},
        {";+442079460018", NULL},
        {"+123456789012345", "+123456789012345"},
        {"+1234567890123456", NULL},
        {"+12345678901234567890123456789", NULL},
        {"+1234567", NULL},
        {"030 123456", NULL},
        {"123456789", NULL},
        {"", NULL},
        {"+", NULL},
        {"00", NULL},
        {"tel:", NULL},
        {"+0 30 1234567", NULL},
        {"000 30 1234567", NULL},
        {"+49 30 123456 ext. 7", NULL},
        {"+49 30 123456;ext=7", NULL},
        {"+49 30 1234+56", NULL},
        {"+49 30 \u0663\u0664\u0665\u0666\u0667\u0668", NULL},
        {"+1 800 FLOWERS", NULL},
        {"(((((+4930123456", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char phone[PHONE_TEXT] = "untouched";
        char *copy = strdup(cases[i].spelling);
        bool ok = phone_normalise(str_of(copy), phone);

        free(copy);
        if (ok != (cases[i].expected != NULL))
            fail_msg("\"%s\" gave %s", cases[i].spelling, phone);
        assert_string_equal(phone, ok ? cases[i].expected : "untouched");
        if (ok)
            assert_null(check_phone(str_of(phone)));
    }
    char phone[PHONE_TEXT];
    assert_false(phone_normalise(STR_ABSENT, phone));
    assert_false(phone_normalise((struct str){"+49301234\0"
                                              "567",
                                              13},
                                 phone));
}

static void domains(void **state) {
    (void)state;
    expect(check_domain,
           LIST("example.com", "a.b.c.example", "xn--mnchen-3ya.de", "3m.com", "a-b.co", A63 ".com",
                A63 "." A63 "." A63 "." A61),
           LIST("", "example", "Example.com", "example.com.", ".example.com", "a..b", "-a.com",
                "a-.com", "a_b.com", "m\u00FCnchen.de", "10.0.0.1", "a.123", "a b.com",
                "http://a.com", "a.com/", "a.com:80", A64 ".com",
                A63 "." A63 "." A63 "." A61 "aa"));
}

static void urls(void **state) {
    (void)state;
    expect(check_url_https,
           LIST("https://example.com", "http://example.com/", "https://www.linkedin.com/in/a-b_c~1",
                "https://example.com:8443/a?b=c&d=%20#frag", "https://EXAMPLE.com?x",
                "https://example.com#f", "https://example.com/a(b)*!$';,@"),
           LIST("", "example.com", "ftp://example.com", "javascript:alert(1)", "https://",
                "https:///path", "https://localhost", "https://localhost/", "https://10.0.0.1/",
                "https://[::1]/", "https://user@example.com/", "https://user:pass@example.com/",
                "https://example.com:", "https://example.com:0/", "https://example.com:65536/",
                "https://example.com:80:80/", "https://example.com:8a/",
                "https://example.com:000080/", "https://example.com/a b", "https://example.com/%2",
                "https://example.com/%zz", "https://example.com/<script>",
                "https://example.com/\u00E4", "https://example.com\\@evil.com/",
                "HTTPS://example.com/", " https://example.com/", "https://example.com/\n"));
    char text[2050];
    memset(text, 'a', sizeof(text));
    memcpy(text, "https://example.com/", 20);
    assert_null(check_url_https((struct str){text, 2048}));
    assert_non_null(check_url_https((struct str){text, 2049}));
}

static void codes(void **state) {
    (void)state;
    expect(check_currency,
           LIST("EUR", "USD", "AED", "ZWG", "ZMW", "CHF", "BGN", "XOF", "XCG", "MRU", "JPY"),
           LIST("", "eur", "EU", "EURO", "XXX", "XTS", "XAU", "DEM", "ZZZ", "AAA", "HRK", "E R",
                "EUR "));
    expect(check_country, LIST("DE", "AD", "ZW", "US", "GB", "SS", "CW", "TW"),
           LIST("", "de", "D", "DEU", "UK", "EU", "XX", "ZZ", "AA", "D ", "AN", "XK"));
    expect(check_language, LIST("de", "gsw", "pt-BR", "zh-Hant", "zh-Hant-TW", "es-419"),
           LIST("", "d", "DE", "deut", "de-", "de-de", "de_DE", "de-DEU", "de-D3", "zh-hant",
                "zh-Hant-TW-x", "-de", "de--DE", "es-41", "es-4190"));
}

/* Every code stands for itself, and no pair or triple beside the table passes. */
static void code_tables_are_exact(void **state) {
    size_t countries = 0;
    size_t currencies = 0;

    (void)state;
    for (char a = 'A'; a <= 'Z'; a++)
        for (char b = 'A'; b <= 'Z'; b++) {
            char code[3] = {a, b, 'A'};

            countries += check_country((struct str){code, 2}) == NULL;
            for (code[2] = 'A'; code[2] <= 'Z'; code[2]++)
                currencies += check_currency((struct str){code, 3}) == NULL;
        }
    assert_int_equal(countries, 249);
    assert_int_equal(currencies, 166);
}

static void zones(void **state) {
    (void)state;
    expect(check_zone,
           LIST("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5",
                "America/Port-au-Prince", "Antarctica/DumontDUrville", "Asia/Ho_Chi_Minh"),
           LIST("", "utc", "Berlin", "CET", "GMT+1", "+01:00", "Europe/", "/Berlin", "Europe",
                "europe/Berlin", "Europe/berlin", "Mars/Base", "Europe/Ber lin", "Europe/Berlin/",
                "America/A/B/C", "Europe/../etc", "Europe/Berlin'", "Europe/" A64));
}

static void dates(void **state) {
    (void)state;
    expect(check_date,
           LIST("2026-11-21", "1900-01-01", "2999-12-31", "2024-02-29", "2000-02-29", "2026-12-31"),
           LIST("", "2026-02-29", "2100-02-29", "1900-02-29", "2026-13-01", "2026-00-01",
                "2026-01-00", "2026-01-32", "2026-04-31", "1899-12-31", "3000-01-01", "2026-1-1",
                "20261121", "2026/11/21", "2026-11-21T00:00:00Z", "2026-11-2a", "+026-11-21",
                " 2026-11-21", "2026-11-21 ", "today", "infinity"));
    expect(check_period,
           LIST("2026", "1900", "2999", "2026-H1", "2026-H2", "2026-Q1", "2026-Q4", "2026-01",
                "2026-12"),
           LIST("", "26", "1899", "3000", "2026-", "2026-H0", "2026-H3", "2026-Q0", "2026-Q5",
                "2026-00", "2026-13", "2026-1", "2026-q1", "2026Q1", "2026-07-01", " 2026",
                "2026 "));
}

static void times(void **state) {
    static const struct {
        const char *text;
        const char *utc;
    } good[] = {
        {"2026-11-21T23:56:00Z", "2026-11-21T23:56:00.000000Z"},
        {"2026-11-21t23:56:00z", "2026-11-21T23:56:00.000000Z"},
        {"2026-11-21T23:56:00.5Z", "2026-11-21T23:56:00.500000Z"},
        {"2026-11-21T23:56:00.123456Z", "2026-11-21T23:56:00.123456Z"},
        {"2026-11-21T23:56:00.000001+00:00", "2026-11-21T23:56:00.000001Z"},
        {"2026-11-21T23:56:00-00:00", "2026-11-21T23:56:00.000000Z"},
        {"2026-11-22T00:56:00+01:00", "2026-11-21T23:56:00.000000Z"},
        {"2026-11-21T18:26:00-05:30", "2026-11-21T23:56:00.000000Z"},
        {"2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00.000000Z"},
        {"2024-03-01T00:30:00+14:00", "2024-02-29T10:30:00.000000Z"},
        {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"},
        {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
        {"1900-01-01T00:00:00+23:59", "1899-12-31T00:01:00.000000Z"},
        {"2999-12-31T23:59:59.999999-23:59", "3000-01-01T23:58:59.999999Z"},
    };
    int64_t us;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char utc[TIME_TEXT];

        assert_null(run_exact(check_time, str_of(good[i].text)));
        assert_true(time_parse(str_of(good[i].text), utc));
        assert_string_equal(utc, good[i].utc);
    }
    expect(check_time, LIST("2026-11-21T00:00:00Z"),
           LIST("", "2026-11-21", "2026-11-21T", "2026-11-21T23", "2026-11-21T23:56",
                "2026-11-21T23:56Z", "2026-11-21T23:56:00", "2026-11-21T23:56:00.Z",
                "2026-11-21T23:56:00.1234567Z", "2026-11-21T23:56:00,5Z", "2026-11-21 23:56:00Z",
                "2026-11-21T24:00:00Z", "2026-11-21T23:60:00Z", "2026-11-21T23:56:60Z",
                "2026-11-21T23:56:00+24:00", "2026-11-21T23:56:00+01:60",
                "2026-11-21T23:56:00+0100", "2026-11-21T23:56:00+01", "2026-11-21T23:56:00 01:00",
                "2026-11-21T23:56:00ZZ", "2026-11-21T23:56:00Z ", "2026-02-30T00:00:00Z",
                "1899-12-31T00:00:00Z", "now", "infinity"));
    assert_true(time_parse_us(STR("1970-01-01T00:00:01.5+00:00"), &us));
    assert_int_equal(us, 1500000);
    char untouched[TIME_TEXT] = "untouched";
    assert_false(time_parse(STR("2026"), untouched));
    assert_string_equal(untouched, "untouched");
}

static const char *decimal_3_2(struct str text) { return check_decimal(text, 3, 2); }

static void decimals(void **state) {
    (void)state;
    expect(decimal_3_2, LIST("0", "-0", "1", "999", "-999.99", "0.5", "12.50", "0.00"),
           LIST("", "-", ".", ".5", "1.", "1.234", "1000", "+1", "1e3", "1E3", "NaN", "Infinity",
                "0x10", "1,5", "1 ", " 1", "--1", "1.2.3", "00", "01", "-01.5", "1_0", "\u0661",
                "99999999999999999999999999999999999999999999"));
    assert_null(check_decimal(STR("123456789012345.1234"), 15, 4));
    assert_non_null(check_decimal(STR("1.5"), 15, 0));
}

static void slugs(void **state) {
    (void)state;
    expect(check_slug, LIST("a", "net_new", "e-mail", "a1", A64),
           LIST("", "A", "1a", "_a", "a_", "a__b", "a-", "a-_b", "a b", "a.b", "\u00E4", A64 "a"));
}

static void uuids(void **state) {
    (void)state;
    expect(check_uuid,
           LIST("018f3c5e-7a10-7c3e-9d0a-2f4b6c8d0e1f", "018F3C5E-7A10-7C3E-9D0A-2F4B6C8D0E1F"),
           LIST("", "018f3c5e7a107c3e9d0a2f4b6c8d0e1f", "018f3c5e-7a10-7c3e-9d0a-2f4b6c8d0e1",
                "018f3c5e-7a10-7c3e-9d0a-2f4b6c8d0e1g", "{18f3c5e-7a10-7c3e-9d0a-2f4b6c8d0e1}",
                "018f3c5e-7a107-c3e-9d0a-2f4b6c8d0e1f", "018f3c5e-7a10-7c3e-9d0a-2f4b6c8d0e1f1"));
}

static void tags(void **state) {
    static const char *const good[] = {"a", "Larger pallets",
                                       "gr\xC3\xB6\xC3\x9F"
                                       "er",
                                       "7", NULL};
    static const char *const bad[] = {"", " ", "-", "?! ", NULL};

    (void)state;
    for (size_t i = 0; good[i]; i++)
        assert_null(run_exact(check_tag, str_of(good[i])));
    for (size_t i = 0; bad[i]; i++)
        assert_non_null(run_exact(check_tag, str_of(bad[i])));
}

/* Arbitrary bytes: nothing crashes, and what passes is plain ASCII. */
static void any_bytes_are_safe(void **state) {
    static const check checks[] = {check_email,    check_phone,   check_domain, check_url_https,
                                   check_currency, check_country, check_zone,   check_date,
                                   check_time,     decimal_3_2,   check_slug,   check_language,
                                   check_uuid,     check_period};
    static const char alphabet[] = "+0123456789-:.@/TZaAeE_( )%?#\"'\\\0\n\xC3\xA4\xFF";
    uint32_t random = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[40];
        size_t len = 0;

        random = random * 1664525 + 1013904223;
        size_t want = random >> 27;
        while (len < want) {
            random = random * 1664525 + 1013904223;
            text[len++] = alphabet[(random >> 16) % (sizeof(alphabet) - 1)];
        }
        for (size_t i = 0; i < COUNT_OF(checks); i++)
            if (run_exact(checks[i], (struct str){text, len}) == NULL)
                for (size_t at = 0; at < len; at++)
                    assert_in_range((unsigned char)text[at], 0x21, 0x7E);
        char phone[PHONE_TEXT];
        if (phone_normalise((struct str){text, len}, phone))
            assert_null(check_phone(str_of(phone)));
    }
}

static void headers(void **state) {
    (void)state;
    assert_null(check_header_name(STR("X-Tenant_1")));
    assert_null(check_header_name(STR("Authorization")));
    assert_null(check_header_name(STR("Contents")));
    static const char *const bad[] = {"",        "a b",      "a:",          "Host",    "PROXY-x",
                                      "te",      "TE",       "Webhook-Id",  "svix-id", "Expect",
                                      "Upgrade", "\xc3\xa9", "Content-Type"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(check_header_name(str_of(bad[i])));
    assert_null(check_header_value(STR("Bearer a b~")));
    static const char *const wrong[] = {"", " a", "a ", "a\r\nb", "a\tb", "\xc3\xa9", "\x7f"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_non_null(check_header_value(str_of(wrong[i])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emails),
        cmocka_unit_test(phones),
        cmocka_unit_test(phones_are_normalised),
        cmocka_unit_test(domains),
        cmocka_unit_test(urls),
        cmocka_unit_test(codes),
        cmocka_unit_test(code_tables_are_exact),
        cmocka_unit_test(zones),
        cmocka_unit_test(dates),
        cmocka_unit_test(times),
        cmocka_unit_test(decimals),
        cmocka_unit_test(slugs),
        cmocka_unit_test(tags),
        cmocka_unit_test(headers),
        cmocka_unit_test(uuids),
        cmocka_unit_test(any_bytes_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
