/* Counts in atomic cells without a lock, and writes all metrics as Prometheus text. Label families
 * are registered before threads start, so the arrays of cells never move afterwards. */
#include "core/metrics.h"

#include "process.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Upper bounds in microseconds: those of OpenTelemetry's http.server.request.duration, 5 ms to 10
 * s. */
static const struct {
    int64_t us;
    const char *seconds;
} bounds[] = {{5000, "0.005"},  {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"},
              {75000, "0.075"}, {100000, "0.1"}, {250000, "0.25"}, {500000, "0.5"},
              {750000, "0.75"}, {1000000, "1"},  {2500000, "2.5"}, {5000000, "5"},
              {7500000, "7.5"}, {10000000, "10"}};
#define BUCKETS (COUNT_OF(bounds) + 1)

/* A family of more cells than this shows only those histograms that have counted something. */
#define SMALL_FAMILY 16

struct cell {
    atomic_uint_least64_t
        value; /* counter: the count; gauge: a double's bits; histogram: sum in us */
    atomic_uint_least64_t buckets[BUCKETS];
};

static const struct {
    enum metric_type type;
    enum metric_labels labels;
    const char *name;
    const char *help;
} table[] = {
#define X(id, type_, text, labels_, help_)                                                         \
    [METRIC_##id] = {.type = (type_), .labels = (labels_), .name = (text), .help = (help_)},
    METRICS(X)
#undef X
};
_Static_assert(COUNT_OF(table) == METRIC_COUNT, "one row per metric");

static struct {
    char **labels; /* of each cell */
    size_t n_cells;
} families[LABELS_COUNT] = {[LABELS_NONE] = {.n_cells = 1}};

/* The one cell of metrics without labels; those of families are allocated when the family is
 * registered. */
static struct cell lone[METRIC_COUNT];
static struct cell *family_cells[METRIC_COUNT];

static void family_clear(enum metric_labels family) {
    for (size_t i = 0; i < families[family].n_cells; i++)
        free(families[family].labels[i]);
    free(families[family].labels);
    families[family].labels = NULL;
    families[family].n_cells = 0;
    for (size_t m = 0; m < METRIC_COUNT; m++)
        if (table[m].labels == family) {
            free(family_cells[m]);
            family_cells[m] = NULL;
        }
}

static bool family_fill(enum metric_labels family, const char *const *cells, size_t n_cells) {
    families[family].labels = calloc(n_cells, sizeof(char *));
    if (families[family].labels == NULL)
        return false;
    families[family].n_cells = n_cells;
    for (size_t i = 0; i < n_cells; i++)
        if ((families[family].labels[i] = strdup(cells[i])) == NULL)
            return false;
    for (size_t m = 0; m < METRIC_COUNT; m++)
        if (table[m].labels == family &&
            (family_cells[m] = calloc(n_cells, sizeof(struct cell))) == NULL)
            return false;
    return true;
}

bool metrics_labels(enum metric_labels family, const char *const *cells, size_t n_cells) {
    if (family == LABELS_NONE || family >= LABELS_COUNT)
        return false;
    family_clear(family);
    if (n_cells == 0 || family_fill(family, cells, n_cells))
        return true;
    family_clear(family);
    return false;
}

/* NULL for a cell that is not there, or a metric of another type: a wrong number is better lost
 * than written elsewhere. */
static struct cell *cell_of(enum metric metric, enum metric_type type, size_t cell) {
    if (metric >= METRIC_COUNT || table[metric].type != type ||
        cell >= families[table[metric].labels].n_cells)
        return NULL;
    return table[metric].labels == LABELS_NONE ? &lone[metric] : &family_cells[metric][cell];
}

void metrics_count(enum metric metric, size_t cell, uint64_t add) {
    struct cell *at = cell_of(metric, METRIC_COUNTER, cell);

    if (at != NULL)
        atomic_fetch_add_explicit(&at->value, add, memory_order_relaxed);
}

static uint64_t bits_of(double value) {
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double double_of(uint64_t bits) {
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

void metrics_set(enum metric metric, size_t cell, double value) {
    struct cell *at = cell_of(metric, METRIC_GAUGE, cell);

    if (at != NULL)
        atomic_store_explicit(&at->value, bits_of(value), memory_order_relaxed);
}

void metrics_add(enum metric metric, size_t cell, double value) {
    struct cell *at = cell_of(metric, METRIC_GAUGE, cell);

    if (at == NULL)
        return;
    uint64_t old = atomic_load_explicit(&at->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&at->value, &old, bits_of(double_of(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

void metrics_time(enum metric metric, size_t cell, int64_t us) {
    struct cell *at = cell_of(metric, METRIC_HISTOGRAM, cell);
    size_t bucket = 0;

    if (at == NULL)
        return;
    us = us < 0 ? 0 : us;
    while (bucket < COUNT_OF(bounds) && us > bounds[bucket].us)
        bucket++;
    atomic_fetch_add_explicit(&at->value, (uint64_t)us, memory_order_relaxed);
    atomic_fetch_add_explicit(&at->buckets[bucket], 1, memory_order_relaxed);
}

uint64_t metrics_value(enum metric metric, size_t cell) {
    struct cell *at = cell_of(metric, METRIC_COUNTER, cell);

    return at == NULL ? 0 : atomic_load_explicit(&at->value, memory_order_relaxed);
}

/* --- text exposition
 * -----------------------------------------------------------------------------------------------
 */

/* name, suffix and labels of a sample, up to the blank before its value. `le` is NULL but for
 * buckets. */
static void put_name(struct buf *ret, const char *name, const char *suffix, const char *labels,
                     const char *le) {
    buf_text(ret, name);
    buf_text(ret, suffix);
    if (labels[0] != '\0' || le != NULL) {
        buf_char(ret, '{');
        buf_text(ret, labels);
        if (le != NULL)
            buf_format(ret, "%sle=\"%s\"", labels[0] != '\0' ? "," : "", le);
        buf_char(ret, '}');
    }
    buf_char(ret, ' ');
}

static void put_double(struct buf *ret, double value) {
    if (isnan(value))
        buf_text(ret, "NaN");
    else if (isinf(value))
        buf_text(ret, value < 0 ? "-Inf" : "+Inf");
    else
        buf_format(ret, "%.15g", value);
}

static void put_histogram(struct buf *ret, const char *name, const char *labels, struct cell *cell,
                          bool always) {
    uint64_t seen[BUCKETS];
    uint64_t count = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        count += atomic_load_explicit(&cell->buckets[i], memory_order_relaxed);
        seen[i] = count;
    }
    if (count == 0 && !always)
        return;
    uint64_t sum = atomic_load_explicit(&cell->value, memory_order_relaxed);
    for (size_t i = 0; i < BUCKETS; i++) {
        put_name(ret, name, "_bucket", labels, i < COUNT_OF(bounds) ? bounds[i].seconds : "+Inf");
        buf_format(ret, "%llu\n", (unsigned long long)seen[i]);
    }
    put_name(ret, name, "_sum", labels, NULL);
    buf_format(ret, "%llu.%06u\n", (unsigned long long)(sum / 1000000), (unsigned)(sum % 1000000));
    put_name(ret, name, "_count", labels, NULL);
    buf_format(ret, "%llu\n", (unsigned long long)count);
}

static void put_cell(struct buf *ret, enum metric metric, size_t i) {
    size_t n_cells = families[table[metric].labels].n_cells;
    const char *labels =
        table[metric].labels == LABELS_NONE ? "" : families[table[metric].labels].labels[i];
    struct cell *cell = cell_of(metric, table[metric].type, i);
    uint64_t value = atomic_load_explicit(&cell->value, memory_order_relaxed);

    switch (table[metric].type) {
    case METRIC_HISTOGRAM:
        put_histogram(ret, table[metric].name, labels, cell, n_cells <= SMALL_FAMILY);
        return;
    case METRIC_COUNTER:
        put_name(ret, table[metric].name, "", labels, NULL);
        buf_u64(ret, value);
        break;
    case METRIC_GAUGE:
        put_name(ret, table[metric].name, "", labels, NULL);
        put_double(ret, double_of(value));
        break;
    }
    buf_char(ret, '\n');
}

static void put_head(struct buf *ret, const char *name, const char *type, const char *help) {
    buf_format(ret, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_process(struct buf *ret) {
    const struct process_figures now = process_read();
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"process_cpu_seconds_total", "counter", "User and system CPU time.", now.cpu_seconds},
        {"process_resident_memory_bytes", "gauge", "Memory in RAM.", now.resident_bytes},
        {"process_virtual_memory_bytes", "gauge", "Address space.", now.virtual_bytes},
        {"process_open_fds", "gauge", "Open file descriptors.", now.open_fds},
        {"process_max_fds", "gauge", "Limit of open file descriptors.", now.max_fds},
        {"process_threads", "gauge", "Threads.", now.threads},
        {"process_start_time_seconds", "gauge", "Start, seconds since 1970.", now.start_seconds},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        put_head(ret, rows[i].name, rows[i].type, rows[i].help);
        put_name(ret, rows[i].name, "", "", NULL);
        put_double(ret, rows[i].value);
        buf_char(ret, '\n');
    }
}

void metrics_write(struct buf *ret, const char *version) {
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        put_head(ret, table[m].name, types[table[m].type], table[m].help);
        for (size_t i = 0; i < families[table[m].labels].n_cells; i++)
            put_cell(ret, (enum metric)m, i);
    }
    put_head(ret, "kamd_build_info", "gauge", "1; the label is the version.");
    buf_text(ret, "kamd_build_info{version=");
    buf_json(ret, str_of(version)); /* the exposition's escapes are a part of JSON's */
    buf_text(ret, "} 1\n");
    put_process(ret);
}
