/* filter= expressions: the grammar, the types, every error with its position, garbage. */
#include "filter_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct filter_case {
    const char *expression;
    const char *expected;
};

static void check_cases(const struct filter_case *cases, size_t n) {
    CLEANUP(buf_release) struct buf said;

    buf_init(&said, 1 << 16);
    for (size_t i = 0; i < n; i++) {
        ask_filter(str_of(cases[i].expression), &said);
        if (strcmp(said.ptr, cases[i].expected) != 0)
            fail_msg("%s\n  gave     %s\n  expected %s", cases[i].expression, said.ptr,
                     cases[i].expected);
    }
}

static void comparisons(void **state) {
    static const struct filter_case cases[] = {
        {"name eq 'Smith'", "t.name = $1::text | Smith"},
        {"  name\teq\n'Smith'\r ", "t.name = $1::text | Smith"},
        {"name EQ 'Smith'", "t.name = $1::text | Smith"},
        {"name eq 'O''Neil'", "t.name = $1::text | O'Neil"},
        {"name eq ''''", "t.name = $1::text | '"},
        {"name eq ' and (x'", "t.name = $1::text |  and (x"},
        {"name ne 'Smith'", "t.name is distinct from $1::text | Smith"},
        {"size gt 5", "t.size > $1::bigint | 5"},
        {"size ge -5", "t.size >= $1::bigint | -5"},
        {"size lt '5'", "t.size < $1::bigint | 5"},
        {"score le 99.5", "s.score <= $1::numeric | 99.5"},
        {"odd gt 1", "(" COLUMN_EXPRESSION ") > $1::numeric | 1"},
        {"active eq true", "t.active = $1::boolean | true"},
        {"active ne FALSE", "t.active is distinct from $1::boolean | false"},
        {"start_on ge 2026-01-31", "t.start_on >= $1::date | 2026-01-31"},
        {"start_on ge '2026-01-31'", "t.start_on >= $1::date | 2026-01-31"},
        {"updated_at lt 2026-01-31T01:00:00+01:00",
         "t.updated_at < $1::timestamptz | 2026-01-31T00:00:00.000000Z"},
        {"id eq " UUID, "t.id = $1::uuid | " UUID},
        {"id eq '" UUID "'", "t.id = $1::uuid | " UUID},
        {"tier eq 'A'", "t.tier = $1::text | A"},
        {"tier in ('B')", "t.tier = $1::text | B"},
        {"tier in ('B','A')", "t.tier = any($1::text[]) | {\"A\",\"B\"}"},
        {"size in(3 ,1,2)", "t.size = any($1::bigint[]) | {\"1\",\"2\",\"3\"}"},
        {"name in ('a,b','c')", "t.name = any($1::text[]) | {\"a,b\",\"c\"}"},
        {"contains(name,'mi')", "lower(t.name) like lower($1::text) | %mi%"},
        {"contains ( name , 'mi' )", "lower(t.name) like lower($1::text) | %mi%"},
        {"name contains '50%_\\'", "lower(t.name) like lower($1::text) | %50\\%\\_\\\\%"},
        {"startswith(name,'Sm')", "lower(t.name) like lower($1::text) | Sm%"},
        {"name startswith 'Sm'", "lower(t.name) like lower($1::text) | Sm%"},
        {"email startswith 'nobody'", "lower(t.email) like lower($1::text) | nobody%"},
        {"name eq null", "t.name is null"},
        {"name ne NULL", "(t.name is null) is not true"},
        {"name eq 'null'", "t.name = $1::text | null"},
        {"tags eq 'vip'", "t.tags && $1::text[] | {\"vip\"}"},
        {"tags ne 'vip'", "(t.tags && $1::text[]) is not true | {\"vip\"}"},
        {"tags in ('b','a')", "t.tags && $1::text[] | {\"a\",\"b\"}"},
        {"tags contains 'vip'", "t.tags && $1::text[] | {\"vip\"}"},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

static void logic(void **state) {
    static const struct filter_case cases[] = {
        {"size eq 1 and size eq 2", "(t.size = $1::bigint and t.size = $2::bigint) | 1 | 2"},
        {"size eq 1 AND size eq 2 aNd size eq 3",
         "(t.size = $1::bigint and t.size = $2::bigint and t.size = $3::bigint) | 1 | 2 | 3"},
        {"size eq 1 or size eq 2", "(t.size = $1::bigint or t.size = $2::bigint) | 1 | 2"},
        /* `and` binds closer than `or`. */
        {"size eq 1 or size eq 2 and size eq 3",
         "(t.size = $1::bigint or (t.size = $2::bigint and t.size = $3::bigint)) | 1 | 2 | 3"},
        {"(size eq 1 or size eq 2) and size eq 3",
         "((t.size = $1::bigint or t.size = $2::bigint) and t.size = $3::bigint) | 1 | 2 | 3"},
        {"not size eq 1", "(t.size = $1::bigint) is not true | 1"},
        {"not not size eq 1", "t.size = $1::bigint | 1"},
        {"not(size eq 1)", "(t.size = $1::bigint) is not true | 1"},
        {"not size eq 1 and size eq 2",
         "((t.size = $1::bigint) is not true and t.size = $2::bigint) | 1 | 2"},
        {"not (size eq 1 or size eq 2)",
         "((t.size = $1::bigint or t.size = $2::bigint)) is not true | 1 | 2"},
        {"not contains(name,'x')", "(lower(t.name) like lower($1::text)) is not true | %x%"},
        {"((((((((((size eq 1))))))))))", "t.size = $1::bigint | 1"},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

static void relations(void **state) {
    static const struct filter_case cases[] = {
        {"owner.name eq 'Ann'", "t.owner_id in (select t.id from app_user t where t.deleted_at is "
                                "null and t.name = $1::text) | Ann"},
        {"plan.status eq 'active'",
         "t.id in (select t.thing_id from plan t where t.deleted_at is null and (t.x = 1 or t.y = "
         "2) and t.status = $1::text) | active"},
        {"account.tier in ('A','B')",
         "t.account_id in (select t.id from account t join account_status s on s.account_id = t.id "
         "where t.deleted_at is null and s.tier = any($1::text[])) | {\"A\",\"B\"}"},
        {"not owner.name eq null",
         "(t.owner_id in (select t.id from app_user t where t.deleted_at is null and t.name is "
         "null)) is not true"},
        {"owner.name ne null", "t.owner_id in (select t.id from app_user t where t.deleted_at is "
                               "null and (t.name is null) is not true)"},
        {"contains(owner.name,'a') and size eq 1",
         "(t.owner_id in (select t.id from app_user t where t.deleted_at is null and lower(t.name) "
         "like lower($1::text)) and t.size = $2::bigint) | %a% | 1"},
        {"owner.manager.name eq 'Ann'", "unknown_field@filter: At character 1: there is no field "
                                        "owner.manager.name to filter by."},
        {"owner.title eq 'x'",
         "unknown_field@filter: At character 1: there is no field owner.title to filter by."},
        {"owner. eq 'x'",
         "unknown_field@filter: At character 1: there is no field owner. to filter by."},
        {"owner.active eq 1",
         "invalid_value@filter: At character 17: owner.active must be true or false."},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

static void custom_fields(void **state) {
    static const struct filter_case cases[] = {
        {"custom.region eq 'EMEA'",
         "t.custom @> any($1::jsonb[]) | {\"{\\\"region\\\":\\\"EMEA\\\"}\"}"},
        {"custom.region ne 'EMEA'",
         "(t.custom @> any($1::jsonb[])) is not true | {\"{\\\"region\\\":\\\"EMEA\\\"}\"}"},
        {"custom.seats in (1,2)",
         "t.custom @> any($1::jsonb[]) | {\"{\\\"seats\\\":1}\",\"{\\\"seats\\\":2}\"}"},
        {"custom.seats gt 5", "case when jsonb_typeof(t.custom->$1::text) = 'number' then "
                              "(t.custom->>$2::text)::numeric "
                              "> $3::numeric end | seats | seats | 5"},
        {"custom.signed ge 2026-01-31",
         "(t.custom->>$1::text) collate \"C\" >= $2::text | signed | 2026-01-31"},
        {"custom.remark contains 'x'",
         "lower((t.custom->>$1::text)) like lower($2::text) | remark | %x%"},
        {"startswith(custom.remark,'x')",
         "lower((t.custom->>$1::text)) like lower($2::text) | remark | x%"},
        {"custom.vip eq null", "(t.custom->>$1::text) is null | vip"},
        {"custom.vip gt true", "unsupported_operator@filter: At character 12: custom.vip does not "
                               "take this operator."},
        {"custom.elsewhere eq 'x'",
         "unknown_field@filter: At character 1: there is no field custom.elsewhere to filter by."},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

#define SYNTAX "invalid_filter@filter: At character "
#define OPERATORS ": expected eq, ne, gt, ge, lt, le, in, contains or startswith."
#define TERM ": expected a field, not, contains(, startswith( or (."
#define VALUE ": expected a value: 'text', a number, true, false, a date, a time or an id."
#define QUOTED ": expected a text in single quotes."
#define STRAY ": this character can only stand inside a quoted text."

static void syntax_errors(void **state) {
    static const struct filter_case cases[] = {
        {"", SYNTAX "1" TERM},
        {"   ", SYNTAX "4" TERM},
        {"and", SYNTAX "1" TERM},
        {"or size eq 1", SYNTAX "1" TERM},
        {"'x' eq name", SYNTAX "1" TERM},
        {"not", SYNTAX "4" TERM},
        {"()", SYNTAX "2" TERM},
        {")", SYNTAX "1" TERM},
        {",", SYNTAX "1" TERM},
        {"size eq 1 and", SYNTAX "14" TERM},
        {"size eq 1 and or size eq 2", SYNTAX "15" TERM},
        {"size eq 1 not size eq 2", SYNTAX "11: expected and, or, or the end."},
        {"size eq 1 size eq 2", SYNTAX "11: expected and, or, or the end."},
        {"size eq 1)", SYNTAX "10: expected and, or, or the end."},
        {"(size eq 1", SYNTAX "11: expected and, or, or )."},
        {"(size eq 1,", SYNTAX "11: expected and, or, or )."},
        {"size", SYNTAX "5" OPERATORS},
        {"size is 1", SYNTAX "6" OPERATORS},
        {"size = 1", SYNTAX "6" STRAY},
        {"size == 1", SYNTAX "6" STRAY},
        {"size(1)", SYNTAX "5" OPERATORS},
        {"size eq", SYNTAX "8" VALUE},
        {"size eq )", SYNTAX "9" VALUE},
        {"size eq (1)", SYNTAX "9" VALUE},
        {"size in 1", SYNTAX "9: expected ( and a list of values."},
        {"size in ()", SYNTAX "10" VALUE},
        {"size in (1", SYNTAX "11: expected , or )."},
        {"size in (1,)", SYNTAX "12" VALUE},
        {"size in (1 2)", SYNTAX "12: expected , or )."},
        {"name eq Smith", SYNTAX "9" QUOTED},
        {"name gt null", "unsupported_operator@filter: At character 6: name does not take this "
                         "operator."},
        {"name in (null)", SYNTAX "10" QUOTED},
        {"name eq 'Smith", SYNTAX "9: this quoted text has no closing '."},
        {"name eq 'Smith''", SYNTAX "9: this quoted text has no closing '."},
        {"name eq '", SYNTAX "9: this quoted text has no closing '."},
        {"name eq \"Smith\"", SYNTAX "9" STRAY},
        {"name eq 'a' ; drop table x", SYNTAX "13" STRAY},
        {"name eq 'a' /*", SYNTAX "13" STRAY},
        {"name eq $1", SYNTAX "9" STRAY},
        {"contains name", "unknown_field@filter: At character 1: there is no field contains to "
                          "filter by."},
        {"contains(", SYNTAX "10: expected a field."},
        {"contains('x',name)", SYNTAX "10: expected a field."},
        {"contains(name)", SYNTAX "14: expected , and a text."},
        {"contains(name,", SYNTAX "15" VALUE},
        {"contains(name,x)", SYNTAX "15" QUOTED},
        {"contains(name,'x'", SYNTAX "18: expected )."},
        {"contains(name,'x','y')", SYNTAX "18: expected )."},
        /* Positions count characters, not bytes. */
        {"name eq '\u00E4\u00F6\u00FC' x", SYNTAX "15: expected and, or, or the end."},
        {"name eq '\U0001F600' and", SYNTAX "16" TERM},
        {"\u00E4", SYNTAX "1" STRAY},
        {"size eq 1 and \xFF", SYNTAX "15: the expression must be UTF-8 without NUL."},
    };
    CLEANUP(buf_release) struct buf said;

    (void)state;
    check_cases(cases, COUNT_OF(cases));
    buf_init(&said, 1 << 16);
    ask_filter(STR("name eq 'a\0b'"), &said);
    assert_string_equal(said.ptr, SYNTAX "11: the expression must be UTF-8 without NUL.");
    ask_filter(STR_ABSENT, &said);
    assert_string_equal(said.ptr, SYNTAX "1" TERM);
}

static void type_errors(void **state) {
    static const struct filter_case cases[] = {
        {"secret eq 'x'",
         "unknown_field@filter: At character 1: there is no field secret to filter by."},
        {"size eq 1 and nothing eq 'x'",
         "unknown_field@filter: At character 15: there is no field nothing to filter by."},
        {"address eq null",
         "unknown_field@filter: At character 1: there is no field address to filter by."},
        {"Name eq 'x'",
         "unknown_field@filter: At character 1: there is no field Name to filter by."},
        {"q eq 'x'", "unknown_field@filter: At character 1: there is no field q to filter by."},
        {"contains(secret,'x')",
         "unknown_field@filter: At character 10: there is no field secret to filter by."},
        {"tier gt 'A'",
         "unsupported_operator@filter: At character 6: tier does not take this operator."},
        {"id lt " UUID,
         "unsupported_operator@filter: At character 4: id does not take this operator."},
        {"active ge true",
         "unsupported_operator@filter: At character 8: active does not take this operator."},
        {"tags le 'x'",
         "unsupported_operator@filter: At character 6: tags does not take this operator."},
        {"contains(size,'1')",
         "unsupported_operator@filter: At character 1: size does not take this operator."},
        {"tier contains 'A'",
         "unsupported_operator@filter: At character 6: tier does not take this operator."},
        {"tags startswith 'a'",
         "unsupported_operator@filter: At character 6: tags does not take this operator."},
        {"size eq 1.5", "invalid_value@filter: At character 9: size must be a whole number."},
        {"size eq many", "invalid_value@filter: At character 9: size must be a whole number."},
        {"size gt null", "invalid_value@filter: At character 9: size must be a whole number."},
        {"size in (1,x)", "invalid_value@filter: At character 12: size must be a whole number."},
        {"size in (1,null)", "invalid_value@filter: At character 12: size must be a whole number."},
        {"active eq 1", "invalid_value@filter: At character 11: active must be true or false."},
        {"tier eq 'D'", "invalid_value@filter: At character 9: tier must be one of A, B, C."},
        {"name eq ''", "invalid_value@filter: At character 9: name must not be empty."},
        {"contains(name,'')", "invalid_value@filter: At character 15: name must not be empty."},
        {"start_on eq 2026-02-30",
         "invalid_value@filter: At character 13: start_on must be a date YYYY-MM-DD of the years "
         "1900 to 2999, such as 2026-11-21."},
        {"channels contains 'fax'",
         "invalid_value@filter: At character 19: channels must be one of web, phone."},
    };

    (void)state;
    check_cases(cases, COUNT_OF(cases));
}

static void repeat(struct buf *buf, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        buf_text(buf, text);
}

static void limits(void **state) {
    CLEANUP(buf_release) struct buf text;
    CLEANUP(buf_release) struct buf said;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_init(&said, 1 << 20);
    repeat(&text, "size eq 1 and ", FILTER_TERMS - 1);
    buf_text(&text, "size eq 1");
    ask_filter(buf_str(&text), &said);
    assert_true(str_starts(buf_str(&said), "(t.size = $1::bigint and "));
    buf_text(&text, " and size eq 1");
    ask_filter(buf_str(&text), &said);
    assert_true(str_starts(buf_str(&said), "too_many@filter: At character "));
    buf_reset(&text);
    repeat(&text, "(size eq 1 or size eq 2) and ", 32);
    buf_text(&text, "size eq 1");
    ask_filter(buf_str(&text), &said);
    assert_string_equal(said.ptr, "too_many@filter: At character 929: a filter takes at most 64 "
                                  "comparisons.");
    buf_reset(&text);
    repeat(&text, "(", 11);
    ask_filter(buf_str(&text), &said);
    assert_string_equal(said.ptr, "too_many@filter: At character 11: parentheses may stand in each "
                                  "other at most 10 deep.");
    buf_reset(&text);
    repeat(&text, "(", 1000000);
    ask_filter(buf_str(&text), &said);
    assert_true(str_starts(buf_str(&said), "too_many@filter: At character 11"));
    buf_reset(&text);
    repeat(&text, "not ", 200001);
    buf_text(&text, "size eq 1");
    ask_filter(buf_str(&text), &said);
    assert_string_equal(said.ptr, "(t.size = $1::bigint) is not true | 1");
    /* Parentheses side by side do not add up. */
    buf_reset(&text);
    repeat(&text, "(size eq 1) and ", 40);
    buf_text(&text, "(size eq 1)");
    ask_filter(buf_str(&text), &said);
    assert_true(str_starts(buf_str(&said), "(t.size"));
    buf_reset(&text);
    buf_text(&text, "size in (");
    repeat(&text, "1,", FILTER_VALUES - 1);
    size_t len = text.len;
    buf_text(&text, "1)");
    ask_filter(buf_str(&text), &said);
    assert_true(str_starts(buf_str(&said), "t.size = any("));
    text.len = len;
    buf_text(&text, "1,1)");
    ask_filter(buf_str(&text), &said);
    assert_string_equal(said.ptr, "too_many@filter: At character 410: a list takes at most 200 "
                                  "values.");
}

static void canonical_of(const char *expression, struct buf *ret) {
    struct arena arena;
    struct cond *cond = NULL;
    struct err err = ERR_INIT;

    arena_init(&arena, 1 << 20);
    buf_reset(ret);
    assert_true(filter_parse(&(struct filter){&thing, &thing_customs, &arena}, str_of(expression),
                             &cond, &err));
    filter_canonical(cond, ret);
    assert_true(buf_ok(ret));
    arena_release(&arena);
}

static void canonical_text(void **state) {
    static const struct {
        const char *one;
        const char *other;
        bool same;
    } pairs[] = {
        {"size eq 1 and tier eq 'A'", "tier eq 'A' AND (size eq 1)", true},
        {"tier in ('A','B')", "tier in ('B','A')", true},
        {"size eq 1 or (size eq 2 and size eq 3)", "(size eq 3 and size eq 2) or size eq 1", true},
        {"updated_at lt 2026-01-31T01:00:00+01:00", "updated_at lt '2026-01-31T00:00:00Z'", true},
        {"name contains 'x'", "contains(name,'x')", true},
        {"size eq 1 and tier eq 'A'", "size eq 1 or tier eq 'A'", false},
        {"size eq 1", "size eq 2", false},
        {"size eq 1", "size ne 1", false},
        {"size eq 1", "not size eq 1", false},
        {"size eq 1", "custom.seats eq 1", false},
        {"name eq 'a'", "owner.name eq 'a'", false},
        {"owner.name eq 'a'", "account.name eq 'a'", false},
        {"name eq 'a'", "email eq 'a@b.co'", false},
        {"name in ('a,b','c')", "name in ('a','b,c')", false},
        {"name in ('a\",\"b','c')", "name in ('a','b','c')", false},
        {"name eq null", "name eq 'null'", false},
        {"size eq 1 and (size eq 2 or size eq 3)", "(size eq 1 and size eq 2) or size eq 3", false},
    };
    CLEANUP(buf_release) struct buf one;
    CLEANUP(buf_release) struct buf other;

    (void)state;
    buf_init(&one, 1 << 16);
    buf_init(&other, 1 << 16);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        canonical_of(pairs[i].one, &one);
        canonical_of(pairs[i].other, &other);
        if ((strcmp(one.ptr, other.ptr) == 0) != pairs[i].same)
            fail_msg("%s: %s\n%s: %s", pairs[i].one, one.ptr, pairs[i].other, other.ptr);
    }
    canonical_of("owner.name eq 'a' and not tier in ('B','A') and custom.vip eq null", &one);
    assert_string_equal(one.ptr, "and(not(in(tier,\"A\",\"B\")),null(custom.\"vip\"),via(owner,eq("
                                 "name,\"a\")))");
    buf_reset(&one);
    filter_canonical(NULL, &one);
    assert_int_equal(one.len, 0);
    CLEANUP(buf_release) struct buf small;
    struct arena arena;
    struct cond *cond = NULL;
    buf_init(&small, 10);
    arena_init(&arena, 1 << 16);
    assert_true(filter_parse(&(struct filter){&thing, NULL, &arena}, STR("size eq 1 and size eq 2"),
                             &cond, NULL));
    filter_canonical(cond, &small);
    assert_false(buf_ok(&small));
    arena_release(&arena);
}

static void note_field(const struct cond *leaf, void *arg) {
    struct buf *seen = arg;

    buf_text(seen, leaf->resource->name);
    buf_char(seen, '.');
    buf_text(seen, leaf->field != NULL ? leaf->field->name : "custom");
    buf_char(seen, ' ');
}

/* What decides about areas sees every field, behind relations and negations, too. */
static void every_field_is_visited(void **state) {
    struct arena arena;
    struct cond *cond = NULL;
    CLEANUP(buf_release) struct buf seen;

    (void)state;
    buf_init(&seen, 1 << 10);
    arena_init(&arena, 1 << 16);
    assert_true(filter_parse(&(struct filter){&thing, &thing_customs, &arena},
                             STR("not (size eq 1 or name ne null) and owner.name eq 'x' and "
                                 "custom.vip eq true and tier in ('A','B')"),
                             &cond, NULL));
    filter_each(cond, note_field, &seen);
    assert_string_equal(seen.ptr, "thing.size thing.name user.name thing.custom thing.tier ");
    filter_each(NULL, note_field, &seen);
    arena_release(&arena);
}

static void memory_runs_out(void **state) {
    static const char text[] = "not (tier in ('A','B') or name ne null) and owner.name ne null and "
                               "custom.region in ('EMEA') and contains(name,'x''y') and size eq 1";
    bool ok = false;

    (void)state;
    for (size_t limit = 0; !ok; limit += 8) {
        struct arena arena;
        struct cond *cond = NULL;
        struct err err = ERR_INIT;
        struct str params[20];
        CLEANUP(buf_release) struct buf sql;
        struct filter_sql into = {.sql = &sql,
                                  .params = params,
                                  .max_params = COUNT_OF(params),
                                  .arena = &arena,
                                  .err = &err};

        assert_true(limit < 100000);
        buf_init(&sql, 1 << 16);
        arena_init(&arena, limit);
        ok = filter_parse(&(struct filter){&thing, &thing_customs, &arena}, str_of(text), &cond,
                          &err) &&
             filter_sql(cond, &into);
        assert_int_equal(err.problem, ok ? PROBLEM_NONE : PROBLEM_OVERLOADED);
        err_release(&err);
        arena_release(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons),
        cmocka_unit_test(logic),
        cmocka_unit_test(relations),
        cmocka_unit_test(custom_fields),
        cmocka_unit_test(syntax_errors),
        cmocka_unit_test(type_errors),
        cmocka_unit_test(limits),
        cmocka_unit_test(canonical_text),
        cmocka_unit_test(every_field_is_visited),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
