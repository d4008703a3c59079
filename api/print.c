/* `kamd --print-api`: what the tables say, as JSON, for the contract test and for `make openapi`.
 */
#include "api/api.h"

#include "app/access_token.h"
#include "app/directory.h"
#include "app/events.h"
#include "app/exports.h"
#include "app/imports.h"
#include "app/merges.h"
#include "app/plans.h"
#include "app/program.h"
#include "app/reviews.h"
#include "app/sync.h"
#include "call.h"
#include "domain/access.h"
#include "domain/check.h"
#include "handlers.h"

static void text(struct buf *ret, const char *name, const char *value) {
    buf_format(ret, "\"%s\":", name);
    buf_json(ret, str_of(value));
}

static const char *type_name(enum field_type type) {
    static const char *const names[] = {
        [FIELD_ID] = "id",     [FIELD_TEXT] = "text",       [FIELD_INT] = "int",
        [FIELD_BOOL] = "bool", [FIELD_DECIMAL] = "decimal", [FIELD_DATE] = "date",
        [FIELD_TIME] = "time", [FIELD_ENUM] = "enum",       [FIELD_TEXTS] = "texts",
        [FIELD_DOC] = "doc",   [FIELD_DOCS] = "docs",       [FIELD_MAP] = "map",
    };
    return names[type];
}

/* What a text must look like; NULL where nothing is asked. */
static const char *format_name(const struct field *field) {
    static const struct {
        const char *(*check)(struct str text);
        const char *name;
    } formats[] = {
        {check_email, "email"},         {check_phone, "phone"},       {check_domain, "domain"},
        {check_url_https, "url_https"}, {check_currency, "currency"}, {check_country, "country"},
        {check_zone, "time_zone"},      {check_slug, "slug"},         {check_uuid, "id"},
    };
    for (size_t i = 0; field->check && i < COUNT_OF(formats); i++)
        if (formats[i].check == field->check)
            return formats[i].name;
    return NULL;
}

static void flag(struct buf *ret, const struct field *field, unsigned bit, const char *name) {
    if ((field->flags & bit) != 0)
        buf_format(ret, ",\"%s\":true", name);
}

static void fields(struct buf *ret, const struct field *list, size_t n) {
    buf_char(ret, '[');
    for (size_t i = 0; i < n; i++) {
        const struct field *field = &list[i];
        buf_text(ret, i > 0 ? ",{" : "{");
        text(ret, "name", field->name);
        buf_char(ret, ',');
        text(ret, "type", type_name(field->type));
        buf_format(ret, ",\"min\":%d,\"max\":%d,", field->min, field->max);
        text(ret, "about", field->about);
        if (field->ref) {
            buf_char(ret, ',');
            text(ret, "ref", field->ref);
        }
        if (format_name(field)) {
            buf_char(ret, ',');
            text(ret, "format", format_name(field));
        }
        if (field->preset)
            buf_format(ret, ",\"preset\":%s", field->preset);
        if (field->area != 0) {
            buf_char(ret, ',');
            text(ret, "area", area_name(field->area));
        }
        flag(ret, field, F_REQUIRED, "required");
        flag(ret, field, F_NOT_NULL, "not_null");
        flag(ret, field, F_READ_ONLY, "read_only");
        flag(ret, field, F_CREATE_ONLY, "create_only");
        flag(ret, field, F_FILTER, "filter");
        flag(ret, field, F_SORT, "sort");
        flag(ret, field, F_SEARCH, "search");
        flag(ret, field, F_PII, "personal");
        flag(ret, field, F_MIN, "bounded");
        flag(ret, field, F_SAME_ACCOUNT, "same_account");
        for (size_t v = 0; field->values && field->values[v]; v++) {
            buf_text(ret, v == 0 ? ",\"values\":[" : ",");
            buf_json(ret, str_of(field->values[v]));
            if (!field->values[v + 1])
                buf_char(ret, ']');
        }
        if (field->shape) {
            buf_text(ret, ",\"fields\":");
            fields(ret, field->shape->fields,
                   field->shape->n_fields); /* shapes are a few levels of const tables */
        }
        buf_char(ret, '}');
    }
    buf_char(ret, ']');
}

static void resource(struct buf *ret, const struct resource *r) {
    buf_char(ret, '{');
    text(ret, "name", r->name);
    buf_char(ret, ',');
    text(ret, "path", r->path);
    buf_char(ret, ',');
    text(ret, "about", r->about);
    buf_char(ret, ',');
    text(ret, "area", resource_account(r) ? area_name(r->area) : NULL);
    buf_format(ret, ",\"nested\":%s,\"sync\":%s,\"custom\":%s,\"expand\":[",
               (r->flags & R_NESTED) != 0 ? "true" : "false",
               (r->flags & R_SYNC) != 0 ? "true" : "false",
               (r->flags & R_CUSTOM) != 0 ? "true" : "false");
    for (size_t i = 0; i < r->n_expansions; i++)
        buf_format(ret, "%s{\"name\":\"%s\",\"target\":\"%s\",\"many\":%s}", i > 0 ? "," : "",
                   r->expansions[i].name, resource_of(r->expansions[i].target)->name,
                   r->expansions[i].many ? "true" : "false");
    buf_text(ret, "],\"fields\":");
    fields(ret, r->fields, r->n_fields);
    buf_char(ret, '}');
}

/* {"read":["admin",...],...}: the roles that have each right, before a key's scopes narrow them. */
static void rights(struct buf *ret) {
    buf_char(ret, '{');
    for (enum verb verb = VERB_READ; verb < VERB_COUNT; verb++) {
        buf_format(ret, "%s\"%s\":[", verb > VERB_READ ? "," : "", verb_name(verb));
        for (int role = ROLE_ADMIN, n = 0; role < ROLE_COUNT; role++)
            if (access_allows((enum role)role, verb))
                buf_format(ret, "%s\"%s\"", n++ > 0 ? "," : "", role_name((enum role)role));
        buf_char(ret, ']');
    }
    buf_char(ret, '}');
}

/* The roles that see only accounts of their own. */
static void own_accounts(struct buf *ret) {
    buf_char(ret, '[');
    for (int role = ROLE_ADMIN, n = 0; role < ROLE_COUNT; role++)
        if (!role_sees_all((enum role)role))
            buf_format(ret, "%s\"%s\"", n++ > 0 ? "," : "", role_name((enum role)role));
    buf_char(ret, ']');
}

/* The parameters of the query that a table names. */
static void parameters(struct buf *ret, const struct query_param *table) {
    static const char *const types[] = {
        [QUERY_TEXT] = "text",   [QUERY_ID] = "id",     [QUERY_DATE] = "date",
        [QUERY_MONTH] = "month", [QUERY_TIME] = "time", [QUERY_NUMBER] = "number",
        [QUERY_CHOICE] = "one",  [QUERY_LIST] = "some", [QUERY_PAGE_SIZE] = "page_size"};
    buf_text(ret, ",\"parameters\":[");
    for (const struct query_param *row = table; row && row->name; row++) {
        buf_format(ret, "%s{\"name\":\"%s\",\"type\":\"%s\"", row > table ? "," : "", row->name,
                   types[row->type]);
        if (row->type == QUERY_NUMBER)
            buf_format(ret, ",\"min\":%lld,\"max\":%lld", (long long)row->min, (long long)row->max);
        for (size_t i = 0; row->choices && row->choices[i]; i++)
            buf_format(ret, "%s\"%s\"%s", i > 0 ? "," : ",\"values\":[", row->choices[i],
                       row->choices[i + 1] ? "" : "]");
        buf_char(ret, '}');
    }
    buf_char(ret, ']');
}

static void route(struct buf *ret, const struct route *r) {
    const struct report *report = route_report(r);
    buf_char(ret, '{');
    text(ret, "method", r->method);
    buf_char(ret, ',');
    text(ret, "path", r->path);
    buf_char(ret, ',');
    text(ret, "operation_id", r->operation_id);
    buf_char(ret, ',');
    text(ret, "verb", verb_name((enum verb)r->verb));
    buf_format(ret,
               ",\"body\":%s,\"form\":%s,\"raw\":%s,\"optional_body\":%s,\"merge_patch\":%s,"
               "\"bulk\":%s,\"query\":%s,\"report\":%s,\"accept\":%s,"
               "\"resource\":",
               (r->flags & (ROUTE_BODY | ROUTE_FORM | ROUTE_RAW)) != 0 ? "true" : "false",
               (r->flags & ROUTE_FORM) != 0 ? "true" : "false",
               (r->flags & ROUTE_RAW) != 0 ? "true" : "false",
               (r->flags & ROUTE_OPTIONAL) != 0 ? "true" : "false",
               (r->flags & ROUTE_MERGE) != 0 ? "true" : "false",
               (r->flags & ROUTE_BULK) != 0 ? "true" : "false",
               (r->flags & ROUTE_QUERY) != 0 || r->query ? "true" : "false",
               report ? "true" : "false", (r->flags & ROUTE_HTML) == 0 ? "true" : "false");
    buf_json(ret, r->resource != RES_NONE ? str_of(resource_of(r->resource)->name) : STR_ABSENT);
    buf_text(ret, ",\"areas\":[");
    for (int area = 0, n = 0; area < AREA_COUNT; area++)
        if ((r->areas >> area & 1) != 0)
            buf_format(ret, "%s\"%s\"", n++ > 0 ? "," : "", area_name((enum area)area));
    buf_char(ret, ']');
    parameters(ret, report ? report_params(report) : r->query);
    buf_char(ret, '}');
}

static void word(struct buf *ret, size_t *n, const char *text) {
    if (text[0] != '\0') /* some lists begin with the word for nothing */
        buf_format(ret, "%s\"%s\"", (*n)++ > 0 ? "," : "", text);
}

static void word_list(struct buf *ret, const char *name, const char *const *list) {
    size_t n = 0;
    buf_format(ret, "\"%s\":[", name);
    for (; *list; list++)
        word(ret, &n, *list);
    buf_text(ret, "],\n");
}

static void event_type_list(struct buf *ret) {
    size_t n = 0;
    buf_text(ret, "\"event_type\":[");
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++)
        for (size_t i = 0; resource_has_events(id) && resource_event_ops[i]; i++)
            buf_format(ret, "%s\"%s.%s\"", n++ > 0 ? "," : "", resource_of(id)->name,
                       resource_event_ops[i]);
    for (size_t i = 0; i < n_event_types; i++)
        word(ret, &n, event_types[i].name);
    buf_text(ret, "],\n");
}

static void verb_list(struct buf *ret) {
    size_t n = 0;
    buf_text(ret, "\"verb\":[");
    for (enum verb verb = VERB_READ; verb < VERB_ANY; verb++)
        word(ret, &n, verb_name(verb));
    buf_text(ret, "]");
}

/* {"area":["profile",...],...}: lists of words that documents hold where no descriptor has them. */
static void words(struct buf *ret) {
    static const struct {
        const char *name;
        const char *const *list;
    } lists[] = {
        {"area", area_names},
        {"role", role_names},
        {"scope", scope_names},
        {"oauth_error", oauth_errors},
        {"identifier", identifier_names},
        {"bulk_outcome", bulk_outcomes},
        {"merge_field", merge_fields},
        {"template_section", template_sections},
        {"template_field_kind", template_field_kinds},
        {"template_column_kind", template_column_kinds},
        {"rater", expectation_raters},
        {"simulation_start", simulation_starts},
        {"report_format", report_formats},
        {"report_format_drawn", report_formats_drawn},
        {"export_format", export_formats},
        {"sync_policy", sync_policies},
        {"sync_rule", sync_rules},
        {"sync_side", sync_sides},
        {"import_format", import_formats},
        {"import_preset", import_presets},
    };
    buf_char(ret, '{');
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        word_list(ret, lists[i].name, lists[i].list);
    event_type_list(ret);
    verb_list(ret);
    buf_char(ret, '}');
}

void api_print(struct buf *ret) {
    buf_text(ret, "{\"routes\":[");
    for (size_t i = 0; i < n_routes; i++) {
        buf_text(ret, i > 0 ? ",\n" : "\n");
        route(ret, &routes[i]);
    }
    buf_text(ret, "],\n\"resources\":[");
    for (enum resource_id id = RES_USER; id < RES_COUNT; id++) {
        buf_text(ret, id > RES_USER ? ",\n" : "\n");
        resource(ret, resource_of(id));
    }
    buf_text(ret, "],\n\"rights\":");
    rights(ret);
    buf_text(ret, ",\n\"own_accounts\":");
    own_accounts(ret);
    buf_text(ret, ",\n\"problems\":[");
    for (int p = PROBLEM_NONE + 1; p < PROBLEM_COUNT; p++) {
        const struct problem_info *info = problem_info((enum problem)p);
        buf_format(ret, "%s{\"status\":%d,\"code\":\"%s\",", p > 1 ? ",\n" : "\n", info->status,
                   info->code);
        text(ret, "title", info->title);
        buf_char(ret, ',');
        text(ret, "meaning", info->meaning);
        buf_char(ret, '}');
    }
    buf_text(ret, "],\n\"words\":");
    words(ret);
    buf_text(ret, "}\n");
}
