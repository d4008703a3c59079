/* Answers who is calling, from memory, by a phone number, e-mail address, domain or number in
 * any spelling that people use (001-04). */
#include "app/recognition.h"

#include "app/directory.h"
#include "app/program.h"
#include "app/query.h"
#include "domain/check.h"
#include "domain/salesforce_id.h"

static const struct {
    const char *name;
    enum identifier kind;
} identifiers[] = {
    {"phone", IDENTIFIER_PHONE},
    {"email", IDENTIFIER_EMAIL},
    {"domain", IDENTIFIER_DOMAIN},
    {"account_number", IDENTIFIER_ACCOUNT_NUMBER},
    {"salesforce_id", IDENTIFIER_SALESFORCE_ID},
};

static struct str lower(struct action *action, struct str text) {
    char *copy = arena_copy(action->arena, text);
    for (char *c = copy; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return str_of(copy);
}

/* "+49 30 1" in a query that was not percent-encoded arrives as " 49 30 1". */
static struct str with_plus(struct action *action, struct str phone) {
    bool lost = phone.len > 1 && phone.ptr[0] == ' ' && phone.ptr[1] >= '1' && phone.ptr[1] <= '9';
    return lost ? str_of(arena_format(action->arena, "+%.*s", STR_ARG(phone))) : phone;
}

/* In lower case, without the dot of the root. */
static struct str host(struct action *action, struct str text) {
    struct str name = lower(action, str_trim(text));
    return name.len > 0 && name.ptr[name.len - 1] == '.' ? (struct str){name.ptr, name.len - 1}
                                                         : name;
}

/* The spelling that is stored. What cannot be normalised is nobody's: an unknown caller is not an
 * error (001-04). */
static struct str normal(struct action *action, enum identifier kind, struct str value) {
    char phone[PHONE_TEXT], id[SALESFORCE_ID_TEXT];
    switch (kind) {
    case IDENTIFIER_PHONE:
        return phone_normalise(with_plus(action, value), phone)
                   ? arena_str(action->arena, str_of(phone))
                   : STR("");
    case IDENTIFIER_EMAIL:
    case IDENTIFIER_DOMAIN:
        return host(action, value);
    case IDENTIFIER_ACCOUNT_NUMBER:
        return value;
    case IDENTIFIER_SALESFORCE_ID:
        return salesforce_id_parse(value, id) ? arena_str(action->arena, str_of(id)) : STR("");
    }
    return STR("");
}

static bool which(const struct action *action, enum identifier *ret_kind, struct str *ret_value,
                  struct err *err) {
    size_t given = 0;
    for (size_t i = 0; i < COUNT_OF(identifiers); i++) {
        struct str value = action_query(action, identifiers[i].name);
        if (!value.ptr)
            continue;
        given++;
        *ret_kind = identifiers[i].kind;
        *ret_value = value;
    }
    return given == 1 ||
           err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("phone"), "required",
                   "Give exactly one of phone, email, domain, account_number, salesforce_id.");
}

bool recognition(struct action *action, struct outcome *outcome, struct err *err) {
    enum identifier kind = IDENTIFIER_PHONE;
    struct str value = STR_ABSENT;
    struct recognised found;
    struct buf *body = &outcome->body;
    if (!which(action, &kind, &value, err))
        return false;
    buf_char(body, '{');
    if (!directory_recognise(action->app->directory, kind, normal(action, kind, value), &found,
                             body)) {
        err->retry_after = 1;
        return err_set(err, PROBLEM_NOT_READY, "The key accounts have not been read yet.");
    }
    if (!found.known)
        buf_text(body,
                 "\"is_key\":false,\"account_id\":null,\"name\":null,\"account_number\":null,"
                 "\"tier\":null,\"key_status\":null,\"benefits\":[],\"unit\":null,\"manager\":null,"
                 "\"cover\":null,\"sponsor\":null,\"alert\":[],\"open_emergencies\":0,"
                 "\"oldest_emergency_opened_at\":null,\"matched_by\":null,\"contact\":null,"
                 "\"others\":0");
    buf_format(body, ",\"stale\":%s,\"as_of\":\"%s\"}", found.stale ? "true" : "false",
               found.as_of);
    return true;
}
