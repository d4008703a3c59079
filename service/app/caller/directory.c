/* Runs the thread that reads API keys, signed-in people and key accounts from PostgreSQL into one
 * immutable snapshot. Requests look callers up in the snapshot under a read lock; a new snapshot
 * replaces the old one under the write lock. */
#include "app/directory.h"

#include "base/transaction.h"
#include "caller/directory_users.h"
#include "caller/recognition_index.h"
#include "core/log.h"
#include "core/metrics.h"
#include "store/array.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SNAPSHOT_BYTES ((size_t)256 << 20)
#define WATCH_MAX 256

struct key_entry {
    unsigned char hash[CRYPTO_SHA256];
    int64_t expires_us; /* 0: never */
    atomic_bool used;   /* since this reading */
    struct principal principal;
};

/* One reading: immutable, in an arena of its own. */
struct snapshot {
    struct arena arena;
    int64_t read_mono_us, read_wall_us;
    struct key_entry *keys;
    struct key_entry **keys_by_id;
    size_t n_keys;
    struct people people;
    struct recognition_index index;
};

struct directory {
    const struct app *app;
    pthread_rwlock_t lock;
    struct snapshot *snapshot; /* NULL until the first reading succeeded */
    pthread_mutex_t reading;   /* one reader at a time */
    int64_t tried_mono_us;     /* when the last reading began; 0: none */
    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    bool stopping;
    bool failed;     /* the last reading: logged once */
    int64_t told_us; /* when the last use of keys was last written down */
    pthread_mutex_t watch_lock;
    char watch[WATCH_MAX][CLAIMS_SUBJECT]; /* people whom the next reading looks for, too */
    size_t n_watch;
    pthread_t thread;
};

static void snapshot_free(struct snapshot *snapshot) {
    if (!snapshot)
        return;
    arena_release(&snapshot->arena);
    free(snapshot);
}

/* ---- reading ---- */

#define KEYS_SQL                                                                                   \
    "select id, hash, name, role, array_to_string(scopes, ','), user_id,"                          \
    " coalesce((extract(epoch from ends_at) * 1000000)::bigint, 0), secret_no from live_key"
enum { KEY_ID, KEY_HASH, KEY_NAME, KEY_ROLE, KEY_SCOPES, KEY_USER, KEY_EXPIRES, KEY_SECRET };

static bool read_scopes(struct str list, unsigned *ret) {
    struct str name;
    unsigned scope;
    *ret = 0;
    while (list.len > 0 && str_split(&list, ',', &name)) {
        if (!scope_by_name(name, &scope))
            return false; /* a scope that this version does not know must not widen anything */
        *ret |= scope;
    }
    return true;
}

/* PostgreSQL writes bytea as "\\x" and lower-case digits. */
static int hex_value(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool read_key(struct tx *tx, size_t slot, size_t row, struct key_entry *ret) {
    struct str id = tx_value(tx, slot, row, KEY_ID), hash = tx_value(tx, slot, row, KEY_HASH),
               user = tx_value(tx, slot, row, KEY_USER);
    struct principal *who = &ret->principal;
    if (hash.len != 2 + 2 * CRYPTO_SHA256)
        return false;
    for (size_t i = 0; i < CRYPTO_SHA256; i++) {
        int high = hex_value(hash.ptr[2 + 2 * i]), low = hex_value(hash.ptr[3 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        ret->hash[i] = (unsigned char)(high << 4 | low);
    }
    snprintf(who->id, sizeof who->id, "%.*s", STR_ARG(id));
    text_cut(who->name, sizeof who->name, tx_value(tx, slot, row, KEY_NAME));
    if (user.ptr)
        snprintf(who->user_id, sizeof who->user_id, "%.*s", STR_ARG(user));
    snprintf(who->actor, sizeof who->actor, "%s:%.*s", user.ptr ? "user" : "key",
             STR_ARG(user.ptr ? user : id));
    ret->expires_us = tx_int(tx, slot, row, KEY_EXPIRES);
    ret->principal.secret_no = tx_int(tx, slot, row, KEY_SECRET);
    return role_by_name(tx_value(tx, slot, row, KEY_ROLE), &who->role) &&
           read_scopes(tx_value(tx, slot, row, KEY_SCOPES), &who->scopes);
}

static int compare_keys(const void *a, const void *b) {
    return memcmp(((const struct key_entry *)a)->hash, ((const struct key_entry *)b)->hash,
                  CRYPTO_SHA256);
}

static int compare_ids(const void *a, const void *b) {
    const struct key_entry *x = *(struct key_entry *const *)a, *y = *(struct key_entry *const *)b;
    int order = strcmp(x->principal.id, y->principal.id);
    return order != 0 ? order
                      : (x->principal.secret_no > y->principal.secret_no) -
                            (x->principal.secret_no < y->principal.secret_no);
}

static bool read_keys(struct tx *tx, size_t slot, struct snapshot *snapshot) {
    size_t n = tx_rows(tx, slot) + 1;
    snapshot->keys = arena_array(&snapshot->arena, n, sizeof *snapshot->keys);
    snapshot->keys_by_id = arena_array(&snapshot->arena, n, sizeof(struct key_entry *));
    if (!snapshot->keys || !snapshot->keys_by_id)
        return false;
    for (size_t i = 0; i < tx_rows(tx, slot); i++)
        snapshot->n_keys += read_key(tx, slot, i, &snapshot->keys[snapshot->n_keys]);
    qsort(snapshot->keys, snapshot->n_keys, sizeof *snapshot->keys, compare_keys);
    for (size_t i = 0; i < snapshot->n_keys; i++)
        snapshot->keys_by_id[i] = &snapshot->keys[i];
    qsort(snapshot->keys_by_id, snapshot->n_keys, sizeof(struct key_entry *), compare_ids);
    return true;
}

/* The keys used since the last reading, as uuid[]; absent when there are none. */
static struct str used_keys(const struct snapshot *snapshot, struct arena *arena) {
    size_t n = 0;
    struct str *ids = snapshot ? arena_array(arena, snapshot->n_keys + 1, sizeof *ids) : NULL;
    for (size_t i = 0; ids && i < snapshot->n_keys; i++)
        if (atomic_load_explicit(&snapshot->keys[i].used, memory_order_relaxed))
            ids[n++] = str_of(snapshot->keys[i].principal.id);
    return n > 0 ? pg_array_param(arena, ids, n) : STR_ABSENT;
}

/* last_used_at is right to a minute: one write then, instead of one per request. */
#define TOLD_EVERY_US 60000000

static void tell_use(struct directory *directory, struct snapshot *fresh, struct tx *tx) {
    struct str ids = used_keys(directory->snapshot, &fresh->arena);
    bool now = fresh->read_mono_us - directory->told_us >= TOLD_EVERY_US;
    for (size_t i = 0; !now && directory->snapshot && i < fresh->n_keys; i++) {
        const struct key_entry *before =
            bsearch(&fresh->keys[i], directory->snapshot->keys, directory->snapshot->n_keys,
                    sizeof *fresh->keys, compare_keys);
        if (before && atomic_load_explicit(&before->used, memory_order_relaxed))
            atomic_store_explicit(&fresh->keys[i].used, true, memory_order_relaxed);
    }
    if (!now || !ids.ptr)
        return;
    CLEANUP(err_release) struct err err = ERR_INIT;
    tx_query(tx, "update api_key set last_used_at = now() where id = any ($1::uuid[])", &ids, 1);
    if (tx_flush(tx, &err)) /* the next round tells again */
        directory->told_us = fresh->read_mono_us;
}

/* Who is looked for from now on; those who have just signed in for the first time. */
static size_t take_watch(struct directory *directory, struct arena *arena, struct str *ret) {
    pthread_mutex_lock(&directory->watch_lock);
    size_t n = directory->n_watch;
    for (size_t i = 0; i < n; i++)
        ret[i] = arena_str(arena, str_of(directory->watch[i]));
    directory->n_watch = 0;
    pthread_mutex_unlock(&directory->watch_lock);
    return n;
}

static bool read_snapshot(struct directory *directory, struct snapshot *snapshot, struct err *err) {
    static const struct people nobody;
    struct str watched[WATCH_MAX];
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct tx_context context = {
        .scope = STR("all"), .reach = AREAS_ALL, .actor = STR("directory"), .origin = STR("kamd")};
    /* A request that waits for this needs the other half of its time for its own work. */
    deadline when = deadline_in_ms(directory->app->config->request_ms / 2);
    if (!(tx = tx_begin(directory->app->store, TX_READ, &context, when, err)))
        return false;
    size_t keys = tx_query(tx, KEYS_SQL, NULL, 0);
    struct people_reading people = {.tx = tx,
                                    .arena = &snapshot->arena,
                                    .before = directory->snapshot ? &directory->snapshot->people
                                                                  : &nobody,
                                    .now_mono_us = snapshot->read_mono_us};
    people_ask(&people, watched, take_watch(directory, &snapshot->arena, watched));
    struct recognition_slots slots;
    recognition_index_ask(tx, &slots);
    if (!tx_flush(tx, err))
        return false;
    if (!read_keys(tx, keys, snapshot) || !people_read(&people, &snapshot->people) ||
        !recognition_index_read(tx, &slots, &snapshot->arena, &snapshot->index))
        return err_memory(err);
    tell_use(directory, snapshot, tx);
    return true;
}

static void report(struct directory *directory, bool fine, const struct err *err) {
    if (!fine && !directory->failed)
        log_err(LOG_WARN, "directory_not_read", err);
    if (fine && directory->failed)
        LOG(LOG_INFO, "directory_read_again", LOG_I("keys", directory->snapshot->n_keys));
    directory->failed = !fine;
}

/* With `reading` held. */
static void read_anew(struct directory *directory) {
    CLEANUP(err_release) struct err err = ERR_INIT;
    directory->tried_mono_us = clock_mono(&clock_system);
    struct snapshot *fresh = calloc(1, sizeof *fresh), *old = fresh;
    bool fine = false;
    if (fresh) {
        arena_init(&fresh->arena, SNAPSHOT_BYTES);
        /* As of before the question was asked. */
        fresh->read_mono_us = directory->tried_mono_us;
        fresh->read_wall_us = clock_wall(directory->app->clock);
        fine = read_snapshot(directory, fresh, &err);
    }
    if (fine) {
        pthread_rwlock_wrlock(&directory->lock);
        old = directory->snapshot;
        directory->snapshot = fresh;
        pthread_rwlock_unlock(&directory->lock);
    }
    snapshot_free(old);
    report(directory, fine, &err);
}

/* A reading that began after we asked answers us, too: when memory is too old and all threads ask
 * at once, one or two of them read and the others wait for it, instead of each in turn. */
void directory_refresh(struct directory *directory) {
    int64_t asked = clock_mono(&clock_system);
    pthread_mutex_lock(&directory->reading);
    if (directory->tried_mono_us <= asked)
        read_anew(directory);
    pthread_mutex_unlock(&directory->reading);
}

void directory_settle(struct directory *directory) {
    if (!directory)
        return;
    directory_refresh(directory);
    usleep(DIRECTORY_FRESH_US);
}

/* ---- the thread ---- */

static void age_metric(struct directory *directory) {
    pthread_rwlock_rdlock(&directory->lock);
    int64_t age =
        directory->snapshot ? clock_mono(&clock_system) - directory->snapshot->read_mono_us : 0;
    pthread_rwlock_unlock(&directory->lock);
    metrics_set(METRIC_DIRECTORY_AGE, 0, (double)age / 1e6);
}

static bool sleep_for(struct directory *directory, int ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (int64_t)ms * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&directory->wake_lock);
    while (!directory->stopping &&
           pthread_cond_timedwait(&directory->wake, &directory->wake_lock, &until) == 0)
        ;
    bool stopping = directory->stopping;
    pthread_mutex_unlock(&directory->wake_lock);
    return !stopping;
}

static void *run(void *arg) {
    struct directory *directory = arg;
    do {
        directory_refresh(directory);
        age_metric(directory);
    } while (sleep_for(directory, directory->app->config->directory_ms));
    return NULL;
}

bool directory_start(const struct app *app, struct directory **ret, struct err *err) {
    struct directory *directory = calloc(1, sizeof *directory);
    pthread_condattr_t attr;
    if (!directory)
        return err_memory(err);
    directory->app = app;
    pthread_rwlock_init(&directory->lock, NULL);
    pthread_mutex_init(&directory->reading, NULL);
    pthread_mutex_init(&directory->wake_lock, NULL);
    pthread_mutex_init(&directory->watch_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&directory->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&directory->thread, NULL, run, directory) != 0) {
        free(directory);
        return err_memory(err);
    }
    *ret = directory;
    return true;
}

void directory_stop(struct directory *directory) {
    if (!directory)
        return;
    pthread_mutex_lock(&directory->wake_lock);
    directory->stopping = true;
    pthread_cond_signal(&directory->wake);
    pthread_mutex_unlock(&directory->wake_lock);
    pthread_join(directory->thread, NULL);
    snapshot_free(directory->snapshot);
    pthread_cond_destroy(&directory->wake);
    pthread_mutex_destroy(&directory->wake_lock);
    pthread_mutex_destroy(&directory->watch_lock);
    pthread_mutex_destroy(&directory->reading);
    pthread_rwlock_destroy(&directory->lock);
    free(directory);
}

/* ---- asking ---- */

/* With the lock held. */
static bool fresh_enough(const struct snapshot *snapshot, bool any_age) {
    return snapshot &&
           (any_age || clock_mono(&clock_system) - snapshot->read_mono_us < DIRECTORY_FRESH_US);
}

/* With the lock held. */
static enum directory_answer answer_key(const struct directory *directory, struct key_entry *found,
                                        struct principal *ret) {
    if (!found ||
        (found->expires_us != 0 && found->expires_us <= clock_wall(directory->app->clock)))
        return DIRECTORY_UNKNOWN;
    *ret = found->principal;
    if (!atomic_load_explicit(&found->used, memory_order_relaxed))
        atomic_store_explicit(&found->used, true, memory_order_relaxed);
    return DIRECTORY_KNOWN;
}

enum directory_answer directory_principal(struct directory *directory,
                                          const unsigned char hash[static CRYPTO_SHA256],
                                          bool any_age, struct principal *ret) {
    struct key_entry wanted = {.expires_us = 0};
    enum directory_answer answer = DIRECTORY_TOO_OLD;
    memcpy(wanted.hash, hash, CRYPTO_SHA256);
    pthread_rwlock_rdlock(&directory->lock);
    const struct snapshot *snapshot = directory->snapshot;
    if (fresh_enough(snapshot, any_age)) {
        struct key_entry *found = bsearch(&wanted, snapshot->keys, snapshot->n_keys,
                                          sizeof *snapshot->keys, compare_keys);
        answer = answer_key(directory, found, ret);
    }
    pthread_rwlock_unlock(&directory->lock);
    return answer;
}

enum directory_answer directory_key(struct directory *directory, const char *id, int64_t secret_no,
                                    bool any_age, struct principal *ret) {
    struct key_entry wanted = {.principal.secret_no = secret_no}, *key = &wanted;
    enum directory_answer answer = DIRECTORY_TOO_OLD;
    snprintf(wanted.principal.id, sizeof wanted.principal.id, "%s", id);
    pthread_rwlock_rdlock(&directory->lock);
    const struct snapshot *snapshot = directory->snapshot;
    if (fresh_enough(snapshot, any_age)) {
        struct key_entry **found = bsearch(&key, snapshot->keys_by_id, snapshot->n_keys,
                                           sizeof(struct key_entry *), compare_ids);
        answer = answer_key(directory, found ? *found : NULL, ret);
    }
    pthread_rwlock_unlock(&directory->lock);
    return answer;
}

bool directory_watch(struct directory *directory, struct str subject) {
    pthread_mutex_lock(&directory->watch_lock);
    bool room = directory->n_watch < WATCH_MAX && subject.len < CLAIMS_SUBJECT;
    if (room)
        text_cut(directory->watch[directory->n_watch++], CLAIMS_SUBJECT, subject);
    pthread_mutex_unlock(&directory->watch_lock);
    return room;
}

enum directory_answer directory_person(struct directory *directory, struct str subject,
                                       bool any_age, struct principal *ret, bool *ret_active) {
    enum directory_answer answer = DIRECTORY_TOO_OLD;
    pthread_rwlock_rdlock(&directory->lock);
    const struct snapshot *snapshot = directory->snapshot;
    if (fresh_enough(snapshot, any_age)) {
        struct person *found = people_find(&snapshot->people, subject);
        answer = found ? DIRECTORY_KNOWN : DIRECTORY_UNKNOWN;
        if (found) {
            *ret_active = found->active;
            *ret = (struct principal){.credential = CREDENTIAL_PERSON};
            snprintf(ret->id, sizeof ret->id, "%s", found->user_id);
            snprintf(ret->user_id, sizeof ret->user_id, "%s", found->user_id);
            snprintf(ret->actor, sizeof ret->actor, "user:%s", found->user_id);
            snprintf(ret->name, sizeof ret->name, "%s", found->name);
            atomic_store_explicit(&found->used_mono_us, clock_mono(&clock_system),
                                  memory_order_relaxed);
        }
    }
    pthread_rwlock_unlock(&directory->lock);
    return answer;
}

bool directory_recognise(struct directory *directory, enum identifier kind, struct str value,
                         struct recognised *ret, struct buf *ret_members) {
    pthread_rwlock_rdlock(&directory->lock);
    const struct snapshot *snapshot = directory->snapshot;
    if (snapshot) {
        ret->known = recognition_index_find(&snapshot->index, kind, value, ret_members);
        ret->stale = clock_mono(&clock_system) - snapshot->read_mono_us >= DIRECTORY_STALE_US;
        time_text(snapshot->read_wall_us, ret->as_of);
    }
    pthread_rwlock_unlock(&directory->lock);
    return snapshot != NULL;
}
