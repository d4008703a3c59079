/* Checks the claims of an access token whose signature has been verified: type, issuer, audience,
 * validity. Then reads the person's name, e-mail address and role from the claims. */
#include "domain/claims.h"

#include "domain/check.h"

#include <string.h>

#define SECOND 1000000
#define LATEST_S 253402300799 /* the end of the year 9999 */

static bool refuse(struct err *err, const char *why) {
    return err_set(err, PROBLEM_UNAUTHENTICATED, "The token is refused: %s.", why);
}

/* ---- the type ---- */

/* RFC 7515 section 4.1.9: "application/" may be left out; case does not matter. */
static bool type_ok(struct str types, const char *typ) {
    struct str given = str_of(typ[0] ? typ : "JWT"), one;
    char plain[32];
    if (given.len > 12 && str_case_is((struct str){given.ptr, 12}, "application/"))
        given = (struct str){given.ptr + 12, given.len - 12};
    if (given.len >= sizeof plain)
        return false;
    memcpy(plain, given.ptr, given.len);
    plain[given.len] = '\0';
    while (str_split(&types, ',', &one))
        if (str_case_is(str_trim(one), plain))
            return true;
    return false;
}

/* ---- times ---- */

/* NumericDate: seconds, perhaps with a fraction, which is of no interest. */
static bool read_time(const jv *claims, const char *name, bool *ret_there, int64_t *ret_s) {
    const jv *value = jv_get(claims, name);
    enum jv_kind kind = jv_kind(value);
    *ret_there = value != NULL;
    *ret_s = 0;
    if (value == NULL)
        return true;
    if (kind != JV_INT && kind != JV_REAL)
        return false;
    double real = jv_real(value);
    if (!(real >= 0 && real <= (double)LATEST_S))
        return false;
    *ret_s = kind == JV_INT ? jv_int(value) : (int64_t)real;
    return true;
}

static bool times_ok(const struct claims_rules *rules, const jv *claims, int64_t now_us,
                     struct claims *ret, struct err *err) {
    bool has_exp, has_nbf, has_iat;
    int64_t exp, nbf, iat, now = now_us / SECOND;
    if (!read_time(claims, "exp", &has_exp, &exp) || !read_time(claims, "nbf", &has_nbf, &nbf) ||
        !read_time(claims, "iat", &has_iat, &iat))
        return refuse(err, "exp, nbf or iat is not a time");
    if (!has_exp || !has_iat)
        return refuse(err, "exp or iat is missing");
    if (now >= exp + CLAIMS_LEEWAY_S)
        return refuse(err, "it has expired");
    if (has_nbf && nbf > now + CLAIMS_LEEWAY_S)
        return refuse(err, "it is not valid yet");
    if (iat > now + CLAIMS_LEEWAY_S)
        return refuse(err, "it was issued in the future");
    if (exp - iat > rules->max_seconds)
        return refuse(err, "it lives longer than is allowed here");
    ret->expires_us = (exp + CLAIMS_LEEWAY_S) * SECOND;
    return true;
}

/* ---- for whom, from whom ---- */

static bool audience_ok(const jv *aud, struct str ours) {
    if (str_eq(jv_text(aud), ours))
        return true;
    for (size_t i = 0; jv_kind(aud) == JV_ARRAY && i < jv_len(aud); i++)
        if (str_eq(jv_text(jv_at(aud, i)), ours))
            return true;
    return false;
}

static bool is_plain(struct str text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return false;
    return text.len > 0;
}

static void copy(struct str text, char ret[static CLAIMS_TEXT]) {
    struct str cut = {text.ptr, text.len < CLAIMS_TEXT ? text.len : CLAIMS_TEXT - 1};
    size_t len = str_utf8_prefix(cut);
    memcpy(ret, text.ptr, len);
    ret[len] = '\0';
}

static bool subject_ok(const jv *claims, struct claims *ret, struct err *err) {
    struct str subject = jv_text(jv_get(claims, "sub"));
    if (!is_plain(subject) || subject.len >= CLAIMS_SUBJECT)
        return refuse(err, "sub is not a text of 1 to 255 bytes");
    copy(subject, ret->subject);
    return true;
}

/* At most 200 characters of it; what the issuer says of a person may be missing. */
static void read_person(const struct claims_rules *rules, const jv *claims, struct claims *ret) {
    char claim[CLAIMS_TEXT];
    copy(rules->email_claim, claim);
    struct str email = jv_text(jv_get(claims, claim));
    ret->email[0] = '\0';
    if (email.ptr && check_email(email) == NULL)
        copy(email, ret->email);
    copy(rules->name_claim, claim);
    const struct str names[] = {jv_text(jv_get(claims, claim)),
                                jv_text(jv_get(claims, "preferred_username")), str_of(ret->email),
                                str_of(ret->subject)};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!is_plain(names[i]))
            continue;
        copy((struct str){names[i].ptr, names[i].len < 200 ? names[i].len : 200}, ret->name);
        return;
    }
}

/* ---- the role ---- */

/* The value at a JSON pointer (RFC 6901) without escapes, or of the member of that name. */
static const jv *claim_at(const jv *claims, struct str where) {
    char name[CLAIMS_TEXT];
    struct str part;
    if (!str_starts(where, "/")) {
        copy(where, name);
        return jv_get(claims, name);
    }
    where = (struct str){where.ptr + 1, where.len - 1};
    while (claims != NULL && str_split(&where, '/', &part)) {
        copy(part, name);
        claims = jv_get(claims, name);
    }
    return claims;
}

/* What a value of the claim stands for. */
static bool role_of(struct str roles, struct str value, enum role *ret) {
    struct str rule, given;
    if (str_trim(roles).len == 0)
        return role_by_name(value, ret);
    while (str_split(&roles, ',', &rule)) {
        str_split(&rule, '=', &given);
        if (rule.ptr && str_eq(str_trim(given), value))
            return role_by_name(str_trim(rule), ret);
    }
    return false;
}

/* Of several the one that comes first in the list of roles. */
static bool role_ok(const struct claims_rules *rules, const jv *claims, struct claims *ret,
                    struct err *err) {
    const jv *value = claim_at(claims, rules->role_claim);
    enum role role;
    bool found = false;
    size_t n = jv_kind(value) == JV_ARRAY ? jv_len(value) : 1;
    for (size_t i = 0; i < n; i++) {
        struct str one = jv_text(jv_kind(value) == JV_ARRAY ? jv_at(value, i) : value);
        if (!one.ptr || !role_of(rules->roles, one, &role))
            continue;
        ret->role = !found || role < ret->role ? role : ret->role;
        found = true;
    }
    return found || role_by_name(rules->default_role, &ret->role) ||
           err_set(err, PROBLEM_FORBIDDEN, "The token names no role that kamd knows.");
}

bool claims_read(const struct claims_rules *rules, const struct verified_token *token,
                 int64_t now_us, struct claims *ret, struct err *err) {
    const jv *claims = token->claims;
    if (!type_ok(rules->types, token->typ))
        return refuse(err, "it is of another type than access tokens are here");
    if (!str_eq(jv_text(jv_get(claims, "iss")), rules->issuer))
        return refuse(err, "it is from another issuer");
    if (!audience_ok(jv_get(claims, "aud"), rules->audience))
        return refuse(err, "it is meant for another audience");
    if (!times_ok(rules, claims, now_us, ret, err) || !subject_ok(claims, ret, err))
        return false;
    read_person(rules, claims, ret);
    return role_ok(rules, claims, ret, err);
}

/* ---- the rules ---- */

static bool bad(struct err *err, const char *setting, const char *sentence) {
    return err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER(setting), "invalid", "%s %s", setting,
                   sentence);
}

bool claims_rules_check(const struct claims_rules *rules, struct err *err) {
    struct str rest = rules->roles, rule, given;
    enum role role;
    bool fine = true;
    if (rules->audience.len == 0)
        fine = bad(err, "KAMD_OIDC_AUDIENCE", "must say what tokens for kamd name as audience.");
    if (rules->default_role.len > 0 && !role_by_name(rules->default_role, &role))
        fine = bad(err, "KAMD_OIDC_DEFAULT_ROLE", "must be a role, or empty.");
    while (rules->roles.len > 0 && str_split(&rest, ',', &rule)) {
        str_split(&rule, '=', &given);
        if (!rule.ptr || !role_by_name(str_trim(rule), &role))
            fine = bad(err, "KAMD_OIDC_ROLES", "must be a list like group=role,group=role.");
    }
    return fine;
}
