/* A file of SQL is split at the right semicolons: not in quotes, dollar quotes or comments. */
#include "unit.h"

#include "splitter.h"

static const struct {
    const char *sql;
    const char *statements[4];
} cases[] = {
    {"", {NULL}},
    {" ; ;\n", {NULL}},
    {"-- only a comment", {NULL}},
    {"/* only /* a nested */ comment */", {NULL}},
    {"select 1", {"select 1", NULL}},
    {"select 1;", {"select 1", NULL}},
    {"select 1; select 2;\n", {"select 1", "select 2", NULL}},
    {"-- no-transaction\ncreate index a on b (c);", {"create index a on b (c)", NULL}},
    {"select ';'; select 2", {"select ';'", "select 2", NULL}},
    {"select 'it''s;'; x", {"select 'it''s;'", "x", NULL}},
    {"select e'\\';'; x", {"select e'\\';'", "x", NULL}},
    {"select '\\'; x", {"select '\\'", "x", NULL}},
    {"select type'\\'; x", {"select type'\\'", "x", NULL}},
    {"select \";\"; x", {"select \";\"", "x", NULL}},
    {"do $$ begin; end $$; x", {"do $$ begin; end $$", "x", NULL}},
    {"do $a$ ; $$ ; $b$ ; $a$; x", {"do $a$ ; $$ ; $b$ ; $a$", "x", NULL}},
    {"select $1; select $2; x", {"select $1", "select $2", "x", NULL}},
    {"select a$b$; x", {"select a$b$", "x", NULL}},
    {"select 1 -- not ; here\n + 2; x", {"select 1 -- not ; here\n + 2", "x", NULL}},
    {"select 1 /* not ; /* nor ; */ here; */ + 2; x",
     {"select 1 /* not ; /* nor ; */ here; */ + 2", "x", NULL}},
    {"select 2 - 1; x", {"select 2 - 1", "x", NULL}},
    {"select 4/2; x", {"select 4/2", "x", NULL}},
    /* What is not closed goes to the end, for the server to refuse. */
    {"select 'a; b", {"select 'a; b", NULL}},
    {"select $$a; b", {"select $$a; b", NULL}},
    {"select /* a; b", {"select /* a; b", NULL}},
    {"select e'\\", {"select e'\\", NULL}},
    {"select $", {"select $", NULL}},
    {"-", {"-", NULL}},
};

static void splits(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        /* A copy without the NUL, so that a look behind the end is seen. */
        size_t len = strlen(cases[i].sql), n = 0;
        char *copy = test_malloc(len + 1);
        memcpy(copy, cases[i].sql, len);
        struct str rest = {copy, len}, statement;
        for (; sql_next(&rest, &statement); n++) {
            assert_case(cases[i].statements[n] != NULL, cases[i].sql);
            assert_case(str_is(statement, cases[i].statements[n]), cases[i].sql);
        }
        assert_case(cases[i].statements[n] == NULL, cases[i].sql);
        test_free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(splits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
