/* Reads and patches a document of which there is exactly one, such as the program or its settings:
 * the only row of a table. A patch needs If-Match and queues a new evaluation of all accounts. */
#include "base/singleton.h"

#include "base/if_match.h"
#include "base/json.h"
#include "base/write_once.h"
#include "domain/decode.h"

#include <stdio.h>

const char *queue_evaluation(struct action *action, struct tx *tx, const char *request) {
    struct uuid id = uuid_v7(action->app->clock, action->app->randomness);
    char *text = arena_alloc(action->arena, UUID_TEXT);
    if (!text)
        return NULL;
    uuid_text(&id, text);
    struct str params[] = {str_of(text), str_of(request), str_of(action->who->actor)};
    tx_query(tx,
             "insert into operation (id, kind, request, actor) values ($1::uuid, 'evaluation', "
             "$2::jsonb, $3)",
             params, 3);
    return text;
}

static void columns(const struct singleton *singleton, const char *prefix, struct buf *ret) {
    for (size_t c = 0; c < singleton->n_fields; c++)
        buf_format(ret, "%s%s%s", c > 0 ? ", " : "", prefix, singleton->fields[c].name);
}

/* The columns of the fields, then: derived, updated_at, version. */
static char *select_sql(struct action *action, const struct singleton *singleton,
                        const char *tail) {
    struct buf text;
    buf_init(&text, 1 << 14);
    buf_text(&text, "select ");
    columns(singleton, "t.", &text);
    buf_format(&text, ", %s, t.updated_at, t.version from %s t%s",
               singleton->derived ? singleton->derived : "null", singleton->table, tail);
    char *ret = buf_ok(&text) ? arena_copy(action->arena, buf_str(&text)) : NULL;
    buf_release(&text);
    return ret;
}

static char *update_sql(struct action *action, const struct singleton *singleton) {
    struct buf text;
    buf_init(&text, 1 << 14);
    buf_format(&text, "update %s t set (", singleton->table);
    columns(singleton, "", &text);
    buf_text(&text, ") = (select ");
    columns(singleton, "x.", &text);
    buf_format(&text,
               " from jsonb_populate_record(null::%s, $1::jsonb) x), version = t.version + 1, "
               "updated_at = now()",
               singleton->table);
    char *ret = buf_ok(&text) ? arena_copy(action->arena, buf_str(&text)) : NULL;
    buf_release(&text);
    return ret;
}

static void write_fields(const struct singleton *singleton, struct tx *tx, size_t slot,
                         struct buf *ret) {
    for (size_t c = 0; c < singleton->n_fields; c++) {
        buf_format(ret, "%c\"%s\":", c > 0 ? ',' : '{', singleton->fields[c].name);
        render_value(&singleton->fields[c], tx_value(tx, slot, 0, c), ret);
    }
}

static int64_t version_of(const struct singleton *singleton, struct tx *tx, size_t slot) {
    return tx_int(tx, slot, 0, singleton->n_fields + 2);
}

/* The members of a JSON object, to be put among others. */
static struct str members_of(struct str object) {
    return object.len > 2 ? (struct str){object.ptr + 1, object.len - 2} : STR("");
}

static bool answer(struct action *action, const struct singleton *singleton, struct tx *tx,
                   struct outcome *outcome, struct err *err) {
    static const struct field time = {.type = FIELD_TIME};
    struct buf *body = &outcome->body;
    char *sql = select_sql(action, singleton, "");
    if (!sql)
        return err_memory(err);
    size_t slot = tx_query(tx, sql, NULL, 0);
    if (!tx_flush(tx, err))
        return false;
    struct str derived = members_of(tx_value(tx, slot, 0, singleton->n_fields));
    write_fields(singleton, tx, slot, body);
    if (derived.len > 0) {
        buf_char(body, ',');
        buf_put(body, derived);
    }
    buf_text(body, ",\"updated_at\":");
    render_value(&time, tx_value(tx, slot, 0, singleton->n_fields + 1), body);
    buf_format(body, ",\"version\":%lld", (long long)version_of(singleton, tx, slot));
    etag_make(str_of(singleton->name), version_of(singleton, tx, slot), buf_str(body),
              outcome->etag);
    buf_text(body, ",\"etag\":");
    buf_json(body, str_of(outcome->etag));
    buf_char(body, '}');
    outcome->not_modified =
        action->if_none_match.ptr && etag_all_matches(action->if_none_match, str_of(outcome->etag));
    return true;
}

bool singleton_get(struct action *action, const struct singleton *singleton,
                   struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && answer(action, singleton, tx, outcome, err);
}

static bool precondition(struct action *action, const struct singleton *singleton, int64_t version,
                         struct err *err) {
    char etag[ETAG_TEXT];
    etag_make(str_of(singleton->name), version, STR(""), etag);
    return if_match_given(action, err) && if_match(action, etag, "It", err);
}

struct change {
    const struct singleton *singleton;
    const jv *patch;
};

/* The whole document after the patch, as JSON text in the arena; absent with an error. */
static struct str merge(struct action *action, const struct change *change, struct tx *tx,
                        size_t slot, struct err *err) {
    const struct singleton *singleton = change->singleton;
    const struct shape shape = {singleton->fields, singleton->n_fields};
    CLEANUP(jv_unref) jv *merged = NULL;
    CLEANUP(jv_unref) jv *clean = NULL;
    struct buf text;
    buf_init(&text, 1 << 18);
    write_fields(singleton, tx, slot, &text);
    buf_char(&text, '}');
    bool fine = buf_ok(&text) && json_read(buf_str(&text), JSON_TOKENS, &merged, err) &&
                jv_merge(&merged, change->patch) && decode_shape(&shape, merged, "", &clean, err);
    buf_release(&text);
    if (fine && singleton->check)
        singleton->check(clean, err);
    struct str ret = fine && !err_is_set(err) ? json_param(action, clean) : STR_ABSENT;
    if (!ret.ptr && !err_is_set(err))
        err_memory(err);
    return ret;
}

static bool patch_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    const struct change *change = arg;
    const struct singleton *singleton = change->singleton;
    char *select = select_sql(action, singleton, " for update of t"),
         *update = update_sql(action, singleton),
         *request = arena_format(action->arena, "{\"cause\": \"%s\"}", singleton->cause);
    if (!select || !update || !request)
        return err_memory(err);
    size_t slot = tx_query(tx, select, NULL, 0);
    if (!tx_flush(tx, err) ||
        !precondition(action, singleton, version_of(singleton, tx, slot), err))
        return false;
    struct str doc = merge(action, change, tx, slot, err);
    if (!doc.ptr)
        return false;
    tx_query(tx, update, &doc, 1);
    if (!queue_evaluation(action, tx, request))
        return err_memory(err);
    return answer(action, singleton, tx, outcome, err);
}

bool singleton_patch(struct action *action, const struct singleton *singleton, const jv *patch,
                     struct outcome *outcome, struct err *err) {
    struct change change = {singleton, patch};
    return write_once(action, patch_work, &change, outcome, err);
}
