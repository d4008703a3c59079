/* Metrics: a const table, atomic counters, Prometheus text exposition (version 0.0.4).
 * A metric with a label family has one cell per label value; families are closed lists registered
 * at start, so that nothing that a client sends can grow them. */
#ifndef KAMD_CORE_METRICS_H
#define KAMD_CORE_METRICS_H

#include "core/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Label families. ROUTE_CLASS is (route, method, status class); its cells are registered by the
 * API. */
enum metric_labels {
    LABELS_NONE,
    LABELS_ROUTE,
    LABELS_RESULT,
    LABELS_STATE,
    LABELS_LOOP,
    LABELS_CACHE,
    LABELS_POOL,
    LABELS_CLIENT,
    LABELS_SPANS,
    LABELS_COUNT
};

/* X(enum, type, name, labels, help). Times in seconds, sizes in bytes. */
#define METRICS(X)                                                                                 \
    X(HTTP_REQUESTS, METRIC_HISTOGRAM, "kamd_http_request_duration_seconds", LABELS_ROUTE,         \
      "Time from a complete request to its answer.")                                               \
    X(HTTP_SHED, METRIC_COUNTER, "kamd_http_shed_total", LABELS_NONE,                              \
      "Connections refused because too many were open.")                                           \
    X(HTTP_CONNECTIONS, METRIC_GAUGE, "kamd_http_connections", LABELS_NONE,                        \
      "Open connections of the public port.")                                                      \
    X(HTTP_REAPED, METRIC_COUNTER, "kamd_http_reaped_total", LABELS_NONE,                          \
      "Connections cut because a request did not arrive in time.")                                 \
    X(RATE_LIMITED, METRIC_COUNTER, "kamd_rate_limited_total", LABELS_CLIENT,                      \
      "Requests answered with 429, by what they were counted for.")                                \
    X(POOL_IN_USE, METRIC_GAUGE, "kamd_db_connections_in_use", LABELS_POOL,                        \
      "Database connections in use.")                                                              \
    X(POOL_WAITERS, METRIC_GAUGE, "kamd_db_waiters", LABELS_POOL,                                  \
      "Requests waiting for a database connection.")                                               \
    X(POOL_REFUSED, METRIC_COUNTER, "kamd_db_refused_total", LABELS_POOL,                          \
      "Requests refused because no connection became free in time or too many waited.")            \
    X(DB_TIME, METRIC_HISTOGRAM, "kamd_db_round_trip_seconds", LABELS_POOL,                        \
      "Time of one pipelined round trip.")                                                         \
    X(DB_BREAKER, METRIC_GAUGE, "kamd_db_breaker_open", LABELS_POOL,                               \
      "1 while the database breaker is open.")                                                     \
    X(DB_RETRIES, METRIC_COUNTER, "kamd_db_retries_total", LABELS_POOL,                            \
      "Transactions repeated after a serialization failure or deadlock.")                          \
    X(CACHE_READS, METRIC_COUNTER, "kamd_cache_reads_total", LABELS_CACHE,                         \
      "Cache reads by outcome.")                                                                   \
    X(CACHE_BREAKER, METRIC_GAUGE, "kamd_cache_breaker_open", LABELS_NONE,                         \
      "1 while the cache breaker is open.")                                                        \
    X(CACHE_INVALIDATIONS, METRIC_COUNTER, "kamd_cache_invalidations_total", LABELS_NONE,          \
      "Cache entries replaced by a tombstone after a write.")                                      \
    X(CACHE_INVALIDATIONS_FAILED, METRIC_COUNTER, "kamd_cache_invalidations_failed_total",         \
      LABELS_NONE, "Invalidations that did not reach Redis.")                                      \
    X(DIRECTORY_AGE, METRIC_GAUGE, "kamd_directory_age_seconds", LABELS_NONE,                      \
      "Age of the in-memory directory (API keys, key accounts, settings).")                        \
    X(EVENTS_SEQUENCED, METRIC_COUNTER, "kamd_events_sequenced_total", LABELS_NONE,                \
      "Committed events given a position.")                                                        \
    X(EVENT_LAG, METRIC_GAUGE, "kamd_event_lag_seconds", LABELS_NONE,                              \
      "Age of the oldest committed event without a position.")                                     \
    X(DATABASE_CHANGED, METRIC_COUNTER, "kamd_database_changed_total", LABELS_NONE,                \
      "Times that workers found themselves on another database: a restore, a move, a failover. "   \
      "Kept in the database, and so the same in each worker.")                                     \
    X(DELIVERY_ATTEMPTS, METRIC_COUNTER, "kamd_webhook_attempts_total", LABELS_RESULT,             \
      "Webhook attempts by result.")                                                               \
    X(DELIVERY_TIME, METRIC_HISTOGRAM, "kamd_webhook_attempt_seconds", LABELS_NONE,                \
      "Time of one webhook attempt.")                                                              \
    X(DELIVERY_OLDEST, METRIC_GAUGE, "kamd_webhook_oldest_pending_seconds", LABELS_NONE,           \
      "Age of the oldest event that a healthy endpoint has not been sent.")                        \
    X(DELIVERY_BEHIND, METRIC_GAUGE, "kamd_webhook_events_behind", LABELS_NONE,                    \
      "Events that the enabled endpoint furthest behind has not got to.")                          \
    X(DEAD_LETTERS, METRIC_GAUGE, "kamd_webhook_dead_letters", LABELS_NONE,                        \
      "Deliveries that were given up and are kept for a replay.")                                  \
    X(ENDPOINTS, METRIC_GAUGE, "kamd_webhook_endpoints", LABELS_STATE,                             \
      "Webhook endpoints by the state of their breaker; disabled ones apart.")                     \
    X(STREAMS, METRIC_GAUGE, "kamd_event_streams", LABELS_NONE, "Open event streams.")             \
    X(FOLLOW_UPS_DUE, METRIC_COUNTER, "kamd_follow_ups_due_total", LABELS_NONE,                    \
      "Follow-ups whose due event was written.")                                                   \
    X(RESCORED, METRIC_COUNTER, "kamd_accounts_rescored_total", LABELS_NONE,                       \
      "Accounts scored anew.")                                                                     \
    X(SETTINGS_RELOADED, METRIC_COUNTER, "kamd_settings_reloaded_total", LABELS_NONE,              \
      "Changed settings that were taken without a restart.")                                       \
    X(SETTINGS_REFUSED, METRIC_GAUGE, "kamd_settings_refused", LABELS_NONE,                        \
      "1 while the settings cannot be read anew; those before are in force.")                      \
    X(SETTINGS_WAITING, METRIC_GAUGE, "kamd_settings_waiting", LABELS_NONE,                        \
      "1 while a changed setting waits for a restart.")                                            \
    X(DRAINING, METRIC_GAUGE, "kamd_draining", LABELS_NONE,                                        \
      "1 from SIGTERM on: not ready, but still serving.")                                          \
    X(AUDIT_ANCHOR, METRIC_GAUGE, "kamd_audit_anchor", LABELS_NONE,                                \
      "Number of the last anchor of the audit that this process wrote.")                           \
    X(TRACE_SPANS, METRIC_COUNTER, "kamd_trace_spans_total", LABELS_SPANS,                         \
      "Spans: sent to the collector, dropped because it took none, refused by it.")                \
    X(LOOP_ERRORS, METRIC_COUNTER, "kamd_worker_errors_total", LABELS_LOOP,                        \
      "Worker rounds that failed.")                                                                \
    X(LOOP_LAST, METRIC_GAUGE, "kamd_worker_last_round_timestamp_seconds", LABELS_LOOP,            \
      "When each worker loop last finished a round.")

enum metric {
#define X(name, type, text, labels, help) METRIC_##name,
    METRICS(X)
#undef X
        METRIC_COUNT
};

/* Registers a family's cells: each a ready label list, e.g.
 * "route=\"/v1/accounts\",method=\"GET\",status=\"2xx\"". Before threads start. */
bool metrics_labels(enum metric_labels family, const char *const *cells, size_t n_cells);
void metrics_count(enum metric metric, size_t cell, uint64_t add);
void metrics_set(enum metric metric, size_t cell, double value);
void metrics_add(enum metric metric, size_t cell, double value); /* gauges, up or down */
void metrics_time(enum metric metric, size_t cell, int64_t us);  /* histograms */
uint64_t metrics_value(enum metric metric, size_t cell);         /* counters, for tests */
/* The whole exposition with build info and process_* (RSS, CPU, fds, start time). */
void metrics_write(struct buf *ret, const char *version);

#endif
