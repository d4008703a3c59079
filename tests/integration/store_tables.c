/* Makes the tables and functions on which the tests of transactions work, and the caller in
 * whose name they do. */
#include "store_tables.h"

#include <stdlib.h>

#define ALICE "018f0000-0000-7000-8000-00000000a11c"

const struct tx_context alice = {.scope = STR("acl"),
                                 .user_id = STR(ALICE),
                                 .reach = 5,
                                 .actor = STR("user:" ALICE),
                                 .origin = STR("api"),
                                 .request_id = STR("r-1"),
                                 .traceparent = STR("00-1-2-3")};
const char sql_settings[] =
    "select concat_ws('|', current_setting('kamd.scope'), current_setting('kamd.user_id'), "
    "current_setting('kamd.actor'), current_setting('kamd.origin'), "
    "current_setting('kamd.request_id'), current_setting('kamd.traceparent'), "
    "current_setting('kamd.areas'))";
const char settings_of_alice[] = "acl|" ALICE "|user:" ALICE "|api|r-1|00-1-2-3|5";

int make_tables(void **state) {
    (void)state;
    const char *url = getenv("DATABASE_MIGRATE_URL");

    if (url != NULL)
        pg_do(url,
              "drop schema if exists store_test cascade; create schema store_test;"
              "grant usage on schema store_test to public;"
              "create table store_test.thing(id int primary key, name text unique, parent_id int "
              "references store_test.thing(id) deferrable, n int check (n >= 0));"
              "create table store_test.later(id int unique deferrable initially deferred);"
              "create sequence store_test.tries;"
              "create function store_test.flaky(good_at int, state text) returns int "
              "language plpgsql as $$ declare t int := nextval('store_test.tries'); begin "
              "if t < good_at then raise exception using errcode = state; end if; return t; end $$;"
              "create function store_test.refuse() returns int language plpgsql as $$ begin "
              "raise exception using errcode = 'KD409', message = 'key_account_cap_reached', "
              "detail = 'The list is full.', hint = '{\"weakest\": []}'; end $$;"
              "grant execute on all functions in schema store_test to public;"
              "grant all on all tables in schema store_test to public;"
              "grant all on all sequences in schema store_test to public;");
    return 0;
}

int drop_tables(void **state) {
    (void)state;
    const char *url = getenv("DATABASE_MIGRATE_URL");

    if (url != NULL)
        pg_do(url, "drop schema if exists store_test cascade");
    return 0;
}

int empty_tables(void **state) {
    (void)state;
    const char *url = getenv("DATABASE_MIGRATE_URL");

    if (url != NULL)
        pg_do(url, "truncate store_test.thing, store_test.later; "
                   "alter sequence store_test.tries restart");
    return 0;
}

struct store *open_one(void) {
    struct store_options options = store_fixture_options(app_url());

    owner_url();
    options.size = 1;
    return store_fixture_open(&options);
}

int64_t backend(struct store *store) { return ask_int(store, "select pg_backend_pid()"); }
