/* Writes conditions as SQL. Each word of the SQL is a literal of this file or comes from a
 * descriptor; what came with the request goes into parameters. */
#include "domain/access.h"
#include "filter_term.h"

#include <string.h>

static const char *sql_type(enum field_type type) {
    switch (type) {
    case FIELD_ID:
        return "uuid";
    case FIELD_TEXT:
    case FIELD_ENUM:
    case FIELD_TEXTS:
        return "text";
    case FIELD_INT:
        return "bigint";
    case FIELD_BOOL:
        return "boolean";
    case FIELD_DECIMAL:
        return "numeric";
    case FIELD_DATE:
        return "date";
    case FIELD_TIME:
        return "timestamptz";
    case FIELD_DOC:
    case FIELD_DOCS:
    case FIELD_MAP:
        return "jsonb";
    }
    return "text";
}

void sql_array(struct buf *buf, const struct str *values, size_t n) {
    buf_char(buf, '{');
    for (size_t i = 0; i < n; i++) {
        buf_text(buf, i == 0 ? "\"" : ",\"");
        for (size_t at = 0; at < values[i].len; at++) {
            char c = values[i].ptr[at];

            if (c == '"' || c == '\\')
                buf_char(buf, '\\');
            buf_char(buf, c);
        }
        buf_char(buf, '"');
    }
    buf_char(buf, '}');
}

static void column(struct buf *buf, const struct field *field) {
    if (field->column == NULL) {
        buf_text(buf, "t.");
        buf_text(buf, field->name);
        return;
    }
    /* Anything but a plain column is kept together. */
    bool plain =
        strspn(field->column, "abcdefghijklmnopqrstuvwxyz0123456789_.") == strlen(field->column);
    buf_text(buf, plain ? "" : "(");
    buf_text(buf, field->column);
    buf_text(buf, plain ? "" : ")");
}

/* A field in another area than its record's is null for a caller who does not read that area. */
void sql_column(struct buf *buf, const struct field *field, bool by_access_set) {
    bool hides = by_access_set && field->area != 0;
    if (hides)
        buf_format(buf, "(case when x.areas & %llu <> 0 then ",
                   (unsigned long long)AREA_BIT(field->area));
    column(buf, field);
    buf_text(buf, hides ? " end)" : "");
}

/* Appends $n::type for a value that lives in the arena. */
static bool put_param(struct filter_sql *writer, struct str value, const char *type) {
    if (value.ptr == NULL)
        return err_memory(writer->err);
    if (writer->n_params >= writer->max_params)
        return err_add(writer->err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("filter"), "too_many",
                       "These filters together have too many values.");
    writer->params[writer->n_params++] = value;
    buf_char(writer->sql, '$');
    buf_u64(writer->sql, writer->n_params);
    buf_text(writer->sql, "::");
    buf_text(writer->sql, type);
    return true;
}

/* Moves a built text to the arena and appends its parameter. */
static bool put_built(struct filter_sql *writer, const struct buf *built, const char *type) {
    struct str text = buf_str(built);

    return put_param(writer, text.ptr == NULL ? STR_ABSENT : arena_str(writer->arena, text), type);
}

static bool put_array(struct filter_sql *writer, const struct cond *cond, const char *type) {
    CLEANUP(buf_release) struct buf text;

    buf_init(&text, writer->sql->max);
    sql_array(&text, cond->values, cond->n_values);
    return put_built(writer, &text, type);
}

/* lower(...) like, of a parameter that matches `value` anywhere or at the beginning. The database
 * lowers both sides by the same rules. */
static bool put_like(struct filter_sql *writer, struct str value, bool anywhere) {
    CLEANUP(buf_release) struct buf pattern;

    buf_init(&pattern, writer->sql->max);
    buf_text(&pattern, anywhere ? "%" : "");
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '%' || value.ptr[i] == '_' || value.ptr[i] == '\\')
            buf_char(&pattern, '\\');
        buf_char(&pattern, value.ptr[i]);
    }
    buf_char(&pattern, '%');
    buf_text(writer->sql, " like lower(");
    if (!put_built(writer, &pattern, "text"))
        return false;
    buf_char(writer->sql, ')');
    return true;
}

static const char *comparison(enum cond_op op) {
    switch (op) {
    case COND_NE:
        return " is distinct from ";
    case COND_GT:
        return " > ";
    case COND_GE:
        return " >= ";
    case COND_LT:
        return " < ";
    case COND_LE:
        return " <= ";
    case COND_EQ:
    case COND_IN:
    case COND_CONTAINS:
    case COND_STARTSWITH:
    case COND_NULL:
    case COND_SEARCH:
    case COND_ALL:
    case COND_ANY:
    case COND_NOT:
    case COND_VIA:
        return " = ";
    }
    return " = ";
}

/* `t.tags && '{...}'`, so that an index on the array serves; or the slugs of both sides. */
static bool put_overlap(struct filter_sql *writer, const struct cond *cond) {
    bool negated = cond->op == COND_NE, folded = (cond->field->flags & F_FOLDED) != 0;

    buf_text(writer->sql, negated ? "(" : "");
    buf_text(writer->sql, folded ? "tag_slugs(" : "");
    sql_column(writer->sql, cond->field, writer->by_access_set);
    buf_text(writer->sql, folded ? ") && tag_slugs(" : " && ");
    if (!put_array(writer, cond, "text[]"))
        return false;
    buf_text(writer->sql, folded ? ")" : "");
    buf_text(writer->sql, negated ? ") is not true" : "");
    return true;
}

static bool put_in(struct filter_sql *writer, const struct cond *cond) {
    CLEANUP(buf_release) struct buf type;

    buf_init(&type, 32);
    buf_text(&type, sql_type(cond_type(cond)));
    buf_text(&type, "[]");
    sql_column(writer->sql, cond->field, writer->by_access_set);
    buf_text(writer->sql, " = any(");
    if (!buf_ok(&type) || !put_array(writer, cond, type.ptr))
        return false;
    buf_char(writer->sql, ')');
    return true;
}

static bool put_field(struct filter_sql *writer, const struct cond *cond) {
    enum field_type type = cond_type(cond);

    if (cond->op == COND_NULL) {
        sql_column(writer->sql, cond->field, writer->by_access_set);
        buf_text(writer->sql, " is null");
        return true;
    }
    if (type == FIELD_TEXTS)
        return put_overlap(writer, cond);
    if (cond->op == COND_IN)
        return put_in(writer, cond);
    if (cond->op == COND_CONTAINS || cond->op == COND_STARTSWITH) {
        buf_text(writer->sql, "lower(");
        sql_column(writer->sql, cond->field, writer->by_access_set);
        buf_char(writer->sql, ')');
        return put_like(writer, cond->values[0], cond->op == COND_CONTAINS);
    }
    sql_column(writer->sql, cond->field, writer->by_access_set);
    buf_text(writer->sql, comparison(cond->op));
    return put_param(writer, cond->values[0], sql_type(type));
}

/* {"name": value}, as it stands in `custom`: numbers and booleans bare (their texts are JSON
 * already). */
static void custom_document(struct buf *buf, const struct cond *cond, struct str value) {
    bool bare = cond->kind == CUSTOM_NUMBER || cond->kind == CUSTOM_BOOLEAN;

    buf_char(buf, '{');
    buf_json(buf, cond->custom);
    buf_char(buf, ':');
    if (bare)
        buf_put(buf, value);
    else
        buf_json(buf, value);
    buf_char(buf, '}');
}

/* Containment, because that is what the index on `custom` serves; jsonb compares numbers by value.
 */
static bool put_custom_equal(struct filter_sql *writer, const struct cond *cond) {
    struct str *documents = arena_array(writer->arena, cond->n_values, sizeof(*documents));
    struct cond list = {.values = documents, .n_values = cond->n_values};

    if (documents == NULL)
        return err_memory(writer->err);
    for (size_t i = 0; i < cond->n_values; i++) {
        CLEANUP(buf_release) struct buf text;

        buf_init(&text, writer->sql->max);
        custom_document(&text, cond, cond->values[i]);
        if (buf_ok(&text))
            documents[i] = arena_str(writer->arena, buf_str(&text));
        if (documents[i].ptr == NULL)
            return err_memory(writer->err);
    }
    buf_text(writer->sql, cond->op == COND_NE ? "(t.custom @> any(" : "t.custom @> any(");
    if (!put_array(writer, &list, "jsonb[]"))
        return false;
    buf_text(writer->sql, cond->op == COND_NE ? ")) is not true" : ")");
    return true;
}

/* (t.custom->>$n), the value as text */
static bool put_custom_text(struct filter_sql *writer, const struct cond *cond) {
    buf_text(writer->sql, "(t.custom->>");
    if (!put_param(writer, cond->custom, "text"))
        return false;
    buf_char(writer->sql, ')');
    return true;
}

/* Dates order as texts; a number is cast only where it is one, since the definition may have
 * changed after the value was stored. */
static bool put_custom_ordered(struct filter_sql *writer, const struct cond *cond) {
    if (cond->kind == CUSTOM_DATE) {
        if (!put_custom_text(writer, cond))
            return false;
        buf_text(writer->sql, " collate \"C\"");
        buf_text(writer->sql, comparison(cond->op));
        return put_param(writer, cond->values[0], "text");
    }
    buf_text(writer->sql, "case when jsonb_typeof(t.custom->");
    if (!put_param(writer, cond->custom, "text"))
        return false;
    buf_text(writer->sql, ") = 'number' then ");
    if (!put_custom_text(writer, cond))
        return false;
    buf_text(writer->sql, "::numeric");
    buf_text(writer->sql, comparison(cond->op));
    if (!put_param(writer, cond->values[0], "numeric"))
        return false;
    buf_text(writer->sql, " end");
    return true;
}

static bool put_custom(struct filter_sql *writer, const struct cond *cond) {
    switch (cond->op) {
    case COND_EQ:
    case COND_NE:
    case COND_IN:
        return put_custom_equal(writer, cond);
    case COND_GT:
    case COND_GE:
    case COND_LT:
    case COND_LE:
        return put_custom_ordered(writer, cond);
    case COND_CONTAINS:
    case COND_STARTSWITH:
        buf_text(writer->sql, "lower(");
        if (!put_custom_text(writer, cond))
            return false;
        buf_char(writer->sql, ')');
        return put_like(writer, cond->values[0], cond->op == COND_CONTAINS);
    case COND_NULL:
        if (!put_custom_text(writer, cond))
            return false;
        buf_text(writer->sql, " is null");
        return true;
    case COND_ALL:
    case COND_ANY:
    case COND_NOT:
    case COND_VIA:
    case COND_SEARCH:
        break;
    }
    return err_set(writer->err, PROBLEM_INTERNAL, "A filter could not be read.");
}

/* ((lower(t.a) like .. or lower(t.b) like ..) and (..)), one group per word. */
static bool put_search(struct filter_sql *writer, const struct cond *cond) {
    buf_char(writer->sql, '(');
    for (size_t word = 0; word < cond->n_values; word++) {
        size_t columns = 0;

        buf_text(writer->sql, word == 0 ? "(" : " and (");
        for (size_t i = 0; i < cond->resource->n_fields; i++) {
            const struct field *field = &cond->resource->fields[i];

            if ((field->flags & F_SEARCH) == 0)
                continue;
            buf_text(writer->sql, columns++ == 0 ? "lower(" : " or lower(");
            sql_column(writer->sql, field, writer->by_access_set);
            buf_char(writer->sql, ')');
            if (!put_like(writer, cond->values[word], true))
                return false;
        }
        buf_char(writer->sql, ')');
    }
    buf_char(writer->sql, ')');
    return true;
}

static bool put_cond(struct filter_sql *writer, const struct cond *cond);

static bool put_group(struct filter_sql *writer, const struct cond *cond) {
    buf_char(writer->sql, '(');
    for (size_t i = 0; i < cond->n_parts; i++) {
        if (i > 0)
            buf_text(writer->sql, cond->op == COND_ALL ? " and " : " or ");
        if (!put_cond(writer, cond->parts[i]))
            return false;
    }
    buf_char(writer->sql, ')');
    return true;
}

/* The related table is t inside its own sub-select, so that the same texts serve there; row level
 * security holds for it, too. */
static bool put_via(struct filter_sql *writer, const struct cond *cond) {
    const struct expansion *via = cond->via;
    const struct resource *target = resource_of(via->target);

    buf_format(writer->sql, "t.%s in (select t.%s from ", via->reverse ? "id" : via->field,
               via->reverse ? via->field : "id");
    resource_source(target, writer->by_access_set, writer->sql);
    buf_text(writer->sql, " where t.deleted_at is null and ");
    if (via->where != NULL)
        buf_format(writer->sql, "(%s) and ", via->where);
    if (!put_cond(writer, cond->parts[0]))
        return false;
    buf_char(writer->sql, ')');
    return true;
}

static bool put_cond(struct filter_sql *writer, const struct cond *cond) {
    switch (cond->op) {
    case COND_ALL:
    case COND_ANY:
        return put_group(writer, cond);
    case COND_NOT:
        buf_char(writer->sql, '(');
        if (!put_cond(writer, cond->parts[0]))
            return false;
        /* Where the inside is unknown because of a null, the negation is true. */
        buf_text(writer->sql, ") is not true");
        return true;
    case COND_VIA:
        return put_via(writer, cond);
    case COND_SEARCH:
        return put_search(writer, cond);
    case COND_EQ:
    case COND_NE:
    case COND_GT:
    case COND_GE:
    case COND_LT:
    case COND_LE:
    case COND_IN:
    case COND_CONTAINS:
    case COND_STARTSWITH:
    case COND_NULL:
        break;
    }
    return cond->field != NULL ? put_field(writer, cond) : put_custom(writer, cond);
}

bool filter_sql(const struct cond *cond, struct filter_sql *into) {
    size_t before = into->n_params;
    bool fine = true;

    if (cond == NULL)
        buf_text(into->sql, "true");
    else
        fine = put_cond(into, cond);
    if (fine && !buf_ok(into->sql))
        fine = err_memory(into->err);
    if (!fine)
        into->n_params = before;
    return fine;
}
