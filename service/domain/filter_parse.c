/* Parses filter= expressions by recursive descent, with one token of lookahead and no deeper
 * than FILTER_DEPTH. */
#include "filter_term.h"

#include <stdio.h>
#include <string.h>

enum token {
    TOKEN_END,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_COMMA,
    TOKEN_WORD,     /* names, keywords, numbers, dates, ids */
    TOKEN_TEXT,     /* 'quoted', as written, with its quotes */
    TOKEN_STRAY,    /* what no expression has */
    TOKEN_OPEN_TEXT /* a quote without its end */
};

struct parser {
    struct str text;
    size_t at;         /* where the next token begins to be looked for */
    enum token token;  /* the present one */
    struct str lexeme; /* its text */
    int depth;
    size_t terms;
    const struct filter *filter;
    struct err *err;
};

static const struct {
    const char *word;
    enum cond_op op;
} operators[] = {
    {"eq", COND_EQ},
    {"ne", COND_NE},
    {"gt", COND_GT},
    {"ge", COND_GE},
    {"lt", COND_LT},
    {"le", COND_LE},
    {"in", COND_IN},
    {"contains", COND_CONTAINS},
    {"startswith", COND_STARTSWITH},
};

/* Says at which character something is wrong; `at` points into the expression. */
static bool wrong(struct parser *parser, const char *at, const char *code, const char *subject,
                  const char *sentence) {
    size_t before = str_chars((struct str){parser->text.ptr, (size_t)(at - parser->text.ptr)});

    return err_add(parser->err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("filter"), code,
                   "At character %zu: %s%s%s.", before + 1, subject, subject[0] != '\0' ? " " : "",
                   sentence);
}

static bool expected(struct parser *parser, const char *what) {
    char sentence[160];

    switch (parser->token) {
    case TOKEN_OPEN_TEXT:
        return wrong(parser, parser->lexeme.ptr, "invalid_filter", "",
                     "this quoted text has no closing '");
    case TOKEN_STRAY:
        return wrong(parser, parser->lexeme.ptr, "invalid_filter", "",
                     "this character can only stand inside a quoted text");
    case TOKEN_END:
    case TOKEN_OPEN:
    case TOKEN_CLOSE:
    case TOKEN_COMMA:
    case TOKEN_WORD:
    case TOKEN_TEXT:
        break;
    }
    snprintf(sentence, sizeof(sentence), "expected %s", what);
    return wrong(parser, parser->lexeme.ptr, "invalid_filter", "", sentence);
}

static bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == ':' || c == '+' || c == '-';
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* The token starts with the quote at `start`; it ends at a quote that is not doubled. */
static void lex_text(struct parser *parser, size_t start) {
    struct str text = parser->text;
    size_t at = start + 1;

    while (at < text.len) {
        if (text.ptr[at] != '\'') {
            at++;
        } else if (at + 1 < text.len && text.ptr[at + 1] == '\'') {
            at += 2;
        } else {
            parser->token = TOKEN_TEXT;
            parser->lexeme = (struct str){text.ptr + start, at + 1 - start};
            parser->at = at + 1;
            return;
        }
    }
    parser->token = TOKEN_OPEN_TEXT;
    parser->lexeme = (struct str){text.ptr + start, 1};
    parser->at = text.len;
}

static void lex_word(struct parser *parser, size_t at) {
    size_t end = at;

    while (end < parser->text.len && is_word_char(parser->text.ptr[end]))
        end++;
    parser->token = TOKEN_WORD;
    parser->lexeme = (struct str){parser->text.ptr + at, end - at};
    parser->at = end;
}

static enum token token_of(char c) {
    switch (c) {
    case '(':
        return TOKEN_OPEN;
    case ')':
        return TOKEN_CLOSE;
    case ',':
        return TOKEN_COMMA;
    default:
        return TOKEN_STRAY;
    }
}

static void next(struct parser *parser) {
    size_t at = parser->at;

    while (at < parser->text.len && is_space(parser->text.ptr[at]))
        at++;
    parser->at = at;
    parser->token = TOKEN_END;
    parser->lexeme = (struct str){parser->text.ptr + at, 0};
    if (at == parser->text.len)
        return;
    if (parser->text.ptr[at] == '\'') {
        lex_text(parser, at);
    } else if (is_word_char(parser->text.ptr[at])) {
        lex_word(parser, at);
    } else {
        parser->token = token_of(parser->text.ptr[at]);
        parser->lexeme.len = 1;
        parser->at = at + 1;
    }
}

static bool at_word(const struct parser *parser, const char *word) {
    return parser->token == TOKEN_WORD && str_case_is(parser->lexeme, word);
}

static bool take(struct parser *parser, enum token token, const char *what) {
    if (parser->token != token)
        return expected(parser, what);
    next(parser);
    return true;
}

/* What is between the quotes; '' there is one quote. */
static struct str unquote(struct str lexeme, struct arena *arena) {
    char *copy = arena_alloc(arena, lexeme.len);
    size_t len = 0;

    if (copy == NULL)
        return STR_ABSENT;
    for (size_t i = 1; i + 1 < lexeme.len; i++) {
        copy[len++] = lexeme.ptr[i];
        i += lexeme.ptr[i] == '\'';
    }
    return (struct str){copy, len};
}

/* Texts must be quoted, so that a word that was forgotten to be is no value by accident. */
static bool needs_quotes(enum field_type type) {
    return type == FIELD_TEXT || type == FIELD_ENUM || type == FIELD_TEXTS;
}

static bool parse_value(struct parser *parser, const struct target *target, enum cond_op op,
                        struct str *ret) {
    struct str value = parser->lexeme;
    char sentence[VALUE_SENTENCE];
    char name[64];

    if (parser->token == TOKEN_WORD && needs_quotes(target_type(target)))
        return expected(parser, "a text in single quotes");
    if (parser->token != TOKEN_WORD && parser->token != TOKEN_TEXT)
        return expected(parser, "a value: 'text', a number, true, false, a date, a time or an id");
    if (parser->token == TOKEN_TEXT) {
        value = unquote(parser->lexeme, parser->filter->arena);
        if (value.ptr == NULL)
            return err_memory(parser->err);
    } else if (target_type(target) == FIELD_BOOL && str_case_is(value, "true")) {
        value = STR("true");
    } else if (target_type(target) == FIELD_BOOL && str_case_is(value, "false")) {
        value = STR("false");
    }
    *ret = target_value(target, op, value, parser->filter->arena, sentence);
    if (ret->ptr == NULL) {
        if (sentence[0] == '\0')
            return err_memory(parser->err);
        return wrong(parser, parser->lexeme.ptr, "invalid_value", target_name(target, name),
                     sentence);
    }
    next(parser);
    return true;
}

static bool keep(struct parser *parser, struct cond *cond, struct cond **ret) {
    if (cond == NULL)
        return err_memory(parser->err);
    *ret = cond;
    return true;
}

static bool parse_one(struct parser *parser, const struct target *target, enum cond_op op,
                      struct cond **ret) {
    struct str *value = arena_alloc(parser->filter->arena, sizeof(*value));

    return value == NULL
               ? err_memory(parser->err)
               : parse_value(parser, target, op, value) &&
                     keep(parser, cond_leaf(target, op, value, 1, parser->filter->arena), ret);
}

static bool parse_null(struct parser *parser, const struct target *target, enum cond_op op,
                       struct cond **ret) {
    struct cond *cond = cond_leaf(target, COND_NULL, NULL, 0, parser->filter->arena);

    if (op == COND_NE && cond != NULL) {
        /* Of a relation: there is one whose field is not null, as with every other comparison. */
        struct cond **inside = cond->op == COND_VIA ? &cond->parts[0] : &cond;
        *inside = cond_group(COND_NOT, inside, 1, parser->filter->arena);
        if (*inside == NULL)
            return err_memory(parser->err);
    }
    next(parser);
    return keep(parser, cond, ret);
}

static bool parse_list(struct parser *parser, const struct target *target, struct cond **ret) {
    /* Values are parted by commas, so that there cannot be more of them than this. */
    size_t most = 1;
    struct str *values;
    size_t n = 0;

    if (!take(parser, TOKEN_OPEN, "( and a list of values"))
        return false;
    for (size_t i = parser->at; i < parser->text.len && most < FILTER_VALUES; i++)
        most += parser->text.ptr[i] == ',';
    values = arena_array(parser->filter->arena, most, sizeof(*values));
    if (values == NULL)
        return err_memory(parser->err);
    for (;;) {
        if (n == FILTER_VALUES)
            return wrong(parser, parser->lexeme.ptr, "too_many", "",
                         "a list takes at most 200 values");
        if (!parse_value(parser, target, COND_IN, &values[n++]))
            return false;
        if (parser->token != TOKEN_COMMA)
            break;
        next(parser);
    }
    return take(parser, TOKEN_CLOSE, ", or )") &&
           keep(parser, cond_leaf(target, COND_IN, values, n, parser->filter->arena), ret);
}

static bool find_field(struct parser *parser, struct str name, struct target *ret) {
    char sentence[160];

    if (target_find_related(parser->filter->resource, parser->filter->customs, name, ret))
        return true;
    snprintf(sentence, sizeof(sentence), "there is no field %.*s to filter by",
             (int)(name.len < 80 ? name.len : 80), name.ptr);
    return wrong(parser, name.ptr, "unknown_field", "", sentence);
}

static bool check_operator(struct parser *parser, const struct target *target, enum cond_op op,
                           const char *at) {
    char name[64];

    return target_takes(target, op) ||
           wrong(parser, at, "unsupported_operator", target_name(target, name),
                 "does not take this operator");
}

static bool parse_operator(struct parser *parser, enum cond_op *ret) {
    for (size_t i = 0; i < COUNT_OF(operators); i++)
        if (at_word(parser, operators[i].word)) {
            *ret = operators[i].op;
            return true;
        }
    return expected(parser, "eq, ne, gt, ge, lt, le, in, contains or startswith");
}

/* contains(field,'x') with the word in `op` and the parenthesis already seen. */
static bool parse_call(struct parser *parser, enum cond_op op, const char *op_at,
                       struct cond **ret) {
    struct target target;

    next(parser);
    if (parser->token != TOKEN_WORD)
        return expected(parser, "a field");
    if (!find_field(parser, parser->lexeme, &target) || !check_operator(parser, &target, op, op_at))
        return false;
    next(parser);
    return take(parser, TOKEN_COMMA, ", and a text") && parse_one(parser, &target, op, ret) &&
           take(parser, TOKEN_CLOSE, ")");
}

static bool parse_comparison(struct parser *parser, struct cond **ret) {
    static const char what[] = "a field, not, contains(, startswith( or (";
    struct str name = parser->lexeme;
    struct target target;
    enum cond_op op = COND_EQ;

    if (parser->token != TOKEN_WORD || at_word(parser, "and") || at_word(parser, "or"))
        return expected(parser, what);
    if (++parser->terms > FILTER_TERMS)
        return wrong(parser, name.ptr, "too_many", "", "a filter takes at most 64 comparisons");
    next(parser);
    if (parser->token == TOKEN_OPEN && str_case_is(name, "contains"))
        return parse_call(parser, COND_CONTAINS, name.ptr, ret);
    if (parser->token == TOKEN_OPEN && str_case_is(name, "startswith"))
        return parse_call(parser, COND_STARTSWITH, name.ptr, ret);
    if (!find_field(parser, name, &target) || !parse_operator(parser, &op) ||
        !check_operator(parser, &target, op, parser->lexeme.ptr))
        return false;
    next(parser);
    if (op == COND_IN)
        return parse_list(parser, &target, ret);
    if ((op == COND_EQ || op == COND_NE) && at_word(parser, "null"))
        return parse_null(parser, &target, op, ret);
    return parse_one(parser, &target, op, ret);
}

static bool parse_any(struct parser *parser, struct cond **ret);

static bool parse_group(struct parser *parser, struct cond **ret) {
    if (parser->depth == FILTER_DEPTH)
        return wrong(parser, parser->lexeme.ptr, "too_many", "",
                     "parentheses may stand in each other at most 10 deep");
    parser->depth++;
    next(parser);
    if (!parse_any(parser, ret) || !take(parser, TOKEN_CLOSE, "and, or, or )"))
        return false;
    parser->depth--;
    return true;
}

static bool parse_term(struct parser *parser, struct cond **ret) {
    bool negated = false;
    struct cond *cond = NULL;

    for (; at_word(parser, "not"); next(parser))
        negated = !negated;
    if (!(parser->token == TOKEN_OPEN ? parse_group(parser, &cond)
                                      : parse_comparison(parser, &cond)))
        return false;
    return keep(parser, negated ? cond_group(COND_NOT, &cond, 1, parser->filter->arena) : cond,
                ret);
}

/* Terms joined by one word; a single one stands for itself. */
static bool parse_joined(struct parser *parser, const char *word, enum cond_op op,
                         bool (*part)(struct parser *parser, struct cond **ret),
                         struct cond **ret) {
    struct cond *parts[FILTER_TERMS];
    size_t n = 0;

    for (;;) {
        /* Every part has a comparison of its own, and those are counted. */
        if (!part(parser, &parts[n++]))
            return false;
        if (!at_word(parser, word))
            break;
        if (n == FILTER_TERMS)
            return wrong(parser, parser->lexeme.ptr, "too_many", "",
                         "a filter takes at most 64 comparisons");
        next(parser);
    }
    return keep(parser, n == 1 ? parts[0] : cond_group(op, parts, n, parser->filter->arena), ret);
}

static bool parse_all(struct parser *parser, struct cond **ret) {
    return parse_joined(parser, "and", COND_ALL, parse_term, ret);
}

static bool parse_any(struct parser *parser, struct cond **ret) {
    return parse_joined(parser, "or", COND_ANY, parse_all, ret);
}

bool filter_parse(const struct filter *filter, struct str expression, struct cond **ret,
                  struct err *err) {
    struct parser parser = {
        .text = expression.ptr != NULL ? expression : STR(""), .filter = filter, .err = err};
    struct cond *cond = NULL;

    if (!str_is_utf8(parser.text))
        return wrong(&parser, parser.text.ptr + str_utf8_prefix(parser.text), "invalid_filter", "",
                     "the expression must be UTF-8 without NUL");
    next(&parser);
    if (!parse_any(&parser, &cond))
        return false;
    if (parser.token != TOKEN_END)
        return expected(&parser, "and, or, or the end");
    *ret = cond;
    return true;
}
