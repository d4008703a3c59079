/* Settings that change while the process runs: files are read again each second, and on SIGHUP.
 * Reading them, rather than being told of changes, works on every file system, also where a folder
 * is swapped by a link (Kubernetes), and takes nothing of the machine's few inotify instances.
 *
 * What takes effect at once: DATABASE_URL and DATABASE_WORKER_URL, for new connections (those that
 * are open stay until they are KAMD_DB_MAX_AGE_SECONDS old), and KAMD_LOG_LEVEL. What else changed
 * is named in the log and waits for a restart. Settings that cannot be read change nothing. */
#ifndef KAMD_APP_RELOAD_H
#define KAMD_APP_RELOAD_H

#include "core/config.h"
#include "store/store.h"

struct reload;

struct reload_options {
    const char *(*getenv_)(const char *name);
    const struct config *config; /* what the process was started with */
    struct store *store;
    struct store *worker_store; /* may be NULL */
};

bool reload_start(const struct reload_options *options, struct reload **ret, struct err *err);
void reload_now(struct reload *reload);
/* NULL is fine. */
void reload_stop(struct reload *reload);

#endif
