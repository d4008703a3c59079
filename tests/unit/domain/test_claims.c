/* Claims of a verified token: what is refused, and what a person becomes by them. */
#include "domain/claims.h"

#include "core/start.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S 1790000000
#define NOW_US ((int64_t)NOW_S * 1000000)

static const struct claims_rules preset = {
    .issuer = {"https://id.example", 18},
    .audience = {"kamd", 4},
    .types = {"at+jwt", 6},
    .role_claim = {"roles", 5},
    .roles = {"", 0},
    .default_role = {"", 0},
    .name_claim = {"name", 4},
    .email_claim = {"email", 5},
    .max_seconds = 3600,
};

static int start(void **state) {
    (void)state;
    return core_start() ? 0 : -1;
}

static enum problem read_claims(const struct claims_rules *rules, const char *typ, const char *json,
                                struct claims *ret) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    jv *doc CLEANUP(jv_unref) = NULL;
    if (!json_read(str_of(json), JSON_TOKENS, &doc, &err))
        fail_msg("not JSON: %s", json);
    bool fine = claims_read(rules, &(const struct verified_token){typ, doc}, NOW_US, ret, &err);
    assert_int_equal(fine, !err_is_set(&err));
    return err.problem;
}

#define WHO "\"iss\":\"https://id.example\",\"aud\":\"kamd\",\"sub\":\"a\",\"roles\":[\"member\"]"
#define TIMES(iat, exp) "\"iat\":" #iat ",\"exp\":" #exp
#define GOOD TIMES(1790000000, 1790000600)

static void refused(void **state) {
    static const char *const bad[] = {
        "{" GOOD "}",
        "{\"iss\":\"https://id.example/\",\"aud\":\"kamd\",\"sub\":\"a\"," GOOD "}",
        "{\"iss\":[\"https://id.example\"],\"aud\":\"kamd\",\"sub\":\"a\"," GOOD "}",
        "{\"iss\":\"https://id.example\",\"sub\":\"a\"," GOOD "}",
        "{\"iss\":\"https://id.example\",\"aud\":\"kam\",\"sub\":\"a\"," GOOD "}",
        "{\"iss\":\"https://id.example\",\"aud\":[],\"sub\":\"a\"," GOOD "}",
        "{\"iss\":\"https://id.example\",\"aud\":[[\"kamd\"]],\"sub\":\"a\"," GOOD "}",
        "{\"iss\":\"https://id.example\",\"aud\":{\"kamd\":1},\"sub\":\"a\"," GOOD "}",
        "{\"iss\":\"https://id.example\",\"aud\":\"kamd\",\"sub\":\"\"," GOOD "}",
        "{\"iss\":\"https://id.example\",\"aud\":\"kamd\",\"sub\":7," GOOD "}",
        "{\"iss\":\"https://id.example\",\"aud\":\"kamd\",\"sub\":\"a\\nb\"," GOOD "}",
        "{" WHO "}",
        "{" WHO ",\"iat\":1790000000}",
        "{" WHO ",\"exp\":1790000600}",
        "{" WHO "," TIMES(1789999000, 1789999940) "}",
        "{" WHO "," TIMES(1790000061, 1790000600) "}",
        "{" WHO "," TIMES(1790000000, 1790003601) "}",
        "{" WHO "," TIMES(-1, 1790000600) "}",
        "{" WHO "," TIMES(1790000000, 1e300) "}",
        "{" WHO "," TIMES(1790000000, 9223372036854775807) "}",
        "{" WHO "," TIMES(1790000000, "1790000600") "}",
        "{" WHO "," TIMES(1790000000, null) "}",
        "{" WHO "," GOOD ",\"nbf\":1790000061}",
        "{" WHO "," GOOD ",\"nbf\":true}",
    };
    struct claims claims;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (read_claims(&preset, "at+jwt", bad[i], &claims) != PROBLEM_UNAUTHENTICATED)
            fail_msg("was not refused: %s", bad[i]);
}

static void taken(void **state) {
    static const char *const good[] = {
        "{" WHO "," GOOD "}",
        "{" WHO "," TIMES(1789999000, 1789999941) "}",
        "{" WHO "," TIMES(1790000060, 1790000600) "}",
        "{" WHO "," TIMES(1790000000, 1790003600) "}",
        "{" WHO "," TIMES(1790000000.75, 1790000600.5) "}",
        "{" WHO "," GOOD ",\"nbf\":1790000060}",
        "{\"iss\":\"https://id.example\",\"aud\":[\"x\",7,\"kamd\"],\"sub\":\"a\",\"roles\":"
        "\"member\"," GOOD "}",
    };
    struct claims claims;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        if (read_claims(&preset, "at+jwt", good[i], &claims) != PROBLEM_NONE)
            fail_msg("was refused: %s", good[i]);
        assert_string_equal(claims.subject, "a");
        assert_int_equal(claims.role, ROLE_MEMBER);
    }
    assert_int_equal(read_claims(&preset, "at+jwt", good[0], &claims), PROBLEM_NONE);
    assert_true(claims.expires_us == NOW_US + 660 * (int64_t)1000000);
}

static void types(void **state) {
    static const struct {
        const char *types, *typ;
        bool fine;
    } cases[] = {
        {"at+jwt", "at+jwt", true},
        {"at+jwt", "AT+JWT", true},
        {"at+jwt", "application/at+jwt", true},
        {"at+jwt", "JWT", false},
        {"at+jwt", "", false},
        {"at+jwt", "application/", false},
        {"JWT", "", true},
        {"JWT", "jwt", true},
        {"JWT", "at+jwt", false},
        {"at+jwt, JWT", "", true},
        {"at+jwt,JWT", "at+jwt", true},
        {"", "", false},
        {"at+jwt", "at+jwtx", false},
    };
    struct claims claims;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct claims_rules rules = preset;
        rules.types = str_of(cases[i].types);
        bool fine =
            read_claims(&rules, cases[i].typ, "{" WHO "," GOOD "}", &claims) == PROBLEM_NONE;
        if (fine != cases[i].fine)
            fail_msg("\"%s\" of \"%s\"", cases[i].typ, cases[i].types);
    }
}

static void roles(void **state) {
    static const struct {
        const char *claim, *map, *preset, *roles;
        int role; /* -1: FORBIDDEN */
    } cases[] = {
        {"roles", "", "", "\"roles\":[\"x\",\"auditor\",\"member\"]", ROLE_MEMBER},
        {"roles", "", "", "\"roles\":[\"member\",\"admin\"]", ROLE_ADMIN},
        {"roles", "", "", "\"roles\":\"Admin\"", -1},
        {"roles", "", "", "\"roles\":{\"admin\":1}", -1},
        {"roles", "", "", "\"x\":1", -1},
        {"roles", "", "member", "\"x\":1", ROLE_MEMBER},
        {"roles", "a=admin, b = director", "", "\"roles\":[\"b\"]", ROLE_DIRECTOR},
        {"roles", "a=admin", "", "\"roles\":[\"admin\"]", -1},
        {"roles", "a=admin", "auditor", "\"roles\":[\"aa\",7,null]", ROLE_AUDITOR},
        {"https://x.example/roles", "", "", "\"https://x.example/roles\":[\"director\"]",
         ROLE_DIRECTOR},
        {"/realm_access/roles", "", "", "\"realm_access\":{\"roles\":[\"director\"]}",
         ROLE_DIRECTOR},
        {"/realm_access/roles", "", "", "\"realm_access\":[\"director\"]", -1},
        {"/", "", "", "\"x\":[\"director\"]", -1},
    };
    struct claims claims;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct claims_rules rules = preset;
        char json[512];
        rules.role_claim = str_of(cases[i].claim);
        rules.roles = str_of(cases[i].map);
        rules.default_role = str_of(cases[i].preset);
        snprintf(json, sizeof json,
                 "{\"iss\":\"https://id.example\",\"aud\":\"kamd\",\"sub\":\"a\"," GOOD ",%s}",
                 cases[i].roles);
        enum problem problem = read_claims(&rules, "at+jwt", json, &claims);
        if (cases[i].role < 0 ? problem != PROBLEM_FORBIDDEN
                              : problem != PROBLEM_NONE || (int)claims.role != cases[i].role)
            fail_msg("case %zu: %s", i, json);
    }
}

static void persons(void **state) {
    static const struct {
        const char *members, *name, *email;
    } cases[] = {
        {"\"name\":\"Zoë\",\"email\":\"z@example.com\"", "Zoë", "z@example.com"},
        {"\"preferred_username\":\"zoe\",\"email\":\"z@example.com\"", "zoe", "z@example.com"},
        {"\"email\":\"z@example.com\"", "z@example.com", "z@example.com"},
        {"\"email\":\"no address\",\"name\":\"\"", "a", ""},
        {"\"name\":\"a\\tb\",\"email\":[]", "a", ""},
    };
    struct claims claims;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char json[512];
        snprintf(json, sizeof json, "{" WHO "," GOOD ",%s}", cases[i].members);
        assert_int_equal(read_claims(&preset, "at+jwt", json, &claims), PROBLEM_NONE);
        assert_string_equal(claims.name, cases[i].name);
        assert_string_equal(claims.email, cases[i].email);
    }
    /* Cut between characters. */
    struct buf text CLEANUP(buf_release);
    buf_init(&text, 4096);
    buf_text(&text, "{" WHO "," GOOD ",\"name\":\"x");
    for (int i = 0; i < 150; i++)
        buf_text(&text, "ü");
    buf_text(&text, "\"}");
    assert_int_equal(read_claims(&preset, "at+jwt", text.ptr, &claims), PROBLEM_NONE);
    assert_int_equal(strlen(claims.name), 199);
    assert_true(str_is_utf8(str_of(claims.name)));
}

static void settings(void **state) {
    static const struct {
        const char *audience, *roles, *preset;
        size_t wrong;
    } cases[] = {{"a", "", "", 0},       {"a", "x=admin,y=member", "auditor", 0},
                 {"", "", "", 1},        {"a", "x", "", 1},
                 {"a", "x=king", "", 1}, {"", "x=admin,,y=z", "king", 4}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err CLEANUP(err_release) = ERR_INIT;
        struct claims_rules rules = preset;
        rules.audience = str_of(cases[i].audience);
        rules.roles = str_of(cases[i].roles);
        rules.default_role = str_of(cases[i].preset);
        assert_int_equal(claims_rules_check(&rules, &err), cases[i].wrong == 0);
        assert_int_equal(err.n_items, cases[i].wrong);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused), cmocka_unit_test(taken),   cmocka_unit_test(types),
        cmocka_unit_test(roles),   cmocka_unit_test(persons), cmocka_unit_test(settings),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
