/* Lists, creates and activates versions of the plan template, of which one is in force for all
 * accounts (004-15). */
#include "app/plans.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/write_once.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "record/view.h"

#include <stdio.h>

/* clang-format off */
#define KINDS "text", "texts", "number", "date", "boolean", "choice", "contact", "contacts"
const char *const template_field_kinds[] = {KINDS, "table", NULL};
const char *const template_column_kinds[] = {KINDS, NULL};
static const struct field column_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 64, .check = check_slug},
    {.name = "title", .type = FIELD_TEXT, .max = 200},
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = template_column_kinds},
    {.name = "required", .type = FIELD_BOOL},
    {.name = "choices", .type = FIELD_TEXTS, .max = 50},
};
static const struct shape column_shape = {column_fields, COUNT_OF(column_fields)};
static const struct field field_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 64, .check = check_slug},
    {.name = "title", .type = FIELD_TEXT, .max = 200},
    {.name = "guidance", .type = FIELD_TEXT, .max = 2000},
    {.name = "kind", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = template_field_kinds},
    {.name = "required", .type = FIELD_BOOL},
    {.name = "choices", .type = FIELD_TEXTS, .max = 50},
    {.name = "columns", .type = FIELD_DOCS, .max = 20, .shape = &column_shape},
};
static const struct shape field_shape = {field_fields, COUNT_OF(field_fields)};
const char *const template_sections[] = {"competitive_environment", "contacts_and_decisions", "negotiations", "leader_perceptions", "values_beliefs",
    "capabilities", "strategies", "internal_processes", "interaction_history", NULL};
#define N_TYPED 8 /* the last one is generated */
static const struct field section_fields[] = {
    {.name = "section", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = template_sections},
    {.name = "title", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 200},
    {.name = "guidance", .type = FIELD_TEXT, .max = 2000},
    {.name = "required", .type = FIELD_BOOL, .flags = F_NOT_NULL, .preset = "false"},
    {.name = "shared", .type = FIELD_BOOL, .flags = F_NOT_NULL, .preset = "false"},
    {.name = "fields", .type = FIELD_DOCS, .flags = F_NOT_NULL, .max = 50, .shape = &field_shape, .preset = "[]"},
};
static const struct shape section_shape = {section_fields, COUNT_OF(section_fields)};
static const struct field template_fields[] = {
    {.name = "note", .type = FIELD_TEXT, .max = 1000},
    {.name = "sections", .type = FIELD_DOCS, .flags = F_REQUIRED, .min = N_TYPED, .max = N_TYPED + 1, .shape = &section_shape},
};
static const struct shape template_shape = {template_fields, COUNT_OF(template_fields)};
/* clang-format on */

static void write_template(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    static const struct field fields[] = {
        {.name = "version", .type = FIELD_INT},     {.name = "active", .type = FIELD_BOOL},
        {.name = "note", .type = FIELD_TEXT},       {.name = "sections", .type = FIELD_DOCS},
        {.name = "created_at", .type = FIELD_TIME}, {.name = "created_by", .type = FIELD_TEXT},
    };
    write_row(tx, slot, row, &SHAPE_OF(fields), ret);
}

#define TEMPLATE_SQL                                                                               \
    "select t.version, t.active, t.note, t.sections, t.created_at, t.created_by from "             \
    "plan_template t"

bool template_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page = {
        .list = STR("plan-templates"), .key_columns = {0}, .n_keys = 1, .write = write_template};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {page.keys[0], page_limit(action, &page)};
    size_t slot = tx_query(tx,
                           TEMPLATE_SQL " where $1::int is null or t.version < $1::int order by "
                                        "t.version desc limit $2::int",
                           values, 2);
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}

/* False with not found for what is no version's number either. */
static bool version_number(struct str version, struct err *err) {
    int64_t number;
    return (str_to_i64(version, &number) && number >= 1 && number <= INT32_MAX) ||
           err_set(err, PROBLEM_NOT_FOUND, "There is no such version of the template.");
}

static bool template_answer(struct tx *tx, struct str version, struct outcome *outcome,
                            struct err *err) {
    size_t slot = tx_query(tx, TEMPLATE_SQL " where t.version = $1::int", &version, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such version of the template.");
    write_template(tx, slot, 0, &outcome->body);
    return true;
}

bool template_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str version = action_arg(action, "version");
    CLEANUP(tx_end) struct tx *tx = NULL;
    return version_number(version, err) && read_begin(action, &tx, err) &&
           template_answer(tx, version, outcome, err);
}

/* ---- a new version ---- */

static void complain(struct err *err, size_t section, const char *below, const char *code,
                     const char *detail) {
    char where[128];
    snprintf(where, sizeof where, "/sections/%zu%s", section, below);
    err_add(err, PROBLEM_VALIDATION, ERR_POINTER(where), code, "%s", detail);
}

/* Names differ; a choice has choices; a table has columns, and nothing else has. `at` is the
 * pointer below the section. */
static void check_fields(const jv *fields, size_t section, const char *at, struct err *err) {
    for (size_t i = 0; i < jv_len(fields); i++) {
        const jv *one = jv_at(fields, i), *columns = jv_get(one, "columns");
        struct str name = jv_text(jv_get(one, "name")), kind = jv_text(jv_get(one, "kind"));
        char below[96];
        snprintf(below, sizeof below, "%s/%zu/name", at, i);
        for (size_t k = 0; k < i; k++)
            if (str_eq(name, jv_text(jv_get(jv_at(fields, k), "name"))))
                complain(err, section, below, "duplicate", "is in the list already");
        if (str_is(name, "other"))
            complain(err, section, below, "reserved",
                     "is where words are kept whose field is no longer there");
        snprintf(below, sizeof below, "%s/%zu/choices", at, i);
        if (str_is(kind, "choice") != (jv_len(jv_get(one, "choices")) > 0))
            complain(err, section, below, "choices", "a choice, and nothing else, has choices");
        snprintf(below, sizeof below, "%s/%zu/columns", at, i);
        if (str_is(kind, "table") != (jv_len(columns) > 0))
            complain(err, section, below, "columns", "a table, and nothing else, has columns");
        if (columns)
            check_fields(columns, section, below, err);
    }
}

static void check_sections(const jv *sections, struct err *err) {
    unsigned seen = 0;
    for (size_t i = 0; i < jv_len(sections); i++) {
        const jv *one = jv_at(sections, i);
        size_t which = 0;
        while (which < N_TYPED &&
               !str_is(jv_text(jv_get(one, "section")), template_sections[which]))
            which++;
        if ((seen >> which & 1) != 0)
            complain(err, i, "/section", "duplicate", "is in the list already");
        seen |= 1u << which;
        if (which == N_TYPED && jv_len(jv_get(one, "fields")) > 0)
            complain(err, i, "/fields", "generated", "nobody types this section");
        check_fields(jv_get(one, "fields"), i, "/fields", err);
    }
    for (size_t which = 0; which < N_TYPED; which++)
        if ((seen >> which & 1) == 0)
            err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/sections"), "missing_section",
                    "%s is missing; the nine sections are the same for all",
                    template_sections[which]);
}

static bool create_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    const jv *clean = arg;
    struct str params[] = {json_param(action, jv_get(clean, "sections")),
                           jv_text(jv_get(clean, "note")), str_of(action->who->actor)};
    if (!params[0].ptr)
        return err_memory(err);
    tx_query(tx, "select 1 from plan_template where active for update", NULL,
             0); /* one at a time */
    size_t made = tx_query(tx,
                           "insert into plan_template (version, sections, note, created_by) select "
                           "max(version) + 1, $1::jsonb, $2, $3 from plan_template returning "
                           "version",
                           params, 3);
    if (!tx_flush(tx, err))
        return false;
    outcome->status = 201;
    snprintf(outcome->location, sizeof outcome->location, "/v1/plan-templates/%.*s",
             STR_ARG(tx_value(tx, made, 0, 0)));
    return template_answer(tx, tx_value(tx, made, 0, 0), outcome, err);
}

bool template_create(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&template_shape, doc, "", &clean, err))
        return false;
    check_sections(jv_get(clean, "sections"), err);
    return !err_is_set(err) && write_once(action, create_work, clean, outcome, err);
}

static bool activate_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                          struct err *err) {
    struct str version = *(const struct str *)arg;
    (void)action;
    tx_query(tx, "select 1 from plan_template where active for update", NULL, 0);
    tx_query(tx,
             "update plan_template set active = false where active and version <> $1::int and "
             "exists (select 1 from plan_template where version = $1::int)",
             &version, 1);
    tx_query(tx, "update plan_template set active = true where version = $1::int and not active",
             &version, 1);
    return template_answer(tx, version, outcome, err);
}

bool template_activate(struct action *action, struct outcome *outcome, struct err *err) {
    struct str version = action_arg(action, "version");
    return version_number(version, err) &&
           write_once(action, activate_work, &version, outcome, err);
}
