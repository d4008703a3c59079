/* Creates, lists, shows, rotates and revokes API keys, and tells callers who they are (GET /v1/me).
 * The text of a key is shown once; the database keeps only its SHA-256 hash and a short prefix. */
#include "app/keys.h"

#include "base/cursor.h"
#include "base/json.h"
#include "base/write_once.h"
#include "domain/decode.h"
#include "record/references.h"
#include "store/array.h"

#include <stdio.h>
#include <string.h>

#define PREFIX_CHARS                                                                               \
    18 /* "kamd_live_" and eight more: tells keys apart, tells nothing of the rest */

/* clang-format off */
static const struct field key_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 79},
    {.name = "role", .type = FIELD_ENUM, .flags = F_REQUIRED, .values = role_names},
    {.name = "scopes", .type = FIELD_TEXTS, .max = 10, .values = scope_names},
    {.name = "user_id", .type = FIELD_ID, .ref = "user"},
    {.name = "expires_at", .type = FIELD_TIME},
};
/* clang-format on */
static const struct shape key_shape = {key_fields, COUNT_OF(key_fields)};

struct new_key {
    const jv *doc;
    struct str id; /* of the key that is rotated */
    char text[API_KEY_TEXT];
};

/* A new text for the key, and its hash as bytea. */
static void make_secret(struct new_key *key, struct buf *ret_hash) {
    unsigned char hash[CRYPTO_SHA256];
    api_key_make(key->text);
    sha256(str_of(key->text), hash);
    buf_init(ret_hash, 80);
    buf_text(ret_hash, "\\x");
    buf_hex(ret_hash, hash, sizeof hash);
}

static struct str text_of(const jv *doc, const char *name) { return jv_text(jv_get(doc, name)); }

static struct str scopes_param(struct action *action, const jv *doc) {
    const jv *scopes = jv_get(doc, "scopes");
    struct str items[10];
    size_t n = jv_len(scopes);
    for (size_t i = 0; i < n && i < COUNT_OF(items); i++)
        items[i] = jv_text(jv_at(scopes, i));
    return pg_array_param(action->arena, items, n);
}

#define KEY_COLUMNS                                                                                \
    "id, name, prefix, role, array_to_json(scopes), user_id, expires_at, revoked_at, "             \
    "last_used_at, created_at, rotated_at, "                                                       \
    "case when previous_until > now() then previous_until end"

static const struct field key_columns[] = {
    {.name = "id", .type = FIELD_ID},
    {.name = "name", .type = FIELD_TEXT},
    {.name = "prefix", .type = FIELD_TEXT},
    {.name = "role", .type = FIELD_TEXT},
    {.name = "scopes", .type = FIELD_TEXTS},
    {.name = "user_id", .type = FIELD_ID},
    {.name = "expires_at", .type = FIELD_TIME},
    {.name = "revoked_at", .type = FIELD_TIME},
    {.name = "last_used_at", .type = FIELD_TIME},
    {.name = "created_at", .type = FIELD_TIME},
    {.name = "rotated_at", .type = FIELD_TIME},
    {.name = "overlap_until", .type = FIELD_TIME},
};

/* With the secret, which is shown once. */
static void write_key(struct tx *tx, size_t slot, const char *secret, struct buf *ret) {
    for (size_t c = 0; c < COUNT_OF(key_columns); c++) {
        buf_format(ret, "%c\"%s\":", c > 0 ? ',' : '{', key_columns[c].name);
        render_value(&key_columns[c], tx_value(tx, slot, 0, c), ret);
    }
    buf_text(ret, ",\"key\":");
    buf_json(ret, str_of(secret));
    buf_char(ret, '}');
}

static bool create_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    struct new_key *key = arg;
    char id[UUID_TEXT];
    struct uuid uuid = uuid_v7(action->app->clock, action->app->randomness);
    const struct referrer referrer = {.shape = &key_shape, .doc = key->doc};
    if (!references_known(action, tx, &referrer, err))
        return false;
    struct buf hex CLEANUP(buf_release);
    uuid_text(&uuid, id);
    make_secret(key, &hex);
    struct str params[] = {str_of(id),
                           text_of(key->doc, "name"),
                           {key->text, PREFIX_CHARS},
                           buf_str(&hex),
                           text_of(key->doc, "role"),
                           scopes_param(action, key->doc),
                           text_of(key->doc, "user_id"),
                           text_of(key->doc, "expires_at")};
    size_t slot =
        tx_query(tx,
                 "insert into api_key (id, name, prefix, hash, role, scopes, user_id, expires_at)"
                 " values ($1::uuid, $2, $3, $4::bytea, $5, $6::text[], $7::uuid, $8::timestamptz) "
                 "returning " KEY_COLUMNS,
                 params, 8);
    if (!tx_flush(tx, err))
        return false;
    write_key(tx, slot, key->text, &outcome->body);
    outcome->status = 201;
    snprintf(outcome->location, sizeof outcome->location, "/v1/api-keys/%s", id);
    return true;
}

/* The key's text is shown here only: it is not kept for replays of the request either. */
static bool write_shown_once(struct action *action, write_work work, struct new_key *key,
                             struct outcome *outcome, struct err *err) {
    action->idempotency_key = STR_ABSENT;
    bool fine = write_once(action, work, key, outcome, err);
    memset(key->text, 0, sizeof key->text);
    return fine;
}

bool api_key_create(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    struct new_key key = {0};
    if (!decode_shape(&key_shape, doc, "", &clean, err))
        return false;
    enum role role = ROLE_MEMBER;
    role_by_name(text_of(clean, "role"), &role);
    if (!role_sees_all(role) && !text_of(clean, "user_id").ptr)
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/user_id"), "required",
                       "A key of this role sees what its user sees, and needs one.");
    key.doc = clean;
    return write_shown_once(action, create_work, &key, outcome, err);
}

bool api_key_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    if (!read_begin(action, &tx, err))
        return false;
    size_t slot = tx_query(tx, "select " KEY_COLUMNS " from api_key where id = $1::uuid", &id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such key.");
    write_row(tx, slot, 0, &SHAPE_OF(key_columns), &outcome->body);
    return true;
}

/* clang-format off */
static const struct field rotate_fields[] = {
    {.name = "overlap_seconds", .type = FIELD_INT, .flags = F_NOT_NULL, .min = 0, .max = 7 * 24 * 3600, .preset = "86400"},
};
/* clang-format on */
static const struct shape rotate_shape = {rotate_fields, COUNT_OF(rotate_fields)};

static bool rotate_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    struct new_key *key = arg;
    struct buf hex CLEANUP(buf_release);
    char seconds[24];
    make_secret(key, &hex);
    snprintf(seconds, sizeof seconds, "%lld",
             (long long)jv_int(jv_get(key->doc, "overlap_seconds")));
    struct str params[] = {key->id, {key->text, PREFIX_CHARS}, buf_str(&hex), str_of(seconds)};
    size_t there = tx_query(tx, "select 1 from api_key where id = $1::uuid for update", params, 1);
    /* Only the text before this one lives on: one that was still in its overlap ends now. */
    size_t slot = tx_query(
        tx,
        "update api_key set previous_hash = case when $4::int > 0 then hash end,"
        " previous_until = case when $4::int > 0 then now() + $4::int * interval '1 second' end,"
        " hash = $3::bytea, prefix = $2, secret_no = secret_no + 1, rotated_at = now()"
        " where id = $1::uuid and revoked_at is null and (expires_at is null or expires_at > now())"
        " returning " KEY_COLUMNS,
        params, 4);
    (void)action;
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, there) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such key.");
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_CONFLICT, "The key was revoked, or has expired.");
    write_key(tx, slot, key->text, &outcome->body);
    return true;
}

bool api_key_rotate(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    const jv *doc = action->doc;
    CLEANUP(jv_unref) jv *clean = NULL;
    struct new_key key = {.id = id};
    if (!decode_shape(&rotate_shape, doc, "", &clean, err))
        return false;
    key.doc = clean;
    return write_shown_once(action, rotate_work, &key, outcome, err);
}

bool api_key_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page = {
        .list = STR("api-keys"), .key_columns = {0}, .n_keys = 1, .shape = &SHAPE_OF(key_columns)};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {page.keys[0], page_limit(action, &page)};
    size_t slot = tx_query(tx,
                           "select " KEY_COLUMNS " from api_key where $1::uuid is null or id > "
                           "$1::uuid order by id limit $2::int",
                           values, 2);
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}

static bool revoke_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    struct str id = *(const struct str *)arg;
    (void)action;
    size_t slot = tx_query(tx,
                           "update api_key set revoked_at = coalesce(revoked_at, now()) where id = "
                           "$1::uuid returning id",
                           &id, 1);
    if (!tx_flush(tx, err))
        return false;
    outcome->status = 204;
    return tx_rows(tx, slot) > 0 || err_set(err, PROBLEM_NOT_FOUND, "There is no such key.");
}

bool api_key_revoke(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    return write_once(action, revoke_work, &id, outcome, err);
}

bool me_get(struct action *action, struct outcome *outcome, struct err *err) {

    const struct principal *who = action->who;
    struct buf *body = &outcome->body;
    (void)err;
    bool person = who->credential == CREDENTIAL_PERSON;
    buf_text(body, "{\"key_id\":");
    buf_json(body, person ? STR_ABSENT : str_of(who->id));
    buf_format(body, ",\"signed_in_by\":\"%s\"",
               person                                ? "identity_provider"
               : who->credential == CREDENTIAL_TOKEN ? "access_token"
                                                     : "api_key");
    buf_text(body, ",\"name\":");
    buf_json(body, str_of(who->name));
    buf_format(body, ",\"role\":\"%s\",\"user_id\":", role_name(who->role));
    buf_json(body, who->user_id[0] ? str_of(who->user_id) : STR_ABSENT);
    buf_format(body, ",\"sees_all_accounts\":%s,\"may\":[",
               role_sees_all(who->role) ? "true" : "false");
    bool first = true;
    for (enum verb verb = VERB_READ; verb < VERB_ANY; verb++) {
        if (!caller_may(who->role, who->scopes, verb))
            continue;
        buf_format(body, "%s\"%s\"", first ? "" : ",", verb_name(verb));
        first = false;
    }
    buf_text(body, "]}");
    return true;
}
