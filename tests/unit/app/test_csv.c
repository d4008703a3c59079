/* Cells of CSV: RFC 4180, and nothing that a spreadsheet takes for a formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/csv.h"

/* text, cell */
static const char *const cells[][2] = {
    {"", ""},
    {"plain", "plain"},
    {"a,b", "\"a,b\""},
    {"say \"hi\"", "\"say \"\"hi\"\"\""},
    {"two\r\nlines", "\"two\r\nlines\""},
    {"=1+1", "'=1+1"},
    {"+49 30 1234", "'+49 30 1234"},
    {"@SUM(A1)", "'@SUM(A1)"},
    {"\tx", "'\tx"},
    {"-12.50", "-12.50"},
    {"-1.2.3", "'-1.2.3"},
    {"-", "'-"},
    {"=a,b", "\"'=a,b\""},
    {"\xef\xbc\x9d"
     "1",
     "'\xef\xbc\x9d"
     "1"},
    /* An apostrophe of one's own before a formula gets another one. */
    {"'=1", "''=1"},
    {"''=1", "'''=1"},
    {"'tis", "'tis"},
};

static void as_a_spreadsheet_may_have_it(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cells); i++) {
        struct buf cell CLEANUP(buf_release);
        buf_init(&cell, 1024);
        csv_cell(str_of(cells[i][0]), &cell);
        assert_string_equal(buf_ok(&cell) && cell.len > 0 ? cell.ptr : "", cells[i][1]);
    }
}

/* What csv_cell() put before a text, csv_plain() takes away, and nothing else. */
static void there_and_back(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cells); i++) {
        struct buf cell CLEANUP(buf_release);
        struct str text = str_of(cells[i][0]);
        buf_init(&cell, 1024);
        csv_cell(text, &cell);
        if (cell.len > 0 && cell.ptr[0] == '"')
            continue; /* the quotes are the reader's to remove */
        assert_true(str_eq(csv_plain(cell.len > 0 ? buf_str(&cell) : STR("")), text));
    }
    assert_true(str_is(csv_plain(STR("'tis")), "'tis"));
    assert_true(str_is(csv_plain(STR("'12")), "'12"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_a_spreadsheet_may_have_it),
        cmocka_unit_test(there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
