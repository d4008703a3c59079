/* An exhaustive check of the cache's protocol: every order of steps of two writes, two readers with
 * two reads each, evictions at any moment, repeated and late commands, and a failover to a replica
 * that lags behind. */

/* A state is bad when Redis holds a value that is older than a write that was acknowledged: any
 * read would hit it. The scripts in service/cache/script.c are what `leases` does here; the
 * other protocols are the usual ones, and show that this check can fail. */
#include "unit.h"

#include <stdlib.h>

#define WRITES 2
#define READERS 2
#define READS 2 /* of each reader */

/* What stands in Redis at the one key. */
enum kind { NOTHING, VALUE, TOMBSTONE, LEASE };
struct entry {
    unsigned kind : 2;
    unsigned version : 2; /* of a value or tombstone; of a lease: the floor */
    unsigned token : 3;   /* of a lease; 0 = a lease whose reader never heard of it */
};

struct state {
    struct entry entry;
    struct entry replica;
    unsigned committed : 2;
    unsigned acknowledged : 2;
    unsigned failed_over : 1;
    struct {
        enum { NOT_YET, COMMITTED, ACKNOWLEDGED } at : 2;
        unsigned version : 2;
    } writes[WRITES];
    struct {
        enum { ASKS, READS_DATABASE, FILLS } at : 2;
        unsigned done : 2;    /* reads that are over; also tells the token */
        unsigned version : 2; /* what it read from the database */
        unsigned before_failover : 1;
    } readers[READERS];
};

enum fill { FILL_ALWAYS, FILL_IF_ABSENT, FILL_IF_NEWER, FILL_UNDER_LEASE };
enum invalidation { BY_DELETE, BY_TOMBSTONE, BY_EITHER };

struct model {
    enum fill fill;
    enum invalidation invalidation;
    bool evicts;
    bool fails_over;
    bool namespaces;   /* of the server's run_id */
    bool keeps_tokens; /* a repeated GET uses its token again */
};

/* ---- the set of states ---- */

struct states {
    uint64_t *all; /* in the order in which they were found */
    uint32_t *depth;
    size_t n, room;
    uint32_t *table; /* index + 1 into `all` */
    size_t slots;
};

static uint64_t pack_entry(struct entry entry) {
    return entry.kind | (uint64_t)entry.version << 2 | (uint64_t)entry.token << 4;
}

static uint64_t pack(const struct state *state) {
    uint64_t bits = pack_entry(state->entry) | pack_entry(state->replica) << 7;
    bits = bits << 2 | state->committed;
    bits = bits << 2 | state->acknowledged;
    bits = bits << 1 | state->failed_over;
    for (size_t i = 0; i < WRITES; i++)
        bits = bits << 4 | (uint64_t)state->writes[i].at << 2 | state->writes[i].version;
    for (size_t i = 0; i < READERS; i++)
        bits = bits << 7 | (uint64_t)state->readers[i].at << 5 |
               (uint64_t)state->readers[i].done << 3 | (uint64_t)state->readers[i].version << 1 |
               state->readers[i].before_failover;
    return bits;
}

static struct entry unpack_entry(uint64_t bits) {
    return (struct entry){.kind = bits & 3, .version = bits >> 2 & 3, .token = bits >> 4 & 7};
}

static struct state unpack(uint64_t bits) {
    struct state state = {.committed = 0};
    for (size_t i = READERS; i-- > 0; bits >>= 7) {
        state.readers[i].at = bits >> 5 & 3;
        state.readers[i].done = bits >> 3 & 3;
        state.readers[i].version = bits >> 1 & 3;
        state.readers[i].before_failover = bits & 1;
    }
    for (size_t i = WRITES; i-- > 0; bits >>= 4) {
        state.writes[i].at = bits >> 2 & 3;
        state.writes[i].version = bits & 3;
    }
    state.failed_over = bits & 1;
    state.acknowledged = bits >> 1 & 3;
    state.committed = bits >> 3 & 3;
    state.entry = unpack_entry(bits >> 5);
    state.replica = unpack_entry(bits >> 12);
    return state;
}

static size_t slot_of(const struct states *states, uint64_t bits) {
    size_t slot = (bits * UINT64_C(0x9e3779b97f4a7c15) >> 20) % states->slots;
    while (states->table[slot] != 0 && states->all[states->table[slot] - 1] != bits)
        slot = (slot + 1) % states->slots;
    return slot;
}

static void grow(struct states *states) {
    states->room = states->room == 0 ? 1U << 16 : 2 * states->room;
    states->slots = 2 * states->room;
    states->all = realloc(states->all, states->room * sizeof(*states->all));
    states->depth = realloc(states->depth, states->room * sizeof(*states->depth));
    free(states->table);
    states->table = calloc(states->slots, sizeof(*states->table));
    assert_non_null(states->all);
    assert_non_null(states->depth);
    assert_non_null(states->table);
    for (size_t i = 0; i < states->n; i++)
        states->table[slot_of(states, states->all[i])] = (uint32_t)i + 1;
}

static void add(struct states *states, const struct state *state, uint32_t depth) {
    uint64_t bits = pack(state);
    if (states->n == states->room)
        grow(states);
    size_t slot = slot_of(states, bits);
    if (states->table[slot] != 0)
        return;
    states->all[states->n] = bits;
    states->depth[states->n] = depth;
    states->table[slot] = (uint32_t)++states->n;
}

/* ---- the steps ---- */

struct search {
    const struct model *model;
    struct states states;
    uint32_t depth; /* of the step being taken */
};

static void reach(struct search *search, struct state state) {
    add(&search->states, &state, search->depth);
}

static const struct entry nothing = {.kind = NOTHING};

static struct entry tombstone(struct entry entry, unsigned version) {
    if (entry.kind == VALUE && entry.version >= version)
        return entry;
    if (entry.kind != NOTHING && entry.version > version)
        version = entry.version;
    return (struct entry){.kind = TOMBSTONE, .version = version & 3};
}

/* BY_EITHER: a Redis without memory refuses the tombstone and gets a DEL. */
static void invalidate(struct search *search, struct state state, unsigned version) {
    struct entry before = state.entry;
    enum invalidation how = search->model->invalidation;
    if (how != BY_DELETE) {
        state.entry = tombstone(before, version);
        reach(search, state);
    }
    if (how != BY_TOMBSTONE) {
        state.entry = nothing;
        reach(search, state);
    }
}

/* A write commits; then it invalidates and is acknowledged; any time later its invalidation may be
 * repeated. */
static void step_write(struct search *search, struct state state, size_t i) {
    unsigned version = state.writes[i].version;
    switch (state.writes[i].at) {
    case NOT_YET:
        state.committed = (state.committed + 1U) & 3;
        state.writes[i].version = state.committed;
        state.writes[i].at = COMMITTED;
        reach(search, state);
        break;
    case COMMITTED:
        state.writes[i].at = ACKNOWLEDGED;
        if (version > state.acknowledged)
            state.acknowledged = version & 3;
        invalidate(search, state, version);
        break;
    case ACKNOWLEDGED:
        invalidate(search, state, version);
        break;
    }
}

static struct entry lease_on(struct entry entry, unsigned token) {
    return (struct entry){.kind = LEASE, .version = entry.version & 3, .token = token & 7};
}

static unsigned token_of(const struct state *state, size_t i) {
    return 1 + (unsigned)i * READS + state->readers[i].done;
}

static void end_read(struct search *search, struct state state, size_t i) {
    state.readers[i].at = ASKS;
    state.readers[i].done = (state.readers[i].done + 1U) & 3;
    state.readers[i].version = 0;
    state.readers[i].before_failover = 0;
    reach(search, state);
}

static void step_ask(struct search *search, struct state state, size_t i) {
    bool leases = search->model->fill == FILL_UNDER_LEASE;
    if (state.readers[i].done == READS)
        return;
    if (state.entry.kind == VALUE || (leases && state.entry.kind == LEASE))
        end_read(search, state, i); /* a hit, or busy */
    if (state.entry.kind == VALUE)
        return;
    state.readers[i].at = READS_DATABASE;
    if (leases) /* also somebody else's: it may be 500 ms old */
        state.entry = lease_on(state.entry, token_of(&state, i));
    reach(search, state);
}

static bool may_fill(const struct model *model, const struct state *state, size_t i) {
    struct entry entry = state->entry;
    switch (model->fill) {
    case FILL_ALWAYS:
        return true;
    case FILL_IF_ABSENT:
        return entry.kind == NOTHING;
    case FILL_IF_NEWER:
        return entry.kind == NOTHING || entry.version <= state->readers[i].version;
    case FILL_UNDER_LEASE:
        return entry.kind == LEASE && entry.token == token_of(state, i) &&
               entry.version <= state->readers[i].version;
    }
    return false;
}

static void step_fill(struct search *search, struct state state, size_t i) {
    bool gone = search->model->namespaces && state.readers[i].before_failover;
    if (!gone && may_fill(search->model, &state, i))
        state.entry = (struct entry){.kind = VALUE, .version = state.readers[i].version};
    end_read(search, state, i);
}

static void step_read(struct search *search, struct state state, size_t i) {
    switch (state.readers[i].at) {
    case ASKS:
        step_ask(search, state, i);
        break;
    case READS_DATABASE:
        state.readers[i].version = state.committed;
        state.readers[i].at = FILLS;
        reach(search, state);
        break;
    case FILLS:
        step_fill(search, state, i);
        break;
    }
}

/* A GET whose connection broke is executed late, after its reader asked again. */
static void step_late_get(struct search *search, struct state state) {
    bool free = state.entry.kind == NOTHING || state.entry.kind == TOMBSTONE;
    struct entry before = state.entry;
    if (search->model->fill != FILL_UNDER_LEASE || !free)
        return;
    state.entry = lease_on(before, 0);
    reach(search, state);
    for (size_t i = 0; search->model->keeps_tokens && i < READERS; i++) {
        if (state.readers[i].at == ASKS)
            continue;
        state.entry = lease_on(before, token_of(&state, i));
        reach(search, state);
    }
}

static void step_server(struct search *search, struct state state) {
    const struct model *model = search->model;
    struct state next = state;
    next.entry = nothing;
    if (model->evicts)
        reach(search, next);
    if (!model->fails_over || state.failed_over)
        return;
    next = state;
    next.replica = state.entry;
    reach(search, next);
    next = state;
    next.entry = model->namespaces ? nothing : state.replica;
    next.replica = nothing;
    next.failed_over = 1;
    for (size_t i = 0; i < READERS; i++)
        next.readers[i].before_failover = state.readers[i].at != ASKS;
    reach(search, next);
}

/* Steps of the shortest way to a stale value; 0 when there is none. */
static uint32_t shortest_failure(const struct model *model, size_t *ret_states) {
    struct search search = {.model = model};
    const struct state start = {.committed = 0};
    uint32_t found = 0;
    reach(&search, start);
    for (size_t at = 0; at < search.states.n && found == 0; at++) {
        const struct state state = unpack(search.states.all[at]);
        assert_true(pack(&state) == search.states.all[at]);
        if (state.entry.kind == VALUE && state.entry.version < state.acknowledged)
            found = search.states.depth[at];
        search.depth = search.states.depth[at] + 1;
        for (size_t i = 0; i < WRITES; i++)
            step_write(&search, state, i);
        for (size_t i = 0; i < READERS; i++)
            step_read(&search, state, i);
        step_late_get(&search, state);
        step_server(&search, state);
    }
    *ret_states = search.states.n;
    free(search.states.all);
    free(search.states.depth);
    free(search.states.table);
    return found;
}

static void check(const char *name, const struct model *model, bool safe) {
    size_t states;
    uint32_t steps = shortest_failure(model, &states);
    if (steps == 0)
        print_message("safe    %8zu states          %s\n", states, name);
    else
        print_message("unsafe  %8zu states, %u steps %s\n", states, steps, name);
    assert_case((steps == 0) == safe, name);
}

/* ---- the protocols ---- */

#define CHECK(safe, name, ...) check((name), &(const struct model){__VA_ARGS__}, (safe))

static void leases_with_tombstones_are_safe(void **state) {
    (void)state;
    CHECK(true, "lease, tombstone", .fill = FILL_UNDER_LEASE, .invalidation = BY_TOMBSTONE);
    CHECK(true, "lease, tombstone, eviction", .fill = FILL_UNDER_LEASE,
          .invalidation = BY_TOMBSTONE, .evicts = true);
    CHECK(true, "lease, tombstone, eviction, failover with namespaces", .fill = FILL_UNDER_LEASE,
          .invalidation = BY_TOMBSTONE, .evicts = true, .fails_over = true, .namespaces = true);
}

static void a_del_instead_of_a_tombstone_is_safe_under_leases(void **state) {
    (void)state;
    CHECK(true, "lease, tombstone or DEL, eviction, failover with namespaces",
          .fill = FILL_UNDER_LEASE, .invalidation = BY_EITHER, .evicts = true, .fails_over = true,
          .namespaces = true);
}

static void failover_needs_namespaces(void **state) {
    (void)state;
    CHECK(false, "lease, tombstone, failover without namespaces", .fill = FILL_UNDER_LEASE,
          .invalidation = BY_TOMBSTONE, .fails_over = true);
}

static void each_attempt_needs_a_token_of_its_own(void **state) {
    (void)state;
    CHECK(false, "lease, tombstone, eviction, tokens used again", .fill = FILL_UNDER_LEASE,
          .invalidation = BY_TOMBSTONE, .evicts = true, .keeps_tokens = true);
}

static void without_leases_there_are_stale_hits(void **state) {
    (void)state;
    CHECK(false, "SET, DEL", .fill = FILL_ALWAYS, .invalidation = BY_DELETE);
    CHECK(false, "SET NX, DEL", .fill = FILL_IF_ABSENT, .invalidation = BY_DELETE);
    CHECK(false, "newer version only, DEL", .fill = FILL_IF_NEWER, .invalidation = BY_DELETE);
    CHECK(true, "newer version only, tombstone, no eviction", .fill = FILL_IF_NEWER,
          .invalidation = BY_TOMBSTONE);
    CHECK(false, "newer version only, tombstone, eviction", .fill = FILL_IF_NEWER,
          .invalidation = BY_TOMBSTONE, .evicts = true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leases_with_tombstones_are_safe),
        cmocka_unit_test(a_del_instead_of_a_tombstone_is_safe_under_leases),
        cmocka_unit_test(failover_needs_namespaces),
        cmocka_unit_test(each_attempt_needs_a_token_of_its_own),
        cmocka_unit_test(without_leases_there_are_stale_hits),
    };
    return cmocka_run_group_tests_name("model of the cache", tests, NULL, NULL);
}
