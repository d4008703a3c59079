/* Holds rows of records as the database returned them, and says what of them the caller may see
 * and change. */
#include "record/row.h"

#include "store/record.h"

const struct record_sql *sql_for(const struct action *action, enum resource_id id) {
    return record_sql(id, !role_sees_all(action->who->role));
}

enum area row_area(const struct row *row) {
    struct str section =
        row->resource->id == RES_PLAN_SECTION ? row_value(row, "section") : STR_ABSENT;
    for (enum area area = 0; section.ptr && area < AREA_COUNT; area++)
        if (str_is(section, area_name(area)))
            return area;
    return row->resource->area;
}

bool area_writable(const struct action *action, area_set areas, enum area area, struct err *err) {
    if ((areas & role_writes(action->who->role) & AREA_BIT(area)) != 0)
        return true;
    return err_set(err, PROBLEM_FORBIDDEN, "You may not change the %s of this account.",
                   area_name(area));
}

bool row_writable(const struct action *action, const struct row *row, struct err *err) {
    return !resource_account(row->resource) ||
           area_writable(action, row->areas, row_area(row), err);
}

void write_areas(area_set areas, struct buf *ret) {
    bool first = true;
    buf_char(ret, '[');
    for (enum area area = 0; area < AREA_COUNT; area++) {
        if ((areas & AREA_BIT(area)) == 0)
            continue;
        buf_format(ret, "%s\"%s\"", first ? "" : ",", area_name(area));
        first = false;
    }
    buf_char(ret, ']');
}

static bool row_readable(const struct row *row) {
    return !resource_account(row->resource) || (row->areas & AREA_BIT(row_area(row))) != 0;
}

struct rows rows_of(struct action *action, const struct resource *resource, struct tx *tx,
                    size_t slot) {
    size_t n = tx_rows(tx, slot), width = resource->n_fields + 3, kept = 0;
    struct row *rows = arena_array(action->arena, n + 1, sizeof *rows);
    struct str *values = arena_array(action->arena, n * width + 1, sizeof *values);
    enum role role = action->who->role;
    if (!rows || !values)
        return (struct rows){NULL, 0};
    for (size_t i = 0; i < n; i++) {
        struct row *row = &rows[kept];
        struct str *its = values + i * width;
        for (size_t c = 0; c < width; c++)
            its[c] = tx_value(tx, slot, i, c);
        row->resource = resource;
        row->values = its;
        row->areas = (area_set)tx_int(tx, slot, i, width - 1) & role_reads(role);
        row->hidden = role_sees_all(role) ? 0 : AREAS_ALL & ~row->areas;
        kept += row_readable(row);
    }
    return (struct rows){rows, kept};
}

const struct row *row_by_id(const struct rows *rows, struct str id) {
    for (size_t i = 0; i < rows->n; i++)
        if (str_eq(rows->list[i].values[0], id))
            return &rows->list[i];
    return NULL;
}

struct str row_value(const struct row *row, const char *name) {
    const struct field *field = resource_field(row->resource, str_of(name));
    return field ? row->values[resource_field_at(row->resource, field)] : STR_ABSENT;
}

static int64_t number(struct str text) {
    int64_t value = 0;
    return text.ptr && str_to_i64(text, &value) ? value : 0;
}

/* Every descriptor begins with id, version. */
int64_t row_version(const struct row *row) { return number(row->values[1]); }

int64_t row_cache_version(const struct row *row) {
    return number(row->values[1]) + number(row->values[row->resource->n_fields]);
}

bool row_deleted(const struct row *row) {
    return row->values[row->resource->n_fields + 1].ptr != NULL;
}

bool row_below(const struct row *row, struct str account_id) {
    return !account_id.ptr || str_eq(row_value(row, "account_id"), account_id);
}

void row_etag(const struct row *row, char ret[static ETAG_TEXT]) {
    etag_make(row->values[0], row_version(row), STR(""), ret);
}

/* Of a record that the caller sees, all but what was derived from where the caller does not read.
 */
field_set row_fields(const struct row *row) {
    return fields_in(row->resource, ~row->hidden | AREA_BIT(row->resource->area));
}

bool row_shows(const struct row *row, const struct field *field) {
    return field->area == 0 || (row->hidden & AREA_BIT(field->area)) == 0;
}

bool not_found(const struct record_key *key, struct err *err) {
    return err_set(err, PROBLEM_NOT_FOUND, "There is no such %s that you can see.",
                   key->resource->name);
}
