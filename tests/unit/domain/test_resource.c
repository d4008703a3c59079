/* What holds for the descriptor of every resource. */
#include "domain/resource.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* Whoever leaves OF_ACCOUNT out of a descriptor would show its records to everybody. */
static void what_names_an_account_lies_in_an_area(void **state) {
    size_t found = 0;

    (void)state;
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++) {
        const struct resource *resource = resource_of(id);
        if (resource_field(resource, STR("account_id")) == NULL)
            continue;
        found++;
        if ((resource->flags & R_ACCOUNT_SCOPED) == 0)
            fail_msg("%s has an account_id and no OF_ACCOUNT", resource->name);
    }
    assert_true(found >= 15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_names_an_account_lies_in_an_area),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
