/* The table of routes: each row does one thing, and is named once. */
#include "unit.h"

#include "call.h"

static void each_does_one_thing(void **state) {
    (void)state;
    size_t handlers = 0;
    for (size_t i = 0; i < n_routes; i++) {
        assert_case((routes[i].run != NULL) != (routes[i].handler != NULL), routes[i].path);
        handlers += routes[i].handler != NULL;
    }
    /* What a use case alone cannot do is rare: exports, reports, streams, pages and probes. */
    assert_true(handlers < n_routes / 5);
}

static void each_is_named_once(void **state) {
    (void)state;
    for (size_t i = 0; i < n_routes; i++) {
        assert_case(routes[i].operation_id != NULL, routes[i].path);
        for (size_t k = 0; k < i; k++)
            assert_case(strcmp(routes[i].operation_id, routes[k].operation_id) != 0,
                        routes[i].operation_id);
    }
}

/* Who checks a query is the table or the use case, never both, and a table names each parameter
 * once. */
static void queries_have_one_judge(void **state) {
    (void)state;
    for (size_t i = 0; i < n_routes; i++) {
        assert_case(routes[i].query == NULL || (routes[i].flags & ROUTE_QUERY) == 0,
                    routes[i].path);
        for (const struct query_param *row = routes[i].query; row && row->name; row++)
            for (const struct query_param *other = routes[i].query; other < row; other++)
                assert_case(strcmp(other->name, row->name) != 0, routes[i].path);
    }
}

/* Bits of the flags are each one's own. */
static void flags_differ(void **state) {
    (void)state;
    static const unsigned flags[] = {ROUTE_BODY,   ROUTE_OPTIONAL, ROUTE_MERGE, ROUTE_BULK,
                                     ROUTE_QUERY,  ROUTE_MEMORY,   ROUTE_EMPTY, ROUTE_HTML,
                                     ROUTE_FREE,   ROUTE_RAW,      ROUTE_FORM,  ROUTE_SECRET,
                                     ROUTE_MINUTE, ROUTE_NO_STORE, ROUTE_CHOICE};
    unsigned all = 0;
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        assert_int_equal(all & flags[i], 0);
        all |= flags[i];
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_does_one_thing),
        cmocka_unit_test(each_is_named_once),
        cmocka_unit_test(queries_have_one_judge),
        cmocka_unit_test(flags_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
