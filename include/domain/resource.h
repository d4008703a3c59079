/* What a resource is: one const descriptor each, from which decoding, validation, SQL, filters,
 * ordering, rendering, sync, history and the contract test follow. A plain resource costs one
 * descriptor, one migration and its part of openapi.yaml. */
#ifndef KAMD_DOMAIN_RESOURCE_H
#define KAMD_DOMAIN_RESOURCE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/json.h"

/* Information areas (product 4): what is granted to people. The plan's nine sections come first. */
/* clang-format off */
#define AREAS(X) \
    X(COMPETITIVE_ENVIRONMENT, "competitive_environment") \
    X(CONTACTS_AND_DECISIONS, "contacts_and_decisions") \
    X(NEGOTIATIONS, "negotiations") \
    X(LEADER_PERCEPTIONS, "leader_perceptions") \
    X(VALUES_BELIEFS, "values_beliefs") \
    X(CAPABILITIES, "capabilities") \
    X(STRATEGIES, "strategies") \
    X(INTERNAL_PROCESSES, "internal_processes") \
    X(INTERACTION_HISTORY, "interaction_history") \
    X(PROFILE, "profile") \
    X(CONTACTS, "contacts") \
    X(SALES, "sales") \
    X(ECONOMICS, "economics") \
    X(INTERACTIONS, "interactions") \
    X(PROBLEMS, "problems") \
    X(REVIEWS, "reviews") \
    X(PLAN, "plan") \
    X(DIVESTMENT, "divestment")
/* clang-format on */
enum area {
#define X(name, text) AREA_##name,
    AREAS(X)
#undef X
        AREA_COUNT
};
const char *area_name(enum area area);
extern const char *const area_names[AREA_COUNT + 1]; /* NULL-terminated */
/* Who reads these is written down, too (004-27). */
bool area_sensitive(enum area area);

enum field_type {
    FIELD_ID,   /* UUID; `ref` names the resource it refers to, also in FIELD_TEXTS */
    FIELD_TEXT, /* min..max characters; `check` */
    FIELD_INT,  /* min..max */
    FIELD_BOOL,
    FIELD_DECIMAL, /* a JSON string; at most 15 digits before and `max` (default 4) after the point;
                      at least `min` if F_MIN */
    FIELD_DATE,    /* YYYY-MM-DD */
    FIELD_TIME,    /* RFC 3339; stored and shown in UTC with microseconds */
    FIELD_ENUM,    /* one of `values` */
    FIELD_TEXTS,   /* array of at most `max` texts; `check` and `values` hold for each */
    FIELD_DOC,     /* object of `shape` */
    FIELD_DOCS,    /* array of at most `max` objects of `shape` */
    FIELD_MAP      /* object with free names (external_ids, custom, section content) */
};

enum field_flag {
    F_REQUIRED = 1 << 0,    /* on creation, and never null */
    F_NOT_NULL = 1 << 1,    /* never null; absent on creation: `preset` */
    F_READ_ONLY = 1 << 2,   /* derived or kept by the server; in a body it is an error */
    F_CREATE_ONLY = 1 << 3, /* cannot be changed later */
    F_FILTER = 1 << 4,
    F_SORT = 1 << 5,          /* an index carries it */
    F_SEARCH = 1 << 6,        /* `q` looks into it */
    F_PII = 1 << 7,           /* about a person: erasable */
    F_MIN = 1 << 8,           /* `min` holds for a decimal */
    F_UNCHECKED = 1 << 9,     /* FIELD_MAP: any JSON value inside, within the reader's limits */
    F_SAME_ACCOUNT = 1 << 10, /* `ref`: a record of the same account */
    F_MADE = 1 << 11,  /* never null in a record: made of other fields where it is not given */
    F_ADMIN = 1 << 12, /* set and changed by admins only; others may repeat what is there */
    F_FOLDED = 1 << 13 /* FIELD_TEXTS: compared by tag_slug(), kept as written */
};

struct shape;

struct field {
    const char *name;
    enum field_type type;
    unsigned flags;
    enum area area; /* where it is another one than the resource's: derived from there; else 0 */
    const char *column; /* SQL over t (the table) and s (account_status); NULL: t.<name> */
    int min, max;
    const char *const *values; /* NULL-terminated */
    const struct shape *shape;
    const char *(*check)(struct str text); /* NULL when fine, else a short sentence */
    const char *ref;                       /* name of the resource that the id or ids refer to */
    const char *preset;                    /* JSON text for an absent field on creation */
    const char *about;                     /* for openapi.yaml; cites requirement numbers */
};

struct shape {
    const struct field *fields;
    size_t n_fields;
};
#define SHAPE_OF(fields_) ((const struct shape){(fields_), COUNT_OF(fields_)})

enum resource_id {
    RES_NONE,
    RES_USER,
    RES_ACCOUNT,
    RES_CONTACT,
    RES_PLAN,
    RES_PLAN_SECTION,
    RES_REVIEW,
    RES_FOLLOW_UP,
    RES_INTERACTION,
    RES_PROBLEM,
    RES_ORDER,
    RES_TEAM_MEMBER,
    RES_WEBHOOK_ENDPOINT,
    RES_CUSTOM_FIELD,
    RES_WALLET,
    RES_NOMINATION,
    RES_COMMITMENT,
    RES_NEED,
    RES_SOLUTION,
    RES_INVESTMENT,
    RES_PROJECT,
    RES_LINK,
    RES_COUNT
};

enum resource_flag {
    R_ACCOUNT_SCOPED = 1 << 0, /* belongs to an account: has account_id (OF_ACCOUNT) */
    R_NESTED = 1 << 1,         /* lives at /v1/accounts/{account_id}/<path> only */
    R_CACHED = 1 << 2,         /* single reads go through Redis */
    R_SYNC = 1 << 3,           /* has external_ids and takes part in /v1/sync */
    R_CUSTOM = 1 << 4,         /* has custom fields */
    R_OWN = 1 << 5             /* there for its maker and for admins; table: actor, reach */
};

/* What expand= can add: our `field` holds the id of `target`; or, reversed, `target`'s `field`
 * holds our id, once or (many) often. */
struct expansion {
    const char *name;
    enum resource_id target;
    const char *field;
    bool reverse;
    bool many;
    const char *where; /* further condition on t, or NULL */
};

struct resource {
    enum resource_id id;
    const char *name; /* "account": event types, history, external ids */
    const char *path; /* "accounts": URL */
    const char *table;
    const char *join;            /* further FROM for derived fields, or NULL */
    const char *join_id;         /* of `join`, the column that equals t.id, or NULL */
    const char *derived_version; /* SQL expression of the derived values' version, or NULL */
    const struct field *fields;
    size_t n_fields;
    const struct expansion *expansions;
    size_t n_expansions;
    enum area area;
    unsigned flags;
    /* Rules over several fields of a whole, valid document. Adds violations with pointers below
     * `at`. */
    void (*check)(const jv *doc, const char *at, struct err *err);
    /* What a change does not name, but what follows from what it names. `doc` is `current` with the
     * change `given`. */
    void (*follow)(const jv *current, const jv *given, jv *doc);
    const char *about;
};

const struct resource *resource_of(enum resource_id id);
/* The column that holds the account; NULL: the record belongs to none. */
const char *resource_account(const struct resource *resource);
const struct resource *resource_by_path(struct str path); /* NULL: none */
const struct resource *resource_by_name(const char *name);
const struct field *resource_field(const struct resource *resource,
                                   struct str name); /* NULL: none */
/* FROM: the table as t, what its derived fields need, and as x what the caller reads of the
 * account, so that what the caller does not see is not there, whatever row level security says.
 * `by_access_set`: for callers who see only the accounts that their access sets name. */
void resource_source(const struct resource *resource, bool by_access_set, struct buf *ret);
/* "t.id > value", said of what is joined by it, too: PostgreSQL carries equality over a join, but
 * no range, and would read the joined table from its beginning. */
void resource_beyond_id(const struct resource *resource, char comparison, const char *value,
                        struct buf *ret);
/* Position of a field in `fields`. */
size_t resource_field_at(const struct resource *resource, const struct field *field);
static inline bool field_writable(const struct field *field) {
    return (field->flags & F_READ_ONLY) == 0;
}

/* Definition of a custom field (POST /v1/custom-fields). */
enum custom_kind { CUSTOM_TEXT, CUSTOM_NUMBER, CUSTOM_DATE, CUSTOM_BOOLEAN, CUSTOM_CHOICE };
struct custom_field {
    enum resource_id resource;
    struct str name;
    enum custom_kind kind;
    const struct str *choices;
    size_t n_choices;
};
struct custom_fields {
    const struct custom_field *list;
    size_t n;
};
const struct custom_field *custom_field_find(const struct custom_fields *fields,
                                             enum resource_id resource, struct str name);

#endif
