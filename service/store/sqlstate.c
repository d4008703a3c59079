/* Translates PostgreSQL's errors (SQLSTATE) into the problems that clients see, and finds the field
 * at fault in the error's column, detail or constraint name. */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which rule a SQLSTATE falls under; the first row whose prefix fits counts. */
enum rule {
    RULE_TAKEN,     /* a value that must be unique */
    RULE_REFERENCE, /* to something that is not there */
    RULE_FIELD,     /* a value that breaks a rule of its own */
    RULE_BUSINESS,  /* said by our own functions */
    RULE_DENIED,
    RULE_BUSY,
    RULE_GONE
};

static const struct row {
    const char *prefix;
    enum rule rule;
    enum problem problem; /* RULE_BUSINESS: when the message is no problem's code */
    const char *code;     /* of the item */
    const char *detail;
} rows[] = {
    {"23505", RULE_TAKEN, PROBLEM_ALREADY_EXISTS, "taken",
     "Another record already has this value."},
    {"23P01", RULE_TAKEN, PROBLEM_ALREADY_EXISTS, "taken",
     "Another record already has this value."},
    {"23503", RULE_REFERENCE, PROBLEM_VALIDATION, "unknown_reference",
     "This names something that does not exist."},
    {"23502", RULE_FIELD, PROBLEM_VALIDATION, "required", "A value is needed here."},
    {"23514", RULE_FIELD, PROBLEM_VALIDATION, "invalid_value", "This value is not allowed here."},
    {"22001", RULE_FIELD, PROBLEM_VALIDATION, "too_long", "This text is too long."},
    {"22003", RULE_FIELD, PROBLEM_VALIDATION, "out_of_range", "This number is out of range."},
    {"22007", RULE_FIELD, PROBLEM_VALIDATION, "invalid_format", "This is not a date or time."},
    {"22008", RULE_FIELD, PROBLEM_VALIDATION, "out_of_range", "This date or time is out of range."},
    {"22P02", RULE_FIELD, PROBLEM_VALIDATION, "invalid_format",
     "This value does not have the form that is needed here."},
    {"22", RULE_FIELD, PROBLEM_VALIDATION, "invalid_value", "This value is not allowed here."},
    /* Row level security, mostly. The message is not for clients. */
    {"42501", RULE_DENIED, PROBLEM_FORBIDDEN, NULL, "You may not change this."},
    {"KD403", RULE_BUSINESS, PROBLEM_FORBIDDEN, NULL, "You may not do this."},
    {"KD404", RULE_BUSINESS, PROBLEM_NOT_FOUND, NULL, "There is nothing here that you can see."},
    {"KD409", RULE_BUSINESS, PROBLEM_CONFLICT, NULL, "The current state does not allow this."},
    {"KD422", RULE_BUSINESS, PROBLEM_VALIDATION, NULL, "This breaks a rule."},
    {"57014", RULE_BUSY, PROBLEM_OVERLOADED, NULL, "The database took too long for this request."},
    {"55P03", RULE_BUSY, PROBLEM_OVERLOADED, NULL, "Others are changing the same records."},
    {"40001", RULE_BUSY, PROBLEM_OVERLOADED, NULL, "Others are changing the same records."},
    {"40P01", RULE_BUSY, PROBLEM_OVERLOADED, NULL, "Others are changing the same records."},
    {"53", RULE_GONE, PROBLEM_DATABASE_UNAVAILABLE, NULL,
     "The database has no room at the moment."},
    {"57P", RULE_GONE, PROBLEM_DATABASE_UNAVAILABLE, NULL, "The database is restarting."},
    {"58", RULE_GONE, PROBLEM_DATABASE_UNAVAILABLE, NULL, "The database is in trouble."},
    {"08", RULE_GONE, PROBLEM_DATABASE_UNAVAILABLE, NULL,
     "The database is not reachable at the moment."},
    {"25006", RULE_GONE, PROBLEM_DATABASE_UNAVAILABLE, NULL,
     "The database does not take changes at the moment."},
    {"25P03", RULE_GONE, PROBLEM_DATABASE_UNAVAILABLE, NULL,
     "The database ended a transaction that took too long."},
};

static const struct row *find_row(const char *sqlstate) {
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strncmp(sqlstate, rows[i].prefix, strlen(rows[i].prefix)) == 0)
            return &rows[i];
    return NULL;
}

static bool ends_name(char c) {
    return c == ',' || c == '(' || c == ')' || c == ' ' || c == ':' || c == '"';
}

/* The last column of "Key (account_id, lower(email))=(...) already exists.": `email`. The words
 * around it are translated, the form is not. */
static struct str column_of_detail(const char *detail) {
    const char *end = detail == NULL ? NULL : strstr(detail, ")=(");

    if (end == NULL)
        return STR_ABSENT;
    while (end > detail && ends_name(end[-1]))
        end--;
    /* "lower(email::text)": the type is not the name. */
    const char *start = end;
    while (start > detail && !ends_name(start[-1]))
        start--;
    if (start > detail + 1 && start[-1] == ':') {
        end = start;
        while (end > detail && ends_name(end[-1]))
            end--;
        start = end;
        while (start > detail && !ends_name(start[-1]))
            start--;
    }
    return end > start ? (struct str){start, (size_t)(end - start)} : STR_ABSENT;
}

/* Of <table>_<columns>_key and the like. Names hold underscores, so several columns can only be
 * told apart where one is a reference: what is behind the last "_id_" is the last column. */
static struct str column_of_constraint(const char *constraint, const char *table) {
    static const char *const suffixes[] = {"_key", "_fkey", "_check", "_excl", "_idx"};
    struct str name = str_of(constraint);
    size_t table_len = table == NULL ? 0 : strlen(table);

    if (table_len == 0 || name.len <= table_len + 1 || strncmp(name.ptr, table, table_len) != 0 ||
        name.ptr[table_len] != '_')
        return STR_ABSENT;
    name = (struct str){name.ptr + table_len + 1, name.len - table_len - 1};
    if (str_is(name, "pkey"))
        return STR("id");
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        if (!str_ends(name, suffixes[i]))
            continue;
        name.len -= strlen(suffixes[i]);
        for (size_t at = name.len; at-- > 0;)
            if (str_starts((struct str){name.ptr + at, name.len - at}, "_id_") && name.len > at + 4)
                return (struct str){name.ptr + at + 4, name.len - at - 4};
        return name;
    }
    return STR_ABSENT;
}

/* A JSON pointer: "/email", or "" for the whole when no column is known. */
static void pointer_text(struct str column, char *ret, size_t room) {
    ret[0] = '\0';
    if (column.ptr == NULL || column.len == 0)
        return;
    snprintf(ret, room, "%s%.*s", column.ptr[0] == '/' ? "" : "/", STR_ARG(column));
}

/* {"weakest": [...]} in HINT: its inside are further public members. */
static void take_extra(struct err *err, const char *hint) {
    struct str text = hint == NULL ? STR_ABSENT : str_trim(str_of(hint));

    if (!str_starts(text, "{") || !str_ends(text, "}") || text.len < 2)
        return;
    free(err->extra);
    err->extra = text.len == 2 ? NULL : strndup(text.ptr + 1, text.len - 2);
}

static void business(struct err *err, const struct row *row, const struct sql_error *error) {
    const char *message = error->message, *detail = error->detail;
    enum problem named = message == NULL ? PROBLEM_NONE : problem_by_code(message);
    enum problem problem = named == PROBLEM_NONE ? row->problem : named;
    const char *code =
        message == NULL || message[0] == '\0' ? problem_info(problem)->code : message;
    const char *sentence = detail == NULL || detail[0] == '\0' ? row->detail : detail;
    char where[128];

    err_set(err, problem, "%s", sentence);
    pointer_text(str_of(error->column), where, sizeof(where));
    if (where[0] != '\0' || named == PROBLEM_NONE)
        err_add(err, problem, ERR_POINTER(where), code, "%s", sentence);
    take_extra(err, error->hint);
    err->retry_after = problem == PROBLEM_IN_FLIGHT || problem_info(problem)->status == 503;
}

static void field(struct err *err, const struct row *row, struct str column) {
    char where[128];

    pointer_text(column, where, sizeof(where));
    err_set(err, row->problem, "%s", problem_info(row->problem)->title);
    err_add(err, row->problem, ERR_POINTER(where), row->code, "%s", row->detail);
}

/* Unique indexes whose violation is a problem of its own. */
static const struct {
    const char *index;
    enum problem problem;
} indexes[] = {
    {"review_account_id_cadence_key", PROBLEM_REVIEW_SCHEDULED},
};

/* The row with the words of the index that was violated. */
static struct row with_index(const struct row *row, const char *index) {
    struct row ret = *row;

    for (size_t i = 0; i < COUNT_OF(indexes); i++) {
        if (index == NULL || strcmp(index, indexes[i].index) != 0)
            continue;
        ret.problem = indexes[i].problem;
        ret.code = problem_info(ret.problem)->code;
        ret.detail = problem_info(ret.problem)->meaning;
    }
    return ret;
}

static void apply(struct err *err, const struct row *row, const struct sql_error *error,
                  struct str column) {
    switch (row->rule) {
    case RULE_TAKEN:
    case RULE_REFERENCE:
    case RULE_FIELD:
        field(err, row, column);
        return;
    case RULE_BUSINESS:
        business(err, row, error);
        return;
    case RULE_DENIED:
        err_set(err, row->problem, "%s", row->detail);
        return;
    case RULE_BUSY:
    case RULE_GONE:
        err_set(err, row->problem, "%s", row->detail);
        err->retry_after = 1;
        return;
    }
}

bool store_sqlstate(struct err *err, const struct sql_error *error) {
    const char *sqlstate = error->sqlstate, *message = error->message;
    const struct row *row = find_row(sqlstate == NULL ? "" : sqlstate);
    struct str where = str_of(error->column);

    if (err == NULL)
        return false;
    if (row == NULL) {
        err_set(err, PROBLEM_INTERNAL, "Something went wrong on our side.");
    } else {
        if (row->rule != RULE_BUSINESS && where.ptr == NULL)
            where = row->rule == RULE_FIELD ? STR_ABSENT : column_of_detail(error->detail);
        if (row->rule != RULE_BUSINESS && where.ptr == NULL)
            where = column_of_constraint(error->constraint, error->table);
        struct row found = with_index(row, error->constraint);
        apply(err, &found, error, where);
    }
    /* The detail of a constraint's violation holds the values, and so stays out of the log. */
    return err_cause(err, "%s %s%s%s", sqlstate == NULL ? "?????" : sqlstate,
                     message == NULL ? "" : message,
                     error->constraint == NULL ? "" : ", constraint ",
                     error->constraint == NULL ? "" : error->constraint);
}
