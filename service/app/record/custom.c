/* Loads the definitions of a resource's custom fields (name, kind and permitted choices) from the
 * database. */
#include "record/view.h"

static bool kind_by_name(struct str name, enum custom_kind *ret) {
    static const char *const names[] = {[CUSTOM_TEXT] = "text",
                                        [CUSTOM_NUMBER] = "number",
                                        [CUSTOM_DATE] = "date",
                                        [CUSTOM_BOOLEAN] = "boolean",
                                        [CUSTOM_CHOICE] = "choice"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_is(name, names[i])) {
            *ret = (enum custom_kind)i;
            return true;
        }
    return false;
}

/* One row per choice, or one without. */
#define CUSTOM_FIELDS_SQL                                                                          \
    "select f.name, f.kind, c.choice from custom_field f left join unnest(f.choices) c(choice)"    \
    " on true where f.resource = $1 and f.deleted_at is null order by f.name"
enum { COLUMN_NAME, COLUMN_KIND, COLUMN_CHOICE };

bool custom_fields_load(struct action *action, struct tx *tx, const struct resource *resource,
                        struct custom_fields *ret, struct err *err) {
    struct str name = str_of(resource->name);
    size_t slot = tx_query(tx, CUSTOM_FIELDS_SQL, &name, 1);
    if (!tx_flush(tx, err))
        return false;
    size_t n = tx_rows(tx, slot);
    struct custom_field *list = arena_array(action->arena, n + 1, sizeof *list);
    struct str *choices = arena_array(action->arena, n + 1, sizeof *choices);
    if (!list || !choices)
        return err_memory(err);
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        struct str field = arena_str(action->arena, tx_value(tx, slot, i, COLUMN_NAME));
        if (used == 0 || !str_eq(list[used - 1].name, field)) {
            list[used] = (struct custom_field){
                .resource = resource->id, .name = field, .choices = choices + i};
            if (!kind_by_name(tx_value(tx, slot, i, COLUMN_KIND), &list[used].kind))
                continue;
            used++;
        }
        choices[i] = arena_str(action->arena, tx_value(tx, slot, i, COLUMN_CHOICE));
        list[used - 1].n_choices += choices[i].ptr != NULL;
    }
    *ret = (struct custom_fields){list, used};
    return true;
}
