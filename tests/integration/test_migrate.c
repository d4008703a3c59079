/* Migrations, in a schema of the test's own. */
#include "redis_server.h"
#include "store_fixture.h"

#include "../../service/store/migration.h"
#include "core/crypto.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define M(number_, sql_)                                                                           \
    { .number = (number_), .name = #number_ "_test", .sql = (sql_), .len = sizeof(sql_) - 1 }

static char url[512];

/* The owner's url with a search path. */
static void use_schema(void) {
    const char *owner = owner_url();

    assert_true(crypto_start());
    snprintf(url, sizeof(url), "%s%coptions=-csearch_path%%3Dmigrate_test", owner,
             strchr(owner, '?') == NULL ? '?' : '&');
    pg_do(owner, "drop schema if exists migrate_test cascade; create schema migrate_test");
}

static int drop_schema(void **state) {
    (void)state;
    if (url[0] != '\0')
        pg_do(url, "drop schema if exists migrate_test cascade");
    return 0;
}

static bool apply_to(const char *to, const struct schema *schema, int *ret_migrations,
                     struct err *err) {
    struct migrated done = {0};
    bool ok = migrate_to(to, schema, &done, err);

    if (ok)
        *ret_migrations = done.migrations;
    return ok;
}

/* Migrations alone. */
#define LIST(list_, n_) (&(const struct schema){.migrations = (list_), .n_migrations = (n_)})

static void expect(const char *sql, const char *want) {
    char text[128];

    pg_say(url, sql, text, sizeof(text));
    assert_string_equal(text, want);
}

static const struct migration two[] = {
    M(1, "create table a(id int);\ninsert into a values (1); create function f() returns int "
         "language sql as $$ select 1; $$;"),
    M(2, "alter table a add column b text default 'x';"),
};

static void applied_once(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;

    use_schema();
    assert_ok(apply_to(url, LIST(two, 1), &applied, &err), err);
    assert_int_equal(applied, 1);
    assert_ok(apply_to(url, LIST(two, 2), &applied, &err), err);
    assert_int_equal(applied, 1);
    assert_ok(apply_to(url, LIST(two, 2), &applied, &err), err);
    assert_int_equal(applied, 0);
    expect("select count(*) || b from a group by b", "1x");
    expect("select string_agg(number || name || min_binary, ',' order by number) from "
           "schema_migration",
           "11_test1,22_test2");
    expect("select count(*) from schema_migration where length(checksum) = 32", "2");
    /* Nothing to apply is fine, too. */
    use_schema();
    assert_ok(apply_to(url, LIST(two, 0), &applied, &err), err);
    assert_int_equal(applied, 0);
}

static void failed_leaves_nothing(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;
    static const struct migration bad[] = {M(1, "create table a(id int);"),
                                           M(2, "create table b(id int); select nonsense;")};

    use_schema();
    assert_false(apply_to(url, LIST(bad, 2), &applied, &err));
    assert_int_equal(applied, -1);
    assert_problem(err, PROBLEM_INTERNAL);
    assert_non_null(strstr(err.cause, "2_test"));
    assert_non_null(strstr(err.cause, "nonsense"));
    expect("select count(*) from schema_migration", "1");
    expect("select to_regclass('b') is null", "t");
}

static void own_transaction_is_refused(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;
    static const struct migration bad[] = {M(1, "create table a(id int); commit;")};

    use_schema();
    assert_false(apply_to(url, LIST(bad, 1), &applied, &err));
    expect("select count(*) from schema_migration", "0");
}

static void edited_is_noticed(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;
    static const struct migration edited[] = {M(1, "create table a(id bigint);"),
                                              M(2, "alter table a add column b text default 'x';")};

    use_schema();
    assert_ok(apply_to(url, LIST(two, 1), &applied, &err), err);
    assert_false(apply_to(url, LIST(edited, 2), &applied, &err));
    assert_problem(err, PROBLEM_CONFLICT);
    assert_non_null(strstr(err.detail, "1_test"));
    expect("select count(*) from schema_migration", "1");
}

static void newer_is_refused(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;

    use_schema();
    assert_ok(apply_to(url, LIST(two, 2), &applied, &err), err);
    assert_false(apply_to(url, LIST(two, 1), &applied, &err));
    assert_problem(err, PROBLEM_CONFLICT);
    assert_non_null(strstr(err.detail, "its migration 2 needs a program that knows migration 2"));
}

/* A rollback runs `migrate` of the version before. */
static void newer_that_fits_is_left_alone(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;
    static const struct migration expanded[] = {
        M(1, "create table a(id int);"),
        M(2, "-- min-binary: 1\nalter table a add column b text;")};

    use_schema();
    assert_ok(apply_to(url, LIST(expanded, 2), &applied, &err), err);
    assert_ok(apply_to(url, LIST(expanded, 1), &applied, &err), err);
    assert_int_equal(applied, 0);
    expect("select count(*) from schema_migration", "2");
}

/* An older one that came in by a merge is made up for. */
static void gap_is_filled(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;
    static const struct migration late[] = {M(1, "create table a(id int);"),
                                            M(2, "create table b(id int);"),
                                            M(3, "create table c(id int);")};
    const struct migration early[] = {late[0], late[2]};

    use_schema();
    assert_ok(apply_to(url, LIST(early, 2), &applied, &err), err);
    assert_ok(apply_to(url, LIST(late, 3), &applied, &err), err);
    assert_int_equal(applied, 1);
}

struct racer {
    pthread_t thread;
    const struct migration *list;
    size_t n;
    int applied;
    bool ok;
};

static void *race(void *arg) {
    struct racer *racer = arg;
    ERR(err);

    racer->ok = apply_to(url, LIST(racer->list, racer->n), &racer->applied, &err);
    if (!racer->ok)
        print_error("%s [%s]\n", err.detail, err.cause);
    return NULL;
}

static void race_all(const struct migration *list, size_t n) {
    struct racer racers[4];
    int applied = 0;

    for (size_t i = 0; i < COUNT_OF(racers); i++) {
        racers[i] = (struct racer){.list = list, .n = n};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(racers); i++) {
        pthread_join(racers[i].thread, NULL);
        assert_true(racers[i].ok);
        applied += racers[i].applied;
    }
    assert_int_equal(applied, n);
}

static void several_at_once(void **state) {
    (void)state;
    static const struct migration slow[] = {
        M(1, "create table a(id int); select pg_sleep(0.5);"),
        M(2, "insert into a values (1); select pg_sleep(0.5);")};

    use_schema();
    race_all(slow, 2);
    expect("select count(*) from a", "1");
}

static const struct migration concurrent[] = {
    M(1, "create table a(id int);"),
    M(2, "-- no-transaction\n-- min-binary: 1\n"
         "/* ; */ create index concurrently if not exists a_id_idx on a(id);\n"
         "insert into a select 1 where not exists (select from a); -- ;\n"),
};

static void outside_of_a_transaction(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;

    use_schema();
    assert_ok(apply_to(url, LIST(concurrent, 2), &applied, &err), err);
    assert_int_equal(applied, 2);
    expect("select indisvalid from pg_index where indexrelid = 'a_id_idx'::regclass", "t");
    expect("select count(*) from a", "1");
    use_schema();
    race_all(concurrent, 2);
    expect("select count(*) from a", "1");
}

/* A busy table: the lock is given up after two seconds, so that nobody queues up behind it for
 * long, and tried again. */
static void *hold_table(void *arg) {
    (void)arg;
    pg_do(url, "begin; lock table a in access share mode; select pg_sleep(4); commit");
    return NULL;
}

static void waits_for_locks(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;
    pthread_t thread;

    use_schema();
    assert_ok(apply_to(url, LIST(two, 1), &applied, &err), err);
    assert_int_equal(pthread_create(&thread, NULL, hold_table, NULL), 0);
    sleep_ms(500);
    assert_ok(apply_to(url, LIST(two, 2), &applied, &err), err);
    assert_int_equal(applied, 1);
    pthread_join(thread, NULL);
}

static void nobody_there(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;

    assert_false(apply_to("postgresql://127.0.0.1:1/x", LIST(two, 2), &applied, &err));
    assert_problem(err, PROBLEM_DATABASE_UNAVAILABLE);
    err_release(&err);
    assert_false(apply_to("postgresql://?nonsense=1", LIST(two, 2), &applied, &err));
    assert_problem(err, PROBLEM_INTERNAL);
}

/* ---- does the schema fit? ---- */

static void fits(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;
    static const struct migration edited[] = {M(1, "create table other(id int);")};
    /* 2 says that binaries which know only 1 still fit; 3 does not. */
    const struct migration three[] = {concurrent[0], concurrent[1], M(3, "drop table a;")};

    use_schema();
    struct store_options options = store_fixture_options(url);
    STORE(store, &options);
    /* Without any migration there is not even the table. */
    assert_false(schema_compare(store, LIST(three, 1), in_ms(2000), &err));
    assert_problem(err, PROBLEM_NOT_READY);
    err_release(&err);
    assert_ok(apply_to(url, LIST(three, 1), &applied, &err), err);
    assert_ok(schema_compare(store, LIST(three, 1), in_ms(2000), &err), err);
    assert_false(schema_compare(store, LIST(three, 2), in_ms(2000), &err));
    assert_problem(err, PROBLEM_NOT_READY);
    err_release(&err);
    assert_false(schema_compare(store, LIST(edited, 1), in_ms(2000), &err));
    assert_problem(err, PROBLEM_NOT_READY);
    err_release(&err);
    assert_ok(apply_to(url, LIST(three, 2), &applied, &err), err);
    assert_ok(schema_compare(store, LIST(three, 2), in_ms(2000), &err), err);
    assert_ok(schema_compare(store, LIST(three, 1), in_ms(2000), &err), err);
    assert_ok(apply_to(url, LIST(three, 3), &applied, &err), err);
    assert_ok(schema_compare(store, LIST(three, 3), in_ms(2000), &err), err);
    assert_false(schema_compare(store, LIST(three, 2), in_ms(2000), &err));
    assert_problem(err, PROBLEM_NOT_READY);
    /* The store itself is fine. */
    assert_false(store_breaker_open(store));
}

/* ---- schema files ---- */

#define F(step_, name_, sql_)                                                                      \
    { .name = (name_), .sql = (sql_), .len = sizeof(sql_) - 1, .step = (step_) }

static const struct migration calls_first[] = {
    M(1, "create table a(id int default answer());"),
    M(2, "-- min-binary: 1\nalter table a add column b int;"),
};
#define FIRST                                                                                      \
    F(0, "first", "create or replace function answer() returns int language sql as 'select 42'")
#define ONE                                                                                        \
    F(1, "one", "create or replace function one() returns int language sql as 'select two() + 1'")
#define TWO F(1, "two", "create or replace function two() returns int language sql as 'select 2'")
#define TWO_CHANGED                                                                                \
    F(1, "two", "create or replace function two() returns int language sql as 'select 20'")
static const struct schema_file files[] = {FIRST, ONE, TWO}, changed[] = {FIRST, ONE, TWO_CHANGED};
#define WITH(n_, files_)                                                                           \
    { calls_first, (n_), (files_), 3 }

/* The first file comes before the migrations; the others come after them, and may call each other
 * in any order. Only a file whose text has changed is applied again. */
static void files_follow_their_text(void **state) {
    (void)state;
    ERR(err);
    struct migrated done;
    const struct schema before = WITH(1, files), after = WITH(1, changed);

    use_schema();
    struct store_options options = store_fixture_options(url);
    STORE(store, &options);
    assert_ok(migrate_to(url, &before, &done, &err), err);
    assert_int_equal(done.migrations, 1);
    assert_int_equal(done.files, 3);
    expect("insert into a default values returning id || ' ' || one()", "42 3");
    assert_ok(schema_compare(store, &before, in_ms(2000), &err), err);
    assert_false(schema_compare(store, &after, in_ms(2000), &err));
    assert_problem(err, PROBLEM_NOT_READY);
    assert_non_null(strstr(err.detail, "two"));
    err_release(&err);
    pg_do(url, "update schema_file set applied_at = '2000-01-01'");
    assert_ok(migrate_to(url, &after, &done, &err), err);
    assert_int_equal(done.migrations, 0);
    assert_int_equal(done.files, 1);
    expect("select string_agg(name, ',') from schema_file where applied_at > '2000-01-02'", "two");
    expect("select one()", "21");
    assert_ok(schema_compare(store, &after, in_ms(2000), &err), err);
    assert_ok(migrate_to(url, &after, &done, &err), err);
    assert_int_equal(done.files, 0);
}

/* A program that does not know the newest migration leaves the newer texts alone, and fits. */
static void newer_files_are_left_alone(void **state) {
    (void)state;
    ERR(err);
    struct migrated done;
    const struct schema older = WITH(1, files), newer = WITH(2, changed);

    use_schema();
    struct store_options options = store_fixture_options(url);
    STORE(store, &options);
    assert_ok(migrate_to(url, &newer, &done, &err), err);
    assert_ok(migrate_to(url, &older, &done, &err), err);
    assert_int_equal(done.migrations + done.files, 0);
    expect("select one()", "21");
    assert_ok(schema_compare(store, &older, in_ms(2000), &err), err);
}

/* One file that cannot be applied leaves all of them as they were. */
static void files_are_applied_together(void **state) {
    (void)state;
    ERR(err);
    struct migrated done;
    static const struct schema_file bad[] = {FIRST, TWO_CHANGED, F(1, "three", "select nonsense")};
    const struct schema before = WITH(1, files), after = WITH(1, bad);

    use_schema();
    assert_ok(migrate_to(url, &before, &done, &err), err);
    assert_false(migrate_to(url, &after, &done, &err));
    assert_problem(err, PROBLEM_INTERNAL);
    assert_non_null(strstr(err.cause, "three"));
    expect("select one()", "3");
    expect("select string_agg(name, ',' order by name) from schema_file", "first,one,two");
}

/* Those of another step are another transaction: what could be applied before a failure stays. */
static void steps_are_applied_one_by_one(void **state) {
    (void)state;
    ERR(err);
    struct migrated done;
    static const struct schema_file bad[] = {FIRST, TWO_CHANGED, F(2, "guards", "select nonsense")};
    const struct schema before = WITH(1, files), after = WITH(1, bad);

    use_schema();
    assert_ok(migrate_to(url, &before, &done, &err), err);
    assert_false(migrate_to(url, &after, &done, &err));
    assert_problem(err, PROBLEM_INTERNAL);
    expect("select one()", "21");
    expect("select count(*) from schema_file where name = 'guards'", "0");
}

/* ---- one migration for all before it ---- */

static const struct migration baseline[] = {
    M(3, "-- replaces: 2\n-- min-binary: 2\ncreate table a(id int, b text default 'x');"),
    M(4, "-- min-binary: 2\nalter table a add column c int;"),
};

static void baseline_of_a_new_database(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;

    use_schema();
    assert_ok(apply_to(url, LIST(baseline, 2), &applied, &err), err);
    assert_int_equal(applied, 2);
    expect("select string_agg(number::text, ',' order by number) from schema_migration", "3,4");
    assert_ok(apply_to(url, LIST(baseline, 2), &applied, &err), err);
    assert_int_equal(applied, 0);
}

/* It is noted, not run, and the program before still fits. */
static void baseline_of_a_database_that_has_it(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;

    use_schema();
    struct store_options options = store_fixture_options(url);
    STORE(store, &options);
    assert_ok(apply_to(url, LIST(two, 2), &applied, &err), err);
    assert_false(schema_compare(store, LIST(baseline, 2), in_ms(2000), &err));
    err_release(&err);
    assert_ok(apply_to(url, LIST(baseline, 2), &applied, &err), err);
    assert_int_equal(applied, 2);
    expect("select string_agg(number::text, ',' order by number) from schema_migration", "1,2,3,4");
    expect("select b || coalesce(c, 7) from a", "x7");
    assert_ok(schema_compare(store, LIST(baseline, 2), in_ms(2000), &err), err);
    assert_ok(schema_compare(store, LIST(two, 2), in_ms(2000), &err), err);
    assert_ok(apply_to(url, LIST(two, 2), &applied, &err), err);
    assert_int_equal(applied, 0);
}

static void baseline_of_an_older_database(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;

    use_schema();
    assert_ok(apply_to(url, LIST(two, 1), &applied, &err), err);
    assert_false(apply_to(url, LIST(baseline, 2), &applied, &err));
    assert_problem(err, PROBLEM_CONFLICT);
    assert_non_null(strstr(err.detail, "from migration 2 on"));
    expect("select string_agg(number::text, ',' order by number) from schema_migration", "1");
}

/* The application's role owns nothing, and must be able to look. */
static void application_may_look(void **state) {
    (void)state;
    ERR(err);
    int applied = -1;
    char app[512];
    const char *base = app_url();

    use_schema();
    assert_ok(apply_to(url, LIST(two, 2), &applied, &err), err);
    pg_do(url, "grant usage on schema migrate_test to public");
    snprintf(app, sizeof(app), "%s%coptions=-csearch_path%%3Dmigrate_test", base,
             strchr(base, '?') == NULL ? '?' : '&');
    struct store_options options = store_fixture_options(app);
    STORE(store, &options);
    assert_ok(schema_compare(store, LIST(two, 2), in_ms(2000), &err), err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(applied_once),
        cmocka_unit_test(failed_leaves_nothing),
        cmocka_unit_test(own_transaction_is_refused),
        cmocka_unit_test(edited_is_noticed),
        cmocka_unit_test(newer_is_refused),
        cmocka_unit_test(newer_that_fits_is_left_alone),
        cmocka_unit_test(gap_is_filled),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(outside_of_a_transaction),
        cmocka_unit_test(waits_for_locks),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(fits),
        cmocka_unit_test(files_follow_their_text),
        cmocka_unit_test(newer_files_are_left_alone),
        cmocka_unit_test(files_are_applied_together),
        cmocka_unit_test(steps_are_applied_one_by_one),
        cmocka_unit_test(baseline_of_a_new_database),
        cmocka_unit_test(baseline_of_a_database_that_has_it),
        cmocka_unit_test(baseline_of_an_older_database),
        cmocka_unit_test(application_may_look),
    };

    return cmocka_run_group_tests(tests, NULL, drop_schema);
}
