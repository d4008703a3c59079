/* Lists what is due for a user (follow-ups, reviews and commitments), and serves the same as an
 * iCalendar feed at an address with a secret token. The token is shown once; the database keeps
 * only its hash. */
#include "app/agenda.h"

#include "app/query.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/write_once.h"
#include "domain/icalendar.h"

#include <stdio.h>
#include <string.h>

/* `over_at` is when it is overdue: its instant, or the end of its day. Ordered by it, what is
 * overdue comes first. A review is due for the account's manager, or who covers. */
#define ITEMS_SQL                                                                                  \
    "(select 'follow_up' as kind, f.id, f.account_id, f.title, f.due_at, f.due_on, f.time_zone, "  \
    "f.priority, f.description, f.updated_at, case when f.due_on is null then f.due_at else "      \
    "local_instant((f.due_on + 1)::timestamp, coalesce(f.time_zone, 'UTC')) end as over_at "       \
    "from follow_up f where f.assignee_id = $1::uuid and f.status = 'open' and f.deleted_at is "   \
    "null "                                                                                        \
    "union all select 'review', r.id, r.account_id, 'Review (' || r.cadence || ')', "              \
    "local_instant(r.due_on::timestamp, r.time_zone), r.due_on, r.time_zone, 'normal', null, "     \
    "r.updated_at, local_instant((r.due_on + 1)::timestamp, r.time_zone) "                         \
    "from review r join account m on m.id = r.account_id where r.status = 'scheduled' and "        \
    "r.deleted_at is null and $1::uuid = case when m.delegate_id is not null and "                 \
    "coalesce(m.delegate_until, 'infinity') > now() then m.delegate_id else m.manager_id end "     \
    "union all select 'commitment', c.id, c.account_id, c.text, c.due_at, c.due_on, c.time_zone, " \
    "'normal', c.note, c.updated_at, local_instant((c.due_on + 1)::timestamp, c.time_zone) "       \
    "from commitment c where c.made_by_id = $1::uuid and c.status = 'open' and c.deleted_at is "   \
    "null) i join account a on a.id = i.account_id"

static bool may_see(const struct action *action, struct str user_id, struct err *err) {
    return role_sees_all(action->who->role) || str_is(user_id, action->who->user_id) ||
           err_set(err, PROBLEM_FORBIDDEN, "This is another person's agenda.");
}

/* Where something depends on the user: 404 for none. */
static size_t query_user(struct tx *tx, struct str user_id) {
    return tx_query(tx, "select name from app_user where id = $1::uuid and deleted_at is null",
                    &user_id, 1);
}

static bool no_user(struct err *err) {
    return err_set(err, PROBLEM_NOT_FOUND, "There is no such user that you can see.");
}

/* ---- the list ---- */

bool agenda_list(struct action *action, struct outcome *outcome, struct err *err) {
    static const struct field fields[] = {
        {.name = "kind", .type = FIELD_TEXT},     {.name = "id", .type = FIELD_ID},
        {.name = "account_id", .type = FIELD_ID}, {.name = "account_name", .type = FIELD_TEXT},
        {.name = "title", .type = FIELD_TEXT},    {.name = "due_at", .type = FIELD_TIME},
        {.name = "due_on", .type = FIELD_DATE},   {.name = "time_zone", .type = FIELD_TEXT},
        {.name = "priority", .type = FIELD_TEXT}, {.name = "overdue", .type = FIELD_BOOL},
    };
    enum { ITEM_ID = 1, ITEM_OVER_AT = COUNT_OF(fields) };
    struct str user_id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str before = action_query(action, "due_before");
    if (!may_see(action, user_id, err))
        return false;
    struct str list = str_of(arena_format(action->arena, "agenda|%.*s|%s", STR_ARG(user_id),
                                          before.ptr ? before.ptr : ""));
    struct page page = {.list = list,
                        .key_columns = {ITEM_OVER_AT, ITEM_ID},
                        .n_keys = 2,
                        .shape = &SHAPE_OF(fields)};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {user_id, before, page.keys[0], page.keys[1], page_limit(action, &page)};
    size_t user = query_user(tx, user_id);
    size_t slot =
        tx_query(tx,
                 "select i.kind, i.id, i.account_id, a.name, i.title, i.due_at, i.due_on, "
                 "i.time_zone, i.priority, i.over_at < now(), i.over_at from " ITEMS_SQL
                 " where ($2::timestamptz is null or i.due_at < $2::timestamptz) and "
                 "($3::timestamptz is null or (i.over_at, i.id) > ($3::timestamptz, $4::uuid)) "
                 "order by i.over_at, i.id limit $5::int",
                 values, 5);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, user) == 0)
        return no_user(err);
    page_write(action, &page, tx, slot, outcome);
    return true;
}

/* ---- the secret ---- */

#define TOKEN_BYTES 32

struct token {
    struct str user_id;
    char text[2 * TOKEN_BYTES + 1];
};

static struct str hash_param(struct action *action, struct str token) {
    unsigned char hash[CRYPTO_SHA256];
    struct buf hex;
    sha256(token, hash);
    buf_init(&hex, 80);
    buf_text(&hex, "\\x");
    buf_hex(&hex, hash, sizeof hash);
    struct str ret = arena_str(action->arena, buf_str(&hex));
    buf_release(&hex);
    return ret;
}

static bool may_open(const struct action *action, struct str user_id, struct err *err) {
    return action->who->role == ROLE_ADMIN || action->who->role == ROLE_DIRECTOR ||
           str_is(user_id, action->who->user_id) ||
           err_set(err, PROBLEM_FORBIDDEN, "This is another person's agenda.");
}

static bool make_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    struct token *token = arg;
    unsigned char bytes[TOKEN_BYTES];
    struct buf hex;
    random_fill(action->app->randomness, bytes, sizeof bytes);
    buf_init(&hex, sizeof token->text);
    buf_hex(&hex, bytes, sizeof bytes);
    snprintf(token->text, sizeof token->text, "%.*s", STR_ARG(buf_str(&hex)));
    buf_release(&hex);
    struct str params[] = {token->user_id, hash_param(action, str_of(token->text))};
    size_t slot = tx_query(
        tx,
        "insert into agenda_token (user_id, hash) select id, $2::bytea from app_user where id = "
        "$1::uuid and deleted_at is null on conflict (user_id) do update set hash = excluded.hash, "
        "created_at = now()",
        params, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_affected(tx, slot) == 0)
        return no_user(err);
    buf_format(&outcome->body,
               "{\"user_id\":\"%.*s\",\"token\":\"%s\",\"url\":\"/v1/users/%.*s/agenda.ics?token="
               "%s\"}",
               STR_ARG(token->user_id), token->text, STR_ARG(token->user_id), token->text);
    return true;
}

bool agenda_token_make(struct action *action, struct outcome *outcome, struct err *err) {
    struct str user_id = action_arg(action, "id");
    struct token token = {.user_id = user_id};
    if (!may_open(action, user_id, err))
        return false;
    /* It is shown once: it is not kept for replays of the request either. */
    action->idempotency_key = STR_ABSENT;
    bool fine = write_once(action, make_work, &token, outcome, err);
    memset(token.text, 0, sizeof token.text);
    return fine;
}

static bool drop_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    struct str user_id = *(const struct str *)arg;
    (void)action;
    size_t slot = tx_query(tx, "delete from agenda_token where user_id = $1::uuid", &user_id, 1);
    if (!tx_flush(tx, err))
        return false;
    outcome->status = 204;
    return tx_affected(tx, slot) > 0 || err_set(err, PROBLEM_NOT_FOUND, "There is no such token.");
}

bool agenda_token_drop(struct action *action, struct outcome *outcome, struct err *err) {
    struct str user_id = action_arg(action, "id");
    return may_open(action, user_id, err) && write_once(action, drop_work, &user_id, outcome, err);
}

/* ---- the feed ---- */

#define FEED_ITEMS "1000"

#define FEED_SQL                                                                                   \
    "select i.kind, i.id, a.name, i.title, to_char(i.due_at at time zone 'UTC', "                  \
    "'YYYYMMDD\"T\"HH24MISS\"Z\"'), to_char(i.due_on, 'YYYYMMDD'), i.description, "                \
    "to_char(i.updated_at at time zone 'UTC', 'YYYYMMDD\"T\"HH24MISS\"Z\"') from " ITEMS_SQL       \
    " order by i.over_at, i.id limit " FEED_ITEMS
enum { FEED_KIND, FEED_ID, FEED_ACCOUNT, FEED_TITLE, FEED_AT, FEED_DAY, FEED_TEXT, FEED_STAMP };

static void write_event(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    struct str kind = tx_value(tx, slot, row, FEED_KIND), day = tx_value(tx, slot, row, FEED_DAY);
    char uid[96], title[2400];
    snprintf(uid, sizeof uid, "%.*s-%.*s@kamd", STR_ARG(kind),
             STR_ARG(tx_value(tx, slot, row, FEED_ID)));
    snprintf(title, sizeof title, "%.*s: %.*s", STR_ARG(tx_value(tx, slot, row, FEED_ACCOUNT)),
             STR_ARG(tx_value(tx, slot, row, FEED_TITLE)));
    struct str whole = str_of(title);
    whole.len = str_utf8_prefix(whole); /* cut between characters, if at all */
    ical_line(ret, "BEGIN", STR("VEVENT"));
    ical_line(ret, "UID", str_of(uid));
    ical_line(ret, "DTSTAMP", tx_value(tx, slot, row, FEED_STAMP));
    if (day.ptr)
        ical_line(ret, "DTSTART;VALUE=DATE", day);
    else
        ical_line(ret, "DTSTART", tx_value(tx, slot, row, FEED_AT));
    ical_text(ret, "SUMMARY", whole);
    if (tx_value(tx, slot, row, FEED_TEXT).ptr)
        ical_text(ret, "DESCRIPTION", tx_value(tx, slot, row, FEED_TEXT));
    ical_text(ret, "CATEGORIES", kind);
    ical_line(ret, "TRANSP", STR("TRANSPARENT"));
    ical_line(ret, "END", STR("VEVENT"));
}

bool agenda_feed(struct action *action, struct str user_id, struct str token, struct buf *ret,
                 struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct tx_context context = {.scope = STR("acl"),
                                 .user_id = user_id,
                                 .reach = AREAS_ALL,
                                 .actor = STR("agenda"),
                                 .origin = STR("kamd")};
    struct str params[] = {user_id, hash_param(action, token)};
    if (!(tx = tx_begin(action->app->store, TX_READ, &context, action->when, err)))
        return false;
    size_t holder = tx_query(tx,
                             "select u.name from agenda_token t join app_user u on u.id = "
                             "t.user_id where t.user_id = $1::uuid and t.hash = $2::bytea and "
                             "u.deleted_at is null and u.active",
                             params, 2);
    size_t slot = tx_query(tx, FEED_SQL, params, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, holder) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such calendar.");
    ical_line(ret, "BEGIN", STR("VCALENDAR"));
    ical_line(ret, "VERSION", STR("2.0"));
    ical_line(ret, "PRODID", STR("-//kamd//agenda//EN"));
    ical_text(ret, "X-WR-CALNAME", tx_value(tx, holder, 0, 0));
    for (size_t i = 0; i < tx_rows(tx, slot); i++)
        write_event(tx, slot, i, ret);
    ical_line(ret, "END", STR("VCALENDAR"));
    return buf_ok(ret) ? true : err_memory(err);
}
