/* The loops behind the API: events get their position, follow-ups fall due, accounts are scored
 * anew, operations run, webhooks are delivered, old rows go. Any number of processes may run them;
 * what may be done only once is claimed in the database, under a lease of 5 s that is renewed every
 * second. No transaction is open while something is sent. While PostgreSQL is away the loops wait,
 * and then go on. */
#ifndef KAMD_WORKER_WORKER_H
#define KAMD_WORKER_WORKER_H

#include "cache/cache.h"
#include "core/config.h"
#include "core/crypto.h"
#include "core/random.h"
#include "store/store.h"

struct worker;

struct worker_options {
    struct store *store; /* of the workers' role; 4 connections or more */
    struct cache *cache;
    const struct config *config;
    const struct keyring *keyring;
    const struct randomness *randomness;
};

/* Registers the cells of the workers' metrics. Once per process, before threads start. */
bool worker_metrics(void);
/* Are the webhook settings such that worker_start() takes them? Items of `err` name those that are
 * not. */
bool worker_check(const struct config *config, struct err *err);
/* Starts the threads. Everything in `options` must outlive worker_stop(). Fails on bad webhook
 * settings. */
bool worker_start(const struct worker_options *options, struct worker **ret, struct err *err);
/* Claims nothing more, gives what is in flight a moment to end, returns the rest, and joins the
 * threads. NULL is fine. */
void worker_stop(struct worker *worker);

#endif
