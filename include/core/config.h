/* The settings: one const table that the reader, `kamd config check`, `--print-defaults` and the
 * README's table come from. Sources, later wins: default, KAMD_CONFIG_FILE (NAME=value lines, #
 * comments), environment, NAME_FILE (the value is the file's content without its last newline; the
 * way for secrets). */
#ifndef KAMD_CORE_CONFIG_H
#define KAMD_CORE_CONFIG_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"

/* X(field, type, NAME, default, min, max, secret, help); sizes in bytes, times as the name says */
#define SETTINGS(X)                                                                                \
    X(database_url, TEXT, "DATABASE_URL", "", 0, 0, true,                                          \
      "PostgreSQL connection of the application role (URI or key=value).")                         \
    X(database_worker_url, TEXT, "DATABASE_WORKER_URL", "", 0, 0, true,                            \
      "Connection of the workers' role; empty: DATABASE_URL.")                                     \
    X(database_migrate_url, TEXT, "DATABASE_MIGRATE_URL", "", 0, 0, true,                          \
      "Connection of the role that owns the schema, for `kamd migrate` and `kamd api-key`; "       \
      "empty: DATABASE_URL.")                                                                      \
    X(redis_url, TEXT, "REDIS_URL", "", 0, 0, true,                                                \
      "redis://[user:password@]host:port[/db]; empty: no cache.")                                  \
    X(master_key, TEXT, "KAMD_MASTER_KEY", "", 0, 0, true,                                         \
      "32 random bytes in base64: signs cursors, seals cache values and webhook secrets. "         \
      "Several, "                                                                                  \
      "newest first, separated by commas: older ones only open what they sealed.")                 \
    X(host, TEXT, "KAMD_HOST", "127.0.0.1", 0, 0, false,                                           \
      "Address to listen on; `::` for all addresses of both families.")                            \
    X(port, INT, "KAMD_PORT", "8080", 0, 65535, false, "Port of the API; 0: any free one.")        \
    X(admin_host, TEXT, "KAMD_ADMIN_HOST", "127.0.0.1", 0, 0, false, "Address of the admin port.") \
    X(admin_port, INT, "KAMD_ADMIN_PORT", "8081", 0, 65535, false,                                 \
      "Port of /livez, /readyz and /metrics; 0: any free one.")                                    \
    X(http_threads, INT, "KAMD_HTTP_THREADS", "0", 0, 256, false,                                  \
      "Threads of the API's pool; 0: four for each CPU that this process may use, at least 8, at " \
      "most 32.")                                                                                  \
    X(http_connections, INT, "KAMD_HTTP_CONNECTIONS", "4096", 8, 100000, false,                    \
      "Open connections beyond which new ones are shed.")                                          \
    X(http_memory, INT, "KAMD_HTTP_CONNECTION_MEMORY", "10240", 8192, 1048576, false,              \
      "Memory of one connection; bounds the header fields.")                                       \
    X(header_seconds, INT, "KAMD_HEADER_SECONDS", "10", 1, 120, false,                             \
      "A request's head must arrive within this time.")                                            \
    X(body_seconds, INT, "KAMD_BODY_SECONDS", "30", 1, 600, false,                                 \
      "A request must have arrived within this time.")                                             \
    X(idle_seconds, INT, "KAMD_IDLE_SECONDS", "75", 1, 3600, false,                                \
      "Idle keep-alive connections are closed after this time; more than the load balancer's.")    \
    X(request_ms, INT, "KAMD_REQUEST_MS", "2000", 100, 60000, false,                               \
      "The one deadline of a request, from its admission.")                                        \
    X(drain_ms, INT, "KAMD_DRAIN_MS", "1000", 0, 60000, false,                                     \
      "After SIGTERM: how long to go on serving while /readyz says 503.")                          \
    X(db_pool, INT, "KAMD_DB_POOL", "8", 1, 256, false, "Database connections of the API.")        \
    X(db_worker_pool, INT, "KAMD_DB_WORKER_POOL", "4", 2, 64, false,                               \
      "Database connections of the workers.")                                                      \
    X(db_waiters, INT, "KAMD_DB_WAITERS", "64", 0, 10000, false,                                   \
      "Requests that may wait for a database connection.")                                         \
    X(db_acquire_ms, INT, "KAMD_DB_ACQUIRE_MS", "250", 1, 10000, false,                            \
      "How long one may wait for a database connection.")                                          \
    X(db_prepared, BOOL, "KAMD_DB_PREPARED", "true", 0, 0, false,                                  \
      "Named prepared statements; false for poolers that lack them.")                              \
    X(db_max_age_seconds, INT, "KAMD_DB_MAX_AGE_SECONDS", "1800", 1, 86400, false,                 \
      "Age at which a database connection is replaced, 20 % more or less.")                        \
    X(cache_ms, INT, "KAMD_CACHE_MS", "30000", 100, 600000, false,                                 \
      "How long a value may live in Redis.")                                                       \
    X(cache_lease, BOOL, "KAMD_CACHE_LEASE", "true", 0, 0, false,                                  \
      "Fill the cache under a lease. False is unsafe: it is there so that a test can show the "    \
      "stale reads.")                                                                              \
    X(redis_ms, INT, "KAMD_REDIS_MS", "50", 5, 1000, false, "Deadline of one Redis round trip.")   \
    X(worker, BOOL, "KAMD_WORKER", "true", 0, 0, false, "`kamd serve` also runs the workers.")     \
    X(poll_ms, INT, "KAMD_POLL_MS", "100", 10, 10000, false,                                       \
      "How often idle workers look for work.")                                                     \
    X(directory_ms, INT, "KAMD_DIRECTORY_MS", "250", 50, 2000, false,                              \
      "How often API keys, key accounts and settings in memory are refreshed.")                    \
    X(report_accounts, INT, "KAMD_REPORT_ACCOUNTS", "50000", 0, 10000000, false,                   \
      "A report over more accounts is an operation.")                                              \
    X(oidc_issuer, TEXT, "KAMD_OIDC_ISSUER", "", 0, 0, false,                                      \
      "Issuer of people's access tokens, exactly as in `iss`; empty: only API keys.")              \
    X(oidc_audience, TEXT, "KAMD_OIDC_AUDIENCE", "", 0, 0, false,                                  \
      "What `aud` of a token for kamd is or contains.")                                            \
    X(oidc_jwks_url, TEXT, "KAMD_OIDC_JWKS_URL", "", 0, 0, false,                                  \
      "Where the issuer's keys are; empty: where its /.well-known/openid-configuration says.")     \
    X(oidc_types, TEXT, "KAMD_OIDC_TYPES", "at+jwt", 0, 0, false,                                  \
      "Types (`typ`) of tokens that are taken, comma-separated; JWT also takes those without "     \
      "one.")                                                                                      \
    X(oidc_role_claim, TEXT, "KAMD_OIDC_ROLE_CLAIM", "roles", 0, 0, false,                         \
      "Claim that holds roles or groups: a name, or a JSON pointer like /realm_access/roles.")     \
    X(oidc_roles, TEXT, "KAMD_OIDC_ROLES", "", 0, 0, false,                                        \
      "What its values stand for, like kam-admins=admin,kam-team=member; empty: kamd's roles.")    \
    X(oidc_default_role, TEXT, "KAMD_OIDC_DEFAULT_ROLE", "", 0, 0, false,                          \
      "Role of people whose token names none; empty: they are refused.")                           \
    X(oidc_name_claim, TEXT, "KAMD_OIDC_NAME_CLAIM", "name", 0, 0, false,                          \
      "Claim with the person's name.")                                                             \
    X(oidc_email_claim, TEXT, "KAMD_OIDC_EMAIL_CLAIM", "email", 0, 0, false,                       \
      "Claim with the person's address.")                                                          \
    X(oidc_provision, BOOL, "KAMD_OIDC_PROVISION", "true", 0, 0, false,                            \
      "A person seen for the first time becomes a user; false: only those that are there.")        \
    X(oidc_max_seconds, INT, "KAMD_OIDC_MAX_SECONDS", "3600", 60, 86400, false,                    \
      "Tokens that live longer are refused.")                                                      \
    X(oidc_refresh_ms, INT, "KAMD_OIDC_REFRESH_MS", "600000", 100, 86400000, false,                \
      "How often the issuer's keys are fetched; they are kept for 24 hours while that fails.")     \
    X(oidc_allow_http, BOOL, "KAMD_OIDC_ALLOW_HTTP", "false", 0, 0, false,                         \
      "For tests: the issuer may be at plain http.")                                               \
    X(oauth, BOOL, "KAMD_OAUTH", "false", 0, 0, false,                                             \
      "Offer OAuth 2.0 client credentials at /oauth/token.")                                       \
    X(oauth_seconds, INT, "KAMD_OAUTH_SECONDS", "1800", 60, 86400, false,                          \
      "How long an access token of /oauth/token holds.")                                           \
    X(promises_ms, INT, "KAMD_PROMISES_MS", "3600000", 1000, 86400000, false,                      \
      "How often broken promises and attention gaps are looked for.")                              \
    X(audit_anchor_ms, INT, "KAMD_AUDIT_ANCHOR_MS", "50000", 100, 3600000, false,                  \
      "How often what is new in the audit is anchored by a signature.")                            \
    X(webhook_allow_http, BOOL, "KAMD_WEBHOOK_ALLOW_HTTP", "false", 0, 0, false,                   \
      "Webhooks may go to plain http.")                                                            \
    X(webhook_allowed_cidrs, TEXT, "KAMD_WEBHOOK_ALLOWED_CIDRS", "", 0, 0, false,                  \
      "Non-public addresses that webhooks may go to, comma-separated CIDRs.")                      \
    X(webhook_ports, TEXT, "KAMD_WEBHOOK_PORTS", "443,8443", 0, 0, false,                          \
      "Ports that webhooks may go to, comma-separated, or `any`.")                                 \
    X(webhook_ca_file, TEXT, "KAMD_WEBHOOK_CA_FILE", "", 0, 0, false,                              \
      "Certificates that vouch for receivers of webhooks, a PEM file; empty: the system's.")       \
    X(webhook_connect_ms, INT, "KAMD_WEBHOOK_CONNECT_MS", "3000", 100, 60000, false,               \
      "Time for a connection to a receiver.")                                                      \
    X(webhook_total_ms, INT, "KAMD_WEBHOOK_TOTAL_MS", "15000", 100, 120000, false,                 \
      "Time for one webhook attempt.")                                                             \
    X(webhook_in_flight, INT, "KAMD_WEBHOOK_IN_FLIGHT", "256", 1, 4096, false,                     \
      "Attempts under way at once in one process.")                                                \
    X(webhook_endpoint_in_flight, INT, "KAMD_WEBHOOK_ENDPOINT_IN_FLIGHT", "4", 1, 256, false,      \
      "Of these, for one endpoint.")                                                               \
    X(webhook_retry_ms, TEXT, "KAMD_WEBHOOK_RETRY_MS",                                             \
      "5000,30000,120000,600000,1800000,7200000,18000000,36000000,43200000,43200000,43200000,"     \
      "43200000,33600000",                                                                         \
      0, 0, false, "Pauses before each retry of a webhook, milliseconds; 75 hours in all.")        \
    X(rate_limit, INT, "KAMD_RATE_LIMIT", "5000", 0, 1000000, false,                               \
      "Requests a second of one client, over all processes; 0: no limit.")                         \
    X(rate_burst, INT, "KAMD_RATE_BURST", "20000", 1, 1000000, false,                              \
      "Requests that a client which was silent may send at once.")                                 \
    X(trusted_proxies, TEXT, "KAMD_TRUSTED_PROXIES", "", 0, 0, false,                              \
      "Addresses of proxies before kamd, comma-separated CIDRs: from them alone X-Forwarded-For "  \
      "is believed. Empty: whoever connects is the client.")                                       \
    X(cors_origins, TEXT, "KAMD_CORS_ORIGINS", "", 0, 0, false,                                    \
      "Origins whose web pages may call the API, comma-separated, e.g. https://app.example.com.")  \
    X(hsts_seconds, INT, "KAMD_HSTS_SECONDS", "0", 0, 63072000, false,                             \
      "Strict-Transport-Security, for when TLS ends before kamd; 0: not sent.")                    \
    X(otlp_endpoint, TEXT, "KAMD_OTLP_ENDPOINT", "", 0, 0, false,                                  \
      "Collector of OpenTelemetry that gets spans by OTLP/HTTP, e.g. http://collector:4318; "      \
      "empty: none are made.")                                                                     \
    X(otlp_headers, TEXT, "KAMD_OTLP_HEADERS", "", 0, 0, true,                                     \
      "Headers for it, name=value, comma-separated, values percent-encoded.")                      \
    X(otlp_ca_file, TEXT, "KAMD_OTLP_CA_FILE", "", 0, 0, false,                                    \
      "Certificates that vouch for it, a PEM file; empty: the system's.")                          \
    X(otlp_sample, INT, "KAMD_OTLP_SAMPLE_PER_MILLE", "1000", 0, 1000, false,                      \
      "Of 1,000 traces that begin here, how many are recorded; others as their caller says.")      \
    X(log_level, TEXT, "KAMD_LOG_LEVEL", "info", 0, 0, false, "debug, info, warn or error.")       \
    X(fault, TEXT, "KAMD_FAULT", "", 0, 0, false,                                                  \
      "For tests: `point:action`, e.g. after_commit:kill. Empty in production.")

struct config {
#define X(field, type, name, preset, min, max, secret, help) SETTING_C_##type field;
#define SETTING_C_TEXT const char *
#define SETTING_C_INT int
#define SETTING_C_BOOL bool
    SETTINGS(X)
#undef X
#undef SETTING_C_TEXT
#undef SETTING_C_INT
#undef SETTING_C_BOOL
    struct arena *arena; /* owns the texts */
};

/* Reads all sources. err names every bad value at once (items with the setting's name). `getenv_`
 * is a seam: getenv in main. */
bool config_read(const char *(*getenv_)(const char *name), struct config *ret, struct err *err);
/* As config_read(), but on failure *ret has what could be read (NULL and 0 for the rest), so that a
 * check can go on; to be released either way. */
bool config_read_partly(const char *(*getenv_)(const char *name), struct config *ret,
                        struct err *err);
void config_release(struct config *config);
/* The names of the settings that differ, comma-separated. */
void config_differences(const struct config *a, const struct config *b, struct buf *ret);
/* `--print-defaults`: NAME=value lines with their help as comments, secrets without a value. */
void config_print_defaults(struct buf *ret);
/* Settings whose names begin with KAMD_ in `environ` but that the table does not know: a likely
 * typo. Comma-separated names. */
void config_unknown(char **environment, struct buf *ret);

#endif
