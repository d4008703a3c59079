/* Builds and searches the index by which key accounts are recognised (phone, e-mail, domain,
 * account number, Salesforce id). The index is read from PostgreSQL into the directory's snapshot,
 * as a sorted array. */
#include "caller/recognition_index.h"

#include <stdlib.h>
#include <string.h>

struct recognition_account {
    struct str id;
    int64_t place;      /* by account number, each customer before its units: who comes first where
                         * an identifier is shared */
    int64_t customer;   /* the same of customers alone */
    struct str members; /* of the answer */
};

struct recognition_entry {
    enum identifier kind;
    struct str value;
    const struct recognition_account *account;
    struct str contact; /* {id, name} of the contact whose identifier it is, or absent */
};

/* ---- reading ---- */

#define UTC_TEXT(time) "to_char(" time " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define UNTIL UTC_TEXT("a.delegate_until")
#define OLDEST UTC_TEXT("e.oldest")

/* Of a unit the answer is its customer (c), with the unit's own people first (p), then those of the
 * customer (q). Manager, cover and sponsor who have left are none. */
#define ACCOUNTS_SQL                                                                               \
    "with k as materialized (select a.*, s.customer_id, s.tier, s.key_status, s.designation"       \
    "  from account_status s join account a on a.id = s.account_id"                                \
    "  where s.key_status in ('key', 'at_risk') and a.deleted_at is null),"                        \
    " people as materialized (select a.id, user_shown(m) as manager, user_shown(x) as sponsor,"    \
    "  user_shown(d) || jsonb_build_object('until', " UNTIL ") as cover,"                          \
    "  users_to_alert(d, m, x, null, null) as own, users_to_alert(d, m, x, u, f) as alert"         \
    "  from k a"                                                                                   \
    "  left join app_user m on m.id = a.manager_id and m.active and m.deleted_at is null"          \
    "  left join app_user d on d.id = a.delegate_id and d.active and d.deleted_at is null"         \
    "   and coalesce(a.delegate_until, 'infinity') > now()"                                        \
    "  left join app_user x on x.id = a.sponsor_id and x.active and x.deleted_at is null"          \
    "  left join app_user g on g.id = a.manager_id"                                                \
    "  left join app_user u on u.id = g.manager_id and u.active and u.deleted_at is null"          \
    "  cross join program_settings p"                                                              \
    "  left join app_user f on f.id = p.fallback_alert_user_id and f.active"                       \
    "   and f.deleted_at is null),"                                                                \
    " emergency as (select k.customer_id, count(*) as n, min(p.opened_at) as oldest from k"        \
    "  join problem p on p.account_id = k.id and p.resolved_at is null and p.deleted_at is null"   \
    "   and p.severity = 'revenue_loss' group by 1)"                                               \
    " select k.id, row_number() over (order by c.account_number nulls last, c.id, k.id <> c.id, "  \
    "k.account_number nulls last, k.id), dense_rank() over (order by c.account_number nulls "      \
    "last, c.id), c.id, c.name, c.account_number, c.tier, c.key_status,"                           \
    " coalesce(c.designation -> 'benefits', '[]'),"                                                \
    " case when k.id <> c.id then jsonb_build_object('account_id', k.id, 'name', k.name, "         \
    "'level', k.level) end,"                                                                       \
    " coalesce(p.manager, q.manager), coalesce(p.cover, q.cover), coalesce(p.sponsor, q.sponsor)," \
    " case when k.id = c.id then q.alert else alerts_joined(p.own, q.alert) end,"                  \
    " coalesce(e.n, 0), to_json(" OLDEST ")"                                                       \
    " from k join k c on c.id = k.customer_id join people p on p.id = k.id"                        \
    " join people q on q.id = c.id left join emergency e on e.customer_id = c.id order by k.id"
enum {
    ACCOUNT_ID,
    ACCOUNT_PLACE,
    ACCOUNT_CUSTOMER_PLACE,
    ACCOUNT_CUSTOMER_ID,
    ACCOUNT_NAME,
    ACCOUNT_NUMBER,
    ACCOUNT_TIER,
    ACCOUNT_KEY_STATUS,
    ACCOUNT_BENEFITS, /* from here on they are JSON */
    ACCOUNT_UNIT,
    ACCOUNT_MANAGER,
    ACCOUNT_COVER,
    ACCOUNT_SPONSOR,
    ACCOUNT_ALERT,
    ACCOUNT_EMERGENCIES,
    ACCOUNT_OLDEST_EMERGENCY
};

/* (account, kind, value, contact); a former contact's number is nobody's sign any more. */
#define IDENTIFIERS_SQL                                                                            \
    "with k as (select a.* from account_status s join account a on a.id = s.account_id"            \
    "  where s.key_status in ('key', 'at_risk') and a.deleted_at is null),"                        \
    " c as (select c.account_id, lower(c.email) as email, c.phone, c.external_ids ->> "            \
    "'salesforce' as salesforce, jsonb_build_object('id', c.id, 'name', concat_ws(' ', "           \
    "c.given_name, c.family_name))::text as who from contact c join k on k.id = c.account_id"      \
    "  where c.deleted_at is null and coalesce(c.active_until, 'infinity') >= current_date)"       \
    " select k.id, 0, p, null from k, unnest(k.phones) p"                                          \
    " union all select k.id, 1, lower(e), null from k, unnest(k.emails) e"                         \
    " union all select k.id, 2, lower(k.domain), null from k where k.domain is not null"           \
    " union all select k.id, 3, k.account_number, null from k where k.account_number is not null"  \
    " union all select k.id, 4, k.external_ids ->> 'salesforce', null from k where "               \
    "k.external_ids ? 'salesforce'"                                                                \
    " union all select account_id, 0, phone, who from c where phone is not null"                   \
    " union all select account_id, 1, email, who from c where email is not null"                   \
    " union all select account_id, 4, salesforce, who from c where salesforce is not null"
enum { ENTRY_ACCOUNT_ID, ENTRY_KIND, ENTRY_VALUE, ENTRY_CONTACT };

void recognition_index_ask(struct tx *tx, struct recognition_slots *ret) {
    ret->accounts = tx_query(tx, ACCOUNTS_SQL, NULL, 0);
    ret->identifiers = tx_query(tx, IDENTIFIERS_SQL, NULL, 0);
}

/* Columns as members of the answer; NULL: of none. */
static struct str members(struct tx *tx, size_t slot, size_t row, struct arena *arena) {
    static const char *const names[] = {
        [ACCOUNT_ID] = NULL,
        [ACCOUNT_PLACE] = NULL,
        [ACCOUNT_CUSTOMER_PLACE] = NULL,
        [ACCOUNT_CUSTOMER_ID] = "account_id",
        [ACCOUNT_NAME] = "name",
        [ACCOUNT_NUMBER] = "account_number",
        [ACCOUNT_TIER] = "tier",
        [ACCOUNT_KEY_STATUS] = "key_status",
        [ACCOUNT_BENEFITS] = "benefits",
        [ACCOUNT_UNIT] = "unit",
        [ACCOUNT_MANAGER] = "manager",
        [ACCOUNT_COVER] = "cover",
        [ACCOUNT_SPONSOR] = "sponsor",
        [ACCOUNT_ALERT] = "alert",
        [ACCOUNT_EMERGENCIES] = "open_emergencies",
        [ACCOUNT_OLDEST_EMERGENCY] = "oldest_emergency_opened_at",
    };
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_text(&text, "\"is_key\":true");
    for (size_t c = 0; c < COUNT_OF(names); c++) {
        struct str value = tx_value(tx, slot, row, c);
        if (!names[c])
            continue;
        buf_format(&text, ",\"%s\":", names[c]);
        if (c < ACCOUNT_BENEFITS)
            buf_json(&text, value);
        else
            buf_put(&text, value.ptr ? value : STR("null"));
    }
    struct str ret = buf_ok(&text) ? arena_str(arena, buf_str(&text)) : STR_ABSENT;
    buf_release(&text);
    return ret;
}

static int compare_texts(struct str a, struct str b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.ptr, b.ptr, len);
    return order != 0 ? order : a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static int compare_accounts(const void *a, const void *b) {
    return compare_texts(((const struct recognition_account *)a)->id,
                         ((const struct recognition_account *)b)->id);
}

static int compare_keys(const struct recognition_entry *a, const struct recognition_entry *b) {
    return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : compare_texts(a->value, b->value);
}

static int compare_entries(const void *a, const void *b) {
    const struct recognition_entry *x = a, *y = b;
    int order = compare_keys(x, y);
    return order != 0                               ? order
           : x->account->place == y->account->place ? 0
           : x->account->place < y->account->place  ? -1
                                                    : 1;
}

static bool read_accounts(struct tx *tx, size_t slot, struct arena *arena,
                          struct recognition_index *ret) {
    ret->n_accounts = tx_rows(tx, slot);
    ret->accounts = arena_array(arena, ret->n_accounts + 1, sizeof *ret->accounts);
    for (size_t i = 0; ret->accounts && i < ret->n_accounts; i++) {
        ret->accounts[i] = (struct recognition_account){
            .id = arena_str(arena, tx_value(tx, slot, i, ACCOUNT_ID)),
            .place = tx_int(tx, slot, i, ACCOUNT_PLACE),
            .customer = tx_int(tx, slot, i, ACCOUNT_CUSTOMER_PLACE),
            .members = members(tx, slot, i, arena),
        };
        if (!ret->accounts[i].id.ptr || !ret->accounts[i].members.ptr)
            return false;
    }
    return ret->accounts != NULL;
}

/* Each statement sees its own moment: an account that is only in one of the two is left out. */
static bool read_identifiers(struct tx *tx, size_t slot, struct arena *arena,
                             struct recognition_index *ret) {
    size_t n = tx_rows(tx, slot);
    ret->entries = arena_array(arena, n + 1, sizeof *ret->entries);
    for (size_t i = 0; ret->entries && i < n; i++) {
        struct recognition_account wanted = {.id = tx_value(tx, slot, i, ENTRY_ACCOUNT_ID)};
        struct str contact = tx_value(tx, slot, i, ENTRY_CONTACT);
        const struct recognition_account *account =
            bsearch(&wanted, ret->accounts, ret->n_accounts, sizeof wanted, compare_accounts);
        if (!account)
            continue;
        struct recognition_entry *entry = &ret->entries[ret->n_entries++];
        *entry = (struct recognition_entry){
            .kind = (enum identifier)tx_int(tx, slot, i, ENTRY_KIND),
            .value = arena_str(arena, tx_value(tx, slot, i, ENTRY_VALUE)),
            .account = account,
            .contact = contact.ptr ? arena_str(arena, contact) : STR_ABSENT,
        };
        if (!entry->value.ptr || (contact.ptr && !entry->contact.ptr))
            return false;
    }
    if (ret->entries)
        qsort(ret->entries, ret->n_entries, sizeof *ret->entries, compare_entries);
    return ret->entries != NULL;
}

bool recognition_index_read(struct tx *tx, const struct recognition_slots *slots,
                            struct arena *arena, struct recognition_index *ret) {
    *ret = (struct recognition_index){.n_entries = 0};
    return read_accounts(tx, slots->accounts, arena, ret) &&
           read_identifiers(tx, slots->identifiers, arena, ret);
}

/* ---- asking ---- */

const char *const identifier_names[] = {
    [IDENTIFIER_PHONE] = "phone",
    [IDENTIFIER_EMAIL] = "email",
    [IDENTIFIER_DOMAIN] = "domain",
    [IDENTIFIER_ACCOUNT_NUMBER] = "account_number",
    [IDENTIFIER_SALESFORCE_ID] = "salesforce_id",
    NULL,
};

/* The first entry that is not below `wanted`. */
static size_t lower_bound(const struct recognition_index *index,
                          const struct recognition_entry *wanted) {
    size_t low = 0, high = index->n_entries;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_keys(&index->entries[middle], wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first account by number; a shared identifier says how many other customers it could be, and a
 * contact is named only when it is the only one. */
static bool find_exactly(const struct recognition_index *index, enum identifier kind,
                         struct str value, struct buf *ret) {
    const struct recognition_entry wanted = {.kind = kind, .value = value};
    size_t first = lower_bound(index, &wanted), contacts = 0, others = 0;
    const struct recognition_entry *found = &index->entries[first];
    struct str contact = STR_ABSENT;
    for (size_t i = first; i < index->n_entries; i++) {
        const struct recognition_entry *entry = &index->entries[i];
        if (compare_keys(entry, &wanted) != 0)
            break;
        if (i > first && entry->account->customer != entry[-1].account->customer)
            others++;
        if (entry->account == found->account && entry->contact.ptr) {
            contacts++;
            contact = entry->contact;
        }
    }
    if (first == index->n_entries || compare_keys(found, &wanted) != 0)
        return false;
    buf_put(ret, found->account->members);
    buf_format(ret, ",\"matched_by\":\"%s\",\"contact\":", identifier_names[kind]);
    buf_put(ret, contacts == 1 ? contact : STR("null"));
    buf_format(ret, ",\"others\":%zu", others);
    return true;
}

/* "mail.eu.example.com" belongs to whoever has it, else eu.example.com, else example.com. */
static bool find_domain(const struct recognition_index *index, struct str host, struct buf *ret) {
    struct str label;
    while (host.ptr && memchr(host.ptr, '.', host.len)) {
        if (find_exactly(index, IDENTIFIER_DOMAIN, host, ret))
            return true;
        str_split(&host, '.', &label);
    }
    return false;
}

bool recognition_index_find(const struct recognition_index *index, enum identifier kind,
                            struct str value, struct buf *ret_members) {
    struct str local;
    if (kind == IDENTIFIER_DOMAIN)
        return find_domain(index, value, ret_members);
    if (find_exactly(index, kind, value, ret_members))
        return true;
    return kind == IDENTIFIER_EMAIL && str_split(&value, '@', &local) &&
           find_domain(index, value, ret_members);
}
